//! Converts replies into Rust types.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    fmt,
    hash::{BuildHasher, Hash},
    str::FromStr,
};

use bytes::Bytes;

use super::{Error, Value};

/// A type that a reply can be converted into.
///
/// | type | replies |
/// | --- | --- |
/// | `()` | `OK`, or another simple string |
/// | `String`, `Cow<str>` | a string, as UTF-8 |
/// | `char` | a string of one character |
/// | [`Bytes`], `Vec<u8>` | a string |
/// | `i8` … `i128`, `u8` … `u128`, `isize`, `usize` | an integer, a big number, or a string of digits |
/// | `f32`, `f64` | a double, an integer, or a string with a number |
/// | `bool` | a boolean, or the integers 0 and 1 |
/// | `Option<T>` | null, or a `T` |
/// | `Box<T>` | a `T` |
/// | `Vec<T>`, `VecDeque<T>`, `HashSet<T>`, `BTreeSet<T>` | an array or a set |
/// | `HashMap<K, V>`, `BTreeMap<K, V>` | a map, or an array of keys and values |
/// | `[T; N]`, `(A, B)`, … | an array with this number of elements |
/// | `Result<T, Error>` | a `T`, or an error |
/// | [`Milliseconds`](crate::Milliseconds), [`Seconds`](crate::Seconds), [`UnixTime`](crate::UnixTime), … | an integer |
/// | [`Parsed<T>`](crate::Parsed), `Json<T>` | a string with a `T` in its text form, or in JSON |
/// | [`Value`] | any reply |
///
/// So each type has the same value in RESP2, which has fewer types, and in RESP3. `#[derive(FromReply)]` of the crate
/// `thegiant-client` implements it for a type with `#[derive(Reply)]`.
///
/// ```
/// use thegiant_resp::{FromReply, Value, WrongReply};
///
/// struct Point { x: f64, y: f64 }
///
/// impl FromReply for Point {
///     fn from_reply(reply: Value) -> Result<Self, WrongReply> {
///         let (x, y) = FromReply::from_reply(reply)?;
///         Ok(Point { x, y })
///     }
/// }
///
/// let point = Point::from_reply(Value::Array(vec![1.5.into(), "2".into()])).unwrap();
/// assert_eq!((point.x, point.y), (1.5, 2.0));
/// let error = Point::from_reply(Value::Integer(1)).err().unwrap();
/// assert_eq!(error.to_string(), "expected an array of 2 elements, got an integer");
/// ```
#[diagnostic::on_unimplemented(
    message = "a reply cannot be converted into `{Self}`",
    label = "a client cannot receive this type",
    note = "write `#[derive(FromReply)]` above a type of yours, next to `#[derive(Reply)]`",
    note = "or leave the command out of the client: `#[command(\"…\", no_client)]`"
)]
pub trait FromReply: Sized {
    /// Converts a reply.
    ///
    /// # Errors
    /// If the reply has another type, or a value that the type cannot represent.
    fn from_reply(reply: Value) -> Result<Self, WrongReply>;

    /// Converts a reply into a list of it. A list of `u8` is a string.
    #[doc(hidden)]
    fn list_from_reply(reply: Value) -> Result<Vec<Self>, WrongReply> {
        elements(reply, "an array")?.into_iter().map(Self::from_reply).collect()
    }
}

/// The error for a reply of another type than the expected one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongReply {
    expected: String,
    got: String,
    /// The names of the fields, from the whole reply to the value.
    place: String,
}

impl WrongReply {
    /// Creates an error for this reply. `expected` names a type, such as `an integer`.
    #[must_use]
    pub fn new(expected: impl Into<String>, reply: &Value) -> Self {
        let got = match reply {
            Value::Null => "null",
            Value::Simple(_) | Value::Bulk(_) | Value::Verbatim(..) => "a string",
            Value::Error(error) => return WrongReply::described(expected, format_args!("the error {error}")),
            Value::Integer(_) => "an integer",
            Value::Boolean(_) => "a boolean",
            Value::Double(_) => "a double",
            Value::BigNumber(_) => "a big number",
            Value::Array(_) => "an array",
            Value::Map(_) => "a map",
            Value::Set(_) => "a set",
        };
        WrongReply::described(expected, got)
    }

    /// Creates an error for a reply of the right type with a wrong value.
    ///
    /// Both texts are noun phrases.
    ///
    /// ```
    /// use thegiant_resp::WrongReply;
    ///
    /// let error = WrongReply::described("an even number", 3);
    /// assert_eq!(error.to_string(), "expected an even number, got 3");
    /// ```
    #[must_use]
    pub fn described(expected: impl Into<String>, got: impl fmt::Display) -> Self {
        WrongReply { expected: expected.into(), got: got.to_string(), place: String::new() }
    }

    /// Adds the field of the reply that the error is in.
    ///
    /// ```
    /// use thegiant_resp::{Value, WrongReply};
    ///
    /// let error = WrongReply::new("a string", &Value::Integer(1)).inside("state").inside("job");
    /// assert_eq!(error.to_string(), "expected a string in `job.state`, got an integer");
    /// ```
    #[must_use]
    pub fn inside(mut self, field: &str) -> Self {
        self.place = if self.place.is_empty() { field.to_owned() } else { format!("{field}.{}", self.place) };
        self
    }

    /// Returns the text in quotes for an error.
    ///
    /// It escapes characters that a terminal does not show, and cuts a long text.
    #[doc(hidden)]
    #[must_use]
    pub fn quoted(text: &str) -> String {
        const MAX: usize = 64;
        let shown: String = text.chars().take(MAX).collect();
        if shown.len() < text.len() { format!("{:?}…", shown) } else { format!("{shown:?}") }
    }
}

impl fmt::Display for WrongReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}", self.expected)?;
        if !self.place.is_empty() {
            write!(f, " in `{}`", self.place)?;
        }
        write!(f, ", got {}", self.got)
    }
}

impl std::error::Error for WrongReply {}

impl FromReply for Value {
    fn from_reply(reply: Value) -> Result<Self, WrongReply> {
        Ok(reply)
    }
}

impl FromReply for () {
    fn from_reply(reply: Value) -> Result<Self, WrongReply> {
        match reply {
            Value::Simple(_) => Ok(()),
            other => Err(WrongReply::new("OK", &other)),
        }
    }
}

impl FromReply for String {
    fn from_reply(reply: Value) -> Result<Self, WrongReply> {
        match reply {
            Value::Simple(text) | Value::Verbatim(_, text) => Ok(text),
            Value::Bulk(bytes) => {
                String::from_utf8(bytes.into()).map_err(|_| WrongReply::described("UTF-8", "other bytes"))
            }
            other => Err(WrongReply::new("a string", &other)),
        }
    }
}

impl FromReply for Bytes {
    fn from_reply(reply: Value) -> Result<Self, WrongReply> {
        match reply {
            Value::Bulk(bytes) => Ok(bytes),
            Value::Simple(text) | Value::Verbatim(_, text) => Ok(text.into()),
            other => Err(WrongReply::new("a string", &other)),
        }
    }
}

impl FromReply for Cow<'_, str> {
    fn from_reply(reply: Value) -> Result<Self, WrongReply> {
        String::from_reply(reply).map(Cow::Owned)
    }
}

impl FromReply for char {
    fn from_reply(reply: Value) -> Result<Self, WrongReply> {
        let text = String::from_reply(reply)?;
        text.parse().map_err(|_| WrongReply::described("one character", WrongReply::quoted(&text)))
    }
}

macro_rules! integers {
    ($($integer:ty)*) => {$(
        impl FromReply for $integer {
            fn from_reply(reply: Value) -> Result<Self, WrongReply> {
                integer(&reply, concat!("an integer of type ", stringify!($integer)))
            }
        }
    )*};
}

integers!(i8 i16 i32 i64 isize i128 u16 u32 u64 usize u128);

impl FromReply for u8 {
    fn from_reply(reply: Value) -> Result<Self, WrongReply> {
        integer(&reply, "an integer of type u8")
    }

    fn list_from_reply(reply: Value) -> Result<Vec<Self>, WrongReply> {
        Bytes::from_reply(reply).map(Vec::from)
    }
}

fn integer<T: TryFrom<i64> + FromStr>(reply: &Value, expected: &str) -> Result<T, WrongReply> {
    let number = match reply {
        Value::Integer(number) => T::try_from(*number).ok(),
        Value::BigNumber(digits) => digits.parse().ok(),
        text => text.as_str().and_then(|text| text.parse().ok()),
    };
    number.ok_or_else(|| match reply {
        Value::Integer(number) => WrongReply::described(expected, number),
        other => WrongReply::new(expected, other),
    })
}

macro_rules! floats {
    ($($float:ty)*) => {$(
        impl FromReply for $float {
            fn from_reply(reply: Value) -> Result<Self, WrongReply> {
                let number = match &reply {
                    Value::Double(number) => Some(*number as $float),
                    Value::Integer(number) => Some(*number as $float),
                    text => text.as_str().and_then(|text| text.parse().ok()),
                };
                number.ok_or_else(|| WrongReply::new("a double", &reply))
            }
        }
    )*};
}

floats!(f32 f64);

impl FromReply for bool {
    fn from_reply(reply: Value) -> Result<Self, WrongReply> {
        match reply {
            Value::Boolean(value) => Ok(value),
            Value::Integer(number @ (0 | 1)) => Ok(number == 1),
            other => Err(WrongReply::new("a boolean", &other)),
        }
    }
}

impl<T: FromReply> FromReply for Option<T> {
    fn from_reply(reply: Value) -> Result<Self, WrongReply> {
        match reply {
            Value::Null => Ok(None),
            other => T::from_reply(other).map(Some),
        }
    }
}

impl<T: FromReply> FromReply for Box<T> {
    fn from_reply(reply: Value) -> Result<Self, WrongReply> {
        T::from_reply(reply).map(Box::new)
    }
}

impl<T: FromReply> FromReply for Result<T, Error> {
    fn from_reply(reply: Value) -> Result<Self, WrongReply> {
        match reply {
            Value::Error(error) => Ok(Err(error)),
            other => T::from_reply(other).map(Ok),
        }
    }
}

fn elements(reply: Value, expected: &str) -> Result<Vec<Value>, WrongReply> {
    match reply {
        Value::Array(values) | Value::Set(values) => Ok(values),
        other => Err(WrongReply::new(expected, &other)),
    }
}

impl<T: FromReply> FromReply for Vec<T> {
    fn from_reply(reply: Value) -> Result<Self, WrongReply> {
        T::list_from_reply(reply)
    }
}

macro_rules! collections {
    ($($collection:ty, [$($bounds:tt)*], $expected:literal;)*) => {$(
        impl<T: FromReply $($bounds)*> FromReply for $collection {
            fn from_reply(reply: Value) -> Result<Self, WrongReply> {
                elements(reply, $expected)?.into_iter().map(T::from_reply).collect()
            }
        }
    )*};
}

collections! {
    VecDeque<T>, [], "an array";
    BTreeSet<T>, [+ Ord], "a set";
    HashSet<T, S>, [+ Eq + Hash, S: BuildHasher + Default], "a set";
}

/// Returns the keys and values of a map, which is an array in RESP2.
fn pairs<K: FromReply, V: FromReply, M: FromIterator<(K, V)>>(reply: Value) -> Result<M, WrongReply> {
    let pair = |(key, value)| Ok((K::from_reply(key)?, V::from_reply(value)?));
    match reply {
        Value::Map(pairs) => pairs.into_iter().map(pair).collect(),
        Value::Array(values) if values.len() % 2 == 0 => {
            let mut values = values.into_iter();
            std::iter::from_fn(|| Some((values.next()?, values.next()?))).map(pair).collect()
        }
        other => Err(WrongReply::new("a map", &other)),
    }
}

impl<K: FromReply + Eq + Hash, V: FromReply, S: BuildHasher + Default> FromReply for HashMap<K, V, S> {
    fn from_reply(reply: Value) -> Result<Self, WrongReply> {
        pairs(reply)
    }
}

impl<K: FromReply + Ord, V: FromReply> FromReply for BTreeMap<K, V> {
    fn from_reply(reply: Value) -> Result<Self, WrongReply> {
        pairs(reply)
    }
}

/// Returns the elements of an array of this length.
fn exactly<const N: usize>(reply: Value) -> Result<[Value; N], WrongReply> {
    let expected = || format!("an array of {N} elements");
    let got = |values: Vec<Value>| WrongReply::described(expected(), values.len());
    elements(reply, &expected())?.try_into().map_err(got)
}

impl<T: FromReply, const N: usize> FromReply for [T; N] {
    fn from_reply(reply: Value) -> Result<Self, WrongReply> {
        let got = |values: Vec<T>| WrongReply::described(format!("an array of {N} elements"), values.len());
        T::list_from_reply(reply)?.try_into().map_err(got)
    }
}

macro_rules! tuples {
    ($len:literal: $($field:ident)*) => {
        impl<$($field: FromReply),*> FromReply for ($($field,)*) {
            #[allow(non_snake_case, reason = "a field is named after its type")]
            fn from_reply(reply: Value) -> Result<Self, WrongReply> {
                let [$($field),*] = exactly::<$len>(reply)?;
                Ok(($($field::from_reply($field)?,)*))
            }
        }
    };
}

tuples!(1: A);
tuples!(2: A B);
tuples!(3: A B C);
tuples!(4: A B C D);
tuples!(5: A B C D E);
tuples!(6: A B C D E F);

#[cfg(test)]
mod tests {
    use super::*;

    fn from<T: FromReply>(reply: &[u8]) -> Result<T, String> {
        let (value, _) = Value::parse(reply).expect("valid").expect("complete");
        T::from_reply(value).map_err(|error| error.to_string())
    }

    #[test]
    fn a_type_has_the_same_value_in_both_protocols() {
        assert_eq!((from(b"#t\r\n"), from(b":1\r\n")), (Ok(true), Ok(true)));
        assert_eq!((from(b",0.5\r\n"), from(b"$3\r\n0.5\r\n")), (Ok(0.5), Ok(0.5)));
        assert_eq!((from(b",inf\r\n"), from(b"$4\r\n-inf\r\n")), (Ok(f64::INFINITY), Ok(f64::NEG_INFINITY)));
        let max = u64::MAX;
        assert_eq!(from(format!("({max}\r\n").as_bytes()), Ok(max));
        assert_eq!(from(format!("$20\r\n{max}\r\n").as_bytes()), Ok(max));
        let map = HashMap::from([("a".to_owned(), 1)]);
        assert_eq!(
            (from(b"%1\r\n$1\r\na\r\n:1\r\n"), from(b"*2\r\n+a\r\n:1\r\n")),
            (Ok(map.clone()), Ok(map))
        );
        assert_eq!((from(b"~1\r\n:1\r\n"), from(b"*1\r\n:1\r\n")), (Ok(vec![1]), Ok(vec![1])));
        assert_eq!((from(b"_\r\n"), from(b"*-1\r\n")), (Ok(None::<Vec<i64>>), Ok(None::<Vec<i64>>)));
        assert_eq!(from(b"$2\r\nab\r\n"), Ok((*b"ab").to_vec()));
        assert_eq!(from(b"$2\r\nab\r\n"), Ok(*b"ab"));
        assert_eq!((from(b":7\r\n"), from(b"$2\r\n\xc3\xa4\r\n")), (Ok(7u8), Ok('ä')));
        assert_eq!(from(b"+a\r\n"), Ok(Box::new(Cow::Borrowed("a"))));
        assert_eq!(from(b"*2\r\n:1\r\n-ERR a\r\n"), Ok((1, Err::<(), _>(Error::err("a")))));
    }

    #[test]
    fn a_reply_of_another_type_is_an_error() {
        assert_eq!(from::<()>(b":1\r\n").expect_err("an error"), "expected OK, got an integer");
        assert_eq!(
            from::<i64>(b"$1\r\na\r\n").expect_err("an error"),
            "expected an integer of type i64, got a string"
        );
        assert_eq!(from::<u16>(b":-1\r\n").expect_err("an error"), "expected an integer of type u16, got -1");
        assert_eq!(from::<bool>(b":2\r\n").expect_err("an error"), "expected a boolean, got an integer");
        assert_eq!(
            from::<String>(b"$1\r\n\xff\r\n").expect_err("an error"),
            "expected UTF-8, got other bytes"
        );
        assert_eq!(from::<Bytes>(b"_\r\n").expect_err("an error"), "expected a string, got null");
        assert_eq!(from::<f64>(b"*0\r\n").expect_err("an error"), "expected a double, got an array");
        assert_eq!(
            from::<Vec<i64>>(b"*1\r\n-NO a\r\n").expect_err("an error"),
            "expected an integer of type i64, got the error NO a"
        );
        assert_eq!(
            from::<BTreeMap<String, i64>>(b"*1\r\n:1\r\n").expect_err("an error"),
            "expected a map, got an array"
        );
        assert_eq!(
            from::<(i64, i64)>(b"*1\r\n:1\r\n").expect_err("an error"),
            "expected an array of 2 elements, got 1"
        );
        assert_eq!(
            from::<[i64; 2]>(b"*3\r\n:1\r\n:1\r\n:1\r\n").expect_err("an error"),
            "expected an array of 2 elements, got 3"
        );
    }
}
