//! The parameter types of the toolkit.

use bytes::Bytes;

use super::{ArgKind, ArgSpec, Arguments, FromArg};
use crate::Error;

#[diagnostic::do_not_recommend]
impl<'a> FromArg<'a> for &'a [u8] {
    const ARG: ArgSpec = ArgSpec::new(ArgKind::String);

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self, Error> {
        args.take()
    }
}

#[diagnostic::do_not_recommend]
impl<'a> FromArg<'a> for Bytes {
    const ARG: ArgSpec = ArgSpec::new(ArgKind::String);

    #[inline]
    fn from_arg(args: &mut Arguments<'a>) -> Result<Self, Error> {
        args.take_bytes()
    }
}

#[diagnostic::do_not_recommend]
impl<'a> FromArg<'a> for &'a str {
    const ARG: ArgSpec = ArgSpec::new(ArgKind::String);

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self, Error> {
        args.take_str()
    }
}

#[diagnostic::do_not_recommend]
impl<'a> FromArg<'a> for String {
    const ARG: ArgSpec = ArgSpec::new(ArgKind::String);

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self, Error> {
        args.take_str().map(str::to_owned)
    }
}

/// Reads one argument that is one character.
#[diagnostic::do_not_recommend]
impl<'a> FromArg<'a> for char {
    const ARG: ArgSpec = ArgSpec::new(ArgKind::String);

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self, Error> {
        let mut chars = args.take_str()?.chars();
        match (chars.next(), chars.next()) {
            (Some(only), None) => Ok(only),
            _ => Err(args.invalid("it is not one character")),
        }
    }
}

/// A `Vec<u8>` is a string, as in a reply.
#[diagnostic::do_not_recommend]
impl<'a> FromArg<'a> for u8 {
    const ARG: ArgSpec = ArgSpec::new(ArgKind::Integer);
    const LIST: ArgSpec = ArgSpec::new(ArgKind::String);

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self, Error> {
        args.take_integer()
    }

    fn list_from_arg(args: &mut Arguments<'a>) -> Result<Vec<Self>, Error> {
        args.take().map(<[u8]>::to_vec)
    }
}

macro_rules! integers {
    ($($integer:ty)*) => {$(
        #[diagnostic::do_not_recommend]
        impl<'a> FromArg<'a> for $integer {
            const ARG: ArgSpec = ArgSpec::new(ArgKind::Integer);

            fn from_arg(args: &mut Arguments<'a>) -> Result<Self, Error> {
                args.take_integer()
            }
        }
    )*};
}

integers!(i8 i16 i32 i64 isize u16 u32 u64 usize);

#[diagnostic::do_not_recommend]
impl<'a> FromArg<'a> for f64 {
    const ARG: ArgSpec = ArgSpec::new(ArgKind::Double);

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self, Error> {
        args.take_float()
    }
}

#[diagnostic::do_not_recommend]
impl<'a> FromArg<'a> for f32 {
    const ARG: ArgSpec = ArgSpec::new(ArgKind::Double);

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self, Error> {
        let number = args.take_float()?;
        let rounded = number as f32;
        if rounded.is_infinite() && number.is_finite() { Err(Error::NOT_A_FLOAT) } else { Ok(rounded) }
    }
}

/// Reads an argument, or returns `None` if none is left.
impl<'a, T: FromArg<'a>> FromArg<'a> for Option<T> {
    const ARG: ArgSpec = T::ARG.optional();

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self, Error> {
        if args.is_empty() { Ok(None) } else { T::from_arg(args).map(Some) }
    }
}

/// Reads all remaining arguments, at least one. A `Vec<u8>` is a string.
impl<'a, T: FromArg<'a>> FromArg<'a> for Vec<T> {
    const ARG: ArgSpec = T::LIST;

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self, Error> {
        T::list_from_arg(args)
    }
}

/// Returns the name of the second part of a pair: `value` after a key, as in `MSET key value`.
const fn name_of_second(first: &ArgSpec) -> &'static str {
    if matches!(first.kind, ArgKind::Key) { "value" } else { "second" }
}

macro_rules! tuples {
    ($($T:ident = $name:expr),*) => {
        #[diagnostic::do_not_recommend]
        impl<'a, $($T: FromArg<'a>),*> FromArg<'a> for ($($T,)*) {
            const ARG: ArgSpec = ArgSpec::block(&[$($T::ARG.named_if_unnamed($name)),*]);

            fn from_arg(args: &mut Arguments<'a>) -> Result<Self, Error> {
                Ok(($($T::from_arg(args)?,)*))
            }
        }
    };
}

tuples!(A = "first", B = name_of_second(&A::ARG));
tuples!(A = "first", B = "second", C = "third");
tuples!(A = "first", B = "second", C = "third", D = "fourth");
