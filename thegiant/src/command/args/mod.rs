//! Reading parameters from the arguments of a request.

mod cursor;
mod impls;
mod key;
mod once;
mod spec;
mod usage;

pub use cursor::Arguments;
pub use key::Key;
pub use once::{Once, are_distinct, expect_value};
pub use spec::{ArgKind, ArgSpec};
pub(crate) use spec::{max_len, min_len};
pub(crate) use usage::Usage;

use crate::Error;

/// A parameter of a `#[command]` method: how it is read from the arguments, and how it is described.
///
/// | type | reads |
/// | --- | --- |
/// | [`Bytes`](bytes::Bytes), `&[u8]`, `Vec<u8>` | one argument, any bytes; `Bytes` is the one to be stored |
/// | `&str`, `String` | one argument, UTF-8 |
/// | `i8` … `i64`, `u16` … `u64`, `isize`, `usize` | an integer, by Redis' strict rule |
/// | `f32`, `f64` | a floating point number or `inf` |
/// | [`Key<T>`] | a `T` that names a key |
/// | `Option<T>` | a `T`, if there are arguments left |
/// | `Vec<T>` | the rest, at least one `T`; as `Option<Vec<T>>`, or none |
/// | `(A, B)`, `(A, B, C)` | an `A`, then a `B` |
/// | a type with `#[derive(Args)]` | options in any order |
///
/// An argument that cannot be read is answered with the error that [`from_arg`](Self::from_arg)
/// returns, and the method is not called.
///
/// # A type of your own
/// ```
/// use thegiant::command::{ArgKind, ArgSpec, Arguments, FromArg};
/// use thegiant::Error;
///
/// /// A colour as `#rrggbb`.
/// struct Colour(u32);
///
/// impl<'a> FromArg<'a> for Colour {
///     const ARG: ArgSpec = ArgSpec::new(ArgKind::String);
///
///     fn from_arg(args: &mut Arguments<'a>) -> Result<Self, Error> {
///         let digits = args.take_str()?.strip_prefix('#').ok_or(Error::SYNTAX)?;
///         Ok(Colour(u32::from_str_radix(digits, 16)?))
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be read from the arguments of a command",
    label = "not a type that a command can take",
    note = "a parameter is `Bytes`, `&[u8]`, `&str`, `String`, an integer, a float, `Key<T>`, `Option<T>`, `Vec<T>`, \
            a tuple of these, or a type with `#[derive(Args)]`",
    note = "`&Client`, `Client`, `&Call`, `&mut Context<Self>` and `Responder<T>` are no arguments, and are written just so",
    note = "a type of your own implements `thegiant::command::FromArg`"
)]
pub trait FromArg<'a>: Sized {
    /// What is read: arity, key positions and `COMMAND DOCS` are computed from it.
    const ARG: ArgSpec;

    /// Reads the value from the front of `args`.
    ///
    /// # Errors
    /// The reply to a request whose argument is missing or malformed.
    fn from_arg(args: &mut Arguments<'a>) -> Result<Self, Error>;
}

/// An option group that is known by its first word, such as `NX | XX` or `EX seconds`: an enum with
/// `#[derive(Args)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not known by a token",
    label = "which token introduces it?",
    note = "write `#[arg(\"TOKEN\")]` above the field, or make the type an enum with `#[derive(Args)]`"
)]
pub trait Tokens<'a>: FromArg<'a> {
    /// The words it can begin with, in capitals.
    const TOKENS: &'static [&'static str];
}
