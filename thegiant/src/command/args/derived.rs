//! Helpers for the code that `#[derive(FromArg)]` generates.

use std::{
    fmt::Display,
    ops::{Bound, RangeBounds},
};

use super::{Arguments, FromArg};
use crate::Error;

/// Reads a value, and replaces the error of a malformed one.
///
/// # Errors
/// `error`, or that of a missing argument.
pub fn read_or<'a, T: FromArg<'a>>(args: &mut Arguments<'a>, error: Error) -> Result<T, Error> {
    let is_missing = args.is_empty();
    T::from_arg(args).map_err(|own| if is_missing { own } else { error })
}

/// Checks that a value is in a range.
///
/// # Errors
/// The error of Redis, which names the ends of a range that has two.
pub fn check_range<T>(value: &T, range: &impl RangeOf<T>) -> Result<(), Error>
where
    T: PartialOrd + Display,
{
    if range.contains(value) { Ok(()) } else { Err(out_of_range(range)) }
}

/// A range of values of the type that is read.
#[diagnostic::on_unimplemented(
    message = "this is no range of `{T}`",
    label = "`#[arg(range = …)]` needs a range of the type that is read, such as `1..=100` for a number"
)]
pub trait RangeOf<T>: RangeBounds<T> {}

#[diagnostic::do_not_recommend]
impl<T, R: RangeBounds<T>> RangeOf<T> for R {}

#[cold]
fn out_of_range<T: Display>(range: &impl RangeBounds<T>) -> Error {
    match (range.start_bound(), range.end_bound()) {
        (Bound::Included(first), Bound::Included(last)) => {
            Error::err(format_args!("value is out of range, value must between {first} and {last}"))
        }
        (Bound::Included(first), Bound::Unbounded) if first.to_string() == "0" => Error::NOT_POSITIVE,
        _ => Error::OUT_OF_RANGE,
    }
}

/// Converts the error of a `TryFrom` to a reply.
///
/// Generated code calls `(&error).conversion().convert(error)`. For a method of both traits, rustc prefers
/// [`ReplyErrorOrError`], whose receiver needs one reference less.
#[derive(Debug)]
pub struct ByReplyError;

/// The counterpart of [`ByReplyError`] for an error whose text is the reply.
#[derive(Debug)]
pub struct ByText;

/// An [`Error`], or a [`ReplyError`](crate::ReplyError).
pub trait ReplyErrorOrError {
    /// Returns the way to convert the error.
    fn conversion(&self) -> ByReplyError;
}

impl<E: Into<Error>> ReplyErrorOrError for E {
    fn conversion(&self) -> ByReplyError {
        ByReplyError
    }
}

/// Any other error.
pub trait OtherError {
    /// Returns the way to convert the error.
    fn conversion(&self) -> ByText;
}

impl<E> OtherError for &E {
    fn conversion(&self) -> ByText {
        ByText
    }
}

impl ByReplyError {
    /// Converts the error, with its code.
    pub fn convert(self, error: impl Into<Error>) -> Error {
        error.into()
    }
}

impl ByText {
    /// Converts the error to its text, with the code `ERR`.
    pub fn convert(self, error: impl ArgumentError) -> Error {
        Error::err(error)
    }
}

/// An error of `TryFrom` whose text is the reply to a client.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no text for the client",
    label = "the error of this `TryFrom` becomes the reply",
    note = "implement `std::fmt::Display` or `thegiant::ReplyError` for it, or set a text: `#[arg(try_from = \"…\", error = \"…\")]`"
)]
pub trait ArgumentError: Display {}

#[diagnostic::do_not_recommend]
impl<E: Display> ArgumentError for E {}
