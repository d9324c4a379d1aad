//! The error reply.

use std::{borrow::Cow, fmt};

/// An error reply: a code in capitals, such as `ERR` or `WRONGTYPE`, and a text.
///
/// Clients branch on the code, people read the text. The constants carry the exact texts of
/// Redis 7. The codes `NOAUTH`, `LOADING`, `BUSY`, `READONLY`, `MASTERDOWN` and `OOM` make clients
/// retry or reconnect: use them for nothing else.
///
/// Any [`std::error::Error`] becomes one with the code `ERR`, so `?` works in a handler. (That is
/// why this type does not implement that trait itself.) To give your error type a code of its own,
/// let it not implement that trait either and write `impl From<YourError> for Error`, or map it:
/// `.map_err(|error| Error::new("MYCODE", error))`.
///
/// An error reply is one line: CR and LF in it become spaces, whoever wrote the text.
///
/// ```
/// use thegiant::Error;
///
/// let full = Error::new("QUEUEFULL", format_args!("{} jobs are waiting", 100));
/// assert_eq!(full.to_string(), "QUEUEFULL 100 jobs are waiting");
/// assert_eq!(full.code(), "QUEUEFULL");
///
/// fn read() -> Result<u8, Error> {
///     Ok("two\r\nlines".parse::<u8>()?)
/// }
/// assert_eq!(read().unwrap_err().to_string(), "ERR invalid digit found in string");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(Cow<'static, [u8]>);

impl Error {
    /// `ERR syntax error`
    pub const SYNTAX: Error = Error::from_static("ERR syntax error");
    /// `ERR value is not an integer or out of range`
    pub const NOT_AN_INTEGER: Error = Error::from_static("ERR value is not an integer or out of range");
    /// `ERR value is out of range, value must between -2147483648 and 2147483647`
    pub const OUT_OF_INT_RANGE: Error =
        Error::from_static("ERR value is out of range, value must between -2147483648 and 2147483647");
    /// `ERR value is not a valid float`
    pub const NOT_A_FLOAT: Error = Error::from_static("ERR value is not a valid float");
    /// `ERR value is not valid UTF-8`, which Redis itself never says: to it, all is bytes.
    pub const NOT_UTF8: Error = Error::from_static("ERR value is not valid UTF-8");
    /// `WRONGTYPE Operation against a key holding the wrong kind of value`
    pub const WRONG_TYPE: Error =
        Error::from_static("WRONGTYPE Operation against a key holding the wrong kind of value");
    /// `ERR no such key`
    pub const NO_SUCH_KEY: Error = Error::from_static("ERR no such key");
    /// `ERR increment or decrement would overflow`
    pub const OVERFLOW: Error = Error::from_static("ERR increment or decrement would overflow");
    /// `ERR DB index is out of range`
    pub const DB_OUT_OF_RANGE: Error = Error::from_static("ERR DB index is out of range");
    /// `NOAUTH Authentication required.`
    pub const NO_AUTH: Error = Error::from_static("NOAUTH Authentication required.");
    /// `CROSSSLOT Keys in request don't hash to the same slot`
    pub const CROSS_SLOT: Error = Error::from_static("CROSSSLOT Keys in request don't hash to the same slot");
    /// `EXECABORT Transaction discarded because of previous errors.`
    pub const EXEC_ABORT: Error =
        Error::from_static("EXECABORT Transaction discarded because of previous errors.");
    /// `ERR internal error`, which is answered for a handler that panicked.
    pub const INTERNAL: Error = Error::from_static("ERR internal error");

    /// An error whose whole line, code and text, is known beforehand.
    ///
    /// # Panics
    /// If the line holds CR or LF; in a `const`, that is a compile error.
    pub const fn from_static(line: &'static str) -> Self {
        let bytes = line.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            assert!(bytes[at] != b'\r' && bytes[at] != b'\n', "an error reply is one line");
            at += 1;
        }
        Error(Cow::Borrowed(bytes))
    }

    /// An error of your own code, in capitals, and a text.
    pub fn new(code: &str, text: impl fmt::Display) -> Self {
        Error::from_bytes(format!("{code} {text}").into_bytes())
    }

    /// An error with the code `ERR`.
    pub fn err(text: impl fmt::Display) -> Self {
        Error::new("ERR", text)
    }

    /// The code: the first word.
    pub fn code(&self) -> &str {
        let code = self.0.split(|byte| *byte == b' ').next().unwrap_or_default();
        std::str::from_utf8(code).unwrap_or_default()
    }

    /// The whole line, as the client gets it behind the `-`. Where it quotes the client, it may be
    /// no UTF-8.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The reply that it is.
    pub(crate) fn to_reply(&self) -> Vec<u8> {
        [b"-", self.as_bytes(), b"\r\n"].concat()
    }

    /// A whole line, code and text, that quotes bytes of a client, whatever they are.
    ///
    /// ```
    /// use thegiant::Error;
    ///
    /// let option = b"\xff";
    /// let error = Error::from_bytes([b"ERR Unsupported option ", &option[..]].concat());
    /// assert_eq!(error.as_bytes(), b"ERR Unsupported option \xff");
    /// ```
    pub fn from_bytes(mut line: Vec<u8>) -> Self {
        // As Redis does, those at the end are dropped.
        while line.pop_if(|last| matches!(last, b'\r' | b'\n')).is_some() {}
        for byte in &mut line {
            if matches!(byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
        Error(Cow::Owned(line))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        Error::err(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line() {
        let injected = Error::err("a\r\n+OK\r\nb");
        assert_eq!(injected.as_bytes(), b"ERR a  +OK  b");
        assert_eq!(Error::err("a\r\n").as_bytes(), b"ERR a");
        let code = Error::new("A\nB", "c");
        assert_eq!(code.as_bytes(), b"A B c");
        let foreign = Error::from(std::io::Error::other("disk\nfull"));
        assert_eq!(foreign.as_bytes(), b"ERR disk full");
    }
}
