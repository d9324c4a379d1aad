//! The jobs in a file of SQLite, with a write-ahead log.
//!
//! Other programs can read the file meanwhile.

use std::time::Duration;

use bytes::Bytes;
use folder::DataFile;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::{
    Changes, Contents, Database, Result, Scope,
    meta::{Meta, SELECT_META, SELECT_VERSION, upgrade},
    rows::{JobChange, JobRow, Row, Table},
};

/// Time for which a commit waits if another program has locked the database.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Sqlite {
    connection: Connection,
    file: DataFile,
}

impl Sqlite {
    pub(super) fn open(mut file: DataFile) -> Result<(Self, Contents)> {
        let mut connection = Connection::open(file.path())?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(32);
        let run = start(&mut connection)?;
        let contents = Contents {
            run,
            jobs: read(&connection)?,
            results: read(&connection)?,
            queues: read(&connection)?,
            schedules: read(&connection)?,
        };
        file.watch("");
        file.watch("-wal");
        Ok((Sqlite { connection, file }, contents))
    }
}

/// Creates the tables if there are none, and counts this start. Returns its run.
fn start(connection: &mut Connection) -> Result<u32> {
    let transaction = connection.transaction()?;
    let tables: i64 = transaction.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
    let is_ours = transaction.table_exists(None, "meta")?;
    if tables > 0 && !is_ours {
        return Err("this is a database of another program".into());
    }
    if !is_ours {
        transaction.execute_batch(include_str!("schema.sql"))?;
    }
    let version = transaction.query_row(SELECT_VERSION, [], |row| row.get(0)).optional()?;
    transaction.execute_batch(upgrade(version)?)?;
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let known = transaction.query_row(SELECT_META, [], row).optional()?;
    let known = known.map(|(run, epoch, partitions)| Meta::read(run, epoch, partitions)).transpose()?;
    let next = Scope::All.next(known)?;
    transaction.execute("DELETE FROM meta", [])?;
    transaction.execute("INSERT INTO meta VALUES (?, ?, ?, ?)", next.values())?;
    transaction.commit()?;
    Ok(next.run)
}

fn read<T: Table>(connection: &Connection) -> Result<Vec<T>> {
    let mut select = connection.prepare(T::SELECT)?;
    let mut rows = select.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(T::read(row)?);
    }
    Ok(all)
}

impl Database for Sqlite {
    fn commit(&mut self, changes: Vec<Changes>) -> Result<()> {
        // SQLite writes on to a file that was removed, and its jobs would be lost.
        self.file.check()?;
        // SQLite rolls the transaction back if it is dropped without a commit.
        let transaction = self.connection.transaction()?;
        for changes in &changes {
            write_jobs(&transaction, changes)?;
            write_results(&transaction, changes)?;
            write_queues(&transaction, changes)?;
            write_schedules(&transaction, changes)?;
        }
        Ok(transaction.commit()?)
    }
}

fn write_jobs(transaction: &Transaction<'_>, changes: &Changes) -> Result<()> {
    add_jobs(transaction, &changes.added_jobs)?;
    change_jobs(transaction, &changes.changed_jobs)?;
    let mut remove = transaction.prepare_cached("DELETE FROM jobs WHERE number = ?")?;
    for number in &changes.removed_jobs {
        remove.execute([number])?;
    }
    Ok(())
}

fn add_jobs(transaction: &Transaction<'_>, jobs: &[JobRow]) -> Result<()> {
    let mut add = transaction.prepare_cached(
        "INSERT OR REPLACE INTO jobs (number, run, queue, name, origin, priority, tries, earlier_tries, max_tries, \
         retry, keep, added, ready, expires, is_out, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    for job in jobs {
        let state = &job.state;
        add.execute(params![
            state.number,
            job.run,
            &state.queue[..],
            state.name.as_deref(),
            state.origin.as_deref(),
            job.priority,
            state.tries,
            state.earlier_tries,
            job.max_tries,
            job.retry,
            job.keep,
            job.added,
            state.ready,
            state.expires,
            state.is_out,
            &job.body[..],
        ])?;
    }
    Ok(())
}

fn change_jobs(transaction: &Transaction<'_>, jobs: &[JobChange]) -> Result<()> {
    let mut change = transaction.prepare_cached(
        "UPDATE jobs SET queue = ?, name = ?, origin = ?, tries = ?, earlier_tries = ?, ready = ?, expires = ?, \
         is_out = ? WHERE number = ?",
    )?;
    for job in jobs {
        change.execute(params![
            &job.queue[..],
            job.name.as_deref(),
            job.origin.as_deref(),
            job.tries,
            job.earlier_tries,
            job.ready,
            job.expires,
            job.is_out,
            job.number,
        ])?;
    }
    Ok(())
}

fn write_results(transaction: &Transaction<'_>, changes: &Changes) -> Result<()> {
    let mut add = transaction.prepare_cached(
        "INSERT OR REPLACE INTO results (number, run, queue, name, until, result, failure) \
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )?;
    for result in &changes.results {
        add.execute(params![
            result.number,
            result.run,
            result.queue.as_deref(),
            result.name.as_deref(),
            result.until,
            result.result.as_deref(),
            result.failure.as_deref(),
        ])?;
    }
    let mut remove = transaction.prepare_cached("DELETE FROM results WHERE number = ?")?;
    for number in &changes.removed_results {
        remove.execute([number])?;
    }
    Ok(())
}

fn write_queues(transaction: &Transaction<'_>, changes: &Changes) -> Result<()> {
    let mut set = transaction.prepare_cached(
        "INSERT OR REPLACE INTO queues (name, paused, added, done, failed, requeued, dead, expired) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    for queue in &changes.queues {
        set.execute(params![
            &queue.name[..],
            queue.paused,
            queue.added,
            queue.done,
            queue.failed,
            queue.requeued,
            queue.dead,
            queue.expired,
        ])?;
    }
    remove_named(transaction, "DELETE FROM queues WHERE name = ?", &changes.removed_queues)
}

fn write_schedules(transaction: &Transaction<'_>, changes: &Changes) -> Result<()> {
    let mut set = transaction.prepare_cached(
        "INSERT OR REPLACE INTO schedules (name, cron, zone, queue, body, retry, ttl, max_len, max_tries, keep, \
         priority, next, last_run, last_number, added, skipped) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    for schedule in &changes.schedules {
        set.execute(params![
            &schedule.name[..],
            schedule.cron,
            schedule.zone,
            &schedule.queue[..],
            &schedule.body[..],
            schedule.retry,
            schedule.ttl,
            schedule.max_len,
            schedule.max_tries,
            schedule.keep,
            schedule.priority,
            schedule.next,
            schedule.last_run,
            schedule.last_number,
            schedule.added,
            schedule.skipped,
        ])?;
    }
    remove_named(transaction, "DELETE FROM schedules WHERE name = ?", &changes.removed_schedules)
}

fn remove_named(transaction: &Transaction<'_>, delete: &str, names: &[Bytes]) -> Result<()> {
    let mut remove = transaction.prepare_cached(delete)?;
    for name in names {
        remove.execute([&name[..]])?;
    }
    Ok(())
}

impl Row for rusqlite::Row<'_> {
    fn number(&self, column: &str) -> Result<Option<i64>> {
        Ok(self.get(column)?)
    }

    fn bytes(&self, column: &str) -> Result<Option<Bytes>> {
        Ok(self.get::<_, Option<Vec<u8>>>(column)?.map(Bytes::from))
    }

    fn text(&self, column: &str) -> Result<Option<String>> {
        Ok(self.get(column)?)
    }
}
