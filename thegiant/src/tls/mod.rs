//! TLS for listeners and for upstream connections.
//!
//! - `server`, `client`: the configuration of either side; `files`: certificates and keys
//! - `stream`: a TLS connection; `errors`: explanations of failed handshakes

mod client;
mod errors;
mod files;
mod server;
mod stream;

use std::sync::Arc;

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};

pub use client::ClientTls;
pub(crate) use client::Connector;
pub use server::ServerTls;
pub(crate) use stream::Tls;
pub(crate) use tokio_rustls::rustls::ServerConfig;

/// Returns the cryptography provider.
///
/// Every configuration names it, because the process-wide default belongs to the application.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
