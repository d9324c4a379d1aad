//! The sockets on which a server listens.

use std::{
    cell::RefCell,
    fs,
    io::{self, ErrorKind},
    net::{SocketAddr, TcpListener as StdTcpListener, ToSocketAddrs},
    os::{
        fd::AsRawFd,
        unix::{
            fs::FileTypeExt,
            net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream},
        },
    },
    path::Path,
    sync::Arc,
    time::Duration,
};

use actix_rt::net::{TcpListener, TcpStream, UnixListener};
use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};
#[cfg(feature = "tls")]
use thegiant_tls::{LoadedTls, ServerTls};

use crate::{
    Error,
    client::{Address, Endpoints},
    observe::Warning,
    resp::Encoder,
    settings::{BACKLOG, Setting, Settings},
    stream::Stream,
};
#[cfg(feature = "tls")]
use crate::{tls::Tls, tls_listeners::TlsListener};

/// A listening socket that is not yet registered with an event loop.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(StdTcpListener),
    /// A unix socket. It has a path if this server created the file and has to remove it.
    Unix(StdUnixListener, Option<OwnedPath>),
    /// A TCP socket whose clients speak TLS.
    #[cfg(feature = "tls")]
    Tls(StdTcpListener, Arc<TlsListener>),
}

/// The path of a socket file. The file is removed on drop.
#[derive(Debug)]
pub(crate) struct OwnedPath(Arc<Path>);

impl Drop for OwnedPath {
    fn drop(&mut self) {
        // The file may have been removed already, and there is no caller to report an error to.
        let _ = fs::remove_file(&self.0);
    }
}

impl Listener {
    /// Listens on `host:port` or on `unix:PATH`.
    pub(crate) fn bind(address: &str) -> io::Result<Self> {
        let listener = match address.strip_prefix("unix:") {
            Some("") => Err(io::Error::new(ErrorKind::InvalidInput, "the path is missing")),
            Some(path) => return Listener::bind_uds(Path::new(path)),
            None => bind_first(address),
        };
        listener.map_err(|error| {
            let forms = match error.kind() {
                ErrorKind::InvalidInput => " (expected HOST:PORT, [V6]:PORT or unix:PATH)",
                _ => "",
            };
            io::Error::new(error.kind(), format!("cannot listen on {address}: {error}{forms}"))
        })
    }

    /// Listens on a unix socket.
    pub(crate) fn bind_uds(path: &Path) -> io::Result<Self> {
        bind_unix(path).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot listen on unix:{}: {error}", path.display()))
        })
    }

    /// Listens on `host:port` for clients that speak TLS.
    #[cfg(feature = "tls")]
    pub(crate) fn bind_tls(address: &str, tls: &ServerTls) -> io::Result<(Self, Arc<TlsListener>)> {
        if !address.starts_with("unix:")
            && let Listener::Tcp(listener) = Self::bind(address)?
        {
            let address = Address::Tcp(listener.local_addr()?);
            let tls = Arc::new(TlsListener::new(address, tls.load()?));
            return Ok((Listener::Tls(listener, Arc::clone(&tls)), tls));
        }
        let why = format!("cannot listen on {address} with TLS (expected HOST:PORT or [V6]:PORT)");
        Err(io::Error::new(ErrorKind::InvalidInput, why))
    }

    /// Returns the address of the socket.
    pub(crate) fn address(&self) -> io::Result<Address> {
        match self {
            Listener::Tcp(listener) => listener.local_addr().map(Address::Tcp),
            #[cfg(feature = "tls")]
            Listener::Tls(listener, _) => listener.local_addr().map(Address::Tcp),
            Listener::Unix(listener, _) => {
                let address = listener.local_addr()?;
                Ok(Address::Unix(address.as_pathname().unwrap_or(Path::new("")).into()))
            }
        }
    }

    /// Registers the socket with the event loop of this thread.
    pub(crate) fn into_acceptor(self) -> io::Result<Acceptor> {
        let address = Arc::new(self.address()?);
        let local = RefCell::new(Arc::clone(&address));
        match self {
            Listener::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                Ok(Acceptor {
                    socket: AcceptorSocket::Tcp(TcpListener::from_std(listener)?),
                    address,
                    local,
                    #[cfg(feature = "tls")]
                    tls: None,
                })
            }
            #[cfg(feature = "tls")]
            Listener::Tls(listener, tls) => {
                Ok(Acceptor { tls: Some(tls), ..Listener::Tcp(listener).into_acceptor()? })
            }
            Listener::Unix(listener, path) => {
                listener.set_nonblocking(true)?;
                Ok(Acceptor {
                    socket: AcceptorSocket::Unix(UnixListener::from_std(listener)?, path),
                    address,
                    local,
                    #[cfg(feature = "tls")]
                    tls: None,
                })
            }
        }
    }
}

/// A socket that accepts connections.
pub(crate) struct Acceptor {
    socket: AcceptorSocket,
    address: Arc<Address>,
    /// The local address of the last connection, which is one of several if the socket listens on all of
    /// them.
    local: RefCell<Arc<Address>>,
    /// The TLS configuration, if the clients use TLS.
    #[cfg(feature = "tls")]
    tls: Option<Arc<TlsListener>>,
}

/// The security of a connection: TLS, or none.
pub(crate) struct Security {
    #[cfg(feature = "tls")]
    tls: Option<Arc<LoadedTls>>,
    /// The time for a TLS handshake.
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "only a TLS handshake has a limit"))]
    limit: Option<Duration>,
}

impl Security {
    /// Starts a TLS handshake, if the clients use TLS.
    pub(crate) fn add_to(self, stream: Stream) -> Stream {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls
            && let Stream::Tcp(socket) = stream
        {
            return Stream::Tls(Tls::accept(tls, socket, self.limit));
        }
        stream
    }
}

enum AcceptorSocket {
    Tcp(TcpListener),
    Unix(UnixListener, #[expect(dead_code, reason = "removes the file when dropped")] Option<OwnedPath>),
}

impl Acceptor {
    /// Logs the address, once it accepts connections.
    pub(crate) fn log_address(&self) {
        #[cfg(feature = "tls")]
        let tls = if self.tls.is_some() { " (TLS)" } else { "" };
        #[cfg(not(feature = "tls"))]
        let tls = "";
        tracing::info!(target: "thegiant::listening", "listening on {}{tls}", self.address);
    }

    /// Returns the next connection and its endpoints.
    ///
    /// An error does not end it: it logs the error with `warning`, waits, and tries again.
    pub(crate) async fn accept(&self, warning: &Warning) -> (Stream, Endpoints) {
        loop {
            match self.try_accept().await {
                Ok(accepted) => return accepted,
                Err(error) if is_connection_error(&error) => {}
                Err(error) => {
                    // The process is probably out of file descriptors. Some connections have to close first.
                    warning
                        .log(|| tracing::warn!(address = %self.address, %error, "cannot accept connections"));
                    actix_rt::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// Sends an error to a rejected client, best effort, without waiting for the socket.
    pub(crate) fn refuse(&self, stream: &Stream, error: &Error) {
        // A TLS client would take the error for the beginning of a handshake. Redis sends nothing either.
        #[cfg(feature = "tls")]
        if self.tls.is_some() {
            return;
        }
        let mut out = Encoder::default();
        out.error(error);
        stream.send_now(&out.to_vec());
    }

    /// Returns what an admitted client adds to its stream. `limit` is the time for a TLS handshake.
    pub(crate) fn security(&self, limit: Option<Duration>) -> Security {
        Security {
            #[cfg(feature = "tls")]
            tls: self.tls.as_ref().map(|tls| tls.current()),
            limit,
        }
    }

    /// Returns a local address that is shared by the clients that have connected to it.
    fn shared_address(&self, address: Address) -> Arc<Address> {
        let mut last = self.local.borrow_mut();
        if **last != address {
            *last = Arc::new(address);
        }
        Arc::clone(&last)
    }

    async fn try_accept(&self) -> io::Result<(Stream, Endpoints)> {
        match &self.socket {
            AcceptorSocket::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                let local = self.shared_address(Address::Tcp(stream.local_addr()?));
                let endpoints = Endpoints { peer: Address::Tcp(peer), local, descriptor: stream.as_raw_fd() };
                Ok((Stream::Tcp(stream), endpoints))
            }
            AcceptorSocket::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                let (peer, local) = (Address::clone(&self.address), Arc::clone(&self.address));
                let endpoints = Endpoints { peer, local, descriptor: stream.as_raw_fd() };
                Ok((Stream::Unix(stream), endpoints))
            }
        }
    }
}

/// Sets the socket options of an accepted connection.
pub(crate) fn tune(stream: &TcpStream, settings: &Settings) -> io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    if let Some(limit) = settings.time(Setting::TcpUserTimeout) {
        SockRef::from(stream).set_tcp_user_timeout(Some(limit))?;
    }
    let Some(idle) = settings.time(Setting::TcpKeepalive) else { return Ok(()) };
    // The kernel takes whole seconds, and does not accept 0.
    let idle = Duration::from_secs(idle.as_millis().div_ceil(1000) as u64);
    // As in Redis: three probes, which together take as long as the idle time.
    let interval = (idle / 3).max(Duration::from_secs(1));
    let keepalive = TcpKeepalive::new().with_time(idle).with_interval(interval).with_retries(3);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// Returns whether the error concerns one incoming connection, and not this process.
fn is_connection_error(error: &io::Error) -> bool {
    use ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted, NetworkDown,
        NetworkUnreachable, PermissionDenied,
    };
    matches!(
        error.kind(),
        ConnectionAborted
            | ConnectionRefused
            | ConnectionReset
            | HostUnreachable
            | Interrupted
            | NetworkDown
            | NetworkUnreachable
            | PermissionDenied
    )
}

fn bind_first(address: &str) -> io::Result<Listener> {
    let mut last = io::Error::new(ErrorKind::InvalidInput, "the host name has no address");
    for address in address.to_socket_addrs()? {
        match bind_tcp(address) {
            Ok(listener) => return Ok(Listener::Tcp(listener)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn bind_tcp(address: SocketAddr) -> io::Result<StdTcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        // Without this, `[::]` would also occupy the port of `0.0.0.0`.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn bind_unix(path: &Path) -> io::Result<Listener> {
    remove_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&socket2::SockAddr::unix(path)?)?;
    socket.listen(BACKLOG)?;
    Ok(Listener::Unix(socket.into(), Some(OwnedPath(path.into()))))
}

/// Removes the socket file of a process that has crashed.
fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    let refused =
        || StdUnixStream::connect(path).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused);
    if is_socket && refused() { fs::remove_file(path) } else { Ok(()) }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[actix_rt::test]
    async fn the_user_timeout_is_set() {
        let settings = Settings::default();
        let user_timeout = async |settings: &Settings| -> io::Result<Option<Duration>> {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let _peer = TcpStream::connect(listener.local_addr()?).await?;
            let (accepted, _) = listener.accept().await?;
            tune(&accepted, settings)?;
            SockRef::from(&accepted).tcp_user_timeout()
        };
        assert_eq!(user_timeout(&settings).await.ok(), Some(None));
        for (millis, limit) in [(1500, Some(Duration::from_millis(1500))), (0, None)] {
            settings.set(Setting::TcpUserTimeout, millis);
            assert_eq!(user_timeout(&settings).await.ok(), Some(limit));
        }
    }
}
