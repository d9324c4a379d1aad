//! The arguments of a request that have not been read yet.

use bytes::Bytes;

use crate::{
    Error,
    command::Call,
    resp::{parse_float, parse_integer},
};

/// The arguments of a request that have not been read yet, from the front.
///
/// As an iterator it yields them as they are. The `take_` methods read one each.
#[derive(Clone, Debug)]
pub struct Arguments<'a> {
    call: &'a Call<'a>,
    next: usize,
}

impl<'a> Arguments<'a> {
    pub(crate) fn new(call: &'a Call<'a>, next: usize) -> Self {
        Arguments { call, next }
    }

    /// The next argument, which stays.
    pub fn peek(&self) -> Option<&'a [u8]> {
        self.call.get(self.next)
    }

    /// How many are left.
    pub fn len(&self) -> usize {
        self.call.len().saturating_sub(self.next)
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.next >= self.call.len()
    }

    /// Takes an argument as it is.
    ///
    /// # Errors
    /// `ERR wrong number of arguments for '…' command` if none is left.
    pub fn take(&mut self) -> Result<&'a [u8], Error> {
        self.next().ok_or_else(|| self.call.wrong_arity())
    }

    /// Takes an argument to be stored. A small one is copied, so that it does not keep the request
    /// it came with in memory; a large one is handed over as it was received.
    ///
    /// # Errors
    /// `ERR wrong number of arguments for '…' command` if none is left.
    pub fn take_bytes(&mut self) -> Result<Bytes, Error> {
        let bytes = self.call.bytes(self.next).ok_or_else(|| self.call.wrong_arity())?;
        self.next += 1;
        Ok(bytes)
    }

    /// Takes an argument that is text.
    ///
    /// # Errors
    /// [`Error::NOT_UTF8`], or the wrong number of arguments.
    pub fn take_str(&mut self) -> Result<&'a str, Error> {
        std::str::from_utf8(self.take()?).map_err(|_| Error::NOT_UTF8)
    }

    /// Takes an argument that is an integer which fits in `N`.
    ///
    /// # Errors
    /// [`Error::NOT_AN_INTEGER`], or the wrong number of arguments.
    pub fn take_integer<N: TryFrom<i128>>(&mut self) -> Result<N, Error> {
        parse_integer(self.take()?).ok_or(Error::NOT_AN_INTEGER)
    }

    /// Takes an argument that is a floating point number.
    ///
    /// # Errors
    /// [`Error::NOT_A_FLOAT`], or the wrong number of arguments.
    pub fn take_float(&mut self) -> Result<f64, Error> {
        parse_float(self.take()?).ok_or(Error::NOT_A_FLOAT)
    }

    /// Takes the next argument if it is `token`, in any case.
    pub fn accept(&mut self, token: &str) -> bool {
        let accepted = self.peek().is_some_and(|argument| argument.eq_ignore_ascii_case(token.as_bytes()));
        self.next += usize::from(accepted);
        accepted
    }

    /// Whether the next argument is one of `tokens`, in any case.
    pub fn is_any_of(&self, tokens: &[&str]) -> bool {
        self.peek().is_some_and(|next| tokens.iter().any(|token| next.eq_ignore_ascii_case(token.as_bytes())))
    }

    /// # Errors
    /// [`Error::SYNTAX`] if something is left.
    pub fn finish(&self) -> Result<(), Error> {
        if self.is_empty() { Ok(()) } else { Err(Error::SYNTAX) }
    }
}

impl<'a> Iterator for Arguments<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let argument = self.peek()?;
        self.next += 1;
        Some(argument)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len(), Some(self.len()))
    }
}
