//! TLS configuration of listeners.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio_rustls::rustls::{
    ServerConfig,
    crypto::ring::Ticketer,
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::CertifiedKey,
};

use crate::{
    AuthClients, CertificateUser, TlsProtocol,
    certificates::Certificates,
    errors::identity_error,
    files::{CERTIFICATE, Identity, authorities, unusable},
    provider,
    x509::Certificate,
};

/// TLS configuration of a server.
///
/// The certificates and keys are PEM files. The server supports TLS 1.2 and 1.3, unless
/// [`protocols`](Self::protocols) says otherwise.
///
/// ```
/// use thegiant_tls::ServerTls;
///
/// let tls = ServerTls::new("/etc/app/server.crt", "/etc/app/server.key").client_ca("/etc/app/clients.crt");
/// # drop(tls);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct ServerTls {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    /// Certificates for other names of the server, each with its key.
    others: Vec<(PathBuf, PathBuf)>,
    pub(crate) client_ca: Option<PathBuf>,
    /// `None` requires a certificate if there is an authority.
    pub(crate) auth_clients: Option<AuthClients>,
    /// The versions of TLS, the oldest first.
    pub(crate) protocols: Vec<TlsProtocol>,
    pub(crate) user_from: Option<CertificateUser>,
}

impl ServerTls {
    /// Sets the files of the server's certificate and its private key.
    ///
    /// The certificate file also contains the certificates of intermediate authorities, if there are any.
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        ServerTls {
            certificate: certificate.into(),
            key: key.into(),
            others: Vec::new(),
            client_ca: None,
            auth_clients: None,
            protocols: TlsProtocol::ALL.to_vec(),
            user_from: None,
        }
    }

    /// Adds a certificate for other names of the server, and its private key.
    ///
    /// A client that asks for a server name (SNI) gets the first certificate that is for this name. All other clients
    /// get the certificate of [`new`](Self::new).
    ///
    /// ```
    /// use thegiant_tls::ServerTls;
    ///
    /// let tls = ServerTls::new("cache.example.crt", "cache.example.key")
    ///     .add_certificate("jobs.example.crt", "jobs.example.key");
    /// # drop(tls);
    /// ```
    pub fn add_certificate(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.others.push((certificate.into(), key.into()));
        self
    }

    /// Requires a client certificate from one of these authorities, unless [`auth_clients`](Self::auth_clients) says
    /// otherwise. Without authorities, clients send no certificate.
    pub fn client_ca(mut self, certificates: impl Into<PathBuf>) -> Self {
        self.client_ca = Some(certificates.into());
        self
    }

    /// Sets whether clients need a certificate (`tls-auth-clients`, default `yes` with a [`client_ca`](Self::client_ca),
    /// and `no` without).
    ///
    /// With [`Optional`](AuthClients::Optional), a client without a certificate can log in by its password. A client
    /// whose certificate is not from the authority, or has expired, is refused.
    ///
    /// ```
    /// use thegiant_tls::{AuthClients, ServerTls};
    ///
    /// let tls = ServerTls::new("server.crt", "server.key")
    ///     .client_ca("clients.crt")
    ///     .auth_clients(AuthClients::Optional);
    /// # drop(tls);
    /// ```
    pub fn auth_clients(mut self, choice: AuthClients) -> Self {
        self.auth_clients = Some(choice);
        self
    }

    /// Returns whether clients need a certificate.
    pub(crate) fn clients(&self) -> AuthClients {
        let default = if self.client_ca.is_some() { AuthClients::Yes } else { AuthClients::No };
        self.auth_clients.unwrap_or(default)
    }

    /// Sets the supported versions of TLS (`tls-protocols`, default TLS 1.2 and 1.3).
    ///
    /// ```
    /// use thegiant_tls::{ServerTls, TlsProtocol};
    ///
    /// let tls = ServerTls::new("server.crt", "server.key").protocols([TlsProtocol::Tls13]);
    /// # drop(tls);
    /// ```
    pub fn protocols(mut self, protocols: impl IntoIterator<Item = TlsProtocol>) -> Self {
        let protocols: Vec<_> = protocols.into_iter().collect();
        self.protocols = TlsProtocol::ALL.into_iter().filter(|known| protocols.contains(known)).collect();
        self
    }

    /// Sets the field of client certificates that names the user of the client (`tls-auth-clients-user`).
    ///
    /// It needs clients with certificates: [`client_ca`](Self::client_ca). If the field is the name of a user that is on, the client is logged in
    /// as this user, without `AUTH`. Otherwise, the client is logged in as without a certificate. Of several names, the
    /// first that is such a user counts.
    ///
    /// ```
    /// use thegiant_tls::{CertificateUser, ServerTls};
    ///
    /// let tls = ServerTls::new("server.crt", "server.key")
    ///     .client_ca("clients.crt")
    ///     .user_from(CertificateUser::CommonName);
    /// # drop(tls);
    /// ```
    pub fn user_from(mut self, field: CertificateUser) -> Self {
        self.user_from = Some(field);
        self
    }

    /// Reads the files.
    ///
    /// # Errors
    /// If a file is unusable. The error names the file and the reason.
    #[doc(hidden)]
    pub fn load(&self) -> io::Result<LoadedTls> {
        if self.protocols.is_empty() {
            return Err(invalid("a server needs a version of TLS: name at least one in `protocols`"));
        }
        let versions: Vec<_> = self.protocols.iter().map(|protocol| protocol.version()).collect();
        let config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&versions)
            .map_err(io::Error::other)?;
        let config = match self.client_verifier()? {
            None => config.with_no_client_auth(),
            Some(verifier) => config.with_client_cert_verifier(verifier),
        };
        let (first, mut not_after) = certified(&self.certificate, &self.key)?;
        let mut others = Vec::new();
        for (certificate, key) in &self.others {
            let (other, end) = certified(certificate, key)?;
            others.push(other);
            not_after = not_after.min(end);
        }
        let mut config = config.with_cert_resolver(Arc::new(Certificates { first, others }));
        config.ticketer = Ticketer::new().map_err(io::Error::other)?;
        Ok(LoadedTls { settings: self.clone(), config: Arc::new(config), not_after })
    }

    /// Returns the verifier of client certificates; `None` if clients send no certificate.
    fn client_verifier(&self) -> io::Result<Option<Arc<dyn ClientCertVerifier>>> {
        let clients = self.clients();
        if clients == AuthClients::No {
            return if self.user_from.is_some() { Err(invalid(USER_FROM_NOTHING)) } else { Ok(None) };
        }
        let path = self.client_ca.as_ref().ok_or_else(|| invalid(NO_CLIENT_CA))?;
        let mut verifier = WebPkiClientVerifier::builder_with_provider(authorities(path)?, provider());
        if clients == AuthClients::Optional {
            verifier = verifier.allow_unauthenticated();
        }
        verifier.build().map(Some).map_err(|error| unusable(CERTIFICATE, path, error))
    }
}

const USER_FROM_NOTHING: &str = "`user_from` needs `client_ca`, and `auth_clients` other than `No`: otherwise, clients send no certificate";
const NO_CLIENT_CA: &str =
    "`auth_clients` needs `client_ca`: name the authority of the clients' certificates";

/// Reads a certificate and its key. Returns also the end of the certificate.
fn certified(certificate: &Path, key: &Path) -> io::Result<(Arc<CertifiedKey>, i64)> {
    let Identity { chain, key: private } = Identity::read(certificate, key)?;
    let certified = CertifiedKey::from_der(chain, private, &provider())
        .map_err(|error| identity_error(certificate, key, &error))?;
    let fields = certified.end_entity_cert().ok().and_then(|first| Certificate::read(first));
    let not_after = fields.map(|fields| fields.not_after);
    let not_after = not_after.ok_or_else(|| unusable(CERTIFICATE, certificate, "its end cannot be read"))?;
    Ok((Arc::new(certified), not_after))
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

/// The TLS configuration of a listener, whose files were read.
#[doc(hidden)]
#[derive(Debug)]
pub struct LoadedTls {
    settings: ServerTls,
    config: Arc<ServerConfig>,
    not_after: i64,
}

impl LoadedTls {
    /// Returns the names of the files, and the other settings.
    pub fn settings(&self) -> &ServerTls {
        &self.settings
    }

    /// Returns the configuration for handshakes.
    #[must_use]
    pub fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }

    /// Returns the end of the certificate in seconds since 1970; of several, that of the first to end.
    #[must_use]
    pub fn not_after(&self) -> i64 {
        self.not_after
    }

    /// Returns the field of client certificates that names the user of the client.
    #[must_use]
    pub fn user_from(&self) -> Option<CertificateUser> {
        self.settings.user_from
    }
}
