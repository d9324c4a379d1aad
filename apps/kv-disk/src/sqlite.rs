//! The SQLite engine, with a write-ahead log.

use std::{
    fs::File,
    io::ErrorKind,
    iter,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};

use crate::engine::{Changes, Engine, Result};

/// Number of entries of a range that one query reads.
const PAGE: usize = 256;

pub(crate) struct Sqlite {
    connection: Connection,
    log: PathBuf,
    /// Whether commits sync at the moment.
    is_sync: bool,
}

impl Engine for Sqlite {
    const NAME: &'static str = "sqlite";
    const FILES: &'static [&'static str] = &["kv.db", "kv.db-wal"];

    fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("kv.db");
        let connection = Connection::open(&path)?;
        // Only this process uses the database, so it keeps the lock.
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS entries (key BLOB NOT NULL UNIQUE, value BLOB NOT NULL) STRICT",
        )?;
        Ok(Sqlite { connection, log: folder.join("kv.db-wal"), is_sync: true })
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        let mut select = self.connection.prepare_cached("SELECT value FROM entries WHERE key = ?")?;
        let value = select.query_row([key], |row| row.get::<_, Vec<u8>>(0)).optional()?;
        Ok(value.map(Bytes::from))
    }

    fn range<'a>(&'a self, start: &[u8]) -> impl Iterator<Item = Result<(Bytes, Bytes)>> + use<'a> {
        // Each query reads one page and starts after the last key of the page before.
        let mut next = Some(start.to_vec());
        let mut page = Vec::new().into_iter();
        iter::from_fn(move || {
            if let Some(entry) = page.next() {
                return Some(Ok(entry));
            }
            match self.page(&next.take()?) {
                Ok(entries) => {
                    // The smallest key after the last one.
                    let last = entries.last().filter(|_| entries.len() == PAGE);
                    next = last.map(|(key, _): &(Bytes, Bytes)| [key, &b"\0"[..]].concat());
                    page = entries.into_iter();
                    page.next().map(Ok)
                }
                Err(error) => Some(Err(error)),
            }
        })
    }

    fn commit(&mut self, changes: &Changes, sync: bool) -> Result<()> {
        if sync != self.is_sync {
            self.connection.pragma_update(None, "synchronous", if sync { "FULL" } else { "NORMAL" })?;
            self.is_sync = sync;
        }
        // SQLite rolls the transaction back if it is dropped without a commit.
        let transaction = self.connection.transaction()?;
        {
            let mut set = transaction.prepare_cached(
                "INSERT INTO entries VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            )?;
            let mut remove = transaction.prepare_cached("DELETE FROM entries WHERE key = ?")?;
            for (key, value) in changes {
                match value {
                    Some(value) => set.execute(params![&key[..], &value[..]])?,
                    None => remove.execute([&key[..]])?,
                };
            }
        }
        Ok(transaction.commit()?)
    }

    fn syncer(&self) -> impl Fn() -> Result<()> + Clone + Send + 'static + use<> {
        let log = self.log.clone();
        // SQLite syncs pages when it moves them from the log to the database. Before the first write there is
        // no log.
        move || match File::open(&log) {
            Ok(log) => Ok(log.sync_data()?),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Sqlite {
    /// Returns the next page of entries from this key on.
    fn page(&self, start: &[u8]) -> Result<Vec<(Bytes, Bytes)>> {
        let mut select = self
            .connection
            .prepare_cached("SELECT key, value FROM entries WHERE key >= ? ORDER BY key LIMIT ?")?;
        let rows = select.query_map(params![start, PAGE as i64], |row| {
            Ok((row.get::<_, Vec<u8>>(0)?.into(), row.get::<_, Vec<u8>>(1)?.into()))
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}
