//! The jobs in a schema of a database of PostgreSQL.
//!
//! The schema is `jobs`. The jobs of a partition are in `jobs_0`, `jobs_1` and so on.

use std::{
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use thegiant_postgres::{BlockingClient, Target, described, is_lost};
use tokio::time::sleep;
use tokio_postgres::{Client, GenericClient, Statement, types::ToSql};

use super::{
    Changes, Contents, Database, Result, Scope,
    columns::Columns,
    entry::decode,
    log::{Entries, Log, Write, parts},
    meta::{Meta, SELECT_META, SELECT_VERSION, TAKEN, upgrade},
    pending::Pending,
    rows::{Row, Table},
};

/// Delay between two attempts.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// Time for which a lost session may still hold the lock.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

/// Key of the advisory lock of the process that owns the jobs of a database: "jobs" in ASCII.
const LOCK: i64 = 0x6a6f_6273;

pub(super) struct Postgres {
    target: Target,
    scope: Scope,
    run: u32,
    /// A connection that writes, unless it was lost.
    session: Option<Session>,
    log: Log,
}

/// A connection that writes.
struct Session {
    client: BlockingClient,
    append: Statement,
    fold: Statement,
}

impl Postgres {
    pub(super) fn open(url: &str, scope: Scope) -> Result<(Self, Contents)> {
        Self::connect(url, scope).map_err(described)
    }

    fn connect(url: &str, scope: Scope) -> Result<(Self, Contents)> {
        let target = Target::parse(url, &schema_of(scope))?;
        let mut client = connect(&target, scope)?;
        let run = client.run(async |client| start(client, scope).await)?;
        let mut session = Session::new(client)?;
        session.fold_all(run)?;
        let contents = session.client.run(async |client| contents(client, run).await)?;
        Ok((Postgres { target, scope, run, session: Some(session), log: Log::new() }, contents))
    }

    fn try_write(&mut self, write: &Write) -> Result<()> {
        let session = match &mut self.session {
            Some(session) => session,
            // If the jobs have another owner meanwhile, the statement says so.
            None => self.session.insert(Session::new(connect(&self.target, self.scope)?)?),
        };
        let outcome = match write {
            Write::Entry(position, entry) => session.append(self.run, *position, entry),
            Write::Rows(entries, changes) => session.fold(self.run, *entries, changes),
        };
        if outcome.as_ref().is_err_and(is_lost) {
            self.session = None;
        }
        outcome
    }
}

impl Database for Postgres {
    /// Adds the changes to the log.
    ///
    /// A job that ends soon is never a row: `fold` writes the rows of the jobs that are left.
    fn commit(&mut self, changes: Vec<Changes>) -> Result<()> {
        let until = Instant::now() + self.target.answer_timeout();
        let write = self.log.add(changes);
        let mut outcome = self.try_write(&write);
        // The lost session may have written the changes. To write them again has no effect then.
        while let Err(error) = &outcome
            && is_lost(error)
            && Instant::now() < until
        {
            thread::sleep(RETRY_AFTER);
            outcome = self.try_write(&write);
        }
        outcome.map_err(described)?;
        self.log.written(write);
        Ok(())
    }

    fn fold_at(&self) -> Option<Instant> {
        self.log.fold_at()
    }

    /// Writes the rows of the log.
    ///
    /// If this fails, the log still has all changes, and the next commit finds out whether the database takes any.
    fn fold(&mut self) {
        if self.log.fold_at().is_none() {
            return;
        }
        let write = self.log.rows();
        match self.try_write(&write) {
            Ok(()) => self.log.written(write),
            Err(_) => self.log.doubt(),
        }
    }
}

/// Returns the schema that has the tables. In the list of sessions, it names the session.
fn schema_of(scope: Scope) -> String {
    match scope {
        Scope::All => "jobs".to_owned(),
        Scope::Partition(shard, _) => format!("jobs_{}", shard.number),
    }
}

/// Connects. If all jobs belong to this process, it takes the lock, too, which PostgreSQL releases when the connection ends.
fn connect(target: &Target, scope: Scope) -> Result<BlockingClient> {
    let mut client = target.connect_blocking()?;
    // A process that is stopped within a transaction does not hold up the next owner for long.
    let settings = format!(
        "SET search_path TO {}; SET synchronous_commit TO on; SET jit TO off; SET idle_in_transaction_session_timeout TO '5s'",
        schema_of(scope)
    );
    client.run(async |client| {
        client.batch_execute(&settings).await?;
        if scope == Scope::All { lock(client).await } else { Ok(()) }
    })?;
    Ok(client)
}

async fn lock(client: &Client) -> Result<()> {
    let until = Instant::now() + LOCK_PATIENCE;
    while !client.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK]).await?.try_get::<_, bool>(0)? {
        if Instant::now() >= until {
            return Err("another process uses the jobs of this database".into());
        }
        sleep(RETRY_AFTER).await;
    }
    Ok(())
}

/// Creates the tables if there are none, and makes this process the owner of the jobs. Returns its run.
async fn start(client: &mut Client, scope: Scope) -> Result<u32> {
    let (schema, transaction) = (schema_of(scope), client.transaction().await?);
    check_mode(&transaction, scope).await?;
    // To create a schema that exists needs a right that a user may lack.
    let has_schema: bool =
        transaction.query_one("SELECT to_regnamespace($1) IS NOT NULL", &[&schema]).await?.try_get(0)?;
    if !has_schema {
        transaction.batch_execute(&format!("CREATE SCHEMA {schema}")).await?;
    }
    transaction.batch_execute(&translated(include_str!("schema.sql"))).await?;
    // Waits for a commit of an earlier owner that is in progress.
    transaction.batch_execute("LOCK TABLE meta IN EXCLUSIVE MODE").await?;
    if !exists(&transaction, "log").await? {
        transaction.batch_execute(include_str!("postgres_schema.sql")).await?;
    }
    let version = transaction.query_opt(SELECT_VERSION, &[]).await?;
    let version = version.map(|row| row.try_get(0)).transpose()?;
    transaction.batch_execute(&translated(upgrade(version)?)).await?;
    let known = transaction.query_opt(SELECT_META, &[]).await?;
    let known = known.map(|row| Meta::read(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)).transpose()?;
    let next = scope.next(known)?;
    let [version, run, epoch, partitions] = &next.values();
    transaction.execute("DELETE FROM meta", &[]).await?;
    transaction
        .execute("INSERT INTO meta VALUES ($1, $2, $3, $4)", &[version, run, epoch, partitions])
        .await?;
    transaction.commit().await?;
    Ok(next.run)
}

/// Checks that no jobs stay unseen, because one server has stored them and several instances use the database now, or the other way
/// round.
async fn check_mode(client: &impl GenericClient, scope: Scope) -> Result<()> {
    match scope {
        Scope::All if exists(client, "jobs_0.jobs").await? => Err(OF_INSTANCES.into()),
        Scope::Partition(..) if has_jobs(client).await? => Err(OF_ONE_SERVER.into()),
        _ => Ok(()),
    }
}

/// Returns whether a server that is no instance has stored jobs.
async fn has_jobs(client: &impl GenericClient) -> Result<bool> {
    if !exists(client, "jobs.jobs").await? {
        return Ok(false);
    }
    let Changes { added_jobs, removed_jobs, .. } = match exists(client, "jobs.log").await? {
        true => pending(client, "jobs.log").await?.changes(),
        false => Changes::default(),
    };
    let others = "SELECT EXISTS (SELECT FROM jobs.jobs WHERE number <> ALL ($1))";
    Ok(!added_jobs.is_empty() || client.query_one(others, &[&removed_jobs]).await?.try_get(0)?)
}

async fn exists(client: &impl GenericClient, table: &str) -> Result<bool> {
    Ok(client.query_one("SELECT to_regclass($1) IS NOT NULL", &[&table]).await?.try_get(0)?)
}

/// Returns statements for SQLite with the types of PostgreSQL.
fn translated(statements: &str) -> String {
    let replaced = [(" STRICT", ""), (", WITHOUT ROWID", ""), ("INTEGER", "BIGINT"), ("BLOB", "BYTEA")];
    replaced.into_iter().fold(statements.to_owned(), |text, (from, to)| text.replace(from, to))
}

async fn contents(client: &Client, run: u32) -> Result<Contents> {
    Ok(Contents {
        run,
        jobs: read(client).await?,
        results: read(client).await?,
        queues: read(client).await?,
        schedules: read(client).await?,
    })
}

async fn read<T: Table>(client: &Client) -> Result<Vec<T>> {
    client.query(T::SELECT, &[]).await?.iter().map(T::read).collect()
}

impl Session {
    fn new(mut client: BlockingClient) -> Result<Self> {
        let prepared = client.run(async |client| -> Result<_> {
            let append = client.prepare(include_str!("postgres_append.sql")).await?;
            Ok((append, client.prepare(include_str!("postgres_fold.sql")).await?))
        });
        let (append, fold) = prepared?;
        Ok(Session { client, append, fold })
    }

    /// Adds an entry to the log.
    fn append(&mut self, run: u32, position: i64, entry: &[u8]) -> Result<()> {
        let (append, run) = (&self.append, i64::from(run));
        let added = self.client.run(async |client| client.execute(append, &[&run, &position, &entry]).await);
        match added? {
            0 => Err(TAKEN.into()),
            _ => Ok(()),
        }
    }

    /// Writes changes in one transaction, with a statement for each, and removes entries of the log.
    fn fold(&mut self, run: u32, entries: Entries, changes: &[Changes]) -> Result<()> {
        let fold = &self.fold;
        self.client.run(async |client| {
            if let [changes] = changes {
                return write(client, fold, run, entries, changes).await;
            }
            let transaction = client.transaction().await?;
            for changes in changes {
                write(&transaction, fold, run, entries, changes).await?;
            }
            Ok(transaction.commit().await?)
        })
    }

    /// Writes the changes of the log that an earlier owner has left.
    fn fold_all(&mut self, run: u32) -> Result<()> {
        let pending = self.client.run(async |client| pending(client, "log").await)?;
        self.fold(run, Entries::ALL, &parts(&pending))
    }
}

/// Reads a log.
async fn pending(client: &impl GenericClient, log: &str) -> Result<Pending> {
    let mut pending = Pending::default();
    for entry in client.query(&format!("SELECT changes FROM {log} ORDER BY position"), &[]).await? {
        decode(entry.try_get(0)?)?.into_iter().for_each(|changes| pending.add(changes));
    }
    Ok(pending)
}

/// Writes changes to the tables, and removes entries of the log.
///
/// # Errors
/// Returns an error if the jobs have another owner.
async fn write(
    client: &impl GenericClient,
    fold: &Statement,
    run: u32,
    entries: Entries,
    changes: &Changes,
) -> Result<()> {
    let columns = Columns::of(changes);
    let (run, Entries { first, last }) = (i64::from(run), entries);
    let mut parameters = columns.parameters();
    parameters.extend([&run as &(dyn ToSql + Sync), &first, &last]);
    let row = client.query_one(fold, &parameters).await?;
    let is_owner: bool = row.try_get(0)?;
    if is_owner { Ok(()) } else { Err(TAKEN.into()) }
}

impl Row for tokio_postgres::Row {
    fn number(&self, column: &str) -> Result<Option<i64>> {
        Ok(self.try_get(column)?)
    }

    fn bytes(&self, column: &str) -> Result<Option<Bytes>> {
        Ok(self.try_get::<_, Option<&[u8]>>(column)?.map(Bytes::copy_from_slice))
    }

    fn text(&self, column: &str) -> Result<Option<String>> {
        Ok(self.try_get(column)?)
    }
}

const OF_INSTANCES: &str = "the jobs of this database belong to several instances: write --cluster-node NAME, or use another database";
const OF_ONE_SERVER: &str = "the schema jobs has jobs of a server without --cluster-node: let that server finish them first, or use another database";
