//! The unread arguments of a request.

use std::fmt::Display;

use bytes::Bytes;

use super::names::name_at;
use crate::{
    Client, Error,
    command::Request,
    resp::{parse_float, parse_integer},
};

/// The unread arguments of a request, as a cursor from front to back.
///
/// The iterator yields the bytes of each argument. Each `take_` method reads one argument.
#[derive(Clone, Debug)]
pub struct Arguments<'a> {
    request: &'a Request<'a>,
    next: usize,
}

impl<'a> Arguments<'a> {
    pub(crate) fn new(request: &'a Request<'a>, next: usize) -> Self {
        Arguments { request, next }
    }

    /// Returns the client that sent the request.
    pub(crate) fn client(&self) -> &'a Client {
        self.request.client()
    }

    /// Returns the next argument without reading it.
    pub fn peek(&self) -> Option<&'a [u8]> {
        self.request.get(self.next)
    }

    /// Returns the number of unread arguments.
    pub fn len(&self) -> usize {
        self.request.len().saturating_sub(self.next)
    }

    /// Returns whether all arguments have been read.
    pub fn is_empty(&self) -> bool {
        self.next >= self.request.len()
    }

    /// Reads one argument as bytes.
    ///
    /// # Errors
    /// `ERR wrong number of arguments for '…' command` if no argument is left.
    pub fn take(&mut self) -> Result<&'a [u8], Error> {
        self.next().ok_or_else(|| self.request.wrong_arity())
    }

    /// Reads one argument as owned bytes.
    ///
    /// It copies a small argument, so that the argument does not keep the whole request in memory. It returns
    /// a large argument (from 16 KiB) without a copy.
    ///
    /// # Errors
    /// `ERR wrong number of arguments for '…' command` if no argument is left.
    #[inline]
    pub fn take_bytes(&mut self) -> Result<Bytes, Error> {
        let bytes = self.request.bytes(self.next).ok_or_else(|| self.request.wrong_arity())?;
        self.next += 1;
        Ok(bytes)
    }

    /// Reads one argument as UTF-8 text.
    ///
    /// # Errors
    /// [`Error::NOT_UTF8`], or the error of [`take`](Self::take).
    pub fn take_str(&mut self) -> Result<&'a str, Error> {
        std::str::from_utf8(self.take()?).map_err(|_| Error::NOT_UTF8)
    }

    /// Reads one argument as an integer that fits in `N`.
    ///
    /// # Errors
    /// [`Error::NOT_AN_INTEGER`], or the error of [`take`](Self::take).
    pub fn take_integer<N: TryFrom<i128>>(&mut self) -> Result<N, Error> {
        parse_integer(self.take()?).ok_or(Error::NOT_AN_INTEGER)
    }

    /// Reads one argument as a floating point number.
    ///
    /// # Errors
    /// [`Error::NOT_A_FLOAT`], or the error of [`take`](Self::take).
    pub fn take_float(&mut self) -> Result<f64, Error> {
        parse_float(self.take()?).ok_or(Error::NOT_A_FLOAT)
    }

    /// Returns the error `ERR invalid NAME: TEXT` for the argument that was read last.
    ///
    /// The name is that of the parameter, or of the option.
    #[cold]
    pub fn invalid(&self, text: impl Display) -> Error {
        let position = self.next.saturating_sub(1);
        let name = self.request.spec.and_then(|spec| {
            name_at(spec.args, spec.words(), position, |position| self.request.get(position))
        });
        Error::err(format_args!("invalid {}: {text}", name.unwrap_or("argument")))
    }

    /// Reads the next argument if it is `token`, in upper or lower case.
    pub fn accept(&mut self, token: &str) -> bool {
        let accepted = self.peek().is_some_and(|argument| argument.eq_ignore_ascii_case(token.as_bytes()));
        self.next += usize::from(accepted);
        accepted
    }

    /// Returns whether the next argument is one of `tokens`, in upper or lower case.
    pub fn is_any_of(&self, tokens: &[&str]) -> bool {
        self.peek().is_some_and(|next| tokens.iter().any(|token| next.eq_ignore_ascii_case(token.as_bytes())))
    }

    /// Checks that all arguments have been read.
    ///
    /// # Errors
    /// [`Error::SYNTAX`] if unread arguments are left.
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
