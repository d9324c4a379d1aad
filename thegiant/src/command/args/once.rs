//! Helpers for the code that `#[derive(Args)]` generates.

use super::{ArgKind, ArgSpec, Arguments, Options};
use crate::Error;

/// The value of an option that a request may contain once.
#[derive(Debug)]
pub struct Once<T>(Option<T>);

impl<T> Once<T> {
    /// Returns an option without a value.
    #[expect(clippy::new_without_default, reason = "only generated code calls it")]
    pub const fn new() -> Self {
        Once(None)
    }

    /// Checks that the option has no value yet.
    ///
    /// # Errors
    /// [`Error::SYNTAX`] if the request contains the option twice.
    pub fn expect_vacant(&self) -> Result<(), Error> {
        if self.is_set() { Err(Error::SYNTAX) } else { Ok(()) }
    }

    /// Stores the value.
    pub fn fill(&mut self, value: T) {
        self.0 = Some(value);
    }

    /// Returns whether the request contains the option.
    pub fn is_set(&self) -> bool {
        self.0.is_some()
    }

    /// Returns the value of an optional option.
    pub fn optional(self) -> Option<T> {
        self.0
    }

    /// Returns the value of a required option.
    ///
    /// # Errors
    /// [`Error::SYNTAX`] if the request does not contain it.
    pub fn required(self) -> Result<T, Error> {
        self.0.ok_or(Error::SYNTAX)
    }
}

/// Checks that enough arguments are left for the value of a token.
///
/// As in Redis, a token without its value is a syntax error. A missing parameter is a wrong number of
/// arguments.
///
/// # Errors
/// [`Error::SYNTAX`] if the value needs more arguments than are left.
pub fn expect_value(args: &Arguments<'_>, arg: &ArgSpec) -> Result<(), Error> {
    if args.len() < arg.min_len() { Err(Error::SYNTAX) } else { Ok(()) }
}

/// Reads options until the next argument is none of them, then the positional arguments.
///
/// # Errors
/// The error reply for the first argument that is wrong.
#[inline(always)]
pub fn read_options<'a, O: Options<'a>>(args: &mut Arguments<'a>) -> Result<O, Error> {
    let mut slots = O::none();
    while !args.is_empty() && O::read(&mut slots, args)? {}
    O::finish(slots, args)
}

/// Returns whether none of the words is a token of these options.
pub const fn has_no_token(options: &[ArgSpec], words: &[&str]) -> bool {
    let mut at = 0;
    while at < options.len() {
        let is_free = match (options[at].token, options[at].kind) {
            (Some(token), _) => are_distinct(&[token], words),
            (None, ArgKind::OneOf | ArgKind::Options) => has_no_token(options[at].parts, words),
            (None, _) => true,
        };
        if !is_free {
            return false;
        }
        at += 1;
    }
    true
}

/// Returns whether no token is in both lists of options.
pub const fn share_no_token(some: &[ArgSpec], others: &[ArgSpec]) -> bool {
    let mut at = 0;
    while at < some.len() {
        let is_free = match (some[at].token, some[at].kind) {
            (Some(token), _) => has_no_token(others, &[token]),
            (None, ArgKind::OneOf | ArgKind::Options) => share_no_token(some[at].parts, others),
            (None, _) => true,
        };
        if !is_free {
            return false;
        }
        at += 1;
    }
    true
}

/// Returns whether no word is in both lists.
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

/// Compares bytes in a `const`, where `==` is not available.
const fn is_same(a: &[u8], b: &[u8]) -> bool {
    let mut same = a.len() == b.len();
    let mut at = 0;
    while same && at < a.len() {
        same = a[at] == b[at];
        at += 1;
    }
    same
}
