//! The reasons for which a command of the application returns no value.

use std::fmt;

use crate::Error;

/// The reason why [`UpstreamHandle::call`](crate::proxy::UpstreamHandle::call) returns no value.
///
/// The variants say whether the upstream may have run the command, so that the caller can decide whether to send it
/// again. Each contains the error that a client of the proxy would receive. `?` converts to that [`Error`].
///
/// ```
/// use thegiant::{Error, proxy::CallError};
///
/// /// Returns whether a command that changes data can be sent again.
/// fn can_retry(error: &CallError) -> bool {
///     matches!(error, CallError::NotSent(_))
/// }
///
/// let down = CallError::NotSent(Error::new("UPSTREAMDOWN", "10.0.0.7:6379 cannot be reached"));
/// assert!(can_retry(&down));
/// assert_eq!(Error::from(down).code(), "UPSTREAMDOWN");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallError {
    /// The upstream replied with this error.
    Reply(Error),
    /// The command was not sent: no upstream can be reached, or the proxy refuses the command.
    NotSent(Error),
    /// The connection was lost before the reply came, or the reply cannot be read. The upstream may have run the
    /// command.
    Lost(Error),
    /// No reply came within the [reply timeout](crate::proxy::Upstream::reply_timeout). The upstream may have run the command.
    Timeout(Error),
}

impl CallError {
    /// Returns the error that a client of the proxy receives.
    #[must_use]
    pub fn error(&self) -> &Error {
        match self {
            CallError::Reply(error)
            | CallError::NotSent(error)
            | CallError::Lost(error)
            | CallError::Timeout(error) => error,
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error().fmt(f)
    }
}

impl std::error::Error for CallError {}

impl From<CallError> for Error {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Reply(error)
            | CallError::NotSent(error)
            | CallError::Lost(error)
            | CallError::Timeout(error) => error,
        }
    }
}
