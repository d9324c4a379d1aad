//! The database: streams, transactions, and its versions.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use folder::DataFolder;
use rusqlite::{CachedStatement, Connection, Params, Row, ffi, named_params};

use crate::{
    checksum,
    fields::Fields,
    id::Id,
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
    /// How far the warehouse has its events.
    pub(crate) shipped: Shipped,
    pub(crate) groups: BTreeMap<Bytes, Group>,
}

impl Stream {
    /// Returns a stream without events.
    pub(crate) fn new(number: i64) -> Self {
        Stream {
            number,
            last: Id::MIN,
            max_deleted: Id::MIN,
            length: 0,
            added: 0,
            shipped: Shipped::default(),
            groups: BTreeMap::new(),
        }
    }
}

/// A position in a stream: the warehouse has all events up to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shipped {
    pub(crate) id: Id,
    /// Number of events that were ever added up to this id.
    pub(crate) added: i64,
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
    pub(super) connection: Connection,
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
            "SELECT name, id, last_ms, last_seq, max_deleted_ms, max_deleted_seq, length, added, shipped_ms, shipped_seq, \
             shipped_added FROM streams",
        )?;
        let streams = select.query_map([], |row| {
            let stream = Stream {
                number: row.get(1)?,
                last: id(row, 2)?,
                max_deleted: id(row, 4)?,
                length: row.get(6)?,
                added: row.get(7)?,
                shipped: Shipped { id: id(row, 8)?, added: row.get(10)? },
                groups: BTreeMap::new(),
            };
            Ok((bytes(row, 0)?, stream))
        })?;
        let mut streams: HashMap<Bytes, Stream> = streams.collect::<Result<_>>()?;
        for stream in streams.values_mut() {
            stream.groups = self.groups(stream.number)?;
        }
        let last = "SELECT max(coalesce((SELECT max(id) FROM streams), 0), coalesce((SELECT max(stream) FROM garbage), 0), \
                    (SELECT last_removed FROM meta))";
        let last: i64 = self.connection.query_row(last, [], |row| row.get(0))?;
        Ok((streams, last + 1))
    }

    /// Writes the state of a stream.
    pub(crate) fn set_stream(&mut self, name: &[u8], stream: &Stream) -> Result<()> {
        self.change("INSERT OR REPLACE INTO streams VALUES (:id, :name, :last_ms, :last_seq, :max_ms, :max_seq, :length, :added, :shipped_ms, :shipped_seq, :shipped_added)", named_params! {
            ":id": stream.number, ":name": name,
            ":last_ms": stream.last.ms, ":last_seq": stream.last.seq,
            ":max_ms": stream.max_deleted.ms, ":max_seq": stream.max_deleted.seq,
            ":length": stream.length, ":added": stream.added,
            ":shipped_ms": stream.shipped.id.ms, ":shipped_seq": stream.shipped.id.seq, ":shipped_added": stream.shipped.added,
        })?;
        Ok(())
    }

    /// Removes a stream. Its events are removed later, in portions.
    pub(crate) fn remove_stream(&mut self, number: i64) -> Result<()> {
        self.change("DELETE FROM streams WHERE id = ?", [number])?;
        self.change("INSERT INTO garbage VALUES (?)", [number])?;
        Ok(())
    }

    /// Returns a random name for the data in the folder, which the data keeps wherever it is moved.
    pub(crate) fn folder_id(&self) -> Result<String> {
        self.read("SELECT folder FROM meta")?.query_row([], |row| row.get(0))
    }

    /// Returns the path of the database.
    pub(crate) fn path(&self) -> &Path {
        &self.path
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

    pub(super) fn read(&self, sql: &str) -> Result<CachedStatement<'_>> {
        self.connection.prepare_cached(sql)
    }

    /// Executes a change, and returns the number of changed rows.
    pub(super) fn change(&mut self, sql: &str, values: impl Params) -> Result<usize> {
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
    const SHIPPED: &str = "ALTER TABLE streams ADD COLUMN shipped_ms INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE streams ADD COLUMN shipped_seq INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE streams ADD COLUMN shipped_added INTEGER NOT NULL DEFAULT 0;";
    let changes = match version {
        1 => [ACTIVE, CRC, SHIPPED].concat(),
        2 => [CRC, SHIPPED].concat(),
        3 => SHIPPED.to_owned(),
        _ => return Ok(()),
    };
    connection.execute_batch(&format!("BEGIN IMMEDIATE; {changes} PRAGMA user_version = 4; COMMIT"))?;
    Ok(())
}

pub(super) fn bytes(row: &Row<'_>, at: usize) -> Result<Bytes> {
    Ok(row.get::<_, Vec<u8>>(at)?.into())
}

pub(super) fn id(row: &Row<'_>, at: usize) -> Result<Id> {
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
            ALTER TABLE streams DROP COLUMN shipped_ms; ALTER TABLE streams DROP COLUMN shipped_seq;
            ALTER TABLE streams DROP COLUMN shipped_added; PRAGMA user_version = 1";
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
