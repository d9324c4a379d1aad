//! A server in memory.

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use actix_rt::task::JoinHandle;
use tokio::io::duplex;

use super::TestClient;
use crate::{
    App, Server,
    client::{Address, Endpoints},
    conn::Connection,
    server_state::ServerState,
    stream::Stream,
};

/// Size of the buffer between client and server in each direction, in bytes.
const BUFFER_SIZE: usize = 64 * 1024;

/// A server that clients connect to in memory.
///
/// Dropping it stops it at once, and closes the connections of its clients.
///
/// See the [module](mod@crate::test) for an example.
pub struct TestServer {
    server: Arc<ServerState>,
    handle: crate::ServerHandle,
    running: Option<JoinHandle<io::Result<()>>>,
    address: Arc<Address>,
    /// Clients hold weak references, which tell them that the server was dropped.
    exists: Arc<()>,
}

impl TestServer {
    /// Starts a server for an application, with the default settings.
    ///
    /// # Panics
    /// Panics if no actix system is running: use `#[thegiant::test]`.
    pub fn start(app: App) -> Self {
        Self::with(Server::new(app))
    }

    /// Starts a configured server. If the server is bound to sockets, it also serves those.
    ///
    /// # Panics
    /// Panics if no actix system is running: use `#[thegiant::test]`. Panics if the rules of a
    /// [user](Server::user) have a mistake.
    pub fn with(server: Server) -> Self {
        let handle = server.handle();
        let served = server.disable_signals().prepare().expect("users without mistakes");
        let server = Arc::clone(&served.server);
        let running = Some(actix_rt::spawn(served.run()));
        TestServer { server, handle, running, address: Arc::new(loopback()), exists: Arc::default() }
    }

    /// Returns the addresses that the server is bound to.
    ///
    /// For port 0, the address has the port that the system chose. Client libraries can connect there, and
    /// [`TestClient::connect`] can, too.
    pub fn addrs(&self) -> &[Address] {
        &self.server.addresses
    }

    /// Returns a new client, connected in memory. Its address is the loopback address with port 0.
    ///
    /// # Panics
    /// Panics if the server has reached its maximum number of clients.
    pub fn connect(&self) -> TestClient {
        let (ours, theirs) = duplex(BUFFER_SIZE);
        let endpoints = Endpoints { peer: loopback(), local: Arc::clone(&self.address), descriptor: -1 };
        let client = self.server.admit(endpoints).expect("fewer clients than the limit of the server");
        self.server.stats.accepted(0);
        Connection::start(Stream::Memory(theirs), Arc::clone(&self.server), client, 0);
        TestClient::new(ours, Some(Arc::downgrade(&self.exists)))
    }

    /// Stops the server gracefully, as a signal does, and waits until it has stopped.
    ///
    /// # Errors
    /// The errors of [`Server::run`].
    pub async fn stop(mut self) -> io::Result<()> {
        self.handle.stop();
        let Some(running) = self.running.take() else { return Ok(()) };
        running.await.map_err(io::Error::other)?
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        // The second call stops the server without waiting for its clients.
        self.handle.stop();
        self.handle.stop();
    }
}

impl fmt::Debug for TestServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestServer").field("clients", &self.server.clients.len()).finish_non_exhaustive()
    }
}

fn loopback() -> Address {
    Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
}
