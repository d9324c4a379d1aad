//! The type of all replies.

use bytes::Bytes;

use super::{Encoder, Error};

/// A reply of any type.
///
/// It is exhaustive by design: the variants are the types of RESP3.
///
/// ```
/// use thegiant_resp::{Encoder, Value};
///
/// let value = Value::Array(vec![1.into(), Value::Null, "two".into()]);
/// let mut out = Encoder::default();
/// value.encode(&mut out);
/// assert_eq!(out.to_vec(), b"*3\r\n:1\r\n$-1\r\n$3\r\ntwo\r\n");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Null: no value.
    Null,
    /// A simple string, such as `OK`.
    Simple(String),
    /// An error.
    Error(Error),
    /// An integer.
    Integer(i64),
    /// A bulk string, which can contain any bytes.
    Bulk(Bytes),
    /// A boolean.
    Boolean(bool),
    /// A double.
    Double(f64),
    /// A big number: the decimal digits of an integer of any size.
    BigNumber(String),
    /// A verbatim string: its format, `txt` or `mkd`, and its text.
    Verbatim([u8; 3], String),
    /// An array.
    Array(Vec<Value>),
    /// A map: keys with their values, in the order of the reply.
    Map(Vec<(Value, Value)>),
    /// A set: values without an order.
    Set(Vec<Value>),
}

impl Value {
    /// Creates a simple string, such as `OK`: a short text that is no data.
    ///
    /// It is another value than the bulk string of the same text, which [`Value::from`] creates.
    ///
    /// ```
    /// use thegiant_resp::Value;
    ///
    /// assert_eq!(Value::simple("PONG").as_str(), Some("PONG"));
    /// assert_ne!(Value::simple("PONG"), Value::from("PONG"));
    /// assert_eq!(Value::bulk("PONG"), Value::from("PONG"));
    /// ```
    #[must_use]
    pub fn simple(text: impl Into<String>) -> Self {
        Value::Simple(text.into())
    }

    /// Creates a bulk string, which can contain any bytes.
    #[must_use]
    pub fn bulk(bytes: impl Into<Bytes>) -> Self {
        Value::Bulk(bytes.into())
    }

    /// Returns the integer, or `None` for another type.
    ///
    /// ```
    /// use thegiant_resp::Value;
    ///
    /// assert_eq!(Value::Integer(7).as_int(), Some(7));
    /// assert_eq!(Value::bulk("7").as_int(), None);
    /// ```
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// Returns the bytes of a bulk, simple or verbatim string, or `None` for another type.
    ///
    /// ```
    /// use thegiant_resp::Value;
    ///
    /// assert_eq!(Value::bulk(&b"\xff"[..]).as_bytes(), Some(&b"\xff"[..]));
    /// assert_eq!(Value::Integer(7).as_bytes(), None);
    /// ```
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Bulk(bytes) => Some(bytes),
            Value::Simple(text) | Value::Verbatim(_, text) => Some(text.as_bytes()),
            _ => None,
        }
    }

    /// Returns the text of a bulk, simple or verbatim string, or `None` if it is not UTF-8 or of another type.
    ///
    /// ```
    /// use thegiant_resp::Value;
    ///
    /// assert_eq!(Value::Simple("OK".into()).as_str(), Some("OK"));
    /// assert_eq!(Value::bulk(&b"\xff"[..]).as_str(), None);
    /// ```
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(self.as_bytes()?).ok()
    }

    /// Returns the elements of an array or a set, or `None` for another type.
    ///
    /// Many commands reply with an array in RESP2 and with a set in RESP3.
    ///
    /// ```
    /// use thegiant_resp::Value;
    ///
    /// assert_eq!(Value::Set(vec![Value::Null]).as_array(), Some(&[Value::Null][..]));
    /// assert_eq!(Value::Null.as_array(), None);
    /// ```
    #[must_use]
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Value::Array(values) | Value::Set(values) => Some(values),
            _ => None,
        }
    }

    /// Converts an array or a set into its elements. It returns `None` for another type.
    ///
    /// ```
    /// use thegiant_resp::Value;
    ///
    /// assert_eq!(Value::Set(vec![Value::Null]).into_vec(), Some(vec![Value::Null]));
    /// assert_eq!(Value::Null.into_vec(), None);
    /// ```
    #[must_use]
    pub fn into_vec(self) -> Option<Vec<Value>> {
        match self {
            Value::Array(values) | Value::Set(values) => Some(values),
            _ => None,
        }
    }

    /// Appends the value to `out`. It recurses once for each level of nesting.
    pub fn encode(&self, out: &mut Encoder) {
        match self {
            Value::Null => out.null(),
            Value::Simple(text) => out.simple(text),
            Value::Error(error) => out.error(error),
            Value::Integer(number) => out.integer(*number),
            Value::Bulk(bytes) => out.bulk_bytes(bytes),
            Value::Boolean(value) => out.boolean(*value),
            Value::Double(number) => out.double(*number),
            Value::BigNumber(digits) => out.big_number(digits),
            Value::Verbatim(format, text) => out.verbatim(*format, text),
            Value::Array(values) => {
                out.array(values.len());
                values.iter().for_each(|value| value.encode(out));
            }
            Value::Set(values) => {
                out.set(values.len());
                values.iter().for_each(|value| value.encode(out));
            }
            Value::Map(pairs) => {
                out.map(pairs.len());
                for (key, value) in pairs {
                    key.encode(out);
                    value.encode(out);
                }
            }
        }
    }
}

macro_rules! from {
    ($($type:ty => $convert:expr, $doc:literal;)*) => {
        $(impl From<$type> for Value {
            #[doc = $doc]
            fn from(value: $type) -> Self {
                $convert(value)
            }
        })*
    };
}

from! {
    &str => |text: &str| Value::Bulk(Bytes::copy_from_slice(text.as_bytes())), "Copies the text into a bulk string.";
    String => Value::bulk, "Converts the text into a bulk string.";
    Bytes => Value::Bulk, "Converts the bytes into a bulk string.";
    i64 => Value::Integer, "Converts the number into an integer.";
    f64 => Value::Double, "Converts the number into a double.";
    bool => Value::Boolean, "Converts the value into a boolean.";
    Vec<Value> => Value::Array, "Converts the values into an array.";
    Error => Value::Error, "Converts the error into an error reply.";
}
