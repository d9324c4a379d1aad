//! An LSM tree: fjall.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Slice};

use crate::engine::{Changes, Engine, Error, Result};

pub(crate) struct Lsm {
    folder: PathBuf,
    /// None while it cannot be opened.
    open: Option<Open>,
    /// What is to be synced.
    current: Arc<Mutex<Option<Database>>>,
}

#[derive(Clone)]
struct Open {
    database: Database,
    entries: Keyspace,
}

impl Engine for Lsm {
    const NAME: &'static str = "lsm";

    fn open(folder: &Path) -> Result<Self> {
        let mut lsm = Lsm { folder: folder.to_owned(), open: None, current: Arc::default() };
        lsm.reopen()?;
        Ok(lsm)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.opened()?.entries.get(key).map_err(plain)?.map(Bytes::from))
    }

    fn range<'a>(&'a self, start: &[u8]) -> impl Iterator<Item = Result<(Bytes, Bytes)>> + use<'a> {
        let (entries, error) = match self.opened() {
            Ok(open) => (Some(open.entries.range(start..)), None),
            Err(error) => (None, Some(Err(error))),
        };
        let entry = |(key, value): (Slice, Slice)| (key.into(), value.into());
        let entries =
            entries.into_iter().flatten().map(move |guard| guard.into_inner().map(entry).map_err(plain));
        error.into_iter().chain(entries)
    }

    fn commit(&mut self, changes: &Changes, sync: bool) -> Result<()> {
        if self.open.is_none() {
            self.reopen()?;
        }
        let open = self.opened()?;
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
            // It takes nothing more, since it does not know what is in the journal. That is known when it is read again.
            let _ = self.reopen();
        }
        committed.map_err(plain)
    }

    fn syncer(&self) -> impl Fn() -> Result<()> + Clone + Send + 'static + use<> {
        let current = Arc::clone(&self.current);
        move || {
            let database = current.lock().unwrap_or_else(PoisonError::into_inner).clone();
            database.map_or(Ok(()), |database| database.persist(PersistMode::SyncData).map_err(plain))
        }
    }
}

impl Lsm {
    fn opened(&self) -> Result<&Open> {
        self.open.as_ref().ok_or_else(|| "it could not be opened again after an error".into())
    }

    fn set(&mut self, open: Option<Open>) {
        let database = open.as_ref().map(|open| open.database.clone());
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = database;
        self.open = open;
    }

    fn reopen(&mut self) -> Result<()> {
        // It is locked as long as it is open.
        self.set(None);
        let database = Database::builder(&self.folder).open().map_err(plain)?;
        let entries = database.keyspace("entries", KeyspaceCreateOptions::default).map_err(plain)?;
        self.set(Some(Open { database, entries }));
        Ok(())
    }
}

/// The error as people say it.
fn plain(error: fjall::Error) -> Error {
    match error {
        fjall::Error::Io(error) => error.into(),
        fjall::Error::Locked => "another process has it open".into(),
        fjall::Error::Poisoned => "it has stopped writing after an error".into(),
        error => error.into(),
    }
}
