//! The addresses of servers, and sockets that are connected to them.

use std::{
    hash::{BuildHasher, RandomState},
    io,
    net::SocketAddr,
    path::PathBuf,
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream, lookup_host},
    time::timeout,
};
use tokio_postgres::{
    Config,
    config::{Host, LoadBalanceHosts},
};

/// A socket of any kind.
pub(crate) type Socket = Box<dyn Io>;

/// Reads and writes.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Io for S {}

/// The address of a server that a URL names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp {
        host: String,
        port: u16,
        /// The name that the certificate of the server is for. An IP address alone has none.
        name: Option<String>,
    },
    Unix(PathBuf),
}

impl Address {
    /// Returns the addresses of a URL, in the order in which they are tried.
    pub(crate) fn all(config: &Config) -> io::Result<Vec<Self>> {
        let (hosts, ips, ports) = (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
        let count = hosts.len().max(ips.len());
        if count == 0 {
            return Err(io::Error::other("the URL names no host: write postgres://USER@HOST/NAME"));
        }
        if ![0, count].contains(&hosts.len()) || ![0, count].contains(&ips.len()) {
            return Err(io::Error::other(
                "the URL has more hosts than hostaddr has, or fewer: write one for each",
            ));
        }
        if ![0, 1, count].contains(&ports.len()) {
            return Err(io::Error::other(
                "the URL has more hosts than ports: write one port, or one for each",
            ));
        }
        let address = |index: usize| {
            let port = ports.get(index).or(ports.first()).copied().unwrap_or(5432);
            match (hosts.get(index), ips.get(index)) {
                (Some(Host::Unix(folder)), None) => Address::Unix(folder.join(format!(".s.PGSQL.{port}"))),
                (Some(Host::Tcp(name)), ip) => {
                    let host = ip.map_or_else(|| name.clone(), ToString::to_string);
                    Address::Tcp { host, port, name: Some(name.clone()) }
                }
                (_, ip) => {
                    Address::Tcp { host: ip.map(ToString::to_string).unwrap_or_default(), port, name: None }
                }
            }
        };
        let mut addresses: Vec<_> = (0..count).map(address).collect();
        if config.get_load_balance_hosts() == LoadBalanceHosts::Random {
            // A hash with a random key.
            let first = RandomState::new().hash_one(()) % count as u64;
            addresses.rotate_left(first as usize);
        }
        Ok(addresses)
    }

    /// Finds the IP addresses of a host.
    pub(crate) async fn endpoints(&self, limit: Duration) -> io::Result<Vec<Endpoint>> {
        match self {
            Address::Unix(path) => Ok(vec![Endpoint::Unix(path.clone())]),
            Address::Tcp { host, port, .. } => {
                let found = within(limit, lookup_host((host.as_str(), *port))).await?;
                Ok(found.map(Endpoint::Tcp).collect())
            }
        }
    }
}

/// The end of a connection at the server.
pub(crate) enum Endpoint {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Endpoint {
    /// Connects a socket.
    pub(crate) async fn connect(&self, config: &Config, limit: Duration) -> io::Result<Socket> {
        match self {
            Endpoint::Unix(path) => Ok(Box::new(within(limit, UnixStream::connect(path)).await?)),
            Endpoint::Tcp(address) => {
                let stream = within(limit, TcpStream::connect(address)).await?;
                tune(&stream, config)?;
                Ok(Box::new(stream))
            }
        }
    }
}

/// Sets the options of a socket.
fn tune(stream: &TcpStream, config: &Config) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(config.get_tcp_user_timeout().copied())?;
    if !config.get_keepalives() {
        return Ok(());
    }
    let mut keepalive = TcpKeepalive::new().with_time(config.get_keepalives_idle());
    if let Some(interval) = config.get_keepalives_interval() {
        keepalive = keepalive.with_interval(interval);
    }
    if let Some(retries) = config.get_keepalives_retries() {
        keepalive = keepalive.with_retries(retries);
    }
    socket.set_tcp_keepalive(&keepalive)
}

async fn within<T>(limit: Duration, connected: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match timeout(limit, connected).await {
        Ok(outcome) => outcome.map_err(|error| failed(&error)),
        Err(_) => Err(failed(&io::Error::new(io::ErrorKind::TimedOut, "connection timed out"))),
    }
}

/// Returns an error in the words of the client of PostgreSQL.
fn failed(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("error connecting to server: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(url: &str) -> Result<Vec<Address>, String> {
        let config = url.parse().expect("a URL");
        Address::all(&config).map_err(|error| error.to_string())
    }

    fn tcp(host: &str, port: u16, name: Option<&str>) -> Address {
        Address::Tcp { host: host.to_owned(), port, name: name.map(str::to_owned) }
    }

    #[test]
    fn a_url_names_several_servers() {
        let [one, two] = [tcp("one", 5432, Some("one")), tcp("two", 5432, Some("two"))];
        assert_eq!(addresses("postgres://u@one,two/n"), Ok(vec![one, two]));
        let unix = Address::Unix("/run/p/.s.PGSQL.1".into());
        assert_eq!(
            addresses("postgres://u@%2Frun%2Fp,two:2/n"),
            Ok(vec![Address::Unix("/run/p/.s.PGSQL.5432".into()), tcp("two", 2, Some("two"))])
        );
        assert_eq!(addresses("host=/run/p,two port=1 user=u"), Ok(vec![unix, tcp("two", 1, Some("two"))]));
        assert_eq!(
            addresses("host=one hostaddr=10.0.0.1 user=u"),
            Ok(vec![tcp("10.0.0.1", 5432, Some("one"))])
        );
        assert_eq!(addresses("hostaddr=10.0.0.1 user=u"), Ok(vec![tcp("10.0.0.1", 5432, None)]));
        for wrong in ["user=u", "host=a,b hostaddr=10.0.0.1 user=u", "host=a,b,c port=1,2 user=u"] {
            assert!(addresses(wrong).is_err_and(|error| error.starts_with("the URL ")), "{wrong}");
        }
    }

    #[test]
    fn connections_are_balanced() {
        let first = || addresses("host=a,b load_balance_hosts=random user=u").expect("addresses").remove(0);
        let one = first();
        // All are the same once in 2^64 times.
        assert!((0..64).any(|_| first() != one));
    }
}
