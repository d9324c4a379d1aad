//! A reply whose type is known only at run time.

use bytes::Bytes;

use super::{Encoder, Error, Incoming, read};

/// A reply of any type, for handlers that cannot say it in their signature.
///
/// It is exhaustive on purpose: these are the types of RESP3.
///
/// ```
/// use thegiant::resp::{Encoder, Value};
///
/// let value = Value::Array(vec![Value::Integer(1), Value::Null, Value::bulk("two")]);
/// let mut out = Encoder::default();
/// value.encode(&mut out);
/// assert_eq!(out.to_vec(), b"*3\r\n:1\r\n$-1\r\n$3\r\ntwo\r\n");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// The absent value.
    Null,
    /// A simple string, such as `OK`.
    Simple(String),
    /// An error.
    Error(Error),
    /// An integer.
    Integer(i64),
    /// A string of any bytes.
    Bulk(Bytes),
    /// True or false.
    Boolean(bool),
    /// A floating point number.
    Double(f64),
    /// The decimal digits of an integer of any size.
    BigNumber(String),
    /// Text with its format, `txt` or `mkd`.
    Verbatim([u8; 3], String),
    /// Values in order.
    Array(Vec<Value>),
    /// Keys with their values, in the order given.
    Map(Vec<(Value, Value)>),
    /// Values without an order.
    Set(Vec<Value>),
}

impl Value {
    /// A string of any bytes.
    pub fn bulk(bytes: impl Into<Bytes>) -> Self {
        Value::Bulk(bytes.into())
    }

    /// The number, if it is an integer.
    ///
    /// ```
    /// use thegiant::Value;
    ///
    /// assert_eq!(Value::Integer(7).as_integer(), Some(7));
    /// assert_eq!(Value::bulk("7").as_integer(), None);
    /// ```
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Value::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// The values, if it is an array or a set: which of them it is depends on the protocol.
    ///
    /// ```
    /// use thegiant::Value;
    ///
    /// assert_eq!(Value::Set(vec![Value::Null]).into_array(), Some(vec![Value::Null]));
    /// assert_eq!(Value::Null.into_array(), None);
    /// ```
    pub fn into_array(self) -> Option<Vec<Value>> {
        match self {
            Value::Array(values) | Value::Set(values) => Some(values),
            _ => None,
        }
    }

    /// The value that these bytes are as a whole.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        match read::parse(bytes) {
            Ok(Some((Incoming::Reply(value), len))) if len == bytes.len() => Some(value),
            _ => None,
        }
    }

    /// Appends the value. It recurses as deep as the value is nested.
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
