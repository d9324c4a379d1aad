//! The streams on disk: all access to SQLite.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::PathBuf,
    time::Duration,
};

use bytes::Bytes;
use folder::DataFolder;
use rusqlite::{CachedStatement, Connection, OptionalExtension, Params, Row, ffi, named_params, params};

use crate::{
    checksum,
    fields::Fields,
    id::Id,
    strings::StoredString,
    wal::{Wal, WalState},
};

pub(crate) type Result<T> = rusqlite::Result<T>;

/// The state of a stream without its events.
#[derive(Debug)]
pub(crate) struct Stream {
    /// Id in the database. It is never used for another stream.
    pub(crate) number: i64,
    pub(crate) last: Id,
    pub(crate) max_deleted: Id,
    pub(crate) length: i64,
    /// Number of events that were ever added.
    pub(crate) added: i64,
    pub(crate) groups: BTreeMap<Bytes, Group>,
}

/// A consumer group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) number: i64,
    /// Id of the last delivered event.
    pub(crate) last: Id,
    /// Number of events that were read, if it is known.
    pub(crate) read: Option<i64>,
    pub(crate) consumers: BTreeMap<Bytes, Consumer>,
}

/// A consumer of a group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Consumer {
    pub(crate) number: i64,
    /// Time of its last command, in milliseconds since 1970. It is written to disk only with `active`.
    pub(crate) seen: i64,
    /// Time when it last got an event, or `None` if it never did.
    pub(crate) active: Option<i64>,
}

/// A delivered event that is not acknowledged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    pub(crate) id: Id,
    /// Number of the consumer.
    pub(crate) consumer: i64,
    pub(crate) delivered: i64,
    pub(crate) deliveries: i64,
}

/// Selects pending events of a group or of a consumer.
#[derive(Clone, Copy)]
pub(crate) enum Of {
    Group(i64),
    Consumer(i64),
}

/// An event.
pub(crate) type Event = (Id, Fields);

/// An error of a read of events.
#[derive(Debug)]
pub(crate) enum ReadError {
    Sqlite(rusqlite::Error),
    /// The event with this id does not have the contents that were stored.
    Damaged(Id),
}

impl From<rusqlite::Error> for ReadError {
    fn from(error: rusqlite::Error) -> Self {
        ReadError::Sqlite(error)
    }
}

/// Selects events. Both ends are included.
#[derive(Clone, Copy)]
pub(crate) struct Range {
    pub(crate) first: Id,
    pub(crate) last: Id,
    /// Maximum number of events, or `None` for all.
    pub(crate) count: Option<i64>,
    pub(crate) is_reverse: bool,
}

/// The limit to which a stream is trimmed: a length, or the smallest id to keep.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    MaxLen(i64),
    MinId(Id),
}

/// Time for which a command waits if another process has locked the database.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The file of the database, and that of its write-ahead log.
const DATABASE: &str = "events.db";
const LOG: &str = "events.db-wal";

/// A database. Changes are visible to other processes, and on disk, only after a commit.
pub(crate) struct Store {
    connection: Connection,
    folder: DataFolder,
    path: PathBuf,
    wal: Wal,
    /// Whether there are uncommitted changes.
    is_open: bool,
    /// The first error of an uncommitted change.
    failure: Option<ffi::Error>,
}

impl Store {
    /// Opens the database in a folder, or creates it.
    ///
    /// `max_wal` is the size of the write-ahead log from which on it refuses writes.
    pub(crate) fn open(mut folder: DataFolder, max_wal: Option<u64>) -> Result<Self> {
        let path = folder.path().join(DATABASE);
        let connection = Connection::open(&path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(64);
        migrate(&connection)?;
        connection.execute_batch(include_str!("schema.sql"))?;
        for name in [DATABASE, LOG] {
            folder.watch(name);
        }
        let wal = Wal::new(folder.path().join(LOG), max_wal);
        Ok(Store { connection, folder, path, wal, is_open: false, failure: None })
    }

    /// Checks that the folder and its files are still at their paths, and that the write-ahead log is not too large.
    pub(crate) fn check_writable(&self) -> io::Result<()> {
        self.folder.check()?;
        self.wal.check_size()
    }

    /// Returns all streams by name, and the next unused number.
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
            Ok((bytes(row, 0)?, stream))
        })?;
        let mut streams: HashMap<Bytes, Stream> = streams.collect::<Result<_>>()?;
        for stream in streams.values_mut() {
            stream.groups = self.groups(stream.number)?;
        }
        let last = "SELECT max(coalesce((SELECT max(id) FROM streams), 0), coalesce((SELECT max(stream) FROM garbage), 0))";
        let last: i64 = self.connection.query_row(last, [], |row| row.get(0))?;
        Ok((streams, last + 1))
    }

    /// Writes the state of a stream.
    pub(crate) fn set_stream(&mut self, name: &[u8], stream: &Stream) -> Result<()> {
        self.change("INSERT OR REPLACE INTO streams VALUES (:id, :name, :last_ms, :last_seq, :max_ms, :max_seq, :length, :added)", named_params! {
            ":id": stream.number, ":name": name,
            ":last_ms": stream.last.ms, ":last_seq": stream.last.seq,
            ":max_ms": stream.max_deleted.ms, ":max_seq": stream.max_deleted.seq,
            ":length": stream.length, ":added": stream.added,
        })?;
        Ok(())
    }

    /// Removes a stream. Its events are removed later, in portions.
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
            Ok((bytes(row, 0)?, Group { number, last: id(row, 2)?, read: row.get(4)?, consumers }))
        })?;
        groups.collect()
    }

    fn consumers(&self, group: i64) -> Result<BTreeMap<Bytes, Consumer>> {
        let mut select = self.read("SELECT name, id, seen, active FROM consumers WHERE group_id = ?")?;
        let consumers = select.query_map([group], |row| {
            Ok((bytes(row, 0)?, Consumer { number: row.get(1)?, seen: row.get(2)?, active: row.get(3)? }))
        })?;
        consumers.collect()
    }

    /// Creates a group.
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

    /// Writes the position of a group.
    pub(crate) fn set_group(&mut self, number: i64, last: Id, read: Option<i64>) -> Result<()> {
        self.change(
            "UPDATE groups SET last_ms = ?, last_seq = ?, read = ? WHERE id = ?",
            params![last.ms, last.seq, read, number],
        )?;
        Ok(())
    }

    /// Removes a group, its consumers and its pending events.
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

    /// Creates a consumer.
    pub(crate) fn add_consumer(&mut self, group: i64, name: &[u8], seen: i64) -> Result<Consumer> {
        self.change(
            "INSERT INTO consumers (group_id, name, seen) VALUES (?, ?, ?)",
            params![group, name, seen],
        )?;
        Ok(Consumer { number: self.connection.last_insert_rowid(), seen, active: None })
    }

    /// Writes the time when a consumer got an event, which is also the time of its last command.
    pub(crate) fn set_active(&mut self, consumer: i64, active: i64) -> Result<()> {
        self.change("UPDATE consumers SET seen = ?1, active = ?1 WHERE id = ?2", [active, consumer])?;
        Ok(())
    }

    /// Removes a consumer, and returns the number of its pending events.
    pub(crate) fn remove_consumer(&mut self, consumer: i64) -> Result<usize> {
        let pending = self.change("DELETE FROM pending WHERE consumer = ?", [consumer])?;
        self.change("DELETE FROM consumers WHERE id = ?", [consumer])?;
        Ok(pending)
    }

    /// Records the delivery of an event.
    pub(crate) fn set_pending(&mut self, group: i64, pending: Pending) -> Result<()> {
        let Pending { id, consumer, delivered, deliveries } = pending;
        self.change(
            "INSERT OR REPLACE INTO pending VALUES (?, ?, ?, ?, ?, ?)",
            params![group, id.ms, id.seq, consumer, delivered, deliveries],
        )?;
        Ok(())
    }

    /// Removes a pending event, and returns whether it was pending.
    pub(crate) fn remove_pending(&mut self, group: i64, id: Id) -> Result<bool> {
        let sql = "DELETE FROM pending WHERE group_id = ? AND ms = ? AND seq = ?";
        Ok(self.change(sql, [group, id.ms, id.seq])? > 0)
    }

    /// Returns at most `count` pending events (-1: all) in this range that were last delivered at `until` or
    /// before.
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

    /// Returns the number of pending events.
    pub(crate) fn count_pending(&self, of: Of) -> Result<i64> {
        let (sql, number) = match of {
            Of::Group(number) => ("SELECT count(*) FROM pending WHERE group_id = ?", number),
            Of::Consumer(number) => ("SELECT count(*) FROM pending WHERE consumer = ?", number),
        };
        self.read(sql)?.query_row([number], |row| row.get(0))
    }

    /// Returns the first or the last pending event of a group.
    pub(crate) fn end_of_pending(&self, group: i64, is_last: bool) -> Result<Option<Id>> {
        let sql = match is_last {
            false => "SELECT ms, seq FROM pending WHERE group_id = ? ORDER BY ms, seq LIMIT 1",
            true => "SELECT ms, seq FROM pending WHERE group_id = ? ORDER BY ms DESC, seq DESC LIMIT 1",
        };
        self.read(sql)?.query_row([group], |row| id(row, 0)).optional()
    }

    /// Removes events of removed streams, and returns whether more may remain.
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
        let stored = fields.stored();
        let crc = checksum::of(stream, id, (&stored).into());
        self.change(
            "INSERT INTO entries (stream, ms, seq, fields, crc) VALUES (?, ?, ?, ?, ?)",
            params![stream, id.ms, id.seq, stored, crc],
        )?;
        Ok(())
    }

    /// Returns events.
    ///
    /// # Errors
    /// Returns an error if any of the events is damaged.
    pub(crate) fn range(&self, stream: i64, range: Range) -> std::result::Result<Vec<Event>, ReadError> {
        let sql = if range.is_reverse {
            "SELECT ms, seq, fields, crc FROM entries WHERE stream = ? AND (ms, seq) BETWEEN (?, ?) AND (?, ?)
             ORDER BY ms DESC, seq DESC LIMIT ?"
        } else {
            "SELECT ms, seq, fields, crc FROM entries WHERE stream = ? AND (ms, seq) BETWEEN (?, ?) AND (?, ?)
             ORDER BY ms, seq LIMIT ?"
        };
        let Range { first, last, count, .. } = range;
        let mut select = self.read(sql)?;
        let values = params![stream, first.ms, first.seq, last.ms, last.seq, count.unwrap_or(-1)];
        let mut rows = select.query(values)?;
        let mut events = Vec::new();
        while let Some(row) = rows.next()? {
            let (id, fields) = (id(row, 0)?, row.get_ref(2)?);
            let is_right = checksum::is_right(stream, id, fields, row.get(3)?);
            let read = Fields::read(fields).filter(|_| is_right);
            events.push((id, read.ok_or(ReadError::Damaged(id))?));
        }
        Ok(events)
    }

    /// Returns the id of the first or of the last event of a stream.
    pub(crate) fn end(&self, stream: i64, is_last: bool) -> Result<Option<Id>> {
        let sql = match is_last {
            false => "SELECT ms, seq FROM entries WHERE stream = ? ORDER BY ms, seq LIMIT 1",
            true => "SELECT ms, seq FROM entries WHERE stream = ? ORDER BY ms DESC, seq DESC LIMIT 1",
        };
        self.read(sql)?.query_row([stream], |row| id(row, 0)).optional()
    }

    /// Returns all strings, also those that have expired.
    pub(crate) fn strings(&self) -> Result<Vec<(Bytes, StoredString)>> {
        let mut select = self.connection.prepare("SELECT key, value, deadline FROM strings")?;
        let strings = select.query_map([], |row| {
            Ok((bytes(row, 0)?, StoredString { value: bytes(row, 1)?, deadline: row.get(2)? }))
        })?;
        strings.collect()
    }

    pub(crate) fn set_string(&mut self, key: &[u8], string: &StoredString) -> Result<()> {
        let sql = "INSERT OR REPLACE INTO strings VALUES (?, ?, ?)";
        self.change(sql, params![key, &string.value[..], string.deadline])?;
        Ok(())
    }

    pub(crate) fn remove_string(&mut self, key: &[u8]) -> Result<()> {
        self.change("DELETE FROM strings WHERE key = ?", [key])?;
        Ok(())
    }

    /// Removes the strings that expired before this time.
    pub(crate) fn remove_strings_before(&mut self, time: i64) -> Result<()> {
        self.change("DELETE FROM strings WHERE deadline < ?", [time])?;
        Ok(())
    }

    /// Removes an event, and returns whether it existed.
    pub(crate) fn remove(&mut self, stream: i64, id: Id) -> Result<bool> {
        let sql = "DELETE FROM entries WHERE stream = ? AND ms = ? AND seq = ?";
        Ok(self.change(sql, params![stream, id.ms, id.seq])? > 0)
    }

    /// Removes at most `at_most` of the oldest events up to this id, and returns how many it removed.
    pub(crate) fn remove_oldest(&mut self, stream: i64, last: Id, at_most: i64) -> Result<i64> {
        let nth = self
            .read("SELECT ms, seq FROM entries WHERE stream = ? ORDER BY ms, seq LIMIT 1 OFFSET ?")?
            .query_row(params![stream, at_most - 1], |row| id(row, 0))
            .optional()?;
        let last = nth.map_or(last, |nth| nth.min(last));
        let sql = "DELETE FROM entries WHERE stream = ? AND (ms, seq) <= (?, ?)";
        Ok(self.change(sql, params![stream, last.ms, last.seq])? as i64)
    }

    /// Returns whether there are uncommitted changes.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Commits all changes to disk.
    ///
    /// # Errors
    /// Returns an error if the commit fails, or if an earlier change failed. The caller must [roll
    /// back](Self::roll_back) then.
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

    /// Discards all uncommitted changes.
    pub(crate) fn roll_back(&mut self) -> Result<()> {
        self.is_open = false;
        self.failure = None;
        // After some errors, SQLite has rolled back already.
        if self.connection.is_autocommit() { Ok(()) } else { self.connection.execute_batch("ROLLBACK") }
    }

    /// Returns the size of the events in bytes, without free pages.
    pub(crate) fn size(&self) -> Result<i64> {
        let sql = "SELECT (page_count - freelist_count) * page_size
            FROM pragma_page_count, pragma_freelist_count, pragma_page_size";
        self.read(sql)?.query_row([], |row| row.get(0))
    }

    /// Returns the size of the database files in bytes.
    pub(crate) fn file_size(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |metadata| metadata.len()) + self.wal.bytes()
    }

    /// Empties the write-ahead log if it is large. There must be no uncommitted changes.
    pub(crate) fn check_wal(&mut self) -> WalState {
        self.wal.check(&self.connection)
    }

    /// Reads the whole database. Returns the first damage that it finds.
    pub(crate) fn first_damage(&self) -> Result<Option<String>> {
        checksum::first_damage(&self.connection)
    }

    fn read(&self, sql: &str) -> Result<CachedStatement<'_>> {
        self.connection.prepare_cached(sql)
    }

    /// Executes a change, and returns the number of changed rows.
    fn change(&mut self, sql: &str, values: impl Params) -> Result<usize> {
        if !self.is_open {
            self.connection.execute_batch("BEGIN IMMEDIATE")?;
            self.is_open = true;
        }
        let changed = self.connection.prepare_cached(sql)?.execute(values);
        // The caller changes the state in memory too, so a group with a failed change must not be committed.
        self.failure =
            self.failure.or(changed.as_ref().err().and_then(rusqlite::Error::sqlite_error).copied());
        changed
    }
}

/// Brings a database of an earlier version to that of `schema.sql`.
fn migrate(connection: &Connection) -> Result<()> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    const ACTIVE: &str =
        "ALTER TABLE consumers ADD COLUMN active INTEGER; UPDATE consumers SET active = seen;";
    // Events that are there already have no checksum. To compute one would read the whole database.
    const CRC: &str = "ALTER TABLE entries ADD COLUMN crc INTEGER;";
    let changes = match version {
        1 => [ACTIVE, CRC].concat(),
        2 => CRC.to_owned(),
        _ => return Ok(()),
    };
    connection.execute_batch(&format!("BEGIN IMMEDIATE; {changes} PRAGMA user_version = 3; COMMIT"))?;
    Ok(())
}

fn bytes(row: &Row<'_>, at: usize) -> Result<Bytes> {
    Ok(row.get::<_, Vec<u8>>(at)?.into())
}

fn id(row: &Row<'_>, at: usize) -> Result<Id> {
    Ok(Id { ms: row.get(at)?, seq: row.get(at + 1)? })
}

#[cfg(test)]
mod tests {
    use std::{env, process};

    use super::*;

    #[test]
    fn a_database_of_the_first_version_is_migrated() {
        let path = env::temp_dir().join(format!("collector-first-{}", process::id()));
        let open =
            || Store::open(DataFolder::open(&path).expect("open the folder"), None).expect("open the store");
        let mut store = open();
        let group = store.add_group(1, b"g", Id::MIN, None).expect("add a group");
        store.add_consumer(group.number, b"c", 5).expect("add a consumer");
        let fields = Fields(vec![Bytes::from("a"), Bytes::from("1")]);
        store.add(1, Id::MIN, &fields).expect("add an event");
        store.commit().expect("commit");
        let first = "ALTER TABLE consumers DROP COLUMN active; ALTER TABLE entries DROP COLUMN crc;
            PRAGMA user_version = 1";
        store.connection.execute_batch(first).expect("go back");
        drop(store);
        for _ in 0..2 {
            let store = open();
            let consumers = store.consumers(group.number).expect("read the consumers");
            let times: Vec<_> = consumers.values().map(|consumer| (consumer.seen, consumer.active)).collect();
            assert_eq!(times, [(5, Some(5))]);
            // Its events have no checksums.
            let all = Range { first: Id::MIN, last: Id::MAX, count: None, is_reverse: false };
            assert_eq!(store.range(1, all).expect("read the events"), [(Id::MIN, fields.clone())]);
            assert_eq!(store.first_damage().expect("read the database"), None);
        }
        fs::remove_dir_all(&path).expect("remove the folder");
    }

    /// A failed change leaves the state in memory ahead of the database, so the group must not be committed.
    #[test]
    fn a_group_with_a_failed_change_is_not_committed() {
        let path = env::temp_dir().join(format!("collector-{}", process::id()));
        let folder = DataFolder::open(&path).expect("create the folder");
        let mut store = Store::open(folder, None).expect("open the store");
        let (id, fields) = (Id { ms: 1, seq: 1 }, Fields::default());
        store.add(1, id, &fields).expect("add an event");
        store.add(1, id, &fields).expect_err("the id exists already");
        store.commit().expect_err("a change failed");
        store.roll_back().expect("roll back");
        store.add(1, id, &fields).expect("add the event again");
        store.commit().expect("commit");
        drop(store);
        fs::remove_dir_all(&path).expect("remove the folder");
    }
}
