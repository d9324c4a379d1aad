//! How the proxy treats a client whose request has lost its upstream.

use crate::{Client, Error};

/// How the proxy treats a client when the upstream of its request was lost, or cannot be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum OnLoss {
    /// Replies with the error `UPSTREAM` or `UPSTREAMDOWN`.
    #[default]
    Error,
    /// Closes the connection.
    Close,
}

impl OnLoss {
    /// Closes the client if it would get one of these errors. A client that is closed gets no more replies.
    pub(crate) fn apply(self, client: &Client, error: &Error) {
        if self == OnLoss::Close && matches!(error.code(), "UPSTREAM" | "UPSTREAMDOWN") {
            tracing::info!(id = client.id(), client = %client.addr(), %error, "closed");
            client.kill();
        }
    }
}
