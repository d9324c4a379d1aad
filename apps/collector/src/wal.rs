//! The write-ahead log, and programs that keep it from being emptied.

use std::{
    fs,
    path::PathBuf,
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
    blocked_since: Option<Instant>,
    next_warning: Option<Instant>,
}

/// The state of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WalState {
    pub(crate) bytes: u64,
    /// Seconds for which the log could not be emptied.
    pub(crate) blocked_seconds: u64,
}

impl Wal {
    pub(crate) fn new(path: PathBuf) -> Self {
        Wal { path, blocked_since: None, next_warning: None }
    }

    pub(crate) fn bytes(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |metadata| metadata.len())
    }

    /// Empties the log if it is large, and logs a warning once a minute while that is impossible.
    pub(crate) fn check(&mut self, connection: &Connection) -> WalState {
        let is_blocked = self.bytes() > MAX_SIZE
            && !empty(connection).unwrap_or_else(|error| {
                tracing::warn!(%error, "the write-ahead log could not be moved to the database");
                false
            });
        let bytes = self.bytes();
        if !is_blocked {
            if self.blocked_since.take().is_some() {
                self.next_warning = None;
                tracing::warn!(bytes, "the write-ahead log no longer grows");
            }
            return WalState { bytes, blocked_seconds: 0 };
        }
        let now = Instant::now();
        let blocked_seconds = now.duration_since(*self.blocked_since.get_or_insert(now)).as_secs();
        if self.next_warning.is_none_or(|next| now >= next) {
            self.next_warning = Some(now + WARN_EVERY);
            tracing::warn!(
                bytes,
                seconds = blocked_seconds,
                "the write-ahead log grows until another program ends its transaction in events.db"
            );
        }
        WalState { bytes, blocked_seconds }
    }
}

/// Moves the log to the database and empties it. Returns whether that was possible.
fn empty(connection: &Connection) -> Result<bool> {
    // Commands must not wait for the reader.
    connection.busy_timeout(Duration::ZERO)?;
    let is_busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0));
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(!is_busy?)
}
