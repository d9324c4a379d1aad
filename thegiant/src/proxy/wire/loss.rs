//! The reason for the loss of a connection.

use std::{fmt, io, sync::Arc, time::Duration};

/// The reason why a connection was lost or could not be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LossReason {
    /// No byte has arrived for this time.
    Silence(Duration),
    /// A connection or its handshake got no answer in time.
    NoAnswer,
    /// A slow command has taken the connection, and another one takes its place.
    Detached,
    Other(Arc<str>),
}

impl LossReason {
    /// The upstream has closed the connection.
    pub(crate) fn closed() -> Self {
        "it has closed the connection".into()
    }

    /// Returns the text of an error reply as the reason.
    pub(crate) fn error_reply(line: &[u8]) -> Self {
        String::from_utf8_lossy(line).trim_end().into()
    }
}

impl fmt::Display for LossReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LossReason::Silence(time) => write!(f, "nothing has come from it for {} s", time.as_secs_f64()),
            LossReason::NoAnswer => f.write_str("it does not answer"),
            LossReason::Detached => f.write_str("a slow command has taken the connection"),
            LossReason::Other(text) => f.write_str(text),
        }
    }
}

impl From<&str> for LossReason {
    fn from(text: &str) -> Self {
        LossReason::Other(text.into())
    }
}

/// Takes the text of an I/O error without its number.
impl From<io::Error> for LossReason {
    fn from(error: io::Error) -> Self {
        let text = error.to_string();
        text.split(" (os error").next().unwrap_or_default().to_lowercase().as_str().into()
    }
}
