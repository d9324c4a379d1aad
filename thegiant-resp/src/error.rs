//! The error reply.

use std::{borrow::Cow, fmt};

/// An error reply: a code in capitals, such as `ERR` or `WRONGTYPE`, and a text.
///
/// Programs test the code, and people read the text. The constants have the exact texts of Redis 7. The codes `NOAUTH`,
/// `LOADING`, `BUSY`, `READONLY`, `MASTERDOWN` and `OOM` make clients retry or reconnect: use them only for that.
///
/// Each [`std::error::Error`] converts into an error reply with the code `ERR`, so that `?` works in a function that
/// returns an error reply. For that reason, this type does not implement the trait itself. To give your own error type a
/// code, do not implement the trait for it and write `impl From<YourError> for Error`. Or convert it with
/// `.map_err(|error| Error::new("MYCODE", error))`.
///
/// An error reply is one line. CR and LF in the text become spaces.
///
/// ```
/// use thegiant_resp::Error;
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
    /// `ERR value is not valid UTF-8`. Redis itself never sends it, because it accepts any bytes.
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
    /// `ERR internal error`, the reply to a command whose handler panicked.
    pub const INTERNAL: Error = Error::from_static("ERR internal error");

    /// Creates an error from its whole line: code, space and text.
    ///
    /// # Panics
    /// If the line contains CR or LF. In a `const`, that is a compile error.
    #[must_use]
    pub const fn from_static(line: &'static str) -> Self {
        let bytes = line.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            assert!(bytes[at] != b'\r' && bytes[at] != b'\n', "an error reply is one line: remove CR and LF");
            at += 1;
        }
        Error(Cow::Borrowed(bytes))
    }

    /// Creates an error from a code in capitals and a text.
    #[must_use]
    pub fn new(code: &str, text: impl fmt::Display) -> Self {
        Error::from_bytes(format!("{code} {text}").into_bytes())
    }

    /// Creates an error with the code `ERR`.
    #[must_use]
    pub fn err(text: impl fmt::Display) -> Self {
        Error::new("ERR", text)
    }

    /// Returns the code, which is the first word.
    #[must_use]
    pub fn code(&self) -> &str {
        let code = self.0.split(|byte| *byte == b' ').next().unwrap_or_default();
        std::str::from_utf8(code).unwrap_or_default()
    }

    /// Returns the whole line without `-` and CR LF.
    ///
    /// It can contain bytes that are not UTF-8, because errors quote the arguments of clients.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the encoded reply: `-`, the line and CR LF.
    #[must_use]
    pub fn to_reply(&self) -> Vec<u8> {
        [b"-", self.as_bytes(), b"\r\n"].concat()
    }

    /// Creates an error from its whole line, which can quote any bytes of a client.
    ///
    /// ```
    /// use thegiant_resp::Error;
    ///
    /// let option = b"\xff";
    /// let error = Error::from_bytes([b"ERR Unsupported option ", &option[..]].concat());
    /// assert_eq!(error.as_bytes(), b"ERR Unsupported option \xff");
    /// ```
    #[must_use]
    pub fn from_bytes(mut line: Vec<u8>) -> Self {
        // Redis drops line ends at the end of the text.
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
        let io_error = Error::from(std::io::Error::other("disk\nfull"));
        assert_eq!(io_error.as_bytes(), b"ERR disk full");
    }
}
