//! Errors as operators read them.

use std::{error::Error as _, iter};

use crate::Error;

/// Returns the text of an error for the log: of an [internal](Error::internal) one, the texts of its sources.
pub(crate) fn reason(error: &Error) -> String {
    let sources: Vec<_> =
        iter::successors(error.source(), |error| (*error).source()).map(ToString::to_string).collect();
    if sources.is_empty() { error.to_string() } else { sources.join(": ") }
}
