//! The streams on disk: all that is said to SQLite.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use rusqlite::{CachedStatement, Connection, OptionalExtension, Params, Row, ffi, named_params, params};

use crate::{fields::Fields, id::Id};

pub(crate) type Result<T> = rusqlite::Result<T>;

/// What is known of a stream without looking at its events.
#[derive(Debug)]
pub(crate) struct Stream {
    /// Its number in the database. No two streams ever have the same.
    pub(crate) number: i64,
    pub(crate) last: Id,
    pub(crate) max_deleted: Id,
    pub(crate) length: i64,
    /// How many events it has ever had.
    pub(crate) added: i64,
    pub(crate) groups: BTreeMap<Bytes, Group>,
}

/// Consumers who share what comes.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) number: i64,
    /// The last event that was delivered.
    pub(crate) last: Id,
    /// How many events it has read, if that is known.
    pub(crate) read: Option<i64>,
    pub(crate) consumers: BTreeMap<Bytes, Consumer>,
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Consumer {
    pub(crate) number: i64,
    /// When it was last heard of.
    pub(crate) seen: i64,
}

/// An event that was delivered and has not been acknowledged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    pub(crate) id: Id,
    /// The number of its consumer.
    pub(crate) consumer: i64,
    pub(crate) delivered: i64,
    pub(crate) deliveries: i64,
}

/// Whose pending events are asked for.
#[derive(Clone, Copy)]
pub(crate) enum Of {
    Group(i64),
    Consumer(i64),
}

/// An event.
pub(crate) type Event = (Id, Fields);

/// Which events are asked for, both ends included.
#[derive(Clone, Copy)]
pub(crate) struct Range {
    pub(crate) first: Id,
    pub(crate) last: Id,
    /// None is all.
    pub(crate) count: Option<i64>,
    pub(crate) is_reverse: bool,
}

/// What goes when a stream is trimmed: the oldest events, beyond so many or before an id.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    MaxLen(i64),
    MinId(Id),
}

/// A database. What is written is not there for others, nor on disk, before it is committed.
pub(crate) struct Store {
    connection: Connection,
    path: PathBuf,
    /// Something is written that is not committed.
    is_open: bool,
    /// Why something of that could not be written.
    failure: Option<ffi::Error>,
}

impl Store {
    /// Opens what is in a folder, or begins it.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("events.db");
        let connection = Connection::open(&path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        // Whoever reads in another process does not hold this one up for long.
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        connection.set_prepared_statement_cache_capacity(64);
        connection.execute_batch(include_str!("schema.sql"))?;
        Ok(Store { connection, path, is_open: false, failure: None })
    }

    /// All streams by their names, and the next number that none has had.
    pub(crate) fn streams(&self) -> Result<(HashMap<Bytes, Stream>, i64)> {
        let mut select = self.connection.prepare(
            "SELECT name, id, last_ms, last_seq, max_deleted_ms, max_deleted_seq, length, added FROM streams",
        )?;
        let streams = select.query_map([], |row| {
            let stream = Stream {
                number: row.get(1)?,
                last: id(row, 2)?,
                max_deleted: id(row, 4)?,
                length: row.get(6)?,
                added: row.get(7)?,
                groups: BTreeMap::new(),
            };
            Ok((name(row, 0)?, stream))
        })?;
        let mut streams: HashMap<Bytes, Stream> = streams.collect::<Result<_>>()?;
        for stream in streams.values_mut() {
            stream.groups = self.groups(stream.number)?;
        }
        let last = "SELECT max(coalesce((SELECT max(id) FROM streams), 0), coalesce((SELECT max(stream) FROM garbage), 0))";
        let last: i64 = self.connection.query_row(last, [], |row| row.get(0))?;
        Ok((streams, last + 1))
    }

    /// Writes what is known of a stream.
    pub(crate) fn set_stream(&mut self, name: &[u8], stream: &Stream) -> Result<()> {
        self.change("INSERT OR REPLACE INTO streams VALUES (:id, :name, :last_ms, :last_seq, :max_ms, :max_seq, :length, :added)", named_params! {
            ":id": stream.number, ":name": name,
            ":last_ms": stream.last.ms, ":last_seq": stream.last.seq,
            ":max_ms": stream.max_deleted.ms, ":max_seq": stream.max_deleted.seq,
            ":length": stream.length, ":added": stream.added,
        })?;
        Ok(())
    }

    /// Removes a stream; its events go by and by.
    pub(crate) fn remove_stream(&mut self, number: i64) -> Result<()> {
        self.change("DELETE FROM streams WHERE id = ?", [number])?;
        self.change("INSERT INTO garbage VALUES (?)", [number])?;
        Ok(())
    }

    fn groups(&self, stream: i64) -> Result<BTreeMap<Bytes, Group>> {
        let mut select =
            self.read("SELECT name, id, last_ms, last_seq, read FROM groups WHERE stream = ?")?;
        let groups = select.query_map([stream], |row| {
            let number = row.get(1)?;
            let consumers = self.consumers(number)?;
            Ok((name(row, 0)?, Group { number, last: id(row, 2)?, read: row.get(4)?, consumers }))
        })?;
        groups.collect()
    }

    fn consumers(&self, group: i64) -> Result<BTreeMap<Bytes, Consumer>> {
        let mut select = self.read("SELECT name, id, seen FROM consumers WHERE group_id = ?")?;
        let consumers = select.query_map([group], |row| {
            Ok((name(row, 0)?, Consumer { number: row.get(1)?, seen: row.get(2)? }))
        })?;
        consumers.collect()
    }

    /// Makes a group.
    pub(crate) fn add_group(
        &mut self,
        stream: i64,
        name: &[u8],
        last: Id,
        read: Option<i64>,
    ) -> Result<Group> {
        self.change(
            "INSERT INTO groups (stream, name, last_ms, last_seq, read) VALUES (?, ?, ?, ?, ?)",
            params![stream, name, last.ms, last.seq, read],
        )?;
        let number = self.connection.last_insert_rowid();
        Ok(Group { number, last, read, consumers: BTreeMap::new() })
    }

    /// Writes how far a group has come.
    pub(crate) fn set_group(&mut self, number: i64, last: Id, read: Option<i64>) -> Result<()> {
        self.change(
            "UPDATE groups SET last_ms = ?, last_seq = ?, read = ? WHERE id = ?",
            params![last.ms, last.seq, read, number],
        )?;
        Ok(())
    }

    /// Removes a group, its consumers and what these have not acknowledged.
    pub(crate) fn remove_group(&mut self, number: i64) -> Result<()> {
        for sql in [
            "DELETE FROM pending WHERE group_id = ?",
            "DELETE FROM consumers WHERE group_id = ?",
            "DELETE FROM groups WHERE id = ?",
        ] {
            self.change(sql, [number])?;
        }
        Ok(())
    }

    /// Makes a consumer.
    pub(crate) fn add_consumer(&mut self, group: i64, name: &[u8], seen: i64) -> Result<Consumer> {
        self.change(
            "INSERT INTO consumers (group_id, name, seen) VALUES (?, ?, ?)",
            params![group, name, seen],
        )?;
        Ok(Consumer { number: self.connection.last_insert_rowid(), seen })
    }

    /// Writes when a consumer was last heard of.
    pub(crate) fn set_seen(&mut self, consumer: i64, seen: i64) -> Result<()> {
        self.change("UPDATE consumers SET seen = ? WHERE id = ?", [seen, consumer])?;
        Ok(())
    }

    /// Removes a consumer; returns how many events it had not acknowledged.
    pub(crate) fn remove_consumer(&mut self, consumer: i64) -> Result<usize> {
        let pending = self.change("DELETE FROM pending WHERE consumer = ?", [consumer])?;
        self.change("DELETE FROM consumers WHERE id = ?", [consumer])?;
        Ok(pending)
    }

    /// Notes that an event was delivered.
    pub(crate) fn set_pending(&mut self, group: i64, pending: Pending) -> Result<()> {
        let Pending { id, consumer, delivered, deliveries } = pending;
        self.change(
            "INSERT OR REPLACE INTO pending VALUES (?, ?, ?, ?, ?, ?)",
            params![group, id.ms, id.seq, consumer, delivered, deliveries],
        )?;
        Ok(())
    }

    /// Notes that an event was acknowledged, or is not there any more; says whether it was pending.
    pub(crate) fn remove_pending(&mut self, group: i64, id: Id) -> Result<bool> {
        let sql = "DELETE FROM pending WHERE group_id = ? AND ms = ? AND seq = ?";
        Ok(self.change(sql, [group, id.ms, id.seq])? > 0)
    }

    /// Pending events of this range, in their order, at most so many (-1: all), which were delivered at this time at the latest.
    pub(crate) fn pending(
        &self,
        of: Of,
        first: Id,
        last: Id,
        until: i64,
        count: i64,
    ) -> Result<Vec<Pending>> {
        let (sql, number) = match of {
            Of::Group(number) => (
                "SELECT ms, seq, consumer, delivered, deliveries FROM pending WHERE group_id = ?
                 AND (ms, seq) BETWEEN (?, ?) AND (?, ?) AND delivered <= ? ORDER BY ms, seq LIMIT ?",
                number,
            ),
            Of::Consumer(number) => (
                "SELECT ms, seq, consumer, delivered, deliveries FROM pending WHERE consumer = ?
                 AND (ms, seq) BETWEEN (?, ?) AND (?, ?) AND delivered <= ? ORDER BY ms, seq LIMIT ?",
                number,
            ),
        };
        let mut select = self.read(sql)?;
        let values = params![number, first.ms, first.seq, last.ms, last.seq, until, count];
        let pending = select.query_map(values, |row| {
            Ok(Pending {
                id: id(row, 0)?,
                consumer: row.get(2)?,
                delivered: row.get(3)?,
                deliveries: row.get(4)?,
            })
        })?;
        pending.collect()
    }

    /// How many events are pending.
    pub(crate) fn count_pending(&self, of: Of) -> Result<i64> {
        let (sql, number) = match of {
            Of::Group(number) => ("SELECT count(*) FROM pending WHERE group_id = ?", number),
            Of::Consumer(number) => ("SELECT count(*) FROM pending WHERE consumer = ?", number),
        };
        self.read(sql)?.query_row([number], |row| row.get(0))
    }

    /// The first or the last pending event of a group.
    pub(crate) fn end_of_pending(&self, group: i64, is_last: bool) -> Result<Option<Id>> {
        let sql = match is_last {
            false => "SELECT ms, seq FROM pending WHERE group_id = ? ORDER BY ms, seq LIMIT 1",
            true => "SELECT ms, seq FROM pending WHERE group_id = ? ORDER BY ms DESC, seq DESC LIMIT 1",
        };
        self.read(sql)?.query_row([group], |row| id(row, 0)).optional()
    }

    /// Removes some events of streams that are no more; says whether there may be others.
    pub(crate) fn remove_garbage(&mut self, at_most: i64) -> Result<bool> {
        let number: Option<i64> =
            self.read("SELECT min(stream) FROM garbage")?.query_row([], |row| row.get(0))?;
        let Some(number) = number else { return Ok(false) };
        let removed = self.remove_oldest(number, Id::MAX, at_most)?;
        if removed == 0 {
            self.change("DELETE FROM garbage WHERE stream = ?", [number])?;
        }
        Ok(true)
    }

    pub(crate) fn add(&mut self, stream: i64, id: Id, fields: &Fields) -> Result<()> {
        self.change(
            "INSERT INTO entries VALUES (?, ?, ?, ?)",
            params![stream, id.ms, id.seq, fields.stored()],
        )?;
        Ok(())
    }

    pub(crate) fn range(&self, stream: i64, range: Range) -> Result<Vec<Event>> {
        let sql = if range.is_reverse {
            "SELECT ms, seq, fields FROM entries WHERE stream = ? AND (ms, seq) BETWEEN (?, ?) AND (?, ?)
             ORDER BY ms DESC, seq DESC LIMIT ?"
        } else {
            "SELECT ms, seq, fields FROM entries WHERE stream = ? AND (ms, seq) BETWEEN (?, ?) AND (?, ?)
             ORDER BY ms, seq LIMIT ?"
        };
        let Range { first, last, count, .. } = range;
        let mut select = self.read(sql)?;
        let values = params![stream, first.ms, first.seq, last.ms, last.seq, count.unwrap_or(-1)];
        let events = select.query_map(values, |row| Ok((id(row, 0)?, Fields::read(row.get_ref(2)?))))?;
        events.collect()
    }

    /// Removes an event; says whether there was one.
    pub(crate) fn remove(&mut self, stream: i64, id: Id) -> Result<bool> {
        let sql = "DELETE FROM entries WHERE stream = ? AND ms = ? AND seq = ?";
        Ok(self.change(sql, params![stream, id.ms, id.seq])? > 0)
    }

    /// Removes the oldest events of a stream up to this one, at most so many; returns how many there were.
    pub(crate) fn remove_oldest(&mut self, stream: i64, last: Id, at_most: i64) -> Result<i64> {
        let nth = self
            .read("SELECT ms, seq FROM entries WHERE stream = ? ORDER BY ms, seq LIMIT 1 OFFSET ?")?
            .query_row(params![stream, at_most - 1], |row| id(row, 0))
            .optional()?;
        let last = nth.map_or(last, |nth| nth.min(last));
        let sql = "DELETE FROM entries WHERE stream = ? AND (ms, seq) <= (?, ?)";
        Ok(self.change(sql, params![stream, last.ms, last.seq])? as i64)
    }

    /// Whether something is written that is not committed.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Makes all that was written hold, on disk.
    ///
    /// # Errors
    /// It cannot, or something of it could not even be written. What was written is to be [taken back](Self::roll_back) then.
    pub(crate) fn commit(&mut self) -> Result<()> {
        if let Some(failure) = self.failure {
            return Err(rusqlite::Error::SqliteFailure(failure, None));
        }
        if self.is_open {
            self.connection.execute_batch("COMMIT")?;
            self.is_open = false;
        }
        Ok(())
    }

    /// Takes back what was written.
    pub(crate) fn roll_back(&mut self) -> Result<()> {
        self.is_open = false;
        self.failure = None;
        // After some errors, SQLite has done it by itself.
        if self.connection.is_autocommit() { Ok(()) } else { self.connection.execute_batch("ROLLBACK") }
    }

    /// Bytes that the events take, without the room that is free.
    pub(crate) fn size(&self) -> Result<i64> {
        let sql = "SELECT (page_count - freelist_count) * page_size
            FROM pragma_page_count, pragma_freelist_count, pragma_page_size";
        self.read(sql)?.query_row([], |row| row.get(0))
    }

    /// Bytes that its files take.
    pub(crate) fn file_size(&self) -> u64 {
        let size = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
        size(&self.path) + size(&self.path.with_extension("db-wal"))
    }

    fn read(&self, sql: &str) -> Result<CachedStatement<'_>> {
        self.connection.prepare_cached(sql)
    }

    /// Writes something; returns how many rows that has changed.
    fn change(&mut self, sql: &str, values: impl Params) -> Result<usize> {
        if !self.is_open {
            self.connection.execute_batch("BEGIN IMMEDIATE")?;
            self.is_open = true;
        }
        let changed = self.connection.prepare_cached(sql)?.execute(values);
        // Whoever asked for it has changed what is known in memory, too: nothing of it must be committed.
        self.failure =
            self.failure.or(changed.as_ref().err().and_then(rusqlite::Error::sqlite_error).copied());
        changed
    }
}

fn name(row: &Row<'_>, at: usize) -> Result<Bytes> {
    Ok(row.get::<_, Vec<u8>>(at)?.into())
}

fn id(row: &Row<'_>, at: usize) -> Result<Id> {
    Ok(Id { ms: row.get(at)?, seq: row.get(at + 1)? })
}

#[cfg(test)]
mod tests {
    use std::{env, process};

    use super::*;

    /// Whoever wrote something has changed what is in memory as well, so half of it must not be kept.
    #[test]
    fn where_something_could_not_be_written_nothing_is_committed() {
        let folder = env::temp_dir().join(format!("collector-{}", process::id()));
        fs::create_dir_all(&folder).expect("it can be made");
        let mut store = Store::open(&folder).expect("it can be opened");
        let (id, fields) = (Id { ms: 1, seq: 1 }, Fields::default());
        store.add(1, id, &fields).expect("it is new");
        store.add(1, id, &fields).expect_err("it is there");
        store.commit().expect_err("something is missing");
        store.roll_back().expect("it can be taken back");
        store.add(1, id, &fields).expect("it is new again");
        store.commit().expect("all of it is written");
        drop(store);
        fs::remove_dir_all(&folder).expect("it can be removed");
    }
}
