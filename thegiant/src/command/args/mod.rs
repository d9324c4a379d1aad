//! Reads the parameters of a command from the arguments of a request.

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

/// The type of a parameter of a `#[command]` method: how to read it, and its description.
///
/// | type | reads |
/// | --- | --- |
/// | [`Bytes`](bytes::Bytes), `&[u8]`, `Vec<u8>` | one argument, any bytes; use `Bytes` to store it |
/// | `&str`, `String` | one argument, UTF-8 |
/// | `i8` … `i64`, `u16` … `u64`, `isize`, `usize` | an integer, as strict as Redis: no `+`, no leading zeros, no spaces |
/// | `f32`, `f64` | a floating point number or `inf` |
/// | [`Key<T>`] | a `T` that names a key |
/// | `Option<T>` | a `T`, if an argument is left |
/// | `Vec<T>` | all remaining arguments, at least one `T`; an `Option<Vec<T>>` may be empty |
/// | `(A, B)`, `(A, B, C)` | an `A`, then a `B` |
/// | a type with `#[derive(Args)]` | options in any order |
///
/// If [`from_arg`](Self::from_arg) returns an error, the client gets that error and the method does not run.
///
/// # Your own types
/// ```
/// use thegiant::{Error, FromArg, command::{ArgKind, ArgSpec, Arguments}};
///
/// /// A colour, written `#rrggbb`.
/// struct Colour(u32);
///
/// impl<'a> FromArg<'a> for Colour {
///     const ARG: ArgSpec = ArgSpec::new(ArgKind::String);
///
///     fn from_arg(args: &mut Arguments<'a>) -> Result<Self, Error> {
///         let digits = args.take_str()?.strip_prefix('#').ok_or(Error::SYNTAX)?;
///         u32::from_str_radix(digits, 16).map(Colour).map_err(Error::err)
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be read from the arguments of a command",
    label = "a command cannot take this type",
    note = "take `Bytes`, `&[u8]`, `&str`, `String`, an integer, a float, `Key<T>`, `Option<T>`, `Vec<T>`, a tuple of these, \
            or a type with `#[derive(Args)]`",
    note = "`&Client`, `Client`, `&Request`, `&mut Context<Self>` and `Responder<T>` are not arguments; write them exactly so",
    note = "or implement `thegiant::FromArg` for your own type"
)]
pub trait FromArg<'a>: Sized {
    /// The description, from which arity, key positions and `COMMAND DOCS` are computed.
    const ARG: ArgSpec;

    /// Reads the value from the next arguments.
    ///
    /// # Errors
    /// The error reply, if an argument is missing or malformed.
    fn from_arg(args: &mut Arguments<'a>) -> Result<Self, Error>;
}

/// A group of options that begin with a token, such as `NX | XX` or `EX seconds`.
///
/// An enum with `#[derive(Args)]` implements it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no token",
    label = "this option needs a token",
    note = "write `#[arg(\"TOKEN\")]` above the field, or make the type an enum with `#[derive(Args)]`"
)]
pub trait Tokens<'a>: FromArg<'a> {
    /// The tokens, in capitals.
    const TOKENS: &'static [&'static str];
}
