//! A store in PostgreSQL.

use std::{
    fmt,
    future::poll_fn,
    io, mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use thegiant_postgres::{Failure, Target};
use tokio::{
    sync::{Mutex, Notify},
    task::JoinHandle,
};
use tokio_postgres::{
    AsyncMessage, Client, Error,
    types::{ToSql, Type},
};

use crate::{Entry, Revision, Store, Swap, store::is_heartbeat};

/// Time to connect to one host, unless the URL has `connect_timeout`. A lease is longer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The lock is for members that start at the same time.
const CREATE: &str = "
    SELECT pg_advisory_xact_lock(hashtext('thegiant_cluster'));
    CREATE TABLE IF NOT EXISTS thegiant_cluster (
        cluster text NOT NULL,
        key text NOT NULL,
        value text NOT NULL,
        revision bigserial NOT NULL,
        PRIMARY KEY (cluster, key)
    )";

const LIST: &str = "SELECT key, value, revision FROM thegiant_cluster WHERE cluster = $1";

const INSERT: &str = "
    INSERT INTO thegiant_cluster (cluster, key, value) VALUES ($1, $2, $3)
    ON CONFLICT DO NOTHING RETURNING revision";

const UPDATE: &str = "
    UPDATE thegiant_cluster SET value = $3, revision = DEFAULT
    WHERE cluster = $1 AND key = $2 AND revision = $4 RETURNING revision";

const DELETE: &str = "
    DELETE FROM thegiant_cluster WHERE cluster = $1 AND key = $2 AND revision = $3 RETURNING revision";

const IS_ABSENT: &str = "
    SELECT 0::bigint AS revision WHERE NOT EXISTS (SELECT FROM thegiant_cluster WHERE cluster = $1 AND key = $2)";

/// A [`Store`] in PostgreSQL. *Feature `postgres`.*
///
/// The entries are rows of the table `thegiant_cluster`, which is created if it is missing.
/// The store uses one connection, connects again when that is lost, and tells the other members of a change with `NOTIFY`.
///
/// # Several servers
/// A URL can name several hosts: `postgres://user@db1,db2/shop`. The store connects to the one that takes writes, so it finds a standby that was promoted. A
/// commit that was acknowledged must be on it: the standby has to be **synchronous** (`synchronous_standby_names`). With an asynchronous standby, a
/// failover can give a partition two owners until the lease of the first one ends.
///
/// ```no_run
/// use thegiant_cluster::{Member, Postgres};
///
/// # fn main() -> std::io::Result<()> {
/// let store = Postgres::new("postgres://shop@db1,db2/shop", "orders")?;
/// let member = Member::new(store, "a", "10.0.0.1:6380");
/// # Ok(())
/// # }
/// ```
pub struct Postgres {
    target: Target,
    cluster: String,
    connection: Mutex<Connection>,
    changed: Arc<Notify>,
}

enum Connection {
    None,
    /// A connection that is being opened, also after the call that needs it has been given up.
    Connecting(JoinHandle<Result<Client, Failure>>),
    Open(Arc<Session>),
}

/// A connection that is open.
struct Session {
    client: Client,
    /// A call has failed or was given up, so that the server may be gone.
    is_doubtful: AtomicBool,
}

impl Postgres {
    /// Creates a store for one of the clusters in a database. Connects later.
    ///
    /// The name of the cluster tells the members of different applications apart. The URL has the options of libpq for TLS:
    /// [`Target::parse`] lists them.
    ///
    /// # Errors
    /// If the URL is invalid, or if a file that it names is unusable.
    pub fn new(url: &str, cluster: impl Into<String>) -> io::Result<Self> {
        let target = Target::parse(url, "thegiant-cluster").map_err(described)?;
        Ok(Postgres {
            target: target.connect_timeout(CONNECT_TIMEOUT),
            cluster: cluster.into(),
            connection: Mutex::new(Connection::None),
            changed: Arc::default(),
        })
    }

    /// Returns the open connection, or waits for a new one.
    async fn session(&self) -> Result<Arc<Session>, Failure> {
        let mut connection = self.connection.lock().await;
        loop {
            *connection = match &mut *connection {
                Connection::Open(session) if session.is_usable() => return Ok(Arc::clone(session)),
                Connection::Open(_) | Connection::None => {
                    let connect = connect(self.target.clone(), Arc::clone(&self.changed));
                    Connection::Connecting(tokio::spawn(connect))
                }
                Connection::Connecting(task) => match task.await {
                    Ok(Ok(client)) => {
                        Connection::Open(Arc::new(Session { client, is_doubtful: AtomicBool::new(false) }))
                    }
                    Ok(Err(error)) => {
                        *connection = Connection::None;
                        return Err(error);
                    }
                    // The runtime stops.
                    Err(_) => Connection::None,
                },
            };
        }
    }

    /// Runs a statement. Returns the rows.
    async fn query(
        &self,
        sql: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> io::Result<Vec<tokio_postgres::Row>> {
        let session = self.session().await.map_err(described)?;
        let doubt = Doubt(&session);
        let rows = session.client.query_typed(sql, parameters).await.map_err(described)?;
        mem::forget(doubt);
        Ok(rows)
    }
}

/// Makes the next call use another connection, unless the call has succeeded.
struct Doubt<'a>(&'a Session);

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        self.0.is_doubtful.store(true, Relaxed);
    }
}

impl Session {
    fn is_usable(&self) -> bool {
        !self.is_doubtful.load(Relaxed) && !self.client.is_closed()
    }
}

impl Store for Postgres {
    async fn list(&self) -> io::Result<Vec<Entry>> {
        let rows = self.query(LIST, &[(&self.cluster, Type::TEXT)]).await?;
        let entry = |row: tokio_postgres::Row| {
            let (key, value, revision) = (row.try_get(0)?, row.try_get(1)?, row.try_get::<_, i64>(2)?);
            Ok(Entry { key, value, revision: revision.cast_unsigned() })
        };
        rows.into_iter().map(entry).collect::<Result<_, Error>>().map_err(described)
    }

    async fn swap(&self, key: &str, expected: Option<Revision>, value: Option<&str>) -> io::Result<Swap> {
        let (cluster, revision) = (&self.cluster, expected.map(Revision::cast_signed));
        let (sql, last): (_, &[(&(dyn ToSql + Sync), Type)]) = match (&revision, &value) {
            (None, Some(value)) => (INSERT, &[(value, Type::TEXT)]),
            (Some(revision), Some(value)) => (UPDATE, &[(value, Type::TEXT), (revision, Type::INT8)]),
            (Some(revision), None) => (DELETE, &[(revision, Type::INT8)]),
            (None, None) => (IS_ABSENT, &[]),
        };
        let is_notified = expected.is_none() || value.is_none() || !is_heartbeat(key);
        let notify = if is_notified { ", pg_notify('thegiant_cluster', $1)" } else { "" };
        let sql = format!("WITH swapped AS ({sql}) SELECT swapped.revision{notify} FROM swapped");
        let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(cluster, Type::TEXT), (&key, Type::TEXT)];
        let rows = self.query(&sql, &[&parameters, last].concat()).await?;
        let Some(row) = rows.first() else { return Ok(Swap::Conflict) };
        let revision: i64 = row.try_get(0).map_err(described)?;
        Ok(Swap::Done(revision.cast_unsigned()))
    }

    async fn changed(&self) {
        self.changed.notified().await;
    }
}

/// Connects, and creates the table if it is missing.
async fn connect(target: Target, changed: Arc<Notify>) -> Result<Client, Failure> {
    let (client, mut connection) = target.connect().await?;
    let notified = Arc::clone(&changed);
    tokio::spawn(async move {
        // An error ends the calls, too.
        while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
            if let AsyncMessage::Notification(_) = message {
                notified.notify_waiters();
            }
        }
    });
    // A user may have another default, with which a commit that was acknowledged can be lost.
    // While a commit waits for a lost synchronous standby, a session that waits for the row would outlast its connection.
    client
        .batch_execute("SET synchronous_commit TO on; SET lock_timeout TO '5s'; LISTEN thegiant_cluster")
        .await?;
    // Nobody has told of the changes since the last connection was lost.
    changed.notify_waiters();
    // To create a table that exists needs a right that a user may lack.
    let exists = client.query_typed("SELECT to_regclass('thegiant_cluster')::text", &[]).await?;
    if exists.first().is_none_or(|row| row.try_get::<_, Option<String>>(0).is_ok_and(|name| name.is_none())) {
        client.batch_execute(CREATE).await?;
    }
    Ok(client)
}

/// Returns the error with its cause, which is not in its text.
fn described(error: impl Into<Failure>) -> io::Error {
    io::Error::other(format!("PostgreSQL: {}", thegiant_postgres::described(error.into())))
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}
