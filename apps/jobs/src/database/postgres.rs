//! The jobs in a schema of a database of PostgreSQL: in `jobs`, or those of a partition in `jobs_0`, `jobs_1` and so on.

use std::{
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use postgres::{Client, GenericClient, Statement, types::ToSql};
use thegiant_postgres::{Target, described, is_lost};

use super::{
    Changes, Contents, Database, Result, Scope,
    meta::{Meta, SELECT_META, SELECT_VERSION, TAKEN, upgrade},
    rows::{Row, Table},
};

/// Time for which a commit tries to connect again when the connection was lost, for example because the server restarts.
const PATIENCE: Duration = Duration::from_secs(30);

/// Delay between two attempts.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// Time for which a lost session may still hold the lock.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of bodies and results that one statement has. PostgreSQL takes messages of less than 1 GiB, and a body has up to
/// half of this.
const MAX_BYTES: usize = 16 << 20;

/// Key of the advisory lock of the process that owns the jobs of a database: "jobs" in ASCII.
const LOCK: i64 = 0x6a6f_6273;

pub(super) struct Postgres {
    target: Target,
    scope: Scope,
    session: Session,
    run: u32,
}

/// A connection that writes.
struct Session {
    client: Client,
    commit: Statement,
}

impl Postgres {
    pub(super) fn open(url: &str, scope: Scope) -> Result<(Self, Contents)> {
        Self::connect(url, scope).map_err(described)
    }

    fn connect(url: &str, scope: Scope) -> Result<(Self, Contents)> {
        let target = Target::parse(url, &schema_of(scope))?;
        let mut client = connect(&target, scope)?;
        let run = start(&mut client, scope)?;
        let contents = Contents {
            run,
            jobs: read(&mut client)?,
            results: read(&mut client)?,
            queues: read(&mut client)?,
            schedules: read(&mut client)?,
        };
        let session = Session::new(client)?;
        Ok((Postgres { target, scope, session, run }, contents))
    }

    /// Connects again. If the jobs have another owner meanwhile, the next commit says so.
    fn reconnect(&mut self) -> Result<()> {
        self.session = Session::new(connect(&self.target, self.scope)?)?;
        Ok(())
    }

    fn try_commit(&mut self, changes: &[Changes]) -> Result<()> {
        self.session.commit(self.run, changes)
    }
}

impl Database for Postgres {
    fn commit(&mut self, changes: Vec<Changes>) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        let changes: Vec<Changes> =
            changes.into_iter().flat_map(|changes| changes.split(MAX_BYTES)).collect();
        let mut outcome = self.try_commit(&changes);
        // The lost session may have written the changes. To write them again has no effect then.
        while let Err(error) = &outcome
            && is_lost(error)
            && Instant::now() < until
        {
            thread::sleep(RETRY_AFTER);
            outcome = self.reconnect().and_then(|()| self.try_commit(&changes));
        }
        outcome.map_err(described)
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
fn connect(target: &Target, scope: Scope) -> Result<Client> {
    let mut client = target.connect_blocking()?;
    // A process that is stopped within a transaction does not hold up the next owner for long.
    client.batch_execute(&format!(
        "SET search_path TO {}; SET synchronous_commit TO on; SET idle_in_transaction_session_timeout TO '5s'",
        schema_of(scope)
    ))?;
    if scope == Scope::All {
        lock(&mut client)?;
    }
    Ok(client)
}

fn lock(client: &mut Client) -> Result<()> {
    let until = Instant::now() + LOCK_PATIENCE;
    while !client.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK])?.try_get::<_, bool>(0)? {
        if Instant::now() >= until {
            return Err("another process uses the jobs of this database".into());
        }
        thread::sleep(RETRY_AFTER);
    }
    Ok(())
}

/// Creates the tables if there are none, and makes this process the owner of the jobs. Returns its run.
fn start(client: &mut Client, scope: Scope) -> Result<u32> {
    let (schema, mut transaction) = (schema_of(scope), client.transaction()?);
    check_mode(&mut transaction, scope)?;
    // To create a schema that exists needs a right that a user may lack.
    let has_schema: bool =
        transaction.query_one("SELECT to_regnamespace($1) IS NOT NULL", &[&schema])?.try_get(0)?;
    if !has_schema {
        transaction.batch_execute(&format!("CREATE SCHEMA {schema}"))?;
    }
    transaction.batch_execute(&translated(include_str!("schema.sql")))?;
    // Waits for a commit of an earlier owner that is in progress.
    transaction.batch_execute("LOCK TABLE meta IN EXCLUSIVE MODE")?;
    let version = transaction.query_opt(SELECT_VERSION, &[])?;
    let version = version.map(|row| row.try_get(0)).transpose()?;
    transaction.batch_execute(&translated(upgrade(version)?))?;
    let known = transaction.query_opt(SELECT_META, &[])?;
    let known = known.map(|row| Meta::read(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)).transpose()?;
    let next = scope.next(known)?;
    let [version, run, epoch, partitions] = &next.values();
    transaction.execute("DELETE FROM meta", &[])?;
    transaction.execute("INSERT INTO meta VALUES ($1, $2, $3, $4)", &[version, run, epoch, partitions])?;
    transaction.commit()?;
    Ok(next.run)
}

/// Checks that no jobs stay unseen, because one server has stored them and several instances use the database now, or the other way
/// round.
fn check_mode(client: &mut impl GenericClient, scope: Scope) -> Result<()> {
    let mut holds = |question| client.query_one(question, &[])?.try_get::<_, bool>(0);
    match scope {
        Scope::All if holds("SELECT to_regnamespace('jobs_0') IS NOT NULL")? => Err(OF_INSTANCES.into()),
        Scope::Partition(..)
            if holds("SELECT to_regclass('jobs.jobs') IS NOT NULL")?
                && holds("SELECT EXISTS (SELECT FROM jobs.jobs)")? =>
        {
            Err(OF_ONE_SERVER.into())
        }
        _ => Ok(()),
    }
}

/// Returns statements for SQLite with the types of PostgreSQL.
fn translated(statements: &str) -> String {
    let replaced = [(" STRICT", ""), (", WITHOUT ROWID", ""), ("INTEGER", "BIGINT"), ("BLOB", "BYTEA")];
    replaced.into_iter().fold(statements.to_owned(), |text, (from, to)| text.replace(from, to))
}

fn read<T: Table>(client: &mut Client) -> Result<Vec<T>> {
    client.query(T::SELECT, &[])?.iter().map(T::read).collect()
}

impl Session {
    fn new(mut client: Client) -> Result<Self> {
        let commit = client.prepare(include_str!("postgres_commit.sql"))?;
        Ok(Session { client, commit })
    }

    /// Writes changes in one transaction, with a statement for each.
    fn commit(&mut self, run: u32, changes: &[Changes]) -> Result<()> {
        if let [changes] = changes {
            return write(&mut self.client, &self.commit, run, changes);
        }
        let mut transaction = self.client.transaction()?;
        for changes in changes {
            write(&mut transaction, &self.commit, run, changes)?;
        }
        Ok(transaction.commit()?)
    }
}

/// Writes changes.
///
/// # Errors
/// Returns an error if the jobs have another owner.
fn write(client: &mut impl GenericClient, commit: &Statement, run: u32, changes: &Changes) -> Result<()> {
    let (added, changed, results) = (&changes.added_jobs, &changes.changed_jobs, &changes.results);
    let (queues, schedules) = (&changes.queues, &changes.schedules);
    let row = client.query_one(
        commit,
        &[
            &column(added, |job| job.state.number),
            &column(added, |job| job.run),
            &column(added, |job| &job.state.queue[..]),
            &column(added, |job| job.state.name.as_deref()),
            &column(added, |job| job.state.origin.as_deref()),
            &column(added, |job| job.priority),
            &column(added, |job| job.state.tries),
            &column(added, |job| job.state.earlier_tries),
            &column(added, |job| job.max_tries),
            &column(added, |job| job.retry),
            &column(added, |job| job.keep),
            &column(added, |job| job.added),
            &column(added, |job| job.state.ready),
            &column(added, |job| job.state.expires),
            &column(added, |job| job.state.is_out),
            &column(added, |job| &job.body[..]),
            &column(changed, |job| job.number),
            &column(changed, |job| &job.queue[..]),
            &column(changed, |job| job.name.as_deref()),
            &column(changed, |job| job.origin.as_deref()),
            &column(changed, |job| job.tries),
            &column(changed, |job| job.earlier_tries),
            &column(changed, |job| job.ready),
            &column(changed, |job| job.expires),
            &column(changed, |job| job.is_out),
            &changes.removed_jobs,
            &column(results, |result| result.number),
            &column(results, |result| result.run),
            &column(results, |result| result.queue.as_deref()),
            &column(results, |result| result.name.as_deref()),
            &column(results, |result| result.until),
            &column(results, |result| result.result.as_deref()),
            &column(results, |result| result.failure.as_deref()),
            &changes.removed_results,
            &column(queues, |queue| &queue.name[..]),
            &column(queues, |queue| queue.paused),
            &column(queues, |queue| queue.added),
            &column(queues, |queue| queue.done),
            &column(queues, |queue| queue.failed),
            &column(queues, |queue| queue.requeued),
            &column(queues, |queue| queue.dead),
            &column(queues, |queue| queue.expired),
            &column(&changes.removed_queues, |name| &name[..]),
            &column(schedules, |schedule| &schedule.name[..]),
            &column(schedules, |schedule| &schedule.cron[..]),
            &column(schedules, |schedule| schedule.zone.as_deref()),
            &column(schedules, |schedule| &schedule.queue[..]),
            &column(schedules, |schedule| &schedule.body[..]),
            &column(schedules, |schedule| schedule.retry),
            &column(schedules, |schedule| schedule.ttl),
            &column(schedules, |schedule| schedule.max_len),
            &column(schedules, |schedule| schedule.max_tries),
            &column(schedules, |schedule| schedule.keep),
            &column(schedules, |schedule| schedule.priority),
            &column(schedules, |schedule| schedule.next),
            &column(schedules, |schedule| schedule.last_run),
            &column(schedules, |schedule| schedule.last_number),
            &column(schedules, |schedule| schedule.added),
            &column(schedules, |schedule| schedule.skipped),
            &column(&changes.removed_schedules, |name| &name[..]),
            &i64::from(run),
        ],
    )?;
    let is_owner: bool = row.try_get(0)?;
    if is_owner { Ok(()) } else { Err(TAKEN.into()) }
}

/// Returns a column of rows, as an array for `UNNEST`.
fn column<'r, R, T: ToSql>(rows: &'r [R], value: impl Fn(&'r R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

impl Row for postgres::Row {
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
