//! Reads the parameters of a command from the arguments of a request.

mod cursor;
pub(crate) mod derived;
mod impls;
mod key;
mod key_pattern;
mod names;
mod once;
mod spec;
mod usage;

pub use cursor::Arguments;
pub use key::Key;
pub use key_pattern::KeyPattern;
pub use once::{Once, are_distinct, expect_value, has_no_token, read_options, share_no_token};
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
/// | `char` | one character |
/// | `i8` … `i64`, `u8` … `u64`, `isize`, `usize` | an integer, as strict as Redis: no `+`, no leading zeros, no spaces |
/// | `f32`, `f64` | a floating point number or `inf` |
/// | [`Key<T>`] | a `T` that names a key |
/// | [`KeyPattern`] | a glob pattern of keys |
/// | `Option<T>` | a `T`, if an argument is left |
/// | [`Milliseconds`](crate::Milliseconds), [`Seconds`](crate::Seconds) | a duration |
/// | [`UnixTime`](crate::UnixTime), [`UnixTimeMs`](crate::UnixTimeMs) | a point in time |
/// | [`Parsed<T>`](crate::Parsed), `Json<T>` | a `T` in its text form, or in JSON |
/// | `Vec<T>` | all remaining arguments, at least one `T`; an `Option<Vec<T>>` may be empty |
/// | `(A, B)`, `(A, B, C)` | an `A`, then a `B` |
/// | a type with [`#[derive(FromArg)]`](derive@crate::FromArg) | a checked or converted value, or one of several words |
/// | a type with [`#[derive(Args)]`](derive@crate::Args) | options in any order |
///
/// If [`from_arg`](Self::from_arg) returns an error, the client gets that error and the method does not run.
///
/// # Your own types
/// [`#[derive(FromArg)]`](derive@crate::FromArg) implements the trait for most types. By hand:
///
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
            or a type with `#[derive(FromArg)]` or `#[derive(Args)]`",
    note = "`&Client`, `Client`, `&Request`, `&mut Context<Self>` and `Responder<T>` are not arguments; write them exactly so",
    note = "or take `Parsed<T>` for a type with `FromStr`, or `Json<T>` (feature `json`) for a type with `serde::Deserialize`",
    note = "instead of a `Duration`, take `Milliseconds` or `Seconds`; instead of a `SystemTime`, `UnixTime` or `UnixTimeMs`"
)]
pub trait FromArg<'a>: Sized {
    /// The description, from which arity, key positions and `COMMAND DOCS` are computed.
    const ARG: ArgSpec;

    /// Reads the value from the next arguments.
    ///
    /// # Errors
    /// The error reply, if an argument is missing or malformed.
    fn from_arg(args: &mut Arguments<'a>) -> Result<Self, Error>;

    /// The description of a `Vec` of it. Only `u8` has another one, since a `Vec<u8>` is a string.
    #[doc(hidden)]
    const LIST: ArgSpec = Self::ARG.multiple();

    /// Reads a `Vec` of it.
    #[doc(hidden)]
    fn list_from_arg(args: &mut Arguments<'a>) -> Result<Vec<Self>, Error> {
        // The length is that of arguments in memory, not a length that a client declared.
        let mut rest = Vec::with_capacity(args.len());
        loop {
            let before = args.len();
            rest.push(Self::from_arg(args)?);
            if args.is_empty() {
                return Ok(rest);
            }
            // Options without a matching token read nothing: the loop would not end.
            if args.len() == before {
                return Err(Error::SYNTAX);
            }
        }
    }
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

/// The options of a struct, which another struct can include with `#[arg(flatten)]`.
///
/// A struct with `#[derive(Args)]` implements it. Do not implement it by hand.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no options to flatten",
    label = "`flatten` needs a struct with `#[derive(Args)]`",
    note = "for an enum, or a value after a token, remove `flatten`"
)]
pub trait Options<'a>: FromArg<'a> {
    /// The options that have been read.
    type Slots;

    /// Returns no options.
    fn none() -> Self::Slots;

    /// Reads one option, if it comes next. Returns `false` otherwise.
    ///
    /// # Errors
    /// The error reply for a repeated option or a malformed value.
    fn read(slots: &mut Self::Slots, args: &mut Arguments<'a>) -> Result<bool, Error>;

    /// Reads the positional arguments and returns the struct.
    ///
    /// # Errors
    /// The error reply for a missing option or a malformed argument.
    fn finish(slots: Self::Slots, args: &mut Arguments<'a>) -> Result<Self, Error>;
}
