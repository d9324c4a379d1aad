//! What `#[derive(Args)]` reads with.

use super::{ArgSpec, Arguments};
use crate::Error;

/// What has been read for an option that may be given once.
#[derive(Debug)]
pub struct Once<T>(Option<T>);

impl<T> Once<T> {
    /// Nothing yet.
    #[expect(clippy::new_without_default, reason = "only generated code makes one")]
    pub const fn new() -> Self {
        Once(None)
    }

    /// # Errors
    /// [`Error::SYNTAX`] if it has been read already.
    pub fn expect_vacant(&self) -> Result<(), Error> {
        if self.is_set() { Err(Error::SYNTAX) } else { Ok(()) }
    }

    /// Puts in what has been read.
    pub fn fill(&mut self, value: T) {
        self.0 = Some(value);
    }

    /// Whether it is there.
    pub fn is_set(&self) -> bool {
        self.0.is_some()
    }

    /// The value of an option that can be left out.
    pub fn optional(self) -> Option<T> {
        self.0
    }

    /// The value of one that cannot.
    ///
    /// # Errors
    /// [`Error::SYNTAX`] if it was left out.
    pub fn required(self) -> Result<T, Error> {
        self.0.ok_or(Error::SYNTAX)
    }
}

/// Whether there is a value behind a token. Redis calls a token without its value a syntax error,
/// where a parameter that is missing is a wrong number of arguments.
///
/// # Errors
/// [`Error::SYNTAX`] if fewer arguments are left than the value takes.
pub fn expect_value(args: &Arguments<'_>, arg: &ArgSpec) -> Result<(), Error> {
    if args.len() < arg.min_len() { Err(Error::SYNTAX) } else { Ok(()) }
}

/// Whether no word is in both.
pub const fn are_distinct(some: &[&str], others: &[&str]) -> bool {
    let mut at = 0;
    while at < some.len() * others.len() {
        let (word, other) = (some[at / others.len()], others[at % others.len()]);
        if is_same(word.as_bytes(), other.as_bytes()) {
            return false;
        }
        at += 1;
    }
    true
}

/// `==`, which is not `const`.
const fn is_same(a: &[u8], b: &[u8]) -> bool {
    let mut same = a.len() == b.len();
    let mut at = 0;
    while same && at < a.len() {
        same = a[at] == b[at];
        at += 1;
    }
    same
}
