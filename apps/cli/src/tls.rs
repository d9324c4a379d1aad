//! What the command line says of TLS.

use std::{io, path::PathBuf};

use thegiant::{Server, ServerTls};

#[derive(Default)]
pub(super) struct Options {
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    ca: Option<PathBuf>,
}

impl Options {
    /// Where the value of this option belongs.
    pub(super) fn option(&mut self, name: &str) -> &mut Option<PathBuf> {
        match name {
            "tls-cert" => &mut self.certificate,
            "tls-key" => &mut self.key,
            _ => &mut self.ca,
        }
    }

    /// How a server listens at an address: without TLS at a unix socket, or if there is none at all.
    pub(super) fn bind(self) -> io::Result<impl Fn(Server, &String) -> io::Result<Server>> {
        let tls = match (self.certificate, self.key, self.ca) {
            (Some(certificate), Some(key), None) => Some(ServerTls::new(certificate, key)),
            (Some(certificate), Some(key), Some(ca)) => Some(ServerTls::new(certificate, key).client_ca(ca)),
            (None, None, None) => None,
            _ => {
                let why = "for TLS there have to be both --tls-cert and --tls-key";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
            }
        };
        Ok(move |server: Server, address: &String| match &tls {
            Some(tls) if !address.starts_with("unix:") => server.bind_tls(address, tls.clone()),
            _ => server.bind(address),
        })
    }
}
