//! TLS configuration of listeners.

use std::{io, path::PathBuf, sync::Arc};

use tokio_rustls::rustls::{ServerConfig, server::WebPkiClientVerifier};

use crate::{
    errors::identity_error,
    files::{CERTIFICATE, Identity, authorities, unusable},
    provider,
};

/// TLS configuration of a server.
///
/// The certificates and keys are PEM files. The server supports TLS 1.2 and 1.3.
///
/// ```
/// use thegiant_tls::ServerTls;
///
/// let tls = ServerTls::new("/etc/app/server.crt", "/etc/app/server.key").client_ca("/etc/app/clients.crt");
/// # drop(tls);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ServerTls {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
}

impl ServerTls {
    /// Sets the files of the server's certificate and its private key.
    ///
    /// The certificate file also contains the certificates of intermediate authorities, if there are any.
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        ServerTls { certificate: certificate.into(), key: key.into(), client_ca: None }
    }

    /// Requires a client certificate from one of these authorities. Otherwise, clients need no certificate.
    pub fn client_ca(mut self, certificates: impl Into<PathBuf>) -> Self {
        self.client_ca = Some(certificates.into());
        self
    }

    /// Reads the files and builds the configuration.
    ///
    /// # Errors
    /// If a file is unusable. The error names the file and the reason.
    #[doc(hidden)]
    pub fn config(&self) -> io::Result<Arc<ServerConfig>> {
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        let config = match &self.client_ca {
            None => config.with_no_client_auth(),
            Some(path) => {
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(authorities(path)?, provider()).build();
                config
                    .with_client_cert_verifier(verifier.map_err(|error| unusable(CERTIFICATE, path, error))?)
            }
        };
        let Identity { chain, key } = Identity::read(&self.certificate, &self.key)?;
        let config = config
            .with_single_cert(chain, key)
            .map_err(|error| identity_error(&self.certificate, &self.key, &error))?;
        Ok(Arc::new(config))
    }
}
