//! TLS: what a listener shows its clients, and what is asked of an upstream.
//!
//! - `server`, `client`: what a program says of either side; `files`: certificates and keys
//! - `stream`: a connection; `words`: what is said of one that fails

mod client;
mod files;
mod server;
mod stream;
mod words;

use std::sync::Arc;

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};

pub use client::ClientTls;
pub(crate) use client::Connector;
pub use server::ServerTls;
pub(crate) use stream::Tls;
pub(crate) use tokio_rustls::rustls::ServerConfig;

/// Who does the arithmetic. It is said for each configuration: what the process has as a default is the program's to decide.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
