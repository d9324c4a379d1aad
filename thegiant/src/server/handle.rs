//! The handle that stops a server.

use tokio::sync::mpsc;

/// Stops a [`Server`](crate::Server) from another task or thread. It is cheap to clone.
#[derive(Clone, Debug)]
pub struct ServerHandle {
    pub(super) stop: mpsc::UnboundedSender<()>,
}

impl ServerHandle {
    /// Stops the server as SIGTERM does: gracefully at the first call, at once at the second.
    ///
    /// It does not wait.
    pub fn stop(&self) {
        // The server may have stopped already.
        let _ = self.stop.send(());
    }
}
