//! Whether the clients of a server need a certificate.

use std::{fmt, str::FromStr};

/// Whether the clients of a server send a certificate (`tls-auth-clients`).
///
/// ```
/// use thegiant_tls::{AuthClients, ServerTls};
///
/// let tls = ServerTls::new("server.crt", "server.key")
///     .client_ca("clients.crt")
///     .auth_clients(AuthClients::Optional);
/// # drop(tls);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthClients {
    /// Clients send no certificate.
    No,
    /// A client needs a certificate from the authority.
    Yes,
    /// A client may send a certificate. If it does, the certificate has to be from the authority.
    Optional,
}

impl AuthClients {
    const ALL: [AuthClients; 3] = [AuthClients::No, AuthClients::Yes, AuthClients::Optional];

    fn name(self) -> &'static str {
        match self {
            AuthClients::No => "no",
            AuthClients::Yes => "yes",
            AuthClients::Optional => "optional",
        }
    }
}

/// Writes the value for `tls-auth-clients`: `no`, `yes` or `optional`.
impl fmt::Display for AuthClients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Parses `no`, `yes` or `optional`, in any case.
impl FromStr for AuthClients {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|choice| choice.name().eq_ignore_ascii_case(name));
        found.ok_or_else(|| {
            format!("{name:?} does not say whether clients need a certificate: use no, yes or optional")
        })
    }
}
