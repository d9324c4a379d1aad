#![doc = include_str!("../README.md")]
//!
//! - `server`, `client`: the configuration of either side; `files`: certificates and keys
//! - `errors`: explanations of failed handshakes

mod client;
mod errors;
mod files;
mod server;

use std::sync::Arc;

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};

pub use client::{ClientTls, Connector};
pub use errors::explained;
pub use server::ServerTls;

/// Returns the cryptography provider.
///
/// Every configuration names it, because the process-wide default belongs to the application.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
