//! The address of a client or a listener.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
};

/// The address of a client or a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Address {
    /// An address and a port. Displays as `127.0.0.1:6380`.
    Tcp(SocketAddr),
    /// The path of a unix socket. Displays as `unix:/run/app.sock`.
    Unix(Arc<Path>),
}

impl Address {
    /// Returns the port; `None` for a unix socket.
    pub fn port(&self) -> Option<u16> {
        match self {
            Address::Tcp(address) => Some(address.port()),
            Address::Unix(_) => None,
        }
    }

    /// Returns the IP address; `None` for a unix socket. An IPv4 address is never mapped to IPv6.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Address::Tcp(address) => Some(address.ip().to_canonical()),
            Address::Unix(_) => None,
        }
    }

    /// Returns the address as `CLIENT LIST` shows it. A unix socket gets port 0.
    pub(crate) fn listed(&self) -> String {
        match self {
            Address::Unix(path) => format!("{}:0", path.display()),
            Address::Tcp(address) => address.to_string(),
        }
    }

    /// Returns whether the address is local: a loopback address or a unix socket.
    pub(crate) fn is_local(&self) -> bool {
        match self {
            Address::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Address::Unix(_) => true,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_addresses_and_unix_sockets_are_local() {
        let tcp = |address: &str| Address::Tcp(address.parse().expect("an address"));
        for local in ["127.0.0.1:1", "127.8.8.8:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert!(tcp(local).is_local(), "{local}");
        }
        for other in
            ["192.0.2.1:1", "0.0.0.0:1", "10.0.0.1:1", "[2001:db8::1]:1", "[::ffff:192.0.2.1]:1", "[::]:1"]
        {
            assert!(!tcp(other).is_local(), "{other}");
        }
        assert!(Address::Unix(Path::new("/run/app.sock").into()).is_local());
    }
}

/// The addresses of both ends of a connection, and the file descriptor of its socket.
#[derive(Clone, Debug)]
pub(crate) struct Endpoints {
    pub(crate) peer: Address,
    /// Shared, because most connections of a server have the same local address.
    pub(crate) local: Arc<Address>,
    pub(crate) descriptor: i32,
}
