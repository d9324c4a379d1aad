//! The reason why a query failed.

use std::fmt;

/// The error text of a failed query, in one line.
pub(crate) type Failure = String;

/// Converts an error to one line of text.
pub(crate) fn one_line(error: impl fmt::Display) -> Failure {
    error.to_string().replace(['\r', '\n'], " ")
}
