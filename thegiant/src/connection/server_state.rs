//! What the connections of a server have in common.

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
    Address, Client, ClientFlag, Clients, CloseRequest, ConnectionEvents, Endpoints, routes::Routes,
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

/// Who is attacked by every page of a browser is warned this often.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// The routes, the settings, the clients and the counters of a server.
pub(crate) struct ServerState {
    pub(crate) routes: Routes,
    pub(crate) settings: Settings,
    pub(crate) info: Vec<InfoSection>,
    pub(crate) connection_events: ConnectionEvents,
    pub(crate) pubsub: PubSub,
    pub(crate) keyspace: Keyspace,
    /// What clients have to know, if anything.
    pub(crate) password: Option<Box<[u8]>>,
    /// `SHUTDOWN` is allowed: it sends this.
    pub(crate) stop: Option<mpsc::UnboundedSender<()>>,
    /// Where the server listens.
    pub(crate) addresses: Vec<Address>,
    pub(crate) clients: Clients,
    pub(crate) stats: Stats,
    pub(crate) slowlog: Slowlog,
    pub(crate) hooks: Arc<Hooks>,
    monitors: Monitors,
    pause: Mutex<Option<Pause>>,
    started: Instant,
    /// Seconds since then, told once a second.
    now: AtomicU32,
    /// When it was last warned of a cross-protocol attack.
    last_warning: Mutex<Option<Instant>>,
}

/// Clients wait (`CLIENT PAUSE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pause {
    pub(crate) until: Instant,
    /// Only those that want to write.
    pub(crate) writes_only: bool,
}

/// What a server is made of, beside its application.
#[derive(Debug, Default)]
pub(crate) struct ServerConfig {
    pub(crate) settings: Settings,
    pub(crate) password: Option<Box<[u8]>>,
    pub(crate) stop: Option<mpsc::UnboundedSender<()>>,
    pub(crate) addresses: Vec<Address>,
}

impl ServerState {
    pub(crate) fn new(app: AppConfig, parts: ServerConfig) -> Self {
        let AppConfig { routes, info, connection_events, keyspace } = app;
        let ServerConfig { settings, password, stop, addresses } = parts;
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

    /// How long the server has been there.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// The same, in seconds, as it was told last.
    pub(crate) fn now(&self) -> u32 {
        self.now.load(Relaxed)
    }

    /// Tells the time, once a second.
    pub(crate) fn tick(&self) {
        self.now.store(u32::try_from(self.uptime().as_secs()).unwrap_or(u32::MAX - 1), Relaxed);
        self.stats.tick();
    }

    /// Commands are timed while somebody wants to know, and clients have the memory that they may have
    /// now. What else is limited is looked at when something comes or goes, or once a second.
    pub(crate) fn settings_changed(&self) {
        let is_timed = self.settings.flag(Setting::LatencyTracking)
            || self.settings.signed(Setting::SlowlogLogSlowerThan) >= 0;
        self.hooks.set(Hook::Time, is_timed);
        self.keyspace.set_events(Events::from_bits(self.settings.get(Setting::NotifyKeyspaceEvents)));
        self.limit_memory(self.clients.memory());
    }

    /// Lets a client in, unless there are as many as there may be.
    pub(crate) fn admit(self: &Arc<Self>, endpoints: Endpoints) -> Option<Client> {
        let client = |id| Client::new(id, endpoints, self.now(), Arc::downgrade(self));
        let client = self.clients.admit(self.settings.size(Setting::MaxClients), client)?;
        self.connection_events.send_connected(&client);
        Some(client)
    }

    /// Sends a client something that is no reply; returns its number. A client for which too much
    /// waits already is closed, or loses the oldest of it.
    pub(crate) fn push(&self, client: &Client, piece: Bytes) -> Option<u64> {
        self.account(0, piece.len());
        self.push_accounted(client, piece)
    }

    /// Sends each of these clients a piece of so many bytes; returns how many were there. What they take is counted
    /// once for all.
    pub(crate) fn push_to_all(
        &self,
        clients: &[Client],
        len: usize,
        mut piece: impl FnMut(Protocol) -> Bytes,
    ) -> usize {
        self.account(0, clients.len() * len);
        clients
            .iter()
            .filter(|client| self.push_accounted(client, piece(client.protocol())).is_some())
            .count()
    }

    /// Sends what has been counted already.
    fn push_accounted(&self, client: &Client, piece: Bytes) -> Option<u64> {
        let len = piece.len();
        let Some(waits) = client.push_piece(piece) else {
            self.account(len, 0);
            return None;
        };
        let limit = self.settings.output_limit(Setting::PushOutputLimit);
        if limit.is_over(waits.len) {
            self.relieve(client, waits.len, limit);
        }
        Some(waits.number)
    }

    #[cold]
    fn relieve(&self, client: &Client, waiting: usize, limit: OutputLimit) {
        if self.settings.flag(Setting::DropOldestPush) {
            let dropped = client.drop_oldest(usize::try_from(limit.hard).unwrap_or(usize::MAX));
            self.account(dropped, 0);
        } else if client.close_request() != CloseRequest::Now {
            tracing::warn!(
                id = client.id(), client = %client.addr(), waiting,
                "closed: it does not read what is pushed"
            );
            client.request_close(CloseRequest::Now);
        }
    }

    /// The buffers of a client have changed in size.
    pub(crate) fn account(&self, before: usize, after: usize) {
        let memory = self.clients.account(before, after);
        if after > before {
            self.limit_memory(memory);
        }
    }

    /// If the buffers of all clients take too much, the biggest clients are closed.
    fn limit_memory(&self, memory: usize) {
        let most = self.settings.size(Setting::MaxMemoryClients);
        if most == 0 || memory <= most {
            return;
        }
        for client in self.clients.evict(most) {
            self.stats.evicted.fetch_add(1, Relaxed);
            let held = client.memory();
            tracing::warn!(
                id = client.id(), client = %client.addr(), held,
                "closed: all clients take too much memory"
            );
        }
    }

    /// Shows this client all commands.
    pub(crate) fn monitor(&self, client: &Client) {
        self.monitors.add(client);
        self.hooks.set(Hook::Monitor, true);
    }

    /// Shows this client no more than its replies.
    pub(crate) fn unmonitor(&self, client: &Client) {
        let are_others = self.monitors.remove(client);
        self.hooks.set(Hook::Monitor, are_others);
    }

    /// Shows a command to those who want to see all.
    pub(crate) fn show(&self, call: &Call<'_>) {
        self.monitors.show(call, |client, piece| {
            // One that has gone is not shown anything.
            let _ = self.push(client, piece);
        });
    }

    /// Has clients wait.
    pub(crate) fn pause(&self, pause: Pause) {
        *self.lock_pause() = Some(pause);
        self.hooks.set(Hook::Pause, true);
    }

    /// Lets clients go on.
    pub(crate) fn unpause(&self) {
        if self.lock_pause().take().is_some() {
            self.hooks.set(Hook::Pause, false);
            for client in self.clients.all() {
                client.set(ClientFlag::Paused, false);
                client.wake();
            }
        }
    }

    /// Whether clients wait, and which.
    pub(crate) fn paused(&self) -> Option<Pause> {
        *self.lock_pause()
    }

    fn lock_pause(&self) -> MutexGuard<'_, Option<Pause>> {
        // Nothing panics while it is held.
        self.pause.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client has sent what a browser would send for a page of somebody else's; see
    /// [`Resolved::CrossProtocol`](crate::command::Resolved).
    pub(crate) fn log_cross_protocol(&self, client: &Client) {
        let mut last = self.last_warning.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() >= WARNING_INTERVAL) {
            *last = Some(Instant::now());
            tracing::warn!(
                id = client.id(), client = %client.addr(),
                "closed: POST or Host: is no command, but what a browser sends"
            );
        }
    }
}

impl fmt::Debug for ServerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerState").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}
