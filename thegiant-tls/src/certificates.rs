//! The certificates of a server, which clients choose by the name of the server.

use std::sync::Arc;

use rustls_pki_types::ServerName;
use tokio_rustls::rustls::{
    client::verify_server_name,
    server::{ClientHello, ParsedCertificate, ResolvesServerCert},
    sign::CertifiedKey,
};

/// The certificates of a server.
#[derive(Debug)]
pub(crate) struct Certificates {
    /// The certificate for clients that ask for no name, or for one that no certificate has.
    pub(crate) first: Arc<CertifiedKey>,
    pub(crate) others: Vec<Arc<CertifiedKey>>,
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = client_hello.server_name().filter(|_| !self.others.is_empty());
        let name = name.and_then(|name| ServerName::try_from(name).ok());
        let chosen = name.and_then(|name| {
            let mut all = [&self.first].into_iter().chain(&self.others);
            all.find(|certificate| is_for(certificate, &name))
        });
        Some(Arc::clone(chosen.unwrap_or(&self.first)))
    }
}

fn is_for(certificate: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let certificate = certificate.end_entity_cert().and_then(ParsedCertificate::try_from);
    certificate.is_ok_and(|certificate| verify_server_name(&certificate, name).is_ok())
}
