//! Options for TLS.

use std::{io, path::PathBuf};

use clap::Args;
use thegiant::{Server, ServerTls};

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
}

impl TlsOptions {
    /// Returns a function that makes a server listen on an address. Unix sockets never use TLS.
    pub(super) fn bind(&self) -> impl Fn(Server, &String) -> io::Result<Server> {
        let tls = self.tls_cert.as_ref().zip(self.tls_key.as_ref()).map(|(certificate, key)| {
            let tls = ServerTls::new(certificate, key);
            match &self.tls_ca {
                Some(ca) => tls.client_ca(ca),
                None => tls,
            }
        });
        move |server, address| match &tls {
            Some(tls) if !address.starts_with("unix:") => server.bind_tls(address, tls.clone()),
            _ => server.bind(address),
        }
    }
}
