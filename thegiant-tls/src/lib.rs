#![doc = include_str!("../README.md")]
//!
//! - `server`, `client`: the configuration of either side; `files`: certificates and keys
//! - `certificates`: the certificate for the name that a client asks for; `protocol`: versions of TLS
//! - `auth_clients`: whether clients need a certificate; `client_certificate`: the certificate of a client
//! - `user`: the field of it that names a user; `x509`: fields of certificates
//! - `setting`: the settings of a server under their names in Redis
//! - `errors`: explanations of failed handshakes

mod auth_clients;
mod certificates;
mod client;
mod client_certificate;
mod errors;
mod files;
mod protocol;
mod server;
mod setting;
mod user;
mod x509;

use std::sync::Arc;

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};

pub use auth_clients::AuthClients;
pub use client::{ClientTls, Connector};
pub use client_certificate::ClientCertificate;
pub use errors::explained;
pub use protocol::TlsProtocol;
pub use server::{LoadedTls, ServerTls};
pub use setting::TlsSetting;
pub use user::CertificateUser;

/// Returns the cryptography provider.
///
/// Every configuration names it, because the process-wide default belongs to the application.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
