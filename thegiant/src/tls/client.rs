//! What is asked of an upstream, and what it is shown.

use std::{io, path::PathBuf, sync::Arc};

use rustls_pki_types::ServerName;
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore},
};

use super::{
    files::{Identity, authorities},
    provider,
    words::misfit,
};

/// How another server is reached by TLS, for [`Upstream::tls`](crate::Upstream::tls).
///
/// Its certificate has to be for the name in its address, and of an authority that this system trusts, unless something else
/// is said here. There is no way to do without: whoever does not look at the certificate talks to anybody. Files are in the
/// PEM format, and are read by [`Upstream::tls`](crate::Upstream::tls).
///
/// ```no_run
/// use thegiant::{ClientTls, Upstream, prelude::*};
///
/// #[actix::main]
/// async fn main() -> std::io::Result<()> {
///     let tls = ClientTls::new().ca("/etc/app/ca.crt").certificate("/etc/app/client.crt", "/etc/app/client.key");
///     let redis = Upstream::new("redis.internal:6379").tls(tls)?.start();
///     Server::new(App::new().proxy(redis)).bind("127.0.0.1:6380")?.run().await
/// }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct ClientTls {
    ca: Option<PathBuf>,
    server_name: Option<String>,
    identity: Option<(PathBuf, PathBuf)>,
}

impl ClientTls {
    /// Trusts the authorities that this system trusts, and shows no certificate.
    pub fn new() -> Self {
        ClientTls::default()
    }

    /// Trusts these authorities and no others.
    pub fn ca(mut self, certificates: impl Into<PathBuf>) -> Self {
        self.ca = Some(certificates.into());
        self
    }

    /// Looks for this name in the certificate, a host name or an IP address, and not for that of the address. The server is
    /// told it too (SNI), unless it is an IP address.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Shows this certificate to a server that asks for one; the private key of it is in another file, or in the same one.
    pub fn certificate(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.identity = Some((certificate.into(), key.into()));
        self
    }

    /// Reads the files, for connections to this address.
    ///
    /// # Errors
    /// Which of them cannot be used, and why; or that this is nothing that a certificate could be for.
    pub(crate) fn connector(&self, address: &str) -> io::Result<Connector> {
        if address.starts_with("unix:") {
            let why = format!("{address} cannot be reached by TLS (that is for HOST:PORT)");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let name = self.server_name.as_deref().unwrap_or_else(|| host_of(address));
        let no_name = |_| {
            let why = format!("{name:?} is no name that a certificate could be for");
            io::Error::new(io::ErrorKind::InvalidInput, why)
        };
        let name = ServerName::try_from(name.to_owned()).map_err(no_name)?;
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(match &self.ca {
                Some(path) => authorities(path)?,
                None => authorities_of_system()?,
            });
        let config = match &self.identity {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let Identity { chain, key: private } = Identity::read(certificate, key)?;
                config
                    .with_client_auth_cert(chain, private)
                    .map_err(|error| misfit(certificate, key, &error))?
            }
        };
        Ok(Connector { tls: Arc::new(config).into(), name, is_given: self.server_name.is_some() })
    }
}

/// Connects to one server.
#[derive(Clone)]
pub(crate) struct Connector {
    pub(super) tls: TlsConnector,
    /// Whose certificate is expected.
    pub(super) name: ServerName<'static>,
    /// That has been said, and is not the host of the address.
    is_given: bool,
}

impl Connector {
    /// The same for another address. If that has no name that a certificate could be for, none will do.
    pub(crate) fn at(mut self, address: &str) -> Self {
        if !self.is_given
            && let Ok(name) = ServerName::try_from(host_of(address).to_owned())
        {
            self.name = name;
        }
        self
    }
}

/// `HOST:PORT` without the port, `[V6]:PORT` without the brackets.
fn host_of(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn authorities_of_system() -> io::Result<Arc<RootCertStore>> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // There are always some that are too old to be understood.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
        let why = format!("this system has no certificates of authorities{why}");
        return Err(io::Error::new(io::ErrorKind::NotFound, why));
    }
    Ok(Arc::new(roots))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_for_the_host_of_an_address() {
        for (address, host) in
            [("redis.internal:6379", "redis.internal"), ("10.0.0.7:1", "10.0.0.7"), ("[::1]:6379", "::1")]
        {
            assert_eq!(host_of(address), host);
        }
    }
}
