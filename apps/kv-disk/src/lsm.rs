//! The LSM tree engine: fjall.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Slice};

use crate::engine::{Changes, Engine, Error, Result};

pub(crate) struct Lsm {
    folder: PathBuf,
    /// `None` if the tree could not be opened again after an error.
    open: Option<Open>,
    /// The database that [`syncer`](Engine::syncer) syncs.
    current: Arc<Mutex<Option<Database>>>,
}

struct Open {
    database: Database,
    entries: Keyspace,
}

impl Engine for Lsm {
    const NAME: &'static str = "lsm";
    // All others may be replaced by new ones.
    const FILES: &'static [&'static str] = &["lock"];

    fn open(folder: &Path) -> Result<Self> {
        let mut lsm = Lsm { folder: folder.to_owned(), open: None, current: Arc::default() };
        lsm.reopen().map_err(short_error)?;
        Ok(lsm)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.opened()?.entries.get(key).map_err(short_error)?.map(Bytes::from))
    }

    fn range<'a>(&'a self, start: &[u8]) -> impl Iterator<Item = Result<(Bytes, Bytes)>> + use<'a> {
        let (entries, error) = match self.opened() {
            Ok(open) => (Some(open.entries.range(start..)), None),
            Err(error) => (None, Some(Err(error))),
        };
        let entry = |(key, value): (Slice, Slice)| (key.into(), value.into());
        let entries = entries
            .into_iter()
            .flatten()
            .map(move |guard| guard.into_inner().map(entry).map_err(short_error));
        error.into_iter().chain(entries)
    }

    fn commit(&mut self, changes: &Changes, sync: bool) -> Result<()> {
        let committed = match self.try_to_commit(changes, sync) {
            // fjall failed in the background. The second attempt returns the cause.
            Err(fjall::Error::Poisoned) => self.try_to_commit(changes, sync),
            committed => committed,
        };
        committed.map_err(short_error)
    }

    fn syncer(&self) -> impl Fn() -> Result<()> + Clone + Send + 'static + use<> {
        let current = Arc::clone(&self.current);
        move || {
            let database = current.lock().unwrap_or_else(PoisonError::into_inner).clone();
            database.map_or(Ok(()), |database| database.persist(PersistMode::SyncData).map_err(short_error))
        }
    }
}

impl Lsm {
    fn opened(&self) -> Result<&Open> {
        self.open.as_ref().ok_or_else(|| "the LSM tree could not be opened again after an error".into())
    }

    fn try_to_commit(&mut self, changes: &Changes, sync: bool) -> fjall::Result<()> {
        let open = match &self.open {
            Some(open) => open,
            None => self.reopen()?,
        };
        let mode = if sync { PersistMode::SyncData } else { PersistMode::Buffer };
        let mut batch = open.database.batch().durability(Some(mode));
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(&open.entries, key.clone(), value.clone()),
                None => batch.remove(&open.entries, key.clone()),
            }
        }
        let committed = batch.commit();
        if committed.is_err() {
            // fjall accepts no further write, because the contents of its journal are unknown. Opening it
            // reads the journal.
            let _ = self.reopen();
        }
        committed
    }

    fn reopen(&mut self) -> fjall::Result<&Open> {
        // fjall locks the folder until every handle is dropped.
        self.open = None;
        *self.current() = None;
        let database = Database::builder(&self.folder).open()?;
        let entries = database.keyspace("entries", KeyspaceCreateOptions::default)?;
        *self.current() = Some(database.clone());
        Ok(self.open.insert(Open { database, entries }))
    }

    fn current(&self) -> MutexGuard<'_, Option<Database>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Converts the error to a short text.
fn short_error(error: fjall::Error) -> Error {
    match error {
        fjall::Error::Io(error) => error.into(),
        fjall::Error::Locked => "another process has the folder open".into(),
        fjall::Error::Poisoned => "the LSM tree accepts no writes after an error".into(),
        error => error.into(),
    }
}
