//! Converts replies into Rust types.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    fmt,
    hash::{BuildHasher, Hash},
};

use bytes::Bytes;

use super::{Error, Value};

/// A type that a reply can be converted into.
///
/// | type | replies |
/// | --- | --- |
/// | `()` | `OK`, or another simple string |
/// | `String` | a string, as UTF-8 |
/// | [`Bytes`], `Vec<u8>` | a string |
/// | `i8` … `i128`, `u16` … `u128`, `isize`, `usize` | an integer, a big number, or a string of digits |
/// | `f32`, `f64` | a double, an integer, or a string with a number |
/// | `bool` | a boolean, or the integers 0 and 1 |
/// | `Option<T>` | null, or a `T` |
/// | `Vec<T>`, `VecDeque<T>`, `HashSet<T>`, `BTreeSet<T>` | an array or a set |
/// | `HashMap<K, V>`, `BTreeMap<K, V>` | a map, or an array of keys and values |
/// | `[T; N]`, `(A, B)`, … | an array with this number of elements |
/// | `Result<T, Error>` | a `T`, or an error |
/// | [`Value`] | any reply |
///
/// So each type has the same value in RESP2, which has fewer types, and in RESP3.
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
    note = "implement `FromReply` for your own type",
    note = "or leave the command out of the client: `#[command(\"…\", no_client)]`"
)]
pub trait FromReply: Sized {
    /// Converts a reply.
    ///
    /// # Errors
    /// If the reply has another type, or a value that the type cannot represent.
    fn from_reply(reply: Value) -> Result<Self, WrongReply>;
}

/// The error for a reply of another type than the expected one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongReply {
    expected: String,
    got: String,
}

impl WrongReply {
    /// Creates an error for this reply. `expected` names a type, such as `an integer`.
    #[must_use]
    pub fn new(expected: impl Into<String>, reply: &Value) -> Self {
        let got = match reply {
            Value::Null => "null",
            Value::Simple(_) | Value::Bulk(_) | Value::Verbatim(..) => "a string",
            Value::Error(error) => {
                return WrongReply { expected: expected.into(), got: format!("the error {error}") };
            }
            Value::Integer(_) => "an integer",
            Value::Boolean(_) => "a boolean",
            Value::Double(_) => "a double",
            Value::BigNumber(_) => "a big number",
            Value::Array(_) => "an array",
            Value::Map(_) => "a map",
            Value::Set(_) => "a set",
        };
        WrongReply { expected: expected.into(), got: got.to_owned() }
    }
}

impl fmt::Display for WrongReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}, got {}", self.expected, self.got)
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
            Value::Bulk(bytes) => String::from_utf8(bytes.into())
                .map_err(|_| WrongReply { expected: "UTF-8".to_owned(), got: "other bytes".to_owned() }),
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

impl FromReply for Vec<u8> {
    fn from_reply(reply: Value) -> Result<Self, WrongReply> {
        Bytes::from_reply(reply).map(Vec::from)
    }
}

macro_rules! integers {
    ($($integer:ty)*) => {$(
        impl FromReply for $integer {
            fn from_reply(reply: Value) -> Result<Self, WrongReply> {
                let number = match &reply {
                    Value::Integer(number) => Self::try_from(*number).ok(),
                    Value::BigNumber(digits) => digits.parse().ok(),
                    text => text.as_str().and_then(|text| text.parse().ok()),
                };
                number.ok_or_else(|| out_of_range(concat!("an integer of type ", stringify!($integer)), &reply))
            }
        }
    )*};
}

// `u8` is missing because a `Vec<u8>` is a string.
integers!(i8 i16 i32 i64 isize i128 u16 u32 u64 usize u128);

fn out_of_range(expected: &str, reply: &Value) -> WrongReply {
    match reply {
        Value::Integer(number) => WrongReply { expected: expected.to_owned(), got: number.to_string() },
        other => WrongReply::new(expected, other),
    }
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
    Vec<T>, [], "an array";
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
    let got = |values: Vec<Value>| WrongReply { expected: expected(), got: values.len().to_string() };
    elements(reply, &expected())?.try_into().map_err(got)
}

impl<T: FromReply, const N: usize> FromReply for [T; N] {
    fn from_reply(reply: Value) -> Result<Self, WrongReply> {
        let values: Vec<T> = exactly::<N>(reply)?.into_iter().map(T::from_reply).collect::<Result<_, _>>()?;
        let len = values.len();
        values.try_into().map_err(|_| WrongReply { expected: format!("{N} elements"), got: len.to_string() })
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
