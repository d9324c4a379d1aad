//! The jobs in the schema `jobs` of a database of PostgreSQL.

use std::{
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use pg::{Target, described, is_lost};
use postgres::{Client, GenericClient, Statement, types::ToSql};

use super::{
    Changes, Contents, Database, Result, SELECT_META, VERSION, next_run,
    rows::{Row, Table},
};

/// Time for which a commit tries to connect again when the connection was lost, for example because the server restarts.
const PATIENCE: Duration = pg::VANISHED_AFTER;

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
    session: Session,
    run: u32,
}

/// A connection that holds the lock. PostgreSQL releases the lock when the connection ends.
struct Session {
    client: Client,
    commit: Statement,
}

impl Postgres {
    pub(super) fn open(url: &str) -> Result<(Self, Contents)> {
        Self::connect(url).map_err(described)
    }

    fn connect(url: &str) -> Result<(Self, Contents)> {
        let target = Target::parse(url, "jobs")?;
        let mut client = connect(&target)?;
        let run = start(&mut client)?;
        let contents = Contents {
            run,
            jobs: read(&mut client)?,
            results: read(&mut client)?,
            queues: read(&mut client)?,
            schedules: read(&mut client)?,
        };
        let session = Session::new(client)?;
        Ok((Postgres { target, session, run }, contents))
    }

    /// Connects again.
    ///
    /// # Errors
    /// Returns an error if another process has owned the jobs meanwhile, since it may have changed them.
    fn reconnect(&mut self) -> Result<()> {
        let mut client = connect(&self.target)?;
        let known = known(&mut client)?;
        if known != Some((VERSION, self.run.into())) {
            return Err(TAKEN.into());
        }
        self.session = Session::new(client)?;
        Ok(())
    }
}

impl Database for Postgres {
    fn commit(&mut self, changes: Vec<Changes>) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        let changes: Vec<Changes> =
            changes.into_iter().flat_map(|changes| changes.split(MAX_BYTES)).collect();
        let mut outcome = self.session.commit(&changes);
        // The lost session may have written the changes. To write them again has no effect then.
        while let Err(error) = &outcome
            && is_lost(error)
            && Instant::now() < until
        {
            thread::sleep(RETRY_AFTER);
            outcome = self.reconnect().and_then(|()| self.session.commit(&changes));
        }
        outcome.map_err(described)
    }
}

/// Connects, and takes the lock.
fn connect(target: &Target) -> Result<Client> {
    let mut client = target.connect()?;
    client.batch_execute("SET search_path TO jobs; SET synchronous_commit TO on")?;
    let until = Instant::now() + LOCK_PATIENCE;
    while !client.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK])?.try_get::<_, bool>(0)? {
        if Instant::now() >= until {
            return Err("another process uses the jobs of this database".into());
        }
        thread::sleep(RETRY_AFTER);
    }
    Ok(client)
}

/// Creates the tables if there are none, and counts this start. Returns its run.
fn start(client: &mut Client) -> Result<u32> {
    let mut transaction = client.transaction()?;
    // To create a schema that exists needs a right that a user may lack.
    let has_schema: bool =
        transaction.query_one("SELECT to_regnamespace('jobs') IS NOT NULL", &[])?.try_get(0)?;
    if !has_schema {
        transaction.batch_execute("CREATE SCHEMA jobs")?;
    }
    transaction.batch_execute(&schema())?;
    let known = known(&mut transaction)?;
    let run = next_run(known)?;
    match known {
        None => transaction.execute("INSERT INTO meta VALUES ($1, $2)", &[&VERSION, &i64::from(run)])?,
        Some(_) => transaction.execute("UPDATE meta SET run = $1", &[&i64::from(run)])?,
    };
    transaction.commit()?;
    Ok(run)
}

/// Returns the statements that create the tables, with the types of PostgreSQL.
fn schema() -> String {
    let replaced = [(" STRICT", ""), (", WITHOUT ROWID", ""), ("INTEGER", "BIGINT"), ("BLOB", "BYTEA")];
    let schema = include_str!("schema.sql").to_owned();
    replaced.into_iter().fold(schema, |schema, (from, to)| schema.replace(from, to))
}

/// Returns the version of the tables and the last run.
fn known(client: &mut impl GenericClient) -> Result<Option<(i64, i64)>> {
    let row = client.query_opt(SELECT_META, &[])?;
    row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).transpose()
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
    fn commit(&mut self, changes: &[Changes]) -> Result<()> {
        if let [changes] = changes {
            return write(&mut self.client, &self.commit, changes);
        }
        let mut transaction = self.client.transaction()?;
        for changes in changes {
            write(&mut transaction, &self.commit, changes)?;
        }
        Ok(transaction.commit()?)
    }
}

fn write(client: &mut impl GenericClient, commit: &Statement, changes: &Changes) -> Result<()> {
    let (added, changed, results) = (&changes.added_jobs, &changes.changed_jobs, &changes.results);
    let (queues, schedules) = (&changes.queues, &changes.schedules);
    client.execute(
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
        ],
    )?;
    Ok(())
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

const TAKEN: &str = "another process has used the jobs of this database meanwhile";
