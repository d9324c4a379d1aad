//! Serving an application.

use std::{
    future::{Future, poll_fn},
    io,
    net::TcpListener,
    os::unix::net::UnixListener,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    task::JoinHandle,
};

use crate::{
    App, Error,
    connection::{Address, Connection, Shared, Stream, Wish},
    listener::{Acceptor, Listener, tune},
    options::Options,
    resp::Encoder,
};

/// Serves an [`App`] to any number of clients, on the thread it runs on.
///
/// ```no_run
/// use thegiant::prelude::*;
///
/// #[actix::main]
/// async fn main() -> std::io::Result<()> {
///     let app = App::new().fallback(|_: &Call| Simple("hello"));
///     let server = Server::new(app).bind("127.0.0.1:6380")?.bind("unix:/run/hello.sock")?;
///     for address in server.addresses() {
///         println!("listening on {address}");
///     }
///     server.run().await
/// }
/// ```
#[derive(Debug)]
#[must_use = "a server serves when it is run"]
pub struct Server {
    app: App,
    options: Options,
    listeners: Vec<Listener>,
    handle: ServerHandle,
    stops: mpsc::UnboundedReceiver<()>,
}

impl Server {
    /// A server of this application that listens nowhere yet.
    pub fn new(app: App) -> Self {
        let (stop, stops) = mpsc::unbounded_channel();
        let handle = ServerHandle { stop };
        Server { app, options: Options::default(), listeners: Vec::new(), handle, stops }
    }

    /// Listens on an address: `127.0.0.1:6380`, `[::1]:6380`, `localhost:6380` or
    /// `unix:/run/app.sock`. Port 0 takes a free one, which [`addresses`](Self::addresses) tells.
    /// It can be called several times.
    ///
    /// A socket file that nobody listens on is replaced; the server removes its own when it ends.
    ///
    /// # Errors
    /// If the address cannot be understood, or is in use.
    pub fn bind(mut self, address: impl AsRef<str>) -> io::Result<Self> {
        self.listeners.push(Listener::bind(address.as_ref())?);
        Ok(self)
    }

    /// Takes connections from a socket that listens already, perhaps inherited from a supervisor.
    pub fn listen(mut self, listener: TcpListener) -> Self {
        self.listeners.push(Listener::Tcp(listener));
        self
    }

    /// Takes connections from a unix socket that listens already. Its file is not removed.
    pub fn listen_unix(mut self, listener: UnixListener) -> Self {
        self.listeners.push(Listener::Unix(listener, None));
        self
    }

    /// Clients served at once (`maxclients`); one more gets an error and is closed. 10,000 unless set.
    pub fn max_clients(mut self, clients: usize) -> Self {
        self.options.max_clients = clients;
        self
    }

    /// Closes the connection of a client that has sent nothing for this long (`timeout`), to the
    /// second. `None`, unless set: never.
    pub fn timeout(mut self, idle: Option<Duration>) -> Self {
        self.options.timeout = idle.filter(|idle| !idle.is_zero());
        self
    }

    /// Has the system probe silent peers after this time (`tcp-keepalive`), so that a connection
    /// whose peer has vanished ends. 300 s unless set.
    pub fn tcp_keepalive(mut self, idle: Option<Duration>) -> Self {
        self.options.tcp_keepalive = idle.filter(|idle| !idle.is_zero());
        self
    }

    /// Databases that `SELECT` can choose from (`databases`): see [`Client::db`](crate::Client::db).
    /// 16 unless set.
    pub fn databases(mut self, databases: u16) -> Self {
        self.options.databases = databases;
        self
    }

    /// Bytes of one argument (`proto-max-bulk-len`); more is a protocol error. 512 MiB unless set.
    pub fn max_bulk_len(mut self, bytes: usize) -> Self {
        self.options.max_bulk_len = bytes;
        self
    }

    /// Bytes of one request that is not complete yet (`client-query-buffer-limit`); a client that
    /// sends more is closed. 1 GiB unless set, and at most 2 GiB.
    pub fn query_buffer_limit(mut self, bytes: usize) -> Self {
        self.options.query_buffer_limit = bytes.min(1 << 31);
        self
    }

    /// How long a stop waits for clients to take their last replies (`shutdown-timeout`). 10 s
    /// unless set.
    pub fn shutdown_timeout(mut self, wait: Duration) -> Self {
        self.options.shutdown_timeout = wait;
        self
    }

    /// Leaves SIGTERM and SIGINT to the rest of the program, which stops the server by its
    /// [`handle`](Self::handle).
    pub fn disable_signals(mut self) -> Self {
        self.options.signals = false;
        self
    }

    /// Where it listens.
    pub fn addresses(&self) -> Vec<Address> {
        self.listeners.iter().filter_map(|listener| listener.address().ok()).collect()
    }

    /// A handle that stops it from elsewhere.
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// Serves until it is told to stop, by SIGTERM, SIGINT or a [`ServerHandle`].
    ///
    /// A stop is graceful: no more connections are accepted, what has been read is answered, and
    /// each client is closed when it has its replies, or after the
    /// [`shutdown_timeout`](Self::shutdown_timeout). A second signal ends it at once. The signals
    /// stay with the server for as long as the process lives, unless they are
    /// [disabled](Self::disable_signals).
    ///
    /// # Errors
    /// If there is no listener, if one cannot be used, or if a second signal ended it.
    ///
    /// # Panics
    /// If it does not run in an actix system.
    pub async fn run(self) -> io::Result<()> {
        // It holds a sender itself, so the channel outlives the last handle.
        let addresses = self.addresses();
        let Server { app, options, listeners, handle, mut stops } = self;
        if listeners.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a server needs an address to listen on",
            ));
        }
        let shared = Arc::new(Shared::new(app.into_routes(), options, addresses));
        let mut signals = Tasks::default();
        if shared.options.signals {
            signals.0.push(stop_at(SignalKind::terminate(), handle.clone())?);
            signals.0.push(stop_at(SignalKind::interrupt(), handle.clone())?);
        }
        let mut serving = Tasks::default();
        for listener in listeners {
            let acceptor = listener.into_acceptor()?;
            serving.0.push(actix_rt::spawn(accept(acceptor, Arc::clone(&shared))));
        }
        if let Some(timeout) = shared.options.timeout {
            serving.0.push(actix_rt::spawn(close_idle(timeout, Arc::clone(&shared))));
        }

        stops.recv().await;
        tracing::info!(clients = shared.client_count(), "stopping");
        drop(serving);
        let drained = actix_rt::time::timeout(shared.options.shutdown_timeout, shared.drain());
        let outcome = match first(drained, stops.recv()).await {
            First::Left(_) => Ok(()),
            First::Right(_) => Err(io::Error::new(io::ErrorKind::Interrupted, "stopped by a second signal")),
        };
        let left = shared.clients();
        if !left.is_empty() {
            tracing::warn!(clients = left.len(), "stopped before these clients took their replies");
        }
        left.iter().for_each(|client| client.ask(Wish::Die));
        outcome
    }
}

/// Tasks that end with their owner.
#[derive(Default)]
struct Tasks(Vec<JoinHandle<()>>);

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

/// Stops a [`Server`] from elsewhere. It is cheap to clone.
#[derive(Clone, Debug)]
pub struct ServerHandle {
    stop: mpsc::UnboundedSender<()>,
}

impl ServerHandle {
    /// Tells the server to stop, as SIGTERM does: at the first call in order, at the second at once.
    /// It does not wait.
    pub fn stop(&self) {
        // A server that has ended needs no telling.
        let _ = self.stop.send(());
    }
}

/// Accepts connections for ever.
async fn accept(acceptor: Acceptor, shared: Arc<Shared>) {
    loop {
        let (stream, address) = acceptor.accept().await;
        let Some(client) = shared.admit(address) else {
            refuse(&stream);
            continue;
        };
        if let Stream::Tcp(stream) = &stream
            && let Err(error) = tune(stream, shared.options.tcp_keepalive)
        {
            tracing::debug!(client = %client.addr(), %error, "cannot set the options of a socket");
        }
        tracing::debug!(client = %client.addr(), "connection opened");
        Connection::start(stream, Arc::clone(&shared), client);
    }
}

/// Tells a client that there is no room; if its socket does not take that at once, so be it.
fn refuse(stream: &Stream) {
    let mut out = Encoder::default();
    out.error(&Error::from_static("ERR max number of clients reached"));
    stream.send_now(&out.to_vec());
}

/// Closes clients that have been idle for too long.
async fn close_idle(timeout: Duration, shared: Arc<Shared>) {
    let sweeps = u32::try_from(timeout.as_secs()).unwrap_or(u32::MAX).max(1);
    let mut every_second = actix_rt::time::interval(Duration::from_secs(1));
    loop {
        every_second.tick().await;
        for client in shared.clients().iter().filter(|client| client.idle_sweep() > sweeps) {
            client.ask(Wish::Die);
        }
    }
}

/// Has each signal of this kind tell the server to stop.
///
/// In a task of its own: the event loop polls the future that it blocks on at every turn, which
/// should cost next to nothing.
fn stop_at(kind: SignalKind, handle: ServerHandle) -> io::Result<JoinHandle<()>> {
    let mut signals = signal(kind)?;
    Ok(actix_rt::spawn(async move {
        while signals.recv().await.is_some() {
            handle.stop();
        }
    }))
}

/// Which of two futures was ready first.
enum First<L, R> {
    Left(L),
    Right(R),
}

async fn first<L: Future, R: Future>(left: L, right: R) -> First<L::Output, R::Output> {
    let (mut left, mut right) = (pin!(left), pin!(right));
    poll_fn(|cx| match left.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(First::Left(output)),
        Poll::Pending => right.as_mut().poll(cx).map(First::Right),
    })
    .await
}
