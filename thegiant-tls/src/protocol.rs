//! The TLS versions that a server supports.

use std::{fmt, str::FromStr};

use tokio_rustls::rustls::{SupportedProtocolVersion, version};

/// A version of TLS.
///
/// ```
/// use thegiant_tls::{ServerTls, TlsProtocol};
///
/// let tls = ServerTls::new("server.crt", "server.key").protocols([TlsProtocol::Tls13]);
/// # drop(tls);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsProtocol {
    /// TLS 1.2
    Tls12,
    /// TLS 1.3
    Tls13,
}

impl TlsProtocol {
    pub(crate) const ALL: [TlsProtocol; 2] = [TlsProtocol::Tls12, TlsProtocol::Tls13];

    pub(crate) fn version(self) -> &'static SupportedProtocolVersion {
        match self {
            TlsProtocol::Tls12 => &version::TLS12,
            TlsProtocol::Tls13 => &version::TLS13,
        }
    }

    fn name(self) -> &'static str {
        match self {
            TlsProtocol::Tls12 => "TLSv1.2",
            TlsProtocol::Tls13 => "TLSv1.3",
        }
    }
}

/// Writes the name that `tls-protocols` of Redis has: `TLSv1.2` or `TLSv1.3`.
impl fmt::Display for TlsProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Parses `TLSv1.2` or `TLSv1.3`, in any case.
impl FromStr for TlsProtocol {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|protocol| protocol.name().eq_ignore_ascii_case(name));
        found.ok_or_else(|| format!("{name:?} is not a supported TLS version: use TLSv1.2 or TLSv1.3"))
    }
}
