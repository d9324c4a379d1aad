//! The state that all connections of a server share.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use actix_rt::time::Instant;
use bytes::Bytes;
use tokio::sync::mpsc;

use super::{
    Address, Client, ClientFlag, Clients, CloseRequest, ConnectionEvents, Endpoints, Pause,
    client::PendingPushes, pause::CurrentPause, routes::Routes,
};
use crate::{
    Call, Keyspace, PubSub,
    app::AppConfig,
    info::InfoSection,
    keyspace::Events,
    observe::{Hook, Hooks, Monitors, Slowlog, Stats},
    resp::Protocol,
    settings::{OutputLimit, Setting, Settings},
};

/// Minimum time between two warnings of a cross-protocol attack.
///
/// A browser may attack with every page it loads.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// The routes, the settings, the clients and the counters of a server.
pub(crate) struct ServerState {
    pub(crate) routes: Routes,
    pub(crate) settings: Settings,
    pub(crate) info: Vec<InfoSection>,
    pub(crate) connection_events: ConnectionEvents,
    pub(crate) pubsub: PubSub,
    pub(crate) keyspace: Keyspace,
    /// The password of the clients, if any.
    pub(crate) password: Option<Box<[u8]>>,
    /// Stops the server, if `SHUTDOWN` is allowed.
    pub(crate) stop: Option<mpsc::UnboundedSender<()>>,
    /// The addresses of the listeners.
    pub(crate) addresses: Vec<Address>,
    pub(crate) clients: Clients,
    pub(crate) stats: Stats,
    pub(crate) slowlog: Slowlog,
    pub(crate) hooks: Arc<Hooks>,
    monitors: Monitors,
    pause: Mutex<Option<CurrentPause>>,
    started: Instant,
    /// Seconds since `started`, updated once a second.
    now: AtomicU32,
    /// The time of the last warning of a cross-protocol attack.
    last_warning: Mutex<Option<Instant>>,
}

/// The configuration of a server, without its application.
#[derive(Debug, Default)]
pub(crate) struct ServerConfig {
    pub(crate) settings: Settings,
    pub(crate) password: Option<Box<[u8]>>,
    pub(crate) stop: Option<mpsc::UnboundedSender<()>>,
    pub(crate) addresses: Vec<Address>,
}

impl ServerState {
    pub(crate) fn new(app: AppConfig, config: ServerConfig) -> Self {
        let AppConfig { routes, info, connection_events, keyspace } = app;
        let ServerConfig { settings, password, stop, addresses } = config;
        let server = ServerState {
            stats: Stats::new(routes.commands()),
            routes,
            settings,
            info,
            connection_events,
            pubsub: keyspace.pubsub(),
            hooks: keyspace.hooks(),
            keyspace,
            password,
            stop,
            addresses,
            clients: Clients::default(),
            slowlog: Slowlog::default(),
            monitors: Monitors::default(),
            pause: Mutex::default(),
            started: Instant::now(),
            now: AtomicU32::new(0),
            last_warning: Mutex::default(),
        };
        server.settings_changed();
        server
    }

    /// Returns the time since the start of the server.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Returns the time since the start in seconds, with a resolution of one second.
    pub(crate) fn now(&self) -> u32 {
        self.now.load(Relaxed)
    }

    /// Updates the clock. It is called once a second.
    pub(crate) fn tick(&self) {
        self.now.store(u32::try_from(self.uptime().as_secs()).unwrap_or(u32::MAX - 1), Relaxed);
        self.stats.tick();
    }

    /// Applies the settings that do not take effect by themselves: the hooks, keyspace events, and the memory
    /// limit of all clients.
    pub(crate) fn settings_changed(&self) {
        let is_timed = self.settings.flag(Setting::LatencyTracking)
            || self.settings.signed(Setting::SlowlogLogSlowerThan) >= 0;
        self.hooks.set(Hook::Time, is_timed);
        self.keyspace.set_events(Events::from_bits(self.settings.get(Setting::NotifyKeyspaceEvents)));
        self.limit_memory();
    }

    /// Registers a client, unless the maximum number of clients is reached.
    pub(crate) fn admit(self: &Arc<Self>, endpoints: Endpoints) -> Option<Client> {
        let client = |id| Client::new(id, endpoints, self.now(), Arc::downgrade(self));
        let client = self.clients.admit(self.settings.size(Setting::MaxClients), client)?;
        self.connection_events.send_connected(&client);
        Some(client)
    }

    /// Sends a push to a client.
    ///
    /// Returns its number, or `None` if the client has disconnected.
    ///
    /// If the pushes exceed the output limit, the client is closed or loses the oldest ones.
    pub(crate) fn push(&self, client: &Client, piece: Bytes) -> Option<u64> {
        let len = piece.len();
        let pending = self.push_uncounted(client, piece)?;
        self.clients.memory.change(pending.no_evict, 0, len);
        self.limit_memory();
        Some(pending.number)
    }

    /// Sends each client a push of `len` bytes.
    ///
    /// Returns the number of clients that were connected.
    ///
    /// The memory is accounted for once for all pushes.
    pub(crate) fn push_to_all(
        &self,
        clients: &[Client],
        len: usize,
        mut piece: impl FnMut(Protocol) -> Bytes,
    ) -> usize {
        let (mut evictable, mut no_evict) = (0, 0);
        for client in clients {
            match self.push_uncounted(client, piece(client.protocol())) {
                Some(pending) if pending.no_evict => no_evict += 1,
                Some(_) => evictable += 1,
                None => {}
            }
        }
        self.clients.memory.change(false, 0, evictable * len);
        if no_evict > 0 {
            self.clients.memory.change(true, 0, no_evict * len);
        }
        self.limit_memory();
        evictable + no_evict
    }

    /// Sends a push whose memory the caller accounts for.
    fn push_uncounted(&self, client: &Client, piece: Bytes) -> Option<PendingPushes> {
        let pending = client.push_piece(piece)?;
        let limit = self.settings.output_limit(Setting::PushOutputLimit);
        if limit.is_over(pending.len) {
            self.handle_slow_consumer(client, pending.len, limit);
        }
        Some(pending)
    }

    #[cold]
    fn handle_slow_consumer(&self, client: &Client, waiting: usize, limit: OutputLimit) {
        if self.settings.flag(Setting::DropOldestPush) {
            let dropped = client.drop_oldest(usize::try_from(limit.hard).unwrap_or(usize::MAX));
            self.clients.memory.change(dropped.no_evict, dropped.len, 0);
        } else if client.close_request() != CloseRequest::Now {
            tracing::warn!(
                id = client.id(), client = %client.addr(), waiting,
                "closed: the output buffer limit for pushes was exceeded"
            );
            client.request_close(CloseRequest::Now);
        }
    }

    /// Accounts for a change in the buffers of a client. It is called on the thread of the client's connection.
    pub(crate) fn account(&self, client: &Client, before: usize, after: usize) {
        self.clients.memory.change(client.is(ClientFlag::NoEvict), before, after);
        if after > before {
            self.limit_memory();
        }
    }

    /// Switches `CLIENT NO-EVICT` of a client on or off. It is called on the thread of the client's connection.
    pub(crate) fn set_no_evict(&self, client: &Client, on: bool) {
        client.set_no_evict(on, &self.clients.memory);
        self.limit_memory();
    }

    /// Closes the clients with the largest buffers if all buffers together exceed `maxmemory-clients`.
    ///
    /// Clients with `CLIENT NO-EVICT on` do not count: to close other clients would not make their buffers smaller.
    fn limit_memory(&self) {
        let max_bytes = self.settings.size(Setting::MaxMemoryClients);
        if max_bytes == 0 || self.clients.memory.evictable() <= max_bytes {
            return;
        }
        for client in self.clients.evict(max_bytes) {
            self.stats.evicted.fetch_add(1, Relaxed);
            let memory = client.memory();
            tracing::warn!(
                id = client.id(), client = %client.addr(), memory,
                "closed: the memory limit of all clients was exceeded"
            );
        }
    }

    /// Adds a `MONITOR` client.
    pub(crate) fn monitor(&self, client: &Client) {
        self.monitors.add(client);
        self.hooks.set(Hook::Monitor, true);
    }

    /// Removes a `MONITOR` client.
    pub(crate) fn unmonitor(&self, client: &Client) {
        let has_others = self.monitors.remove(client);
        self.hooks.set(Hook::Monitor, has_others);
    }

    /// Shows a command to the `MONITOR` clients.
    pub(crate) fn show(&self, call: &Call<'_>) {
        self.monitors.show(call, |client, piece| {
            // A client that has disconnected needs no push.
            let _ = self.push(client, piece);
        });
    }

    /// Pauses the clients, or extends the current pause.
    pub(crate) fn pause(self: &Arc<Self>, pause: Pause) {
        let mut current = self.lock_pause();
        match &mut *current {
            Some(current) => current.extend(pause),
            none => *none = Some(CurrentPause::start(pause, Arc::downgrade(self))),
        }
        self.hooks.set(Hook::Pause, true);
    }

    /// Ends the pause.
    pub(crate) fn unpause(&self) {
        if self.lock_pause().take().is_some() {
            self.hooks.set(Hook::Pause, false);
            for client in self.clients.all() {
                client.set(ClientFlag::Paused, false);
                client.wake();
            }
        }
    }

    /// Returns the pause, if the clients are paused.
    pub(crate) fn paused(&self) -> Option<Pause> {
        self.lock_pause().as_ref().map(|current| current.pause)
    }

    fn lock_pause(&self) -> MutexGuard<'_, Option<CurrentPause>> {
        // No code panics while it holds the lock.
        self.pause.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs that a client has sent an HTTP request, as a browser does in a cross-protocol attack; see
    /// [`Resolved::CrossProtocol`](crate::command::Resolved).
    pub(crate) fn log_cross_protocol(&self, client: &Client) {
        let mut last = self.last_warning.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() >= WARNING_INTERVAL) {
            *last = Some(Instant::now());
            tracing::warn!(
                id = client.id(), client = %client.addr(),
                "closed: possible cross-protocol attack, since the client sent POST or Host:"
            );
        }
    }
}

impl fmt::Debug for ServerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerState").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}
