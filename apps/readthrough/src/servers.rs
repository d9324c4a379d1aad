//! The servers of the database: finds the one that accepts writes, also when it moves.

use std::{
    pin::pin,
    sync::{
        Arc, PoisonError, RwLock, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use sqlx::{AnyConnection, AnyPool, Connection, Row, any::AnyPoolOptions};
use thegiant::InfoFields;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{
    failure::{Failure, one_line},
    hosts::Host,
};

/// The servers of a database, and a pool of connections to one of them.
#[derive(Debug)]
pub(crate) struct Servers {
    hosts: Vec<Host>,
    connections: u32,
    /// Maximum time for a look at a server.
    timeout: Duration,
    current: RwLock<Current>,
    /// Whether the server has to accept writes, and is looked for again when it is lost.
    is_watched: bool,
    is_searching: AtomicBool,
    /// How often another server, or the same one after it was lost, became the current one.
    changes: AtomicU64,
}

/// The server that gets the queries.
#[derive(Clone, Debug)]
enum Current {
    /// The number of the host, and its connections.
    Found(usize, AnyPool),
    /// No server accepts writes. Queries fail with this text.
    Lost(Failure),
}

/// Minimum time to wait for the first connection. The query timeout may be too short to open one.
pub(crate) const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// Time between two searches for a server that accepts writes.
const SEARCH_EVERY: Duration = Duration::from_millis(200);

/// The time after which a query is slow enough to look at the server.
const SLOW: Duration = Duration::from_millis(250);

const READ_ONLY: &str = "the server is read-only";

impl Servers {
    /// Connects to the only host; or, if they are watched, to the one that accepts writes.
    pub(crate) async fn open(
        hosts: Vec<Host>,
        is_watched: bool,
        connections: u32,
        timeout: Duration,
    ) -> Result<Arc<Self>, Failure> {
        let open_timeout = timeout.max(OPEN_TIMEOUT);
        let current = match hosts.first() {
            Some(host) if !is_watched => {
                let options =
                    AnyPoolOptions::new().max_connections(connections).acquire_timeout(open_timeout);
                Current::Found(0, options.connect_with(host.options.clone()).await.map_err(one_line)?)
            }
            _ => Current::Lost("no server was found yet".to_owned()),
        };
        let servers = Arc::new(Servers {
            hosts,
            connections,
            timeout,
            current: RwLock::new(current),
            is_watched,
            is_searching: AtomicBool::new(false),
            changes: AtomicU64::new(0),
        });
        if is_watched {
            let deadline = Instant::now() + open_timeout;
            while let Err(failure) = servers.search().await {
                if Instant::now() >= deadline {
                    return Err(failure);
                }
                sleep(SEARCH_EVERY).await;
            }
        }
        Ok(servers)
    }

    /// Returns the connections to the present server.
    ///
    /// # Errors
    /// Returns an error if no server accepts writes at the moment.
    pub(crate) fn pool(&self) -> Result<AnyPool, Failure> {
        match &*self.current.read().unwrap_or_else(PoisonError::into_inner) {
            Current::Found(_, pool) => Ok(pool.clone()),
            Current::Lost(failure) => Err(failure.clone()),
        }
    }

    /// Returns how often the server has changed.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Relaxed)
    }

    /// Writes the fields of `INFO`.
    pub(crate) fn write(&self, info: &mut InfoFields) {
        let current = self.current();
        let name = match &current {
            Current::Found(host, _) => self.hosts.get(*host).map_or("", |host| &host.name),
            Current::Lost(_) => "none",
        };
        info.field("database_server", name);
        info.field("database_changes", self.changes());
    }

    /// Runs a query. If it is slow, it looks for a server that accepts writes meanwhile.
    ///
    /// A pool waits in silence for a server that refuses connections, or that has vanished.
    pub(crate) async fn watch<T>(self: &Arc<Self>, query: impl Future<Output = T>) -> T {
        let mut query = pin!(query);
        match timeout(SLOW, query.as_mut()).await {
            Ok(answer) => answer,
            Err(_) => {
                self.start_search();
                query.await
            }
        }
    }

    /// Looks for a server that accepts writes if this error says that the present one is lost.
    pub(crate) fn on_error(self: &Arc<Self>, error: &sqlx::Error) {
        if is_lost(error) {
            self.start_search();
        }
    }

    /// Looks for a server that accepts writes, in the background.
    fn start_search(self: &Arc<Self>) {
        if !self.is_watched || self.is_searching.swap(true, Relaxed) {
            return;
        }
        let servers = Arc::clone(self);
        tokio::spawn(async move {
            while let Err(failure) = servers.search().await {
                if !matches!(servers.current(), Current::Lost(_)) {
                    tracing::error!(failure, "the database is lost");
                }
                servers.set(Current::Lost(failure));
                sleep(SEARCH_EVERY).await;
            }
            // Queries that are always slow must not look all the time.
            sleep(SEARCH_EVERY).await;
            servers.is_searching.store(false, Relaxed);
        });
    }

    /// Looks at all servers at once. Stays with the present one if it accepts writes, or else uses another one that does.
    async fn search(self: &Arc<Self>) -> Result<(), Failure> {
        let present = match self.current() {
            Current::Found(number, _) => Some(number),
            Current::Lost(_) => None,
        };
        let mut looks = JoinSet::new();
        for (number, host) in self.hosts.iter().cloned().enumerate() {
            let (is_present, timeout) = (present == Some(number), self.timeout);
            looks.spawn(async move { look(&host, is_present, timeout).await.map(|()| number) });
        }
        let (mut other, mut failures) = (None, Vec::new());
        while let Some(seen) = looks.join_next().await {
            match seen.unwrap_or_else(|error| Err(one_line(error))) {
                Ok(number) if present == Some(number) => return Ok(()),
                Ok(number) => other = other.or(Some(number)),
                Err(failure) => failures.push(failure),
            }
            // A present server that answers late is not left for a former primary.
            if present.is_none() && other.is_some() {
                break;
            }
        }
        if let Some(number) = other {
            self.use_host(number);
            return Ok(());
        }
        failures.sort_unstable();
        Err(format!("no server accepts writes: {}", failures.join("; ")))
    }

    /// Opens connections to a host, and closes those to the host before.
    ///
    /// Each host has its own pool: a connection to a machine that has vanished may hang for minutes.
    fn use_host(self: &Arc<Self>, number: usize) {
        let host = &self.hosts[number];
        let servers = Arc::downgrade(self);
        let pool = AnyPoolOptions::new()
            .max_connections(self.connections)
            .acquire_timeout(self.timeout)
            .after_connect(move |connection, _| {
                let servers = Weak::clone(&servers);
                Box::pin(async move {
                    let checked = check(connection).await;
                    // For example a primary that has come back as a standby, at the same address.
                    if let (Err(_), Some(servers)) = (&checked, servers.upgrade()) {
                        servers.start_search();
                    }
                    checked
                })
            })
            .connect_lazy_with(host.options.clone());
        self.set(Current::Found(number, pool));
        // Later, so that no read of the server before counts as one of this server.
        self.changes.fetch_add(1, Relaxed);
        tracing::info!(server = host.name, "this database server accepts writes");
    }

    fn current(&self) -> Current {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets the present server. Queries that wait for a connection to the one before fail at once.
    fn set(&self, current: Current) {
        let mut place = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if let Current::Found(_, before) = std::mem::replace(&mut *place, current) {
            tokio::spawn(async move { before.close().await });
        }
    }
}

/// Checks that a server accepts writes.
async fn check(connection: &mut AnyConnection) -> sqlx::Result<()> {
    let row = sqlx::raw_sql("SELECT current_setting('transaction_read_only')").fetch_one(connection).await?;
    match row.try_get::<String, _>(0)?.as_str() {
        "off" => Ok(()),
        _ => Err(sqlx::Error::Protocol(READ_ONLY.to_owned())),
    }
}

/// Looks whether a host accepts writes. A present server that is only too busy for a further connection does.
async fn look(host: &Host, is_present: bool, time: Duration) -> Result<(), Failure> {
    const TOO_MANY_CONNECTIONS: &str = "53300";
    let connected = async { check(&mut AnyConnection::connect_with(&host.options).await?).await };
    let reason = match timeout(time, connected).await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(sqlx::Error::Database(error)))
            if is_present && error.code().is_some_and(|code| code == TOO_MANY_CONNECTIONS) =>
        {
            return Ok(());
        }
        Ok(Err(sqlx::Error::Protocol(reason))) => reason,
        Ok(Err(error)) => one_line(error),
        Err(_) => "no answer".to_owned(),
    };
    Err(format!("{}: {reason}", host.name))
}

/// Returns whether an error says that the server is lost or read-only, and not only that a query was wrong.
fn is_lost(error: &sqlx::Error) -> bool {
    // Connection exceptions, an operator or a crash, and a write to a read-only server.
    const CODES: [&str; 3] = ["08", "57P", "25006"];
    match error {
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| CODES.iter().any(|lost| code.starts_with(lost)))
        }
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => true,
        sqlx::Error::PoolTimedOut | sqlx::Error::WorkerCrashed => true,
        _ => false,
    }
}
