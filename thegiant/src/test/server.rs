//! A server without a socket.

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
    connection::{Address, Connection, Ends, ServerState, Stream},
};

/// So many bytes are on their way between client and server at most, in each direction.
const IN_FLIGHT: usize = 64 * 1024;

/// A server that is talked to in memory. It ends, at once, when it is dropped.
///
/// The [module](crate::test) says how it is used.
pub struct TestServer {
    server: Arc<ServerState>,
    handle: crate::ServerHandle,
    running: Option<JoinHandle<io::Result<()>>>,
    address: Arc<Address>,
}

impl TestServer {
    /// Serves an application.
    ///
    /// # Panics
    /// If there is no actix system running: use `#[actix::test]`.
    pub fn start(app: App) -> Self {
        Self::with(Server::new(app))
    }

    /// Serves what this server would serve, with its limits, and on its sockets as well if it is bound to any.
    ///
    /// # Panics
    /// If there is no actix system running: use `#[actix::test]`.
    pub fn with(server: Server) -> Self {
        let handle = server.handle();
        let served = server.disable_signals().prepare();
        let server = Arc::clone(&served.server);
        let running = Some(actix_rt::spawn(served.run()));
        TestServer { server, handle, running, address: Arc::new(nowhere()) }
    }

    /// Where it listens, if it is bound: with the port that it was given where port 0 was asked for. That is where
    /// client libraries can be tried; a [`TestClient`] [connects](TestClient::connect) there, too.
    pub fn addresses(&self) -> &[Address] {
        &self.server.addresses
    }

    /// A client that has connected just now. It comes from this machine, and from port 0.
    ///
    /// # Panics
    /// If there are as many clients as the server may have.
    pub fn connect(&self) -> TestClient {
        let (ours, theirs) = duplex(IN_FLIGHT);
        let ends = Ends { peer: nowhere(), local: Arc::clone(&self.address), descriptor: -1 };
        let client = self.server.admit(ends).expect("there are fewer clients than the server may have");
        self.server.stats.accepted();
        Connection::start(Stream::Memory(theirs), Arc::clone(&self.server), client);
        TestClient::new(ours)
    }

    /// Stops it as a signal would, and waits until it has ended.
    ///
    /// # Errors
    /// As [`Server::run`].
    pub async fn stop(mut self) -> io::Result<()> {
        self.handle.stop();
        let Some(running) = self.running.take() else { return Ok(()) };
        running.await.map_err(io::Error::other)?
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        // At the second call it does not wait for clients.
        self.handle.stop();
        self.handle.stop();
    }
}

impl fmt::Debug for TestServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestServer").field("clients", &self.server.clients.len()).finish_non_exhaustive()
    }
}

fn nowhere() -> Address {
    Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
}
