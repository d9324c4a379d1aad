//! `Server`: the listeners and the settings.

use std::{
    fmt, io,
    net::TcpListener,
    num::NonZero,
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    thread,
    time::Duration,
};

use actix_rt::System;
use bytes::Bytes;
#[cfg(feature = "tls")]
use thegiant_tls::ServerTls;
use tokio::sync::mpsc;

use super::{BoundServer, Limits, ServerHandle, Timeouts, bound::BeforeStop};
use crate::{
    App, IntoApp,
    acl::{PasswordHash, UserConfig, without_password},
    client::Address,
    cluster::{Cluster, ClusterState, SlotUsers},
    keyspace::Events,
    listener::Listener,
    server_state::{ServerConfig, ServerState},
    settings::{DebugAccess, Setting, Settings},
    tenants::Tenants,
};

/// Serves an [`App`] on the thread that runs it, and on further threads with [`workers`](Self::workers).
///
/// ```no_run
/// use thegiant::prelude::*;
///
/// #[thegiant::main]
/// async fn main() -> std::io::Result<()> {
///     let app = App::new().fallback(|_: &Request| Simple("hello"));
///     let server = Server::new(app).bind("127.0.0.1:6380")?.bind("unix:/run/hello.sock")?;
///     for address in server.addrs() {
///         println!("listening on {address}");
///     }
///     server.run().await
/// }
/// ```
#[must_use = "a server does nothing until it is run"]
pub struct Server {
    app: Box<dyn FnOnce() -> App>,
    settings: Settings,
    users: UserConfig,
    tenants: Tenants,
    allow_shutdown: bool,
    /// SIGTERM and SIGINT stop the server, and SIGHUP reloads its certificates and its topology.
    signals: bool,
    listeners: Vec<Listener>,
    /// Number of threads that serve connections.
    workers: u16,
    handle: ServerHandle,
    stops: mpsc::UnboundedReceiver<()>,
    /// Work of the program that ends before the server stops.
    before_stop: Vec<BeforeStop>,
}

impl Server {
    /// Creates a server that does not listen yet.
    ///
    /// `app` is an [`App`], or a function that returns it. [`run`](Self::run) calls the function, so that no
    /// actor starts if the server cannot listen:
    ///
    /// ```no_run
    /// use thegiant::prelude::*;
    ///
    /// fn app() -> App {
    ///     App::new().fallback(|_: &Request| Simple("hello"))
    /// }
    ///
    /// #[thegiant::main]
    /// async fn main() -> std::io::Result<()> {
    ///     Server::new(app).bind("127.0.0.1:6380")?.run().await
    /// }
    /// ```
    ///
    /// An actor that was started before, and never ran because `main` returned an error, is started by actix
    /// while it is dropped, without an event loop. If it then sets a timer, it panics.
    pub fn new(app: impl IntoApp) -> Self {
        let (stop, stops) = mpsc::unbounded_channel();
        let handle = ServerHandle {
            stop,
            #[cfg(feature = "tls")]
            tls: Default::default(),
            cluster: Arc::default(),
            role: Arc::default(),
            server: Arc::default(),
        };
        Server {
            app: Box::new(move || app.into_app()),
            settings: Settings::default(),
            users: UserConfig::default(),
            tenants: Tenants::default(),
            allow_shutdown: false,
            signals: true,
            listeners: Vec::new(),
            workers: 1,
            handle,
            stops,
            before_stop: Vec::new(),
        }
    }

    /// Listens on an address: `127.0.0.1:6380`, `[::1]:6380`, `localhost:6380` or `unix:/run/app.sock`.
    ///
    /// Port 0 selects a free port, which [`addrs`](Self::addrs) returns. This method can be called
    /// several times.
    ///
    /// A stale socket file is replaced. The server removes its own socket files when it stops.
    ///
    /// # Errors
    /// If the address is invalid or in use.
    pub fn bind(mut self, address: impl AsRef<str>) -> io::Result<Self> {
        self.listeners.push(Listener::bind(address.as_ref())?);
        Ok(self)
    }

    /// Listens on an address for TLS clients, as [`bind`](Self::bind) does.
    ///
    /// Unix sockets are not supported.
    ///
    /// A client counts towards [`max_clients`](Limits::max_clients) before its handshake. The handshake has the
    /// same timeout as the authentication ([`Timeouts::auth`]). A client that is refused,
    /// by `max_clients` or by [`protected_mode`](Self::protected_mode), gets no error: its connection is
    /// closed.
    ///
    /// ```no_run
    /// use thegiant::{ServerTls, prelude::*};
    ///
    /// #[thegiant::main]
    /// async fn main() -> std::io::Result<()> {
    ///     let app = App::new().fallback(|_: &Request| Simple("hello"));
    ///     let tls = ServerTls::new("server.crt", "server.key");
    ///     Server::new(app).bind("127.0.0.1:6380")?.bind_tls("0.0.0.0:6381", tls)?.password("secret").run().await
    /// }
    /// ```
    ///
    /// When the files have changed, `SIGHUP`, [`ServerHandle::reload_tls`] or `CONFIG SET tls-cert-file …` lets new
    /// connections use them. A file that cannot be used changes nothing, and is an error in the log. `INFO tls` shows when
    /// the certificate ends, and the log warns of it every day from 14 days before.
    ///
    /// # Errors
    /// As [`bind`](Self::bind); also if a file of `tls` cannot be used. The error names the file and the
    /// reason.
    #[cfg(feature = "tls")]
    pub fn bind_tls(mut self, address: impl AsRef<str>, tls: ServerTls) -> io::Result<Self> {
        let (listener, tls) = Listener::bind_tls(address.as_ref(), &tls)?;
        self.listeners.push(listener);
        self.handle.tls.add(tls);
        Ok(self)
    }

    /// Listens on a unix socket, as [`bind`](Self::bind) with `unix:PATH` does.
    ///
    /// # Errors
    /// If the path cannot be used, or another program listens on it.
    pub fn bind_uds(mut self, path: impl AsRef<Path>) -> io::Result<Self> {
        self.listeners.push(Listener::bind_uds(path.as_ref())?);
        Ok(self)
    }

    /// Accepts connections from a listening socket, for example one that a supervisor has passed on.
    pub fn listen(mut self, listener: TcpListener) -> Self {
        self.listeners.push(Listener::Tcp(listener));
        self
    }

    /// Accepts connections from a listening unix socket. The server does not remove its file.
    pub fn listen_uds(mut self, listener: UnixListener) -> Self {
        self.listeners.push(Listener::Unix(listener, None));
        self
    }

    /// Sets limits. Those that the group does not contain keep their values.
    pub fn limits(self, limits: Limits) -> Self {
        self.settings.set_all(limits.into_changes());
        self
    }

    /// Sets timeouts. Those that the group does not contain keep their values.
    pub fn timeouts(self, timeouts: Timeouts) -> Self {
        self.settings.set_all(timeouts.into_changes());
        self
    }

    /// Sets the password of the user `default`.
    ///
    /// Clients authenticate with `AUTH` or `HELLO … AUTH`.
    ///
    /// Before that, other commands get a `NOAUTH` error, and the size of requests is limited. An empty
    /// password means none.
    ///
    /// After five failures, the next logins from an address are [delayed](Timeouts::auth_delay). For passwords that another program
    /// knows, see [`App::authenticate`].
    pub fn password(mut self, password: impl Into<Vec<u8>>) -> Self {
        let password = password.into();
        self.users.password = (!password.is_empty()).then(|| PasswordHash::of(&password));
        self
    }

    /// Adds a user, or changes `default`, with rules as in `ACL SETUSER`.
    ///
    /// ```no_run
    /// use thegiant::prelude::*;
    ///
    /// #[thegiant::main]
    /// async fn main() -> std::io::Result<()> {
    ///     let app = App::new().fallback(|_: &Request| Simple("hello"));
    ///     Server::new(app)
    ///         .bind("127.0.0.1:6380")?
    ///         .user("worker", "on >secret ~jobs:* +@read +@write -@dangerous")
    ///         .user("default", "off")
    ///         .run()
    ///         .await
    /// }
    /// ```
    ///
    /// A user without a password is for clients whose identity an actor knows ([`App::authenticate`]).
    ///
    /// [`run`](Self::run) returns an error if a rule has a mistake.
    pub fn user(mut self, name: impl Into<String>, rules: impl Into<String>) -> Self {
        let rules: String = rules.into();
        let rules = rules.split_ascii_whitespace().map(|rule| without_password(rule).into_owned());
        self.users.users.push((name.into(), rules.collect()));
        self
    }

    /// Puts a prefix before all keys and channels of a user, so that users share the server and do not see each other.
    ///
    /// A client does not know its prefix: keys in its requests get it, and keys in replies, invalidations and keyspace events
    /// come without it. The application needs no code for commands whose rows name their keys. Another command is refused,
    /// unless it has the flag `tenant_safe`; see [`Client::key_prefix`](crate::Client::key_prefix). So is a request for a
    /// [fallback](App::fallback). A proxy adds the prefix itself; see [`Proxy::prefix`](crate::proxy::Proxy::prefix).
    ///
    /// ```no_run
    /// use thegiant::prelude::*;
    ///
    /// #[thegiant::main]
    /// async fn main() -> std::io::Result<()> {
    ///     let app = App::new().fallback(|_: &Request| Simple("hello"));
    ///     Server::new(app)
    ///         .bind("127.0.0.1:6380")?
    ///         .user("alice", "on >secret ~* &* +@all -@admin")
    ///         .user("bob", "on >secret ~* &* +@all -@admin")
    ///         .key_prefix(|user| (user != "default").then(|| format!("{user}:")))
    ///         .run()
    ///         .await
    /// }
    /// ```
    ///
    /// The function is called at each login, and once for `default` when a client connects. `None` and an empty prefix mean none.
    /// [`Identity::key_prefix`](crate::Identity::key_prefix) takes precedence. Two prefixes must not begin with each other, or
    /// one user has the keys of the other: end each with the same character, which names do not contain. A prefix with a part in
    /// braces, such as `{alice}:`, keeps all keys of a user on one shard.
    ///
    /// Rules for keys and channels are about names with the prefix, as `MONITOR`, `SLOWLOG` and the middleware see them.
    pub fn key_prefix<F, P>(mut self, prefix_of: F) -> Self
    where
        F: Fn(&str) -> Option<P> + Send + Sync + 'static,
        P: Into<Bytes>,
    {
        self.tenants = Tenants::new(move |user| prefix_of(user).map(Into::into));
        self
    }

    /// Reads the users from a file (`aclfile`), whose lines are those of `ACL LIST`.
    ///
    /// `ACL LOAD` reads it again, and `ACL SAVE` writes it. All users are in the file, so the program sets neither a
    /// [password](Self::password) nor a [user](Self::user). [`run`](Self::run) returns an error if the file cannot be read,
    /// or has a mistake.
    pub fn acl_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.users.file = Some(path.into());
        self
    }

    /// Sets whether new users may use all channels (`acl-pubsub-default`, default `false`).
    ///
    /// By default, a user needs rules for channels, such as `&news:*` or `allchannels`.
    pub fn acl_pubsub_default(self, all_channels: bool) -> Self {
        self.set(Setting::AclPubSubDefault, u64::from(!all_channels))
    }

    /// Sets how many refused requests and logins `ACL LOG` keeps (`acllog-max-len`, default 128).
    pub fn acl_log_max_len(self, len: usize) -> Self {
        self.set(Setting::AclLogMaxLen, len as u64)
    }

    /// Sets whether the server refuses clients from other machines while it has no [password](Self::password)
    /// (`protected-mode`, default `true`).
    pub fn protected_mode(self, protected: bool) -> Self {
        self.set(Setting::ProtectedMode, protected.into())
    }

    /// Sets which clients may run `DEBUG`, a command for tests (`enable-debug-command`, default [`DebugAccess::No`]).
    ///
    /// ```
    /// use thegiant::{DebugAccess, prelude::*};
    ///
    /// let server = Server::new(App::new).debug_commands(DebugAccess::Local);
    /// ```
    pub fn debug_commands(self, access: DebugAccess) -> Self {
        self.set(Setting::DebugCommands, access as u64)
    }

    /// Sets whether a client may stop the server with `SHUTDOWN` (default `false`).
    pub fn allow_shutdown(mut self, allowed: bool) -> Self {
        self.allow_shutdown = allowed;
        self
    }

    /// Sets the minimum duration of the commands in `SLOWLOG`, in microseconds, rounded up (`slowlog-log-slower-than`,
    /// default `None`: off).
    ///
    /// It requires that each command is timed, at the cost that [`latency_tracking`](Self::latency_tracking)
    /// documents.
    pub fn slowlog_slower_than(self, took: impl Into<Option<Duration>>) -> Self {
        // Rounded up, because 0 would log every command.
        let micros = |took: Duration| i64::try_from(took.as_nanos().div_ceil(1000)).unwrap_or(i64::MAX);
        let micros = took.into().map_or(-1, micros);
        self.set(Setting::SlowlogLogSlowerThan, micros as u64)
    }

    /// Sets the maximum number of entries of `SLOWLOG` (`slowlog-max-len`, default 128).
    pub fn slowlog_max_len(self, entries: usize) -> Self {
        self.set(Setting::SlowlogMaxLen, entries as u64)
    }

    /// Sets whether commands are timed (`latency-tracking`, default `false`), for `LATENCY HISTOGRAM` and the
    /// sections `commandstats` and `latencystats` of `INFO`.
    ///
    /// Timing costs about 40 ns per command. That is 1 % of a command without pipelining, 12 % with 16
    /// requests in a pipeline, and 70 % with 512.
    pub fn latency_tracking(self, tracked: bool) -> Self {
        self.set(Setting::LatencyTracking, tracked.into())
    }

    /// Sets the keyspace events that are published (`notify-keyspace-events`, default none).
    ///
    /// The letters stand for [classes](crate::EventClass) of events, with `A` for all classes. `K` publishes
    /// to the channel `__keyspace@0__:key`, and `E` to `__keyevent@0__:event`.
    ///
    /// A command with the flag `write` publishes an event for each key that it has changed, see
    /// [`Keyspace`](crate::Keyspace). The event has the name of the command, such as `set`, unless its row
    /// sets another, as with `event = "incrby"`. Its class comes from the group of the row.
    ///
    /// # Panics
    /// If a letter is unknown.
    #[track_caller]
    pub fn notify_keyspace_events(self, letters: &str) -> Self {
        let Some(events) = Events::parse(letters) else {
            panic!("{letters:?} contains letters other than `Ag$lshzxeKEtmdn`");
        };
        self.set(Setting::NotifyKeyspaceEvents, events.bits())
    }

    /// Makes the server an instance of a [cluster](crate::cluster), so that it redirects clients to the instance that has their keys.
    ///
    /// ```
    /// use thegiant::{cluster::{Cluster, Topology}, prelude::*};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let topology = Topology::builder(1)
    ///     .instance("a", "10.0.0.1:6380", [0..=8191])
    ///     .instance("b", "10.0.0.2:6380", [8192..=16383])
    ///     .build()?;
    /// let server = Server::new(App::new).cluster(Cluster::new(topology, "a"))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The checks need the [`Key`](crate::Key) parameters of commands. So they do not apply to the commands of a [fallback](App::fallback) or of
    /// a [proxy](App::proxy).
    ///
    /// # Errors
    /// If the topology cannot be read, has a mistake, or does not have the instance. If the server is an instance already.
    pub fn cluster(self, cluster: Cluster) -> io::Result<Self> {
        let state = Arc::new(cluster.into_state()?);
        let is_first = self.handle.cluster.set(state).is_ok();
        let twice =
            || io::Error::new(io::ErrorKind::InvalidInput, "a server is an instance of one cluster only");
        is_first.then_some(self).ok_or_else(twice)
    }

    /// Leaves SIGTERM, SIGINT and SIGHUP to the program. The program stops the server with its [`handle`](Self::handle).
    pub fn disable_signals(mut self) -> Self {
        self.signals = false;
        self
    }

    /// Awaits a future when the server is told to stop, before it begins to stop.
    ///
    /// The server still accepts and serves clients meanwhile. A second signal stops the server at once all the same. If this method is called
    /// several times, the futures are awaited one after another.
    ///
    /// ```no_run
    /// use thegiant::prelude::*;
    ///
    /// /// Tells the load balancer to send no more clients.
    /// async fn sign_off() {}
    ///
    /// #[thegiant::main]
    /// async fn main() -> std::io::Result<()> {
    ///     let app = App::new().fallback(|_: &Request| Simple("hello"));
    ///     Server::new(app).before_stop(sign_off()).bind("127.0.0.1:6380")?.run().await
    /// }
    /// ```
    pub fn before_stop(mut self, future: impl Future<Output = ()> + 'static) -> Self {
        self.before_stop.push(Box::pin(future));
        self
    }

    fn set(self, setting: Setting, value: u64) -> Self {
        self.settings.set(setting, value);
        self
    }

    /// Sets the number of threads that serve connections (default 1); 0 means the number of CPUs.
    ///
    /// The thread of [`run`](Self::run) accepts all connections, and gives each to the thread with the fewest.
    /// A thread reads the requests of its connections, runs the built-in commands and writes the replies. The
    /// commands of an actor run on the thread of the actor, whichever thread has the connection. So an
    /// application with one actor has one thread for its handlers, and all others for the protocol.
    ///
    /// With one thread, no request crosses a thread. With several, each batch for an actor of another thread
    /// wakes that thread, and its return wakes the thread of the connection. `INFO server` shows the clients
    /// and commands of each worker (`thegiant_worker_0`, …).
    ///
    /// ```no_run
    /// use thegiant::prelude::*;
    ///
    /// #[thegiant::main]
    /// async fn main() -> std::io::Result<()> {
    ///     let app = App::new().fallback(|_: &Request| Simple("hello"));
    ///     Server::new(app).workers(4).bind("127.0.0.1:6380")?.run().await
    /// }
    /// ```
    pub fn workers(mut self, workers: u16) -> Self {
        let cpus = || thread::available_parallelism().map_or(1, NonZero::get);
        self.workers = if workers == 0 { u16::try_from(cpus()).unwrap_or(u16::MAX) } else { workers };
        self
    }

    /// Returns the addresses of the listeners.
    pub fn addrs(&self) -> Vec<Address> {
        self.listeners.iter().filter_map(|listener| listener.address().ok()).collect()
    }

    /// Returns a handle that stops the server, or changes its certificates or its topology.
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// Serves until SIGTERM, SIGINT or a [`ServerHandle`] stops the server, or a [mounted](App::mount) actor ends.
    ///
    /// The stop is graceful. The server accepts no more connections and answers the requests that it has
    /// read. It closes each client after its last reply, or after the
    /// [shutdown timeout](Timeouts::shutdown). A second signal stops the server at once. The signal
    /// handlers stay installed for the life of the process, unless they are
    /// [disabled](Self::disable_signals). SIGHUP reloads the files of TLS listeners and of the [topology](Self::cluster). Without these it is ignored, as in
    /// Redis: a terminal that closes does not end the server.
    ///
    /// # Errors
    /// If there is no actix system, if there is no listener, if a listener cannot be used, if a mounted actor has
    /// ended (the error names its type), or if a second signal stopped the server.
    pub async fn run(self) -> io::Result<()> {
        if self.listeners.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a server needs an address to listen on",
            ));
        }
        if !System::is_registered() {
            return Err(io::Error::other(
                "a server needs an actix system: start the program with #[thegiant::main]",
            ));
        }
        self.prepare()?.run().await
    }

    /// Creates the state that connections need.
    pub(crate) fn prepare(self) -> io::Result<BoundServer> {
        let addresses = self.addrs();
        let Server {
            app,
            settings,
            users,
            tenants,
            allow_shutdown,
            signals,
            listeners,
            workers,
            handle,
            stops,
            before_stop,
        } = self;
        let stop = allow_shutdown.then(|| handle.stop.clone());
        let app = app();
        let alone = || app.emulates_cluster().then(|| Arc::new(ClusterState::alone()));
        let cluster = handle.cluster.get().cloned().or_else(alone);
        let (config, shards) = app.into_config(workers, cluster.is_some());
        let server_config = ServerConfig {
            settings,
            users,
            tenants,
            stop,
            addresses,
            cluster,
            role: Arc::clone(&handle.role),
            #[cfg(feature = "tls")]
            tls: handle.tls.clone(),
            workers,
        };
        let server = ServerState::new(config, server_config);
        let server =
            Arc::new(server.map_err(|mistake| io::Error::new(io::ErrorKind::InvalidInput, mistake))?);
        if let Some(cluster) = &server.cluster {
            let users: Weak<ServerState> = Arc::downgrade(&server);
            cluster.set_users(users as Weak<dyn SlotUsers>);
        }
        handle.attach(&server);
        Ok(BoundServer { server, shards, signals, listeners, handle, stops, before_stop })
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("addresses", &self.addrs()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slowlog_threshold_is_rounded_up_to_microseconds() {
        let threshold = |took| {
            Server::new(App::new()).slowlog_slower_than(took).settings.signed(Setting::SlowlogLogSlowerThan)
        };
        assert_eq!(
            [0, 1, 1000, 1001].map(|nanos| threshold(Some(Duration::from_nanos(nanos)))),
            [0, 1, 1, 2]
        );
        assert_eq!(threshold(None), -1);
        assert_eq!(threshold(Some(Duration::MAX)), i64::MAX);
    }
}
