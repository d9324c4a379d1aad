//! The error reply.

use std::{
    error::Error as StdError,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

/// An error reply: a code in capitals, such as `ERR` or `WRONGTYPE`, and a text.
///
/// Programs test the code, and people read the text. The constants have the exact texts of Redis 7. The codes `NOAUTH`,
/// `LOADING`, `BUSY`, `READONLY`, `MASTERDOWN` and `OOM` make clients retry or reconnect: use them only for that.
///
/// An error reply is one line. CR and LF in the text become spaces.
///
/// ```
/// use thegiant_resp::Error;
///
/// let full = Error::new("QUEUEFULL", format_args!("{} jobs are waiting", 100));
/// assert_eq!(full.to_string(), "QUEUEFULL 100 jobs are waiting");
/// assert_eq!(full.code(), "QUEUEFULL");
/// ```
///
/// # The operator `?`
///
/// An error type of yours becomes a reply if it implements [`ReplyError`]: its text is meant for clients. Other errors are
/// not, since they may contain a file path or an SQL statement: [`Error::internal`] keeps them for the log, and the client
/// gets `ERR internal error`.
///
/// ```
/// use thegiant_resp::Error;
///
/// fn read(path: &str) -> Result<String, Error> {
///     std::fs::read_to_string(path).map_err(Error::internal)
/// }
///
/// let error = read("/no/such/file").unwrap_err();
/// assert_eq!(error, Error::INTERNAL);
/// assert_eq!(error.to_string(), "ERR internal error");
/// assert!(std::error::Error::source(&error).is_some());
/// ```
///
/// Two errors are equal if their lines are, whatever their sources.
#[derive(Clone)]
pub struct Error(Repr);

#[derive(Clone)]
enum Repr {
    Static(&'static [u8]),
    Owned(Arc<[u8]>),
    Internal(Arc<Internal>),
}

struct Internal {
    reason: Box<dyn StdError + Send + Sync>,
    is_reported: AtomicBool,
}

/// An error whose text is meant for clients.
///
/// `?` converts it to an [`Error`], in a function that returns one. `#[derive(ReplyError)]` of the crate `thegiant`
/// implements it, also for enums whose variants have codes of their own.
///
/// ```
/// use std::fmt;
/// use thegiant_resp::{Error, ReplyError};
///
/// #[derive(Debug)]
/// struct OutOfStock(&'static str);
///
/// impl fmt::Display for OutOfStock {
///     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
///         write!(f, "there are no {} left", self.0)
///     }
/// }
///
/// impl std::error::Error for OutOfStock {}
///
/// impl ReplyError for OutOfStock {
///     fn code(&self) -> &str {
///         "NOSTOCK"
///     }
/// }
///
/// fn buy() -> Result<(), Error> {
///     Err(OutOfStock("pears"))?
/// }
/// assert_eq!(buy().unwrap_err().to_string(), "NOSTOCK there are no pears left");
/// ```
#[diagnostic::on_unimplemented(
    message = "the text of `{Self}` is not meant for clients",
    label = "write `.map_err(Error::internal)?`, which logs the error, or implement `ReplyError` for a type of yours"
)]
pub trait ReplyError: StdError + Send + Sync + 'static {
    /// Returns the code of the reply, in capitals and without spaces. The default is `ERR`.
    fn code(&self) -> &str {
        "ERR"
    }

    /// Returns whether the text is not meant for clients after all, for example that of one variant, which wraps the error
    /// of a database. The error is then [internal](Error::internal). The default is `false`.
    fn is_internal(&self) -> bool {
        false
    }
}

impl<E: ReplyError> From<E> for Error {
    fn from(error: E) -> Self {
        if error.is_internal() { Error::internal(error) } else { Error::new(error.code(), &error) }
    }
}

impl Error {
    /// `ERR syntax error`
    pub const SYNTAX: Error = Error::from_static("ERR syntax error");
    /// `ERR value is not an integer or out of range`
    pub const NOT_AN_INTEGER: Error = Error::from_static("ERR value is not an integer or out of range");
    /// `ERR value is out of range, value must between -2147483648 and 2147483647`
    pub const OUT_OF_INT_RANGE: Error =
        Error::from_static("ERR value is out of range, value must between -2147483648 and 2147483647");
    /// `ERR value is out of range`
    pub const OUT_OF_RANGE: Error = Error::from_static("ERR value is out of range");
    /// `ERR value is out of range, must be positive`
    pub const NOT_POSITIVE: Error = Error::from_static("ERR value is out of range, must be positive");
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
    /// `READONLY You can't write against a read only replica.`
    pub const READ_ONLY: Error = Error::from_static("READONLY You can't write against a read only replica.");
    /// `CROSSSLOT Keys in request don't hash to the same slot`
    pub const CROSS_SLOT: Error = Error::from_static("CROSSSLOT Keys in request don't hash to the same slot");
    /// `WRONGPASS invalid username-password pair or user is disabled.`
    pub const WRONG_PASSWORD: Error =
        Error::from_static("WRONGPASS invalid username-password pair or user is disabled.");
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
        Error(Repr::Static(bytes))
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

    /// Creates an error whose reason no client gets to know: its reply is `ERR internal error`.
    ///
    /// The reason is the [source](StdError::source). A server of `thegiant` logs it with its own sources, the command, and
    /// the client.
    #[must_use]
    pub fn internal(reason: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let internal = Internal { reason: reason.into(), is_reported: AtomicBool::new(false) };
        Error(Repr::Internal(internal.into()))
    }

    /// Returns whether the error is [internal](Self::internal).
    #[must_use]
    pub fn is_internal(&self) -> bool {
        matches!(self.0, Repr::Internal(_))
    }

    /// Returns `true` if the error is [internal](Self::internal) and this is the first call for it and all its clones.
    ///
    /// A server that replies with the same error to many commands logs it once.
    #[must_use]
    pub fn begin_report(&self) -> bool {
        match &self.0 {
            Repr::Internal(internal) => !internal.is_reported.swap(true, Relaxed),
            _ => false,
        }
    }

    /// Returns the code, which is the first word.
    #[must_use]
    pub fn code(&self) -> &str {
        let code = self.as_bytes().split(|byte| *byte == b' ').next().unwrap_or_default();
        std::str::from_utf8(code).unwrap_or_default()
    }

    /// Returns the whole line without `-` and CR LF.
    ///
    /// It can contain bytes that are not UTF-8, because errors quote the arguments of clients.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Static(line) => line,
            Repr::Owned(line) => line,
            Repr::Internal(_) => INTERNAL,
        }
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
        Error(Repr::Owned(line.into()))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.as_bytes()))
    }
}

/// Shows the line, and the reason of an internal error.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = String::from_utf8_lossy(self.as_bytes());
        let mut tuple = f.debug_tuple("Error");
        tuple.field(&line);
        if let Repr::Internal(internal) = &self.0 {
            tuple.field(&internal.reason);
        }
        tuple.finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.0 {
            Repr::Internal(internal) => Some(&*internal.reason),
            _ => None,
        }
    }
}

impl PartialEq for Error {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Error {}

const INTERNAL: &[u8] = b"ERR internal error";

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
    }

    #[test]
    fn debug_shows_the_line() {
        assert_eq!(format!("{:?}", Error::err("no \"fig\"")), r#"Error("ERR no \"fig\"")"#);
        assert_eq!(format!("{:?}", Error::from_bytes(b"ERR \xff".to_vec())), "Error(\"ERR \u{fffd}\")");
        let internal = Error::internal(fmt::Error);
        assert_eq!(format!("{internal:?}"), r#"Error("ERR internal error", Error)"#);
    }

    #[test]
    fn an_error_is_small_and_its_reason_is_its_source() {
        assert_eq!(size_of::<Error>(), 24);
        let error = Error::internal(std::io::Error::other("disk full"));
        assert_eq!((error.as_bytes(), error.code()), (Error::INTERNAL.as_bytes(), "ERR"));
        assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("disk full"));
        assert!(Error::SYNTAX.source().is_none() && Error::err("a").source().is_none());
        // One report is enough for all replies with this error.
        let clone = error.clone();
        assert!(clone.begin_report() && !error.begin_report() && !Error::INTERNAL.begin_report());
    }
}
