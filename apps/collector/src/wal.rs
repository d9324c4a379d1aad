//! The write-ahead log, and programs that keep it from being emptied.

use std::{
    collections::BTreeSet,
    fs, io,
    ops::RangeInclusive,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process,
    time::{Duration, Instant},
};

use rusqlite::Connection;

use crate::store::{BUSY_TIMEOUT, Result};

/// The size up to which SQLite's own checkpoints empty the log. It is four times the size at which they begin.
const MAX_SIZE: u64 = 16 << 20;

const WARN_EVERY: Duration = Duration::from_secs(60);

/// Watches the write-ahead log of a database.
///
/// The log holds all commits that a reader of another process may not see yet. SQLite cannot empty it while the reader's
/// transaction lasts.
pub(crate) struct Wal {
    path: PathBuf,
    /// The size from which on writes are refused.
    max_size: Option<u64>,
    is_full: bool,
    blocked_since: Option<Instant>,
    next_warning: Option<Instant>,
}

/// The state of the log.
#[derive(Debug, Default)]
pub(crate) struct WalState {
    pub(crate) bytes: u64,
    /// Seconds for which the log could not be emptied.
    pub(crate) blocked_seconds: u64,
    /// The numbers of the processes that keep it from being emptied, or `unknown`.
    pub(crate) readers: String,
}

impl Wal {
    pub(crate) fn new(path: PathBuf, max_size: Option<u64>) -> Self {
        Wal { path, max_size, is_full: false, blocked_since: None, next_warning: None }
    }

    /// Refuses a write if the last [`check`](Self::check) could not empty the log, and it was too large.
    pub(crate) fn check_size(&self) -> io::Result<()> {
        let is_full = |max| {
            let reason = "until another program ends its transaction in events.db";
            io::Error::other(format!("the write-ahead log has more than {max} bytes (--max-wal) {reason}"))
        };
        self.max_size.filter(|_| self.is_full).map_or(Ok(()), |max| Err(is_full(max)))
    }

    pub(crate) fn bytes(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |metadata| metadata.len())
    }

    /// Empties the log if it is large, and logs a warning once a minute while that is impossible.
    pub(crate) fn check(&mut self, connection: &Connection) -> WalState {
        let is_blocked = self.bytes() > self.max_size.map_or(MAX_SIZE, |max| max.min(MAX_SIZE))
            && !empty(connection).unwrap_or_else(|error| {
                tracing::warn!(%error, "the write-ahead log could not be moved to the database");
                false
            });
        let bytes = self.bytes();
        self.is_full = is_blocked && self.max_size.is_some_and(|max| bytes > max);
        if !is_blocked {
            if self.blocked_since.take().is_some() {
                self.next_warning = None;
                tracing::warn!(bytes, "the write-ahead log no longer grows");
            }
            return WalState { bytes, ..WalState::default() };
        }
        let now = Instant::now();
        let blocked_seconds = now.duration_since(*self.blocked_since.get_or_insert(now)).as_secs();
        let readers = readers(&self.path.with_extension("db-shm"));
        if self.next_warning.is_none_or(|next| now >= next) {
            self.next_warning = Some(now + WARN_EVERY);
            tracing::warn!(
                bytes,
                seconds = blocked_seconds,
                %readers,
                "the write-ahead log grows until another program ends its transaction in events.db"
            );
        }
        WalState { bytes, blocked_seconds, readers }
    }
}

/// The bytes in the file for shared memory that SQLite's readers lock.
const READ_LOCKS: RangeInclusive<u64> = 123..=127;

/// Returns the numbers of the other processes that read the database, as far as the system tells: Linux does, for the
/// processes that this one can see.
fn readers(shared_memory: &Path) -> String {
    let file = fs::metadata(shared_memory).map_or(0, |metadata| metadata.ino());
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let readers: BTreeSet<u32> = locks.lines().filter_map(|lock| reader(lock, file)).collect();
    let numbers: Vec<String> = readers.iter().map(u32::to_string).collect();
    if numbers.is_empty() { "unknown".to_owned() } else { numbers.join(" ") }
}

/// Returns the process of a line of `/proc/locks`, if it is another one that reads the database.
fn reader(lock: &str, file: u64) -> Option<u32> {
    // 1: POSIX  ADVISORY  READ 4711 fd:01:1234 124 124
    let fields: Vec<&str> = lock.split_whitespace().collect();
    let [_, "POSIX", _, "READ", process, inode, first, _] = fields[..] else { return None };
    let is_ours = inode.rsplit(':').next()?.parse() == Ok(file) && READ_LOCKS.contains(&first.parse().ok()?);
    process.parse().ok().filter(|process| is_ours && *process != process::id())
}

/// Moves the log to the database and empties it. Returns whether that was possible.
fn empty(connection: &Connection) -> Result<bool> {
    // Commands must not wait for the reader.
    connection.busy_timeout(Duration::ZERO)?;
    let is_busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0));
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(!is_busy?)
}
