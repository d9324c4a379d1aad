//! The end of a connection.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use actix_rt::time::{Sleep, sleep};

use super::{
    Connection,
    connection::{Next, Stage},
};
use crate::{client::CloseRequest, stream::with_read_buffer};

/// Maximum time to read from a client after the outgoing side of its socket was shut down.
const LINGER: Duration = Duration::from_secs(1);

impl Connection {
    /// Closes the connection gracefully: when the client has closed its side, when it sends nothing, or after
    /// [`LINGER`].
    pub(super) fn close(&mut self, until: Option<Pin<Box<Sleep>>>, cx: &mut TaskContext<'_>) -> Next {
        self.stream.shutdown(cx);
        let mut has_sent = until.is_some();
        while let Poll::Ready(read) = with_read_buffer(|buffer| self.stream.poll_read(buffer, cx)) {
            match read {
                Ok(0) | Err(_) => return Stage::Ended.into(),
                Ok(_) => has_sent = true,
            }
        }
        if !has_sent {
            return Stage::Ended.into();
        }
        let mut until = until.unwrap_or_else(|| Box::pin(sleep(LINGER)));
        match until.as_mut().poll(cx) {
            Poll::Ready(()) => Stage::Ended.into(),
            Poll::Pending => Next::Wait(Stage::Closing(Some(until))),
        }
    }

    /// Logs why the connection is closed.
    pub(super) fn log_end(&self, end: io::Result<()>) {
        #[cfg(feature = "tls")]
        self.log_failed_handshake(&end);
        let client = &self.client;
        let reason = || self.reason(end);
        tracing::debug!(id = client.id(), client = %client.addr(), reason = reason(), "connection closed");
    }

    /// Logs a failed TLS handshake: the certificate may be wrong, or the client unknown.
    ///
    /// A client that leaves before its handshake is not logged.
    #[cfg(feature = "tls")]
    fn log_failed_handshake(&self, end: &io::Result<()>) {
        use io::ErrorKind::{InvalidData, TimedOut};
        if let (crate::stream::Stream::Tls(tls), Err(error)) = (&self.stream, end)
            && tls.has_failed()
            && matches!(error.kind(), InvalidData | TimedOut)
        {
            let client = &self.client;
            tracing::info!(id = client.id(), client = %client.addr(), %error, "closed: the TLS handshake failed");
        }
    }

    /// Returns the reason of the close for the log.
    fn reason(&self, end: io::Result<()>) -> String {
        if let Err(error) = end {
            return error.to_string();
        }
        let reason = match self.client.close_request() {
            CloseRequest::Now => "the client was killed",
            CloseRequest::Graceful => "the server is shutting down",
            CloseRequest::AfterReplies => "the server has closed the connections of its clients",
            CloseRequest::None if self.state.closing => "the last reply was sent",
            CloseRequest::None => "the client has left",
        };
        reason.to_owned()
    }
}
