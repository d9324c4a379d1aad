//! The field of a client certificate that names a user.

use std::{fmt, str::FromStr};

/// The field of a client certificate that names the user of the client.
///
/// ```
/// use thegiant_tls::{CertificateUser, ServerTls};
///
/// let tls = ServerTls::new("server.crt", "server.key")
///     .client_ca("clients.crt")
///     .user_from(CertificateUser::CommonName);
/// # drop(tls);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateUser {
    /// The common name (`CN`) of the subject.
    CommonName,
    /// A URI among the subject's alternative names, such as `spiffe://example.org/worker`.
    Uri,
    /// A DNS name among the subject's alternative names.
    Dns,
}

impl CertificateUser {
    const ALL: [CertificateUser; 3] =
        [CertificateUser::CommonName, CertificateUser::Uri, CertificateUser::Dns];

    fn name(self) -> &'static str {
        match self {
            CertificateUser::CommonName => "CN",
            CertificateUser::Uri => "URI",
            CertificateUser::Dns => "DNS",
        }
    }
}

/// Writes the value for `tls-auth-clients-user`: `CN`, `URI` or `DNS`.
impl fmt::Display for CertificateUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Parses `CN`, `URI` or `DNS`, in any case.
impl FromStr for CertificateUser {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|field| field.name().eq_ignore_ascii_case(name));
        found.ok_or_else(|| format!("{name:?} is not a field that can name a user: use CN, URI or DNS"))
    }
}
