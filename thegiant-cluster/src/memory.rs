//! A store in memory.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::{Entry, Revision, Store, Swap, store::is_heartbeat};

/// A [`Store`] in the memory of one process, for tests. Its clones share the entries.
///
/// ```
/// use thegiant_cluster::{MemoryStore, Store, Swap};
///
/// # #[thegiant::main]
/// # async fn main() -> std::io::Result<()> {
/// let store = MemoryStore::new();
/// let Swap::Done(revision) = store.swap("key", None, Some("value")).await? else { panic!("it is new") };
/// assert_eq!(store.swap("key", Some(revision + 1), None).await?, Swap::Conflict);
/// assert_eq!(store.clone().list().await?[0].revision, revision);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    entries: Mutex<Entries>,
    changed: Notify,
}

#[derive(Debug, Default)]
pub(crate) struct Entries {
    last_revision: Revision,
    by_key: BTreeMap<String, (String, Revision)>,
}

impl MemoryStore {
    /// Creates a store without entries.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        // No code panics while it holds the lock.
        self.shared.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    async fn list(&self) -> io::Result<Vec<Entry>> {
        Ok(self.entries().list())
    }

    async fn swap(&self, key: &str, expected: Option<Revision>, value: Option<&str>) -> io::Result<Swap> {
        let swap = self.entries().swap(key, expected, value);
        if expected.is_none() || value.is_none() || !is_heartbeat(key) {
            self.shared.changed.notify_waiters();
        }
        Ok(swap)
    }

    async fn changed(&self) {
        self.shared.changed.notified().await;
    }
}

impl Entries {
    pub(crate) fn list(&self) -> Vec<Entry> {
        let entry = |(key, (value, revision)): (&String, &(String, Revision))| Entry {
            key: key.clone(),
            value: value.clone(),
            revision: *revision,
        };
        self.by_key.iter().map(entry).collect()
    }

    pub(crate) fn swap(&mut self, key: &str, expected: Option<Revision>, value: Option<&str>) -> Swap {
        if self.by_key.get(key).map(|(_, revision)| *revision) != expected {
            return Swap::Conflict;
        }
        self.last_revision += 1;
        match value {
            Some(value) => self.by_key.insert(key.to_owned(), (value.to_owned(), self.last_revision)),
            None => self.by_key.remove(key),
        };
        Swap::Done(self.last_revision)
    }
}
