//! Options for TLS.

use std::{io, path::PathBuf};

use clap::Args;
use thegiant::{AuthClients, CertificateUser, Server, ServerTls, TlsProtocol};

#[derive(Args)]
pub(super) struct TlsOptions {
    /// Certificate (PEM): the server speaks TLS on every HOST:PORT
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Certificate authority (PEM): the server refuses clients without a certificate from it
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_ca: Option<PathBuf>,
    /// Whether clients need a certificate: no, yes or optional [default: yes with --tls-ca]
    #[arg(long, value_name = "CHOICE", requires = "tls_ca")]
    tls_auth_clients: Option<AuthClients>,
    /// Versions of TLS: TLSv1.2, TLSv1.3 or both, separated by a space [default: both]
    #[arg(long, value_name = "VERSIONS", value_delimiter = ' ', requires = "tls_cert")]
    tls_protocols: Vec<TlsProtocol>,
    /// Field of the client certificate that names the user of the client: CN, URI or DNS
    #[arg(long, value_name = "FIELD", requires = "tls_ca")]
    tls_auth_clients_user: Option<CertificateUser>,
}

impl TlsOptions {
    /// Returns a function that makes a server listen on an address. Unix sockets never use TLS.
    pub(super) fn bind(&self) -> impl Fn(Server, &String) -> io::Result<Server> {
        let tls = self.tls_cert.as_ref().zip(self.tls_key.as_ref()).map(|(certificate, key)| {
            let mut tls = ServerTls::new(certificate, key);
            if let Some(ca) = &self.tls_ca {
                tls = tls.client_ca(ca);
            }
            if let Some(choice) = self.tls_auth_clients {
                tls = tls.auth_clients(choice);
            }
            if !self.tls_protocols.is_empty() {
                tls = tls.protocols(self.tls_protocols.iter().copied());
            }
            if let Some(field) = self.tls_auth_clients_user {
                tls = tls.user_from(field);
            }
            tls
        });
        move |server, address| match &tls {
            Some(tls) if !address.starts_with("unix:") => server.bind_tls(address, tls.clone()),
            _ => server.bind(address),
        }
    }
}
