//! The errors of calls.

use std::{fmt, io};

use thegiant_resp::{Error, WrongReply};

/// The reason why a call has no reply of its type.
///
/// [`NotSent`](Self::NotSent) means that the server has not run the command, so it can be sent again. After
/// [`Lost`](Self::Lost) and [`Timeout`](Self::Timeout), the server may have run it.
///
/// ```
/// use thegiant_client::{CallError, Error};
///
/// fn is_full(error: &CallError) -> bool {
///     error.reply().is_some_and(|error| error.code() == "QUEUEFULL")
/// }
///
/// assert!(is_full(&CallError::Reply(Error::new("QUEUEFULL", "100 jobs are waiting"))));
/// assert!(!is_full(&CallError::Timeout));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallError {
    /// The server replied with this error.
    Reply(Error),
    /// The request was not sent, for this reason: for example, the server cannot be reached.
    NotSent(String),
    /// The connection was lost before the reply came, for this reason.
    Lost(String),
    /// The server has sent nothing for the [reply timeout](crate::ConnectionBuilder::reply_timeout).
    Timeout,
    /// The reply has another type than the command of the client.
    WrongReply(WrongReply),
}

impl CallError {
    /// Returns the error that the server replied with.
    #[must_use]
    pub fn reply(&self) -> Option<&Error> {
        match self {
            CallError::Reply(error) => Some(error),
            _ => None,
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Reply(error) => error.fmt(f),
            CallError::NotSent(reason) => write!(f, "the request was not sent: {reason}"),
            CallError::Lost(reason) => write!(f, "the connection was lost before the reply came: {reason}"),
            CallError::Timeout => f.write_str("the server did not reply in time"),
            CallError::WrongReply(error) => write!(f, "unexpected reply: {error}"),
        }
    }
}

impl std::error::Error for CallError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            CallError::Reply(error) => Some(error),
            CallError::WrongReply(error) => Some(error),
            _ => None,
        }
    }
}

impl From<WrongReply> for CallError {
    fn from(error: WrongReply) -> Self {
        CallError::WrongReply(error)
    }
}

/// The reason why a connection is lost that the server has closed.
pub(crate) const CLOSED: &str = "the server has closed the connection";

/// Returns the reason why a connection is lost whose socket has this error.
pub(crate) fn lost(error: io::Error) -> String {
    // Without `close_notify` of TLS. That is safe, because each reply says where it ends.
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return CLOSED.to_owned();
    }
    #[cfg(feature = "tls")]
    let error = thegiant_tls::explained(error);
    error.to_string()
}
