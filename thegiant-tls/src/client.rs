//! TLS configuration of connections to servers.

use std::{fmt, io, path::PathBuf, sync::Arc};

use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, RootCertStore},
};

use crate::{
    errors::{explained, identity_error},
    files::{Identity, authorities},
    provider,
};

/// TLS configuration of connections to a server.
///
/// By default, the server's certificate has to match the host of its address, and has to come from an authority that the
/// operating system trusts. Verification cannot be switched off, because an unverified connection may lead to any server.
/// The certificates and keys are PEM files.
///
/// ```
/// use thegiant_tls::ClientTls;
///
/// let tls = ClientTls::new().ca("/etc/app/ca.crt").certificate("/etc/app/client.crt", "/etc/app/client.key");
/// # drop(tls);
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct ClientTls {
    ca: Option<PathBuf>,
    server_name: Option<String>,
    identity: Option<(PathBuf, PathBuf)>,
    application_protocol: Option<&'static str>,
}

impl ClientTls {
    /// Trusts the authorities of the operating system, and sends no client certificate.
    pub fn new() -> Self {
        ClientTls::default()
    }

    /// Trusts these authorities and no others.
    pub fn ca(mut self, certificates: impl Into<PathBuf>) -> Self {
        self.ca = Some(certificates.into());
        self
    }

    /// Sets the host name or IP address that the certificate has to match, in place of the address' host.
    ///
    /// The client also sends a host name to the server (SNI).
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Sets the client certificate and its private key, for servers that require one.
    ///
    /// Both may be in the same file.
    pub fn certificate(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.identity = Some((certificate.into(), key.into()));
        self
    }

    /// Sets the protocol for which the connections are (ALPN), such as `h2`.
    #[doc(hidden)]
    pub fn application_protocol(mut self, name: &'static str) -> Self {
        self.application_protocol = Some(name);
        self
    }

    /// Reads the files, for connections to `address`: a host and a port.
    ///
    /// # Errors
    /// If a file is unusable, or if no certificate can match the address. The error names the reason.
    #[doc(hidden)]
    pub fn connector(&self, address: &str) -> io::Result<Connector> {
        if address.starts_with("unix:") {
            let why = format!("cannot use TLS with {address}: TLS needs an address of the form HOST:PORT");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let name = self.server_name.as_deref().unwrap_or_else(|| host_of(address));
        let invalid_name = |_| {
            let why = format!("{name:?} is not a valid TLS server name: use a host name or an IP address");
            io::Error::new(io::ErrorKind::InvalidInput, why)
        };
        let name = ServerName::try_from(name.to_owned()).map_err(invalid_name)?;
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(match &self.ca {
                Some(path) => authorities(path)?,
                None => authorities_of_system()?,
            });
        let mut config = match &self.identity {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let Identity { chain, key: private } = Identity::read(certificate, key)?;
                config
                    .with_client_auth_cert(chain, private)
                    .map_err(|error| identity_error(certificate, key, &error))?
            }
        };
        config.alpn_protocols =
            self.application_protocol.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(Connector { tls: Arc::new(config).into(), name, is_given: self.server_name.is_some() })
    }
}

/// Connects to one server.
#[doc(hidden)]
#[derive(Clone)]
pub struct Connector {
    tls: TlsConnector,
    /// The name that the certificate has to match.
    name: ServerName<'static>,
    /// The application has set `name`, so it does not follow the address.
    is_given: bool,
}

impl Connector {
    /// Returns a connector for another address. It keeps the old name if the new host is not a valid name.
    #[must_use]
    pub fn at(mut self, address: &str) -> Self {
        if !self.is_given
            && let Ok(name) = ServerName::try_from(host_of(address).to_owned())
        {
            self.name = name;
        }
        self
    }

    /// Shakes hands over a socket, and verifies the certificate of the server.
    ///
    /// # Errors
    /// If the handshake fails. The error says why.
    pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(&self, socket: S) -> io::Result<TlsStream<S>> {
        self.tls.connect(self.name.clone(), socket).await.map_err(explained)
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Returns the host of `HOST:PORT` or `[IPv6]:PORT`, without brackets.
fn host_of(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn authorities_of_system() -> io::Result<Arc<RootCertStore>> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Skips certificates that rustls cannot parse, because most systems have some old ones.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
        let why = format!("the operating system has no certificates of authorities{why}");
        return Err(io::Error::new(io::ErrorKind::NotFound, why));
    }
    Ok(Arc::new(roots))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_of_an_address() {
        for (address, host) in
            [("redis.internal:6379", "redis.internal"), ("10.0.0.7:1", "10.0.0.7"), ("[::1]:6379", "::1")]
        {
            assert_eq!(host_of(address), host);
        }
    }
}
