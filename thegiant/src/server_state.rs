//! The state that all connections of a server share.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use actix_rt::time::{Instant, sleep_until};
use tokio::sync::mpsc;

#[cfg(feature = "tls")]
use crate::tls_listeners::TlsListeners;
use crate::{
    Keyspace, PubSub, Request,
    acl::{AccessControl, UpstreamCommands, UserConfig},
    client::{Address, Client, ClientFlag, ClientHost, Clients, CloseRequest, ConnectionEvents, Endpoints},
    cluster::{ClusterState, SlotUsers, View},
    command::Flags,
    dispatch::Routes,
    identity::Authenticator,
    info::InfoSection,
    keyspace::Events,
    middleware::Installed,
    observe::{Hook, Hooks, Monitors, Slowlog, Stats, Warning},
    pause::{CurrentPause, Pause},
    role::{CurrentRole, FORCED_UNBLOCK, NotMaster},
    settings::{ACL_FILE, ConfigRefusal, Setting, Settings},
    split::slot,
    tenants::Tenants,
};

/// The routes, the settings, the clients and the counters of a server.
pub(crate) struct ServerState {
    pub(crate) routes: Routes,
    pub(crate) settings: Arc<Settings>,
    pub(crate) info: Vec<InfoSection>,
    pub(crate) connection_events: ConnectionEvents,
    /// The actor that knows further users.
    pub(crate) authenticator: Option<Authenticator>,
    /// The middleware, the outermost first.
    pub(crate) middleware: Vec<Installed>,
    pub(crate) pubsub: PubSub,
    pub(crate) keyspace: Keyspace,
    pub(crate) acl: Arc<AccessControl>,
    pub(crate) tenants: Tenants,
    /// Stops the server, if `SHUTDOWN` is allowed.
    pub(crate) stop: Option<mpsc::UnboundedSender<()>>,
    /// The addresses of the listeners.
    pub(crate) addresses: Vec<Address>,
    #[cfg(feature = "tls")]
    pub(crate) tls: TlsListeners,
    /// The cluster that the server is an instance of.
    pub(crate) cluster: Option<Arc<ClusterState>>,
    pub(crate) role: Arc<CurrentRole>,
    pub(crate) clients: Arc<Clients>,
    pub(crate) stats: Stats,
    pub(crate) slowlog: Slowlog,
    pub(crate) hooks: Arc<Hooks>,
    monitors: Monitors,
    pause: Mutex<Option<CurrentPause>>,
    /// Held by a change of settings.
    configuring: Mutex<()>,
    started: Instant,
    /// Seconds since `started`, updated once a second.
    now: AtomicU32,
    /// The warning that connections cannot be accepted.
    pub(crate) accept_warning: Warning,
    /// The warning of a cross-protocol attack. A browser may attack with every page it loads.
    cross_protocol_warning: Warning,
}

/// The parts of an application that a server needs.
pub(crate) struct AppConfig {
    pub(crate) databases: u16,
    pub(crate) routes: Routes,
    pub(crate) info: Vec<InfoSection>,
    pub(crate) connection_events: ConnectionEvents,
    pub(crate) authenticator: Option<Authenticator>,
    pub(crate) middleware: Vec<Installed>,
    pub(crate) keyspace: Keyspace,
    pub(crate) upstream_commands: Arc<dyn UpstreamCommands>,
}

/// The configuration of a server, without its application.
#[derive(Debug, Default)]
pub(crate) struct ServerConfig {
    pub(crate) settings: Settings,
    pub(crate) users: UserConfig,
    pub(crate) tenants: Tenants,
    pub(crate) stop: Option<mpsc::UnboundedSender<()>>,
    pub(crate) addresses: Vec<Address>,
    pub(crate) cluster: Option<Arc<ClusterState>>,
    pub(crate) role: Arc<CurrentRole>,
    #[cfg(feature = "tls")]
    pub(crate) tls: TlsListeners,
    /// Number of threads that serve connections.
    pub(crate) workers: u16,
}

/// Clients compute the slot of a key from its name without the prefix.
pub(crate) const NO_TENANTS_IN_CLUSTER: &str = "users of an instance of a cluster cannot have key prefixes: clients would \
    look for their keys at the wrong instances";

impl ServerState {
    /// Returns the mode of the server: `cluster` or `standalone`.
    pub(crate) fn mode(&self) -> &'static str {
        if self.cluster.is_some() { "cluster" } else { "standalone" }
    }

    /// Creates the state of a server.
    ///
    /// # Errors
    /// Returns the mistake in the users, or in their key prefixes.
    pub(crate) fn new(app: AppConfig, config: ServerConfig) -> Result<Self, String> {
        let AppConfig {
            databases,
            routes,
            info,
            connection_events,
            authenticator,
            middleware,
            keyspace,
            upstream_commands,
        } = app;
        #[cfg(feature = "tls")]
        let info = info.into_iter().chain(config.tls.info_section()).collect();
        let ServerConfig { settings, mut users, tenants, stop, addresses, cluster, role, workers, .. } =
            config;
        let may_redirect = cluster.as_ref().is_some_and(|cluster| cluster.may_redirect());
        if may_redirect && tenants.are_any() {
            return Err(NO_TENANTS_IN_CLUSTER.into());
        }
        users.has_authenticator = authenticator.is_some();
        settings.set(Setting::Databases, databases.into());
        let settings = Arc::new(settings);
        let hooks = keyspace.hooks();
        let acl = Arc::new(AccessControl::new(
            users,
            routes.commands(),
            Arc::clone(&upstream_commands),
            Arc::clone(&settings),
            Arc::clone(&hooks),
        )?);
        keyspace.pubsub().set_readers(Arc::<AccessControl>::clone(&acl));
        let server = ServerState {
            acl,
            tenants,
            clients: Clients::new(Arc::clone(&settings), upstream_commands),
            stats: Stats::new(routes.commands(), workers.into()),
            routes,
            settings,
            info,
            connection_events,
            authenticator,
            middleware,
            cluster,
            role,
            pubsub: keyspace.pubsub(),
            hooks,
            keyspace,
            stop,
            addresses,
            #[cfg(feature = "tls")]
            tls: config.tls,
            slowlog: Slowlog::default(),
            monitors: Monitors::default(),
            pause: Mutex::default(),
            configuring: Mutex::default(),
            started: Instant::now(),
            now: AtomicU32::new(0),
            accept_warning: Warning::default(),
            cross_protocol_warning: Warning::default(),
        };
        server.hooks.set(Hook::Middleware, !server.middleware.is_empty());
        server.hooks.set(Hook::Cluster, may_redirect);
        server.hooks.set(Hook::Tenants, server.tenants.are_any());
        server.settings_changed();
        Ok(server)
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
        self.acl.report_failed_logins();
        if let Some(cluster) = &self.cluster {
            cluster.tick();
        }
        if self.hooks.is(Hook::Replica) {
            // A command may have waited in the queue of its actor.
            self.unblock_for_role();
        }
    }

    /// Changes all of these settings or none, as `CONFIG SET` does.
    ///
    /// # Errors
    /// The name of the setting that cannot be changed, and the reason.
    pub(crate) fn configure<'a>(&self, changes: &[(&'a [u8], &[u8])]) -> Result<(), ConfigRefusal<'a>> {
        // The lock keeps the changes of two threads apart: each sees its own settings when it applies them.
        let _configuring = self.configuring.lock().unwrap_or_else(PoisonError::into_inner);
        let values = Settings::check(changes, &self.tls_settings())?;
        #[cfg(feature = "tls")]
        self.tls.configure(changes)?;
        self.settings.set_all(values);
        self.settings_changed();
        Ok(())
    }

    /// Returns the settings as `CONFIG GET` shows them.
    pub(crate) fn all_settings(&self) -> Vec<(&'static str, String)> {
        let file = self.acl.file().map_or_else(String::new, |file| file.display().to_string());
        self.settings.all().chain([(ACL_FILE, file)]).chain(self.tls_settings()).collect()
    }

    /// Returns the settings of the TLS listeners, if there are any.
    fn tls_settings(&self) -> Vec<(&'static str, String)> {
        #[cfg(feature = "tls")]
        return self.tls.settings();
        #[cfg(not(feature = "tls"))]
        Vec::new()
    }

    /// Reads the files of the TLS listeners again, as SIGHUP asks for.
    pub(crate) fn reload_tls(&self) {
        #[cfg(feature = "tls")]
        if let Err(error) = self.tls.reload() {
            tracing::error!(%error, "the TLS certificates are unchanged");
        }
    }

    /// Applies the settings that do not take effect by themselves: the hooks, keyspace events, and the memory
    /// limit of all clients.
    fn settings_changed(&self) {
        let is_timed = self.settings.flag(Setting::LatencyTracking)
            || self.settings.signed(Setting::SlowlogLogSlowerThan) >= 0;
        self.hooks.set(Hook::Time, is_timed);
        self.keyspace.set_events(Events::from_bits(self.settings.get(Setting::NotifyKeyspaceEvents)));
        self.keyspace.set_max_tracked_keys(self.settings.size(Setting::TrackingTableMaxKeys));
        self.clients.limit_memory();
    }

    /// Registers a client, unless the maximum number of clients is reached.
    pub(crate) fn admit(&self, endpoints: Endpoints) -> Option<Client> {
        let client = self.clients.admit(endpoints, self.now())?;
        self.connection_events.send_connected(&client);
        Some(client)
    }

    /// Adds a `MONITOR` client.
    pub(crate) fn monitor(&self, client: &Client) {
        self.monitors.add(client, &self.hooks);
    }

    /// Removes a `MONITOR` client.
    pub(crate) fn unmonitor(&self, client: &Client) {
        self.monitors.remove(client, &self.hooks);
    }

    /// Shows a command to the `MONITOR` clients.
    pub(crate) fn show(&self, request: &Request<'_>) {
        self.monitors.show(request, |client, piece| {
            // A client that has disconnected needs no push.
            let _ = self.clients.push(client, piece);
        });
    }

    /// Pauses the clients, or extends the current pause.
    pub(crate) fn pause(self: &Arc<Self>, pause: Pause) {
        let mut current = self.lock_pause();
        match &mut *current {
            Some(current) => current.extend(pause),
            none => *none = Some(CurrentPause::new(pause, actix_rt::spawn(end_pause(Arc::downgrade(self))))),
        }
        self.hooks.set(Hook::Pause, true);
    }

    /// Ends the pause.
    pub(crate) fn unpause(&self) {
        self.unpause_if(|_| true);
    }

    /// Ends the pause if it `is_over`. Returns the pause that goes on.
    fn unpause_if(&self, is_over: impl FnOnce(Pause) -> bool) -> Option<Pause> {
        // Held to the end: another thread may begin the next pause, or let a client wait for this one.
        let mut current = self.lock_pause();
        let pause = current.as_ref()?.pause;
        if !is_over(pause) {
            return Some(pause);
        }
        *current = None;
        self.hooks.set(Hook::Pause, false);
        for client in self.clients.all() {
            client.set(ClientFlag::Paused, false);
            client.wake();
        }
        None
    }

    /// Makes a client wait for the end of the pause, if it `must_wait`. Returns whether it waits.
    pub(crate) fn pause_client(&self, client: &Client, must_wait: impl FnOnce(Pause) -> bool) -> bool {
        let current = self.lock_pause();
        let waits = current.as_ref().is_some_and(|current| must_wait(current.pause));
        client.set(ClientFlag::Paused, waits);
        waits
    }

    fn lock_pause(&self) -> MutexGuard<'_, Option<CurrentPause>> {
        // No code panics while it holds the lock.
        self.pause.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs that a client has sent an HTTP request, as a browser does in a cross-protocol attack; see
    /// [`Resolved::CrossProtocol`](crate::command::Resolved).
    pub(crate) fn log_cross_protocol(&self, client: &Client) {
        self.cross_protocol_warning.log(|| {
            tracing::warn!(
                id = client.id(), client = %client.addr(),
                "closed: possible cross-protocol attack, since the client sent POST or Host:"
            );
        });
    }
}

impl ServerState {
    /// Follows a change of the role.
    pub(crate) fn role_changed(&self) {
        let is_replica = self.role.with(|role| {
            self.hooks.set(Hook::Replica, role.is_replica());
            role.is_replica()
        });
        if is_replica {
            self.unblock_for_role();
        }
    }

    /// Ends the commands that wait for a master, and closes their connections, as Redis does when a master becomes a replica.
    fn unblock_for_role(&self) {
        // Other commands may have begun to change data.
        let is_idle = |flags: Flags| flags.contains(Flags::BLOCKING) && NotMaster::check([flags]).is_err();
        for client in self.clients.all() {
            let refuse = |id| is_idle(self.routes.command(id).flags).then_some(FORCED_UNBLOCK);
            if client.unblock_refused(|_, id| refuse(id)) {
                client.request_close(CloseRequest::AfterReplies);
            }
        }
    }
}

impl SlotUsers for ServerState {
    fn leave(&self, view: &View) {
        self.unblock(view);
        self.pubsub.end_shard_channels(|channel| !view.serves(slot(channel)));
        self.keyspace.leave(|key| !view.serves(slot(key)));
    }

    fn unblock(&self, view: &View) {
        for client in self.clients.all() {
            client.unblock_refused(|words, id| {
                let command = self.routes.command(id);
                // Other commands may have begun to change data.
                let is_idle = command.flags.contains(Flags::BLOCKING);
                view.check(command, words)
                    .err()
                    .filter(|_| is_idle)
                    .map(|misdirected| misdirected.error(view))
            });
        }
    }
}

/// Waits for the end of the current pause, and resumes the clients.
async fn end_pause(server: Weak<ServerState>) {
    while let Some(server) = server.upgrade()
        && let Some(Pause { until, .. }) = server.unpause_if(|pause| pause.until <= Instant::now())
    {
        drop(server);
        sleep_until(until).await;
    }
}

impl fmt::Debug for ServerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerState").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}
