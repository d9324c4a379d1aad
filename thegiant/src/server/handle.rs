//! The handle that stops a server, and reloads its certificates.

use tokio::sync::mpsc;

#[cfg(feature = "tls")]
use crate::tls_listeners::TlsListeners;

/// Stops a [`Server`](crate::Server), or reloads its certificates, from another task or thread. It is cheap to clone.
#[derive(Clone, Debug)]
pub struct ServerHandle {
    pub(super) stop: mpsc::UnboundedSender<()>,
    #[cfg(feature = "tls")]
    pub(super) tls: TlsListeners,
}

impl ServerHandle {
    /// Stops the server as SIGTERM does: gracefully at the first call, at once at the second.
    ///
    /// It does not wait.
    pub fn stop(&self) {
        // The server may have stopped already.
        let _ = self.stop.send(());
    }

    /// Reads the certificates, keys and client authorities of all TLS listeners again, as SIGHUP does.
    ///
    /// New connections use them. Open connections are not affected.
    ///
    /// ```no_run
    /// use thegiant::{ServerTls, prelude::*};
    ///
    /// # #[thegiant::main]
    /// # async fn main() -> std::io::Result<()> {
    /// let tls = ServerTls::new("server.crt", "server.key");
    /// let server = Server::new(App::new).bind_tls("0.0.0.0:6381", tls)?;
    /// let handle = server.handle();
    /// // Later, when the files have changed:
    /// if let Err(error) = handle.reload_tls() {
    ///     eprintln!("the certificates are unchanged: {error}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If a file cannot be used. The error names the file and the reason, and all listeners keep what they had.
    #[cfg(feature = "tls")]
    pub fn reload_tls(&self) -> std::io::Result<()> {
        self.tls.reload()
    }
}
