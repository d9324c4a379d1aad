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

#[cfg(feature = "tls")]
use crate::tls::ServerTls;
use crate::{
    App, Error,
    connection::{Address, ClientsCron, CloseRequest, Connection, ServerConfig, ServerState, Stream},
    keyspace::Events,
    listener::{Acceptor, Listener, tune},
    settings::{self, Setting, Settings},
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
    settings: Settings,
    password: Option<Box<[u8]>>,
    allow_shutdown: bool,
    /// SIGTERM and SIGINT stop it.
    signals: bool,
    listeners: Vec<Listener>,
    handle: ServerHandle,
    stops: mpsc::UnboundedReceiver<()>,
}

impl Server {
    /// A server of this application that listens nowhere yet.
    pub fn new(app: App) -> Self {
        let (stop, stops) = mpsc::unbounded_channel();
        let handle = ServerHandle { stop };
        Server {
            app,
            settings: Settings::default(),
            password: None,
            allow_shutdown: false,
            signals: true,
            listeners: Vec::new(),
            handle,
            stops,
        }
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

    /// Listens on an address as [`bind`](Self::bind) does, for clients that speak TLS. It cannot be the path of a unix socket.
    ///
    /// A client is one of [`max_clients`](Self::max_clients) from the start, and has as much time for its handshake as for its
    /// password ([`auth_timeout`](Self::auth_timeout)). To one that is turned away, because there are too many or because of
    /// [`protected_mode`](Self::protected_mode), nothing can be said before that: it is closed without a word.
    ///
    /// ```no_run
    /// use thegiant::{ServerTls, prelude::*};
    ///
    /// #[actix::main]
    /// async fn main() -> std::io::Result<()> {
    ///     let app = App::new().fallback(|_: &Call| Simple("hello"));
    ///     let tls = ServerTls::new("server.crt", "server.key");
    ///     Server::new(app).bind("127.0.0.1:6380")?.bind_tls("0.0.0.0:6381", tls)?.password("secret").run().await
    /// }
    /// ```
    ///
    /// # Errors
    /// As those of [`bind`](Self::bind); and if a file of `tls` cannot be used: which, and why.
    #[cfg(feature = "tls")]
    pub fn bind_tls(mut self, address: impl AsRef<str>, tls: ServerTls) -> io::Result<Self> {
        self.listeners.push(Listener::bind_tls(address.as_ref(), &tls)?);
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
    pub fn max_clients(self, clients: usize) -> Self {
        self.set(Setting::MaxClients, clients as u64)
    }

    /// Closes the connection of a client that has sent nothing for this long (`timeout`), to the
    /// second. `None`, unless set: never. Who waits for an answer is not idle, nor is
    /// who has subscribed to something or has been [pushed](crate::Client::push) something.
    pub fn timeout(self, idle: Option<Duration>) -> Self {
        self.set_seconds(Setting::Timeout, idle)
    }

    /// Closes the connection of a client that has begun a request and not ended it after this long
    /// (`request-timeout`), to the second. `None`, unless set: never.
    pub fn request_timeout(self, wait: Option<Duration>) -> Self {
        self.set_seconds(Setting::RequestTimeout, wait)
    }

    /// How long a command may wait for its reply (`reply-timeout`), to the second; then `-TIMEOUT …` is
    /// answered. `None`, unless set: as long as it takes.
    ///
    /// It is for commands that are answered later (see [`Responder`](crate::Responder)) and say nothing of it
    /// themselves.
    pub fn reply_timeout(self, wait: Option<Duration>) -> Self {
        self.set_seconds(Setting::ReplyTimeout, wait)
    }

    /// What happens to a client for which more is [pushed](crate::Client::push) than its
    /// [limit](Self::output_limit) allows (`drop-oldest-push`). It is disconnected, unless set.
    pub fn slow_consumers(self, what: SlowConsumers) -> Self {
        self.set(Setting::DropOldestPush, (what == SlowConsumers::DropOldest).into())
    }

    /// Has the system probe silent peers after this time (`tcp-keepalive`), so that a connection
    /// whose peer has vanished ends. 300 s unless set.
    pub fn tcp_keepalive(self, idle: Option<Duration>) -> Self {
        self.set_seconds(Setting::TcpKeepalive, idle)
    }

    /// Databases that `SELECT` can choose from (`databases`): see [`Client::db`](crate::Client::db).
    /// 16 unless set.
    pub fn databases(self, databases: u16) -> Self {
        self.set(Setting::Databases, databases.into())
    }

    /// Bytes of one argument (`proto-max-bulk-len`); more is a protocol error. 512 MiB unless set.
    pub fn max_bulk_len(self, bytes: usize) -> Self {
        self.set(Setting::MaxBulkLen, bytes as u64)
    }

    /// Bytes of one request that is not complete yet (`client-query-buffer-limit`); a client that
    /// sends more is closed. 1 GiB unless set, and at most 2 GiB.
    pub fn query_buffer_limit(self, bytes: usize) -> Self {
        self.set(Setting::QueryBufferLimit, bytes as u64)
    }

    /// Bytes that may wait to be sent to one client (`client-output-buffer-limit`); a client for
    /// which more waits is closed. Unless set, there is no limit for replies, and for what is pushed
    /// it is 32 MiB, or 8 MiB for 60 s.
    pub fn output_limit(self, class: ClientClass, limit: OutputLimit) -> Self {
        self.settings.set_output_limit(class.setting(), limit.0);
        self
    }

    /// Bytes that the buffers of all clients may take (`maxmemory-clients`): of requests that have not
    /// arrived whole, and of what waits to be sent. Beyond that, the clients with the biggest are
    /// closed, those aside that said `CLIENT NO-EVICT on`. Unless set, there is no limit.
    pub fn max_client_memory(self, bytes: usize) -> Self {
        self.set(Setting::MaxMemoryClients, bytes as u64)
    }

    /// Has clients authenticate with this password, as the user `default`: by `AUTH` or `HELLO … AUTH`.
    /// Before they have, other commands are answered with `NOAUTH`, and only little is read. An empty
    /// password is none.
    ///
    /// An application that has an `AUTH` of its own answers that itself; then none is to be set here.
    pub fn password(mut self, password: impl Into<Vec<u8>>) -> Self {
        self.password = Some(password.into().into_boxed_slice()).filter(|password| !password.is_empty());
        self
    }

    /// How long a client may take to [authenticate](Self::password) before it is closed
    /// (`auth-timeout`), to the second. 60 s unless set; `None` is never. A client that speaks TLS has as long for its
    /// handshake, whether there is a password or not.
    pub fn auth_timeout(self, wait: Option<Duration>) -> Self {
        self.set_seconds(Setting::AuthTimeout, wait)
    }

    /// Whether clients from other machines are turned away as long as there is no
    /// [password](Self::password) (`protected-mode`). They are, unless set: whoever listens on all
    /// addresses should know what that means.
    pub fn protected_mode(self, protected: bool) -> Self {
        self.set(Setting::ProtectedMode, protected.into())
    }

    /// Whether `DEBUG` is answered (`enable-debug-command`): for tests of clients. It is not, unless
    /// set.
    pub fn debug_commands(self, enabled: bool) -> Self {
        self.set(Setting::DebugCommands, enabled.into())
    }

    /// Whether a client may stop the server with `SHUTDOWN`. It may not, unless set.
    pub fn allow_shutdown(mut self, allowed: bool) -> Self {
        self.allow_shutdown = allowed;
        self
    }

    /// Keeps commands that took at least this long for `SLOWLOG` (`slowlog-log-slower-than`). `None`,
    /// unless set: none are kept, since each command has to be timed for it, which costs what
    /// [`latency_tracking`](Self::latency_tracking) costs.
    pub fn slowlog_slower_than(self, took: Option<Duration>) -> Self {
        let micros = took.map_or(-1, |took| i64::try_from(took.as_micros()).unwrap_or(i64::MAX));
        self.set(Setting::SlowlogLogSlowerThan, micros as u64)
    }

    /// How many commands `SLOWLOG` keeps (`slowlog-max-len`). 128 unless set.
    pub fn slowlog_max_len(self, entries: usize) -> Self {
        self.set(Setting::SlowlogMaxLen, entries as u64)
    }

    /// Whether commands are timed (`latency-tracking`), for `LATENCY HISTOGRAM` and for `INFO`'s
    /// `commandstats` and `latencystats`. They are not, unless set: it takes some 40 ns a command. To
    /// clients that wait for each reply that is 1 % of what a command costs, with 16 requests in a pipeline
    /// 12 %, with 512 of them 70 %.
    pub fn latency_tracking(self, tracked: bool) -> Self {
        self.set(Setting::LatencyTracking, tracked.into())
    }

    /// Of how many keys it is known who has read them, for clients that keep what they read
    /// (`tracking-table-max-keys`). Whoever has read one beyond that, or one of more than 1 KiB, is told that it may
    /// have changed. 1,000,000 unless set; 0 is no limit.
    pub fn tracking_table_max_keys(self, keys: usize) -> Self {
        self.set(Setting::TrackingTableMaxKeys, keys as u64)
    }

    /// Which events of keys are published (`notify-keyspace-events`): letters for [classes](crate::EventClass) of
    /// them, `A` for all of these, and where, `K` for the channel `__keyspace@0__:key`, `E` for
    /// `__keyevent@0__:event`. None are, unless set.
    ///
    /// An event is published for each key that a row with the flag `write` has changed, see
    /// [`Keyspace`](crate::Keyspace). Its name is that of the command, `set`, unless the row says otherwise,
    /// `event = "incrby"`; its class comes from the group of the row.
    ///
    /// # Panics
    /// If a letter means nothing.
    #[track_caller]
    pub fn notify_keyspace_events(self, letters: &str) -> Self {
        let Some(events) = Events::parse(letters) else {
            panic!("{letters:?} is not made of letters of `Ag$lshzxeKEtmdn`");
        };
        self.set(Setting::NotifyKeyspaceEvents, events.bits())
    }

    /// How long a stop waits for clients to take their last replies (`shutdown-timeout`), to the
    /// second. 10 s unless set.
    pub fn shutdown_timeout(self, wait: Duration) -> Self {
        self.set_seconds(Setting::ShutdownTimeout, Some(wait))
    }

    /// Leaves SIGTERM and SIGINT to the rest of the program, which stops the server by its
    /// [`handle`](Self::handle).
    pub fn disable_signals(mut self) -> Self {
        self.signals = false;
        self
    }

    fn set(self, setting: Setting, value: u64) -> Self {
        self.settings.set(setting, value);
        self
    }

    fn set_seconds(self, setting: Setting, time: Option<Duration>) -> Self {
        self.settings.set_seconds(setting, time);
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
        if self.listeners.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a server needs an address to listen on",
            ));
        }
        self.prepare().run().await
    }

    /// All that connections need is there.
    pub(crate) fn prepare(self) -> BoundServer {
        let addresses = self.addresses();
        let Server { app, settings, password, allow_shutdown, signals, listeners, handle, stops } = self;
        let stop = allow_shutdown.then(|| handle.stop.clone());
        let server = Arc::new(ServerState::new(
            app.into_config(),
            ServerConfig { settings, password, stop, addresses },
        ));
        BoundServer { server, signals, listeners, handle, stops }
    }
}

/// A server that may have clients.
pub(crate) struct BoundServer {
    pub(crate) server: Arc<ServerState>,
    signals: bool,
    listeners: Vec<Listener>,
    /// It holds a sender itself, so the channel outlives the last handle.
    handle: ServerHandle,
    stops: mpsc::UnboundedReceiver<()>,
}

impl BoundServer {
    /// Serves until it is told to stop.
    pub(crate) async fn run(self) -> io::Result<()> {
        let BoundServer { server, signals, listeners, handle, mut stops } = self;
        let mut stopping = Tasks::default();
        if signals {
            stopping.0.push(stop_at(SignalKind::terminate(), handle.clone())?);
            stopping.0.push(stop_at(SignalKind::interrupt(), handle.clone())?);
        }
        let mut keeping = Tasks::default();
        keeping.0.push(actix_rt::spawn(run_cron(Arc::clone(&server))));
        let mut serving = Tasks::default();
        for listener in listeners {
            let acceptor = listener.into_acceptor()?;
            serving.0.push(actix_rt::spawn(accept(acceptor, Arc::clone(&server))));
        }

        stops.recv().await;
        tracing::info!(clients = server.clients.len(), "stopping");
        drop(serving);
        let wait = server.settings.seconds(Setting::ShutdownTimeout).unwrap_or_default();
        let drained = actix_rt::time::timeout(wait, server.clients.close_all());
        let outcome = match first(drained, stops.recv()).await {
            First::Left(_) => Ok(()),
            First::Right(_) => Err(io::Error::new(io::ErrorKind::Interrupted, "stopped by a second signal")),
        };
        let left = server.clients.all();
        if !left.is_empty() {
            tracing::warn!(clients = left.len(), "stopped before these clients took their replies");
        }
        left.iter().for_each(|client| client.request_close(CloseRequest::Now));
        outcome
    }
}

/// What waits to be sent to a client: `client-output-buffer-limit` has a limit for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientClass {
    /// `normal`: replies. While there are a megabyte of them, no more requests are run.
    Normal,
    /// `pubsub`: what is pushed, which nobody has asked for at this moment.
    PubSub,
}

impl ClientClass {
    fn setting(self) -> Setting {
        match self {
            ClientClass::Normal => Setting::NormalOutputLimit,
            ClientClass::PubSub => Setting::PushOutputLimit,
        }
    }
}

/// What happens to a client that does not read what is pushed to it; see [`Server::slow_consumers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlowConsumers {
    /// It is closed when more waits for it than its limit allows.
    Disconnect,
    /// It loses the oldest pushes that wait for it, until the rest is within the hard limit; the soft limit
    /// is of no importance.
    DropOldest,
}

/// How many bytes may wait to be sent to a client; see [`Server::output_limit`].
///
/// ```
/// use std::time::Duration;
/// use thegiant::OutputLimit;
///
/// const MIB: usize = 1024 * 1024;
/// let limit = OutputLimit::hard(32 * MIB).soft(8 * MIB, Duration::from_secs(60));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct OutputLimit(settings::OutputLimit);

impl OutputLimit {
    /// No limit.
    pub const NONE: OutputLimit = OutputLimit::hard(0);

    /// So many bytes at once, and the client is closed. 0 is no limit.
    pub const fn hard(bytes: usize) -> Self {
        OutputLimit(settings::OutputLimit { hard: bytes as u64, soft: 0, soft_seconds: 0 })
    }

    /// Also so many bytes for so long, to the second.
    pub const fn soft(mut self, bytes: usize, time: Duration) -> Self {
        self.0.soft = bytes as u64;
        self.0.soft_seconds = time.as_secs();
        self
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
async fn accept(acceptor: Acceptor, server: Arc<ServerState>) {
    loop {
        let (stream, endpoints) = acceptor.accept().await;
        if is_protected_from(&endpoints.peer, &server) {
            server.stats.rejected();
            acceptor.refuse(&stream, &PROTECTED);
            continue;
        }
        let Some(client) = server.admit(endpoints) else {
            server.stats.rejected();
            acceptor.refuse(&stream, &FULL);
            continue;
        };
        server.stats.accepted();
        if let Stream::Tcp(stream) = &stream
            && let Err(error) = tune(stream, server.settings.seconds(Setting::TcpKeepalive))
        {
            tracing::debug!(
                id = client.id(), client = %client.addr(), %error,
                "cannot set the options of a socket"
            );
        }
        tracing::debug!(id = client.id(), client = %client.addr(), "connection opened");
        #[cfg(feature = "tls")]
        let stream = acceptor.open(stream, server.settings.seconds(Setting::AuthTimeout));
        Connection::start(stream, Arc::clone(&server), client);
    }
}

const FULL: Error = Error::from_static("ERR max number of clients reached");

/// The first two sentences are those of Redis; what can be done about it is not the same.
const PROTECTED: Error = Error::from_static(
    "DENIED Redis is running in protected mode because protected mode is enabled and no password is set for the \
     default user. In this mode connections are only accepted from the loopback interface. If you want to connect \
     from external computers, you may adopt one of the following solutions: 1) Disable protected mode by sending \
     the command 'CONFIG SET protected-mode no' from the loopback interface, by connecting from the same host the \
     server is running. 2) Have the program switch protected mode off. 3) Have the program set a password.",
);

/// Whether it is a client from elsewhere, at a server that is meant for this machine.
fn is_protected_from(peer: &Address, server: &ServerState) -> bool {
    let is_protected = server.settings.flag(Setting::ProtectedMode) && server.password.is_none();
    is_protected && !peer.is_local()
}

/// Tells the time, and looks after the clients.
async fn run_cron(server: Arc<ServerState>) {
    let mut clients_cron = ClientsCron::default();
    let mut every_second = actix_rt::time::interval(Duration::from_secs(1));
    loop {
        every_second.tick().await;
        server.tick();
        clients_cron.run(&server);
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
