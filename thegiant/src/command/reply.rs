//! Writes the return value of a method as a reply.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
};

use bytes::Bytes;

use super::ReplySpec;
use crate::{
    Error,
    resp::{Encoder, Value},
};

/// A return type that can be written as a reply.
///
/// | type | RESP3 | RESP2, if different |
/// | --- | --- | --- |
/// | `()` | `+OK` | |
/// | [`Simple`] | simple string | |
/// | `&str`, `String`, `char`, `&[u8]`, [`Bytes`], `Vec<u8>` | bulk string | |
/// | `i8` … `i64`, `u8` … `u32`, `isize`, `usize` | integer | |
/// | `u64`, `i128`, `u128` | integer; a big number outside the range of `i64` | bulk string |
/// | `f32`, `f64` | double | bulk string |
/// | `bool` | boolean | 1 or 0 |
/// | `Option<T>` | null, or `T` | the null bulk string |
/// | `Vec<T>`, `VecDeque<T>`, `[T]`, `[T; N]`, [`Array`], tuples | array | |
/// | `HashMap`, `BTreeMap` | map | array of keys and values |
/// | `HashSet`, `BTreeSet` | set | array |
/// | `Result<T, E>` | `T` or the error | |
/// | [`Error`] | error | |
/// | [`Milliseconds`](crate::Milliseconds), [`Seconds`](crate::Seconds), [`UnixTime`](crate::UnixTime), … | integer | |
/// | [`Parsed<T>`](crate::Parsed), `Json<T>` | bulk string | |
/// | [`Value`], [`Raw`] | the value that they contain | |
/// | a type with [`#[derive(Reply)]`](derive@crate::Reply) | map, array or word | |
///
/// A method may return a reference into its actor. References to numbers, strings, options, vectors, maps and
/// sets are written like the values themselves.
///
/// ```
/// use thegiant::{Reply, resp::Encoder};
///
/// /// A point on a map, as an array of two numbers.
/// struct Point { x: f64, y: f64 }
///
/// impl Reply for Point {
///     fn write_to(self, out: &mut Encoder) {
///         (self.x, self.y).write_to(out);
///     }
/// }
/// # let mut out = Encoder::default();
/// # Point { x: 1.0, y: 2.5 }.write_to(&mut out);
/// # assert_eq!(out.to_vec(), b"*2\r\n$1\r\n1\r\n$3\r\n2.5\r\n");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be written as a reply",
    label = "a command cannot return this type",
    note = "return `()` for OK, `Simple`, a string, `Bytes`, a `Key` of those, an integer, a float, `bool`, `Option`, `Vec`, `Array`, a map, a \
            set, a tuple, `Result<T, E>` if `E` is an `Error` or a `ReplyError`, `Value` or `Raw`",
    note = "or write `#[derive(Reply)]` above a type of yours",
    note = "instead of a `Duration`, return `Milliseconds` or `Seconds`; instead of a `SystemTime`, `UnixTime` or `UnixTimeMs`"
)]
pub trait Reply {
    /// The type of the reply, for `COMMAND DOCS`, command pages and clients that are generated.
    const REPLY: ReplySpec = ReplySpec::Any;

    /// Writes exactly one reply.
    fn write_to(self, out: &mut Encoder);

    /// Whether a `Vec` of it is an array. Only `u8` says no, since a `Vec<u8>` is a string.
    #[doc(hidden)]
    const LIST_IS_ARRAY: bool = true;

    /// Writes a `Vec` of it.
    #[doc(hidden)]
    fn write_list(items: Vec<Self>, out: &mut Encoder)
    where
        Self: Sized,
    {
        write_elements(items, Encoder::array, out);
    }

    /// Writes an array of it.
    #[doc(hidden)]
    fn write_array<const N: usize>(items: [Self; N], out: &mut Encoder)
    where
        Self: Sized,
    {
        write_elements(items, Encoder::array, out);
    }
}

/// A type that can be [pushed](crate::Client::push) to a client.
///
/// A push is an array: a tuple, a `Vec`, an array, a slice or an [`Array`]. Implement it for your own type if
/// its reply is an array and never null. By convention, the first element names the kind of push.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be pushed",
    label = "a push is an array",
    note = "push a tuple, such as `(\"news\", text)`, a `Vec`, an array or an `Array`"
)]
///
/// A `Vec<u8>` is a string, so it cannot be pushed:
///
/// ```compile_fail
/// fn push(client: &thegiant::Client) {
///     client.push(b"news".to_vec());
/// }
/// # push as fn(&thegiant::Client);
/// ```
pub trait Push: Reply {
    /// Whether the reply is an array.
    #[doc(hidden)]
    const IS_ARRAY: bool = true;
}

impl<T: Reply> Push for Vec<T> {
    const IS_ARRAY: bool = T::LIST_IS_ARRAY;
}
impl<T: Reply, const N: usize> Push for [T; N] {
    const IS_ARRAY: bool = T::LIST_IS_ARRAY;
}

impl<'a, T> Push for &'a [T] where &'a T: Reply {}
impl<I> Push for Array<I> where Array<I>: Reply {}

/// A simple string: one short line of text, such as `PONG`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Simple<T = &'static str>(pub T);

/// An encoded reply: exactly one RESP value. The server does not check it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw(pub Bytes);

/// An array whose elements come from an iterator, without an intermediate `Vec`.
///
/// ```
/// use thegiant::{Array, Reply, resp::Encoder};
///
/// let mut out = Encoder::default();
/// Array((1..4).map(|n| n * n)).write_to(&mut out);
/// assert_eq!(out.to_vec(), b"*3\r\n:1\r\n:4\r\n:9\r\n");
/// ```
#[derive(Clone, Debug)]
pub struct Array<I>(pub I);

#[diagnostic::do_not_recommend]
impl Reply for () {
    const REPLY: ReplySpec = ReplySpec::Ok;

    #[inline]
    fn write_to(self, out: &mut Encoder) {
        out.raw(b"+OK\r\n");
    }
}

#[diagnostic::do_not_recommend]
impl<T: AsRef<str>> Reply for Simple<T> {
    const REPLY: ReplySpec = ReplySpec::String;

    fn write_to(self, out: &mut Encoder) {
        out.simple(self.0.as_ref());
    }
}

#[diagnostic::do_not_recommend]
impl Reply for Raw {
    fn write_to(self, out: &mut Encoder) {
        out.raw_bytes(&self.0);
    }
}

#[diagnostic::do_not_recommend]
impl Reply for Error {
    fn write_to(self, out: &mut Encoder) {
        out.error(&self);
    }
}

#[diagnostic::do_not_recommend]
impl Reply for Value {
    fn write_to(self, out: &mut Encoder) {
        self.encode(out);
    }
}

#[diagnostic::do_not_recommend]
impl Reply for &Value {
    fn write_to(self, out: &mut Encoder) {
        self.encode(out);
    }
}

/// Writes a reference to a small value like the value itself.
macro_rules! by_reference {
    ($($value:ty)*) => {$(
        #[diagnostic::do_not_recommend]
        impl Reply for &$value {
            const REPLY: ReplySpec = <$value>::REPLY;

            fn write_to(self, out: &mut Encoder) {
                (*self).write_to(out);
            }
        }
    )*};
}

#[diagnostic::do_not_recommend]
impl<'a, T: ?Sized> Reply for &&'a T
where
    &'a T: Reply,
{
    const REPLY: ReplySpec = <&'a T>::REPLY;

    fn write_to(self, out: &mut Encoder) {
        (*self).write_to(out);
    }
}

by_reference!(bool char f32 f64 i8 i16 i32 i64 isize i128 u16 u32 u64 usize u128);

#[diagnostic::do_not_recommend]
impl Reply for bool {
    const REPLY: ReplySpec = ReplySpec::Boolean;

    fn write_to(self, out: &mut Encoder) {
        out.boolean(self);
    }
}

#[diagnostic::do_not_recommend]
impl Reply for f64 {
    const REPLY: ReplySpec = ReplySpec::Double;

    fn write_to(self, out: &mut Encoder) {
        out.double(self);
    }
}

#[diagnostic::do_not_recommend]
impl Reply for f32 {
    const REPLY: ReplySpec = ReplySpec::Double;

    fn write_to(self, out: &mut Encoder) {
        // The detour through text keeps 0.1 at 0.1.
        out.double(self.to_string().parse().unwrap_or(f64::from(self)));
    }
}

macro_rules! integers {
    ($($integer:ty)*) => {$(
        #[diagnostic::do_not_recommend]
        impl Reply for $integer {
            const REPLY: ReplySpec = ReplySpec::Integer;

            fn write_to(self, out: &mut Encoder) {
                out.integer(i64::from(self));
            }
        }
    )*};
}

/// A `Vec<u8>` and a `[u8; N]` are strings.
#[diagnostic::do_not_recommend]
impl Reply for u8 {
    const REPLY: ReplySpec = ReplySpec::Integer;

    const LIST_IS_ARRAY: bool = false;

    fn write_to(self, out: &mut Encoder) {
        out.integer(self.into());
    }

    fn write_list(items: Vec<Self>, out: &mut Encoder) {
        out.bulk(&items);
    }

    fn write_array<const N: usize>(items: [Self; N], out: &mut Encoder) {
        out.bulk(&items);
    }
}

// `&u8` is missing because a `&[u8]` is a string.
integers!(i8 i16 i32 i64 u16 u32);

macro_rules! wide_integers {
    ($($integer:ty)*) => {$(
        /// Writes a number outside the range of `i64` as a big number.
        #[diagnostic::do_not_recommend]
        impl Reply for $integer {
            const REPLY: ReplySpec = ReplySpec::Integer;

            fn write_to(self, out: &mut Encoder) {
                match i64::try_from(self) {
                    Ok(number) => out.integer(number),
                    Err(_) => out.big_number(&self.to_string()),
                }
            }
        }
    )*};
}

wide_integers!(isize u64 usize i128 u128);

macro_rules! strings {
    ($($string:ty),*) => {$(
        #[diagnostic::do_not_recommend]
        impl Reply for $string {
            const REPLY: ReplySpec = ReplySpec::String;

            fn write_to(self, out: &mut Encoder) {
                out.bulk(self.as_ref());
            }
        }
    )*};
}

strings!(&str, String, &String, &[u8], &Vec<u8>);

#[diagnostic::do_not_recommend]
impl Reply for char {
    const REPLY: ReplySpec = ReplySpec::String;

    fn write_to(self, out: &mut Encoder) {
        out.bulk(self.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

#[diagnostic::do_not_recommend]
impl Reply for Cow<'_, str> {
    const REPLY: ReplySpec = ReplySpec::String;

    fn write_to(self, out: &mut Encoder) {
        out.bulk(self.as_bytes());
    }
}

#[diagnostic::do_not_recommend]
impl Reply for Bytes {
    const REPLY: ReplySpec = ReplySpec::String;

    #[inline]
    fn write_to(self, out: &mut Encoder) {
        out.bulk_bytes(&self);
    }
}

#[diagnostic::do_not_recommend]
impl Reply for &Bytes {
    const REPLY: ReplySpec = ReplySpec::String;

    #[inline]
    fn write_to(self, out: &mut Encoder) {
        out.bulk_bytes(self);
    }
}

impl<T: Reply> Reply for Option<T> {
    const REPLY: ReplySpec = ReplySpec::Nullable(&T::REPLY);

    #[inline(always)]
    fn write_to(self, out: &mut Encoder) {
        match self {
            Some(value) => value.write_to(out),
            None => out.null(),
        }
    }
}

#[diagnostic::do_not_recommend]
impl<'a, T> Reply for &'a Option<T>
where
    &'a T: Reply,
{
    const REPLY: ReplySpec = ReplySpec::Nullable(&<&'a T>::REPLY);

    fn write_to(self, out: &mut Encoder) {
        self.as_ref().write_to(out);
    }
}

impl<T: Reply> Reply for Box<T> {
    const REPLY: ReplySpec = T::REPLY;

    fn write_to(self, out: &mut Encoder) {
        (*self).write_to(out);
    }
}

/// The bound of `#[derive(ReplyError)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not implement `std::error::Error`",
    label = "`#[derive(ReplyError)]` needs `impl std::error::Error for {Self}`",
    note = "write it by hand, with `Debug` and `Display`, or `#[derive(Debug, thiserror::Error)]`; the client gets the text of \
            `Display`"
)]
pub trait IsError {}

#[diagnostic::do_not_recommend]
impl<E: std::error::Error> IsError for E {}

/// The error of a command: [`Error`], or a type with [`ReplyError`](crate::ReplyError).
///
/// Each type that converts to an [`Error`] implements it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an error that a command can reply with",
    label = "clients may not read the text of this error",
    note = "return `thegiant::Error`, or an error type with `#[derive(ReplyError)]`",
    note = "`.map_err(Error::internal)` logs an error of another crate, and clients get `ERR internal error`",
    note = "`.map_err(Error::err)` sends the text of an error to clients"
)]
pub trait IntoError: Into<Error> {}

#[diagnostic::do_not_recommend]
impl<E: Into<Error>> IntoError for E {}

impl<T: Reply, E: IntoError> Reply for Result<T, E> {
    const REPLY: ReplySpec = T::REPLY;

    #[inline(always)]
    fn write_to(self, out: &mut Encoder) {
        match self {
            Ok(value) => value.write_to(out),
            Err(error) => out.error(&error.into()),
        }
    }
}

impl<I: IntoIterator> Reply for Array<I>
where
    I::IntoIter: ExactSizeIterator,
    I::Item: Reply,
{
    const REPLY: ReplySpec = ReplySpec::Array(&I::Item::REPLY);

    fn write_to(self, out: &mut Encoder) {
        write_elements(self.0, Encoder::array, out);
    }
}

/// Writes a header, then each item.
///
/// If the iterator does not yield as many items as its length promises, the client could not tell where the
/// reply ends. The reply is then an internal error.
fn write_elements<I>(items: I, header: fn(&mut Encoder, usize), out: &mut Encoder)
where
    I: IntoIterator,
    I::IntoIter: ExactSizeIterator,
    I::Item: Reply,
{
    let start = out.position();
    let items = items.into_iter();
    let announced = items.len();
    header(out, announced);
    let mut written = 0;
    for item in items {
        item.write_to(out);
        written += 1;
    }
    if written != announced {
        tracing::error!(announced, written, "an iterator did not yield as many items as its length");
        out.rewind(start);
        out.error(&Error::INTERNAL);
    }
}

fn write_pairs<K: Reply, V: Reply>(pairs: impl ExactSizeIterator<Item = (K, V)>, out: &mut Encoder) {
    out.map(pairs.len());
    for (key, value) in pairs {
        key.write_to(out);
        value.write_to(out);
    }
}

/// Returns the type of a list of `T`.
const fn list_of<T: Reply>() -> ReplySpec {
    if T::LIST_IS_ARRAY { ReplySpec::Array(&T::REPLY) } else { ReplySpec::String }
}

impl<T: Reply> Reply for Vec<T> {
    const REPLY: ReplySpec = list_of::<T>();

    #[inline]
    fn write_to(self, out: &mut Encoder) {
        T::write_list(self, out);
    }
}

#[diagnostic::do_not_recommend]
impl<'a, T> Reply for &'a Vec<T>
where
    &'a T: Reply,
{
    const REPLY: ReplySpec = ReplySpec::Array(&<&'a T>::REPLY);

    fn write_to(self, out: &mut Encoder) {
        write_elements(self, Encoder::array, out);
    }
}

impl<T: Reply, const N: usize> Reply for [T; N] {
    const REPLY: ReplySpec = list_of::<T>();

    fn write_to(self, out: &mut Encoder) {
        T::write_array(self, out);
    }
}

#[diagnostic::do_not_recommend]
impl<'a, T> Reply for &'a [T]
where
    &'a T: Reply,
{
    const REPLY: ReplySpec = ReplySpec::Array(&<&'a T>::REPLY);

    fn write_to(self, out: &mut Encoder) {
        write_elements(self, Encoder::array, out);
    }
}

/// Implements [`Reply`] for collections of elements, and for references to them.
macro_rules! elements {
    ($($collection:ident<T $(, $hasher:ident)?>: $reply:ident, $header:path;)*) => {$(
        impl<T: Reply $(, $hasher)?> Reply for $collection<T $(, $hasher)?> {
            const REPLY: ReplySpec = ReplySpec::$reply(&T::REPLY);

            fn write_to(self, out: &mut Encoder) {
                write_elements(self, $header, out);
            }
        }

        #[diagnostic::do_not_recommend]
        impl<'a, T $(, $hasher)?> Reply for &'a $collection<T $(, $hasher)?>
        where
            &'a T: Reply,
        {
            const REPLY: ReplySpec = ReplySpec::$reply(&<&'a T>::REPLY);

            fn write_to(self, out: &mut Encoder) {
                write_elements(self, $header, out);
            }
        }
    )*};
}

elements! {
    VecDeque<T>: Array, Encoder::array;
    HashSet<T, S>: Set, Encoder::set;
    BTreeSet<T>: Set, Encoder::set;
}

/// Implements [`Reply`] for maps, and for references to them.
macro_rules! maps {
    ($($map:ident<K, V $(, $hasher:ident)?>;)*) => {$(
        impl<K: Reply, V: Reply $(, $hasher)?> Reply for $map<K, V $(, $hasher)?> {
            const REPLY: ReplySpec = ReplySpec::Map(&K::REPLY, &V::REPLY);

            fn write_to(self, out: &mut Encoder) {
                write_pairs(self.into_iter(), out);
            }
        }

        #[diagnostic::do_not_recommend]
        impl<'a, K, V $(, $hasher)?> Reply for &'a $map<K, V $(, $hasher)?>
        where
            &'a K: Reply,
            &'a V: Reply,
        {
            const REPLY: ReplySpec = ReplySpec::Map(&<&'a K>::REPLY, &<&'a V>::REPLY);

            fn write_to(self, out: &mut Encoder) {
                write_pairs(self.iter(), out);
            }
        }
    )*};
}

maps! {
    HashMap<K, V, S>;
    BTreeMap<K, V>;
}

/// Implements [`Reply`] and [`Push`] for tuples.
macro_rules! tuples {
    ($len:literal: $($field:ident),*) => {
        impl<$($field: Reply),*> Reply for ($($field,)*) {
            const REPLY: ReplySpec = ReplySpec::Tuple(&[$($field::REPLY),*]);

            #[allow(non_snake_case, reason = "a field is named after its type")]
            fn write_to(self, out: &mut Encoder) {
                let ($($field,)*) = self;
                out.array($len);
                $($field.write_to(out);)*
            }
        }

        impl<$($field: Reply),*> Push for ($($field,)*) {}
    };
}

tuples!(1: A);
tuples!(2: A, B);
tuples!(3: A, B, C);
tuples!(4: A, B, C, D);
tuples!(5: A, B, C, D, E);
tuples!(6: A, B, C, D, E, F);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::Protocol;

    fn both(reply: impl Reply + Clone) -> [String; 2] {
        [Protocol::Resp2, Protocol::Resp3].map(|protocol| {
            let mut out = Encoder::new(protocol);
            reply.clone().write_to(&mut out);
            String::from_utf8(out.to_vec()).expect("text")
        })
    }

    #[test]
    fn each_type_has_its_reply() {
        assert_eq!(both(()), ["+OK\r\n"; 2]);
        assert_eq!(both(Simple("PONG")), ["+PONG\r\n"; 2]);
        assert_eq!(both(b"ab".to_vec()), ["$2\r\nab\r\n"; 2]);
        assert_eq!(both(vec![1, 2]), ["*2\r\n:1\r\n:2\r\n"; 2]);
        assert_eq!(both(&vec![Some(1)]), ["*1\r\n:1\r\n"; 2]);
        assert_eq!(both(&BTreeMap::from([("a".to_owned(), 0.5)]))[1], "%1\r\n$1\r\na\r\n,0.5\r\n");
        assert_eq!(both(None::<i64>), ["$-1\r\n", "_\r\n"]);
        assert_eq!(both(0.1f32), ["$3\r\n0.1\r\n", ",0.1\r\n"]);
        assert_eq!(both(u64::MAX), ["$20\r\n18446744073709551615\r\n", "(18446744073709551615\r\n"]);
        assert_eq!(both(BTreeMap::from([("a", 1)])), ["*2\r\n$1\r\na\r\n:1\r\n", "%1\r\n$1\r\na\r\n:1\r\n"]);
        assert_eq!(both(BTreeSet::from([1])), ["*1\r\n:1\r\n", "~1\r\n:1\r\n"]);
        assert_eq!(both(("a", 1)), ["*2\r\n$1\r\na\r\n:1\r\n"; 2]);
        assert_eq!(both(Err::<(), _>(Error::SYNTAX)), ["-ERR syntax error\r\n"; 2]);
    }

    #[test]
    fn an_iterator_with_a_wrong_length_is_an_internal_error() {
        struct WrongLength(usize);
        impl Iterator for WrongLength {
            type Item = i64;
            fn next(&mut self) -> Option<i64> {
                self.0 = self.0.checked_sub(1)?;
                Some(1)
            }
        }
        impl ExactSizeIterator for WrongLength {
            fn len(&self) -> usize {
                3
            }
        }
        let mut out = Encoder::default();
        out.simple("before");
        Array(WrongLength(2)).write_to(&mut out);
        assert_eq!(out.to_vec(), b"+before\r\n-ERR internal error\r\n");
    }
}
