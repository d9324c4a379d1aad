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

    /// Reads the value; see [`value`].
    ///
    /// # Errors
    /// [`Error::SYNTAX`] if it is there already, or what `from_arg` says.
    pub fn read<'a>(
        &mut self,
        args: &mut Arguments<'a>,
        arg: &ArgSpec,
        from_arg: impl FnOnce(&mut Arguments<'a>) -> Result<T, Error>,
    ) -> Result<(), Error> {
        if self.is_set() {
            return Err(Error::SYNTAX);
        }
        value(args, arg, from_arg).map(|value| self.0 = Some(value))
    }

    /// Sets the value.
    ///
    /// # Errors
    /// [`Error::SYNTAX`] if it is there already.
    pub fn set(&mut self, value: T) -> Result<(), Error> {
        match self.0.replace(value) {
            None => Ok(()),
            Some(_) => Err(Error::SYNTAX),
        }
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

/// Reads a value behind a token. Redis calls a token without its value a syntax error, where a
/// parameter that is missing is a wrong number of arguments.
///
/// # Errors
/// [`Error::SYNTAX`] if too few arguments are left, or what `from_arg` says.
pub fn value<'a, T>(
    args: &mut Arguments<'a>,
    arg: &ArgSpec,
    from_arg: impl FnOnce(&mut Arguments<'a>) -> Result<T, Error>,
) -> Result<T, Error> {
    if args.len() < arg.min_len() { Err(Error::SYNTAX) } else { from_arg(args) }
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
