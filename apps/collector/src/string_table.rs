//! The strings in memory.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;

use crate::store::{self, Store, StoredString};

/// The strings, each of which is also on disk.
#[derive(Debug, Default)]
pub(crate) struct Strings {
    values: HashMap<Bytes, StoredString>,
    pub(crate) deadlines: BTreeSet<(i64, Bytes)>,
    /// Whether the disk may have expired strings.
    pub(crate) has_garbage: bool,
}

impl Strings {
    /// Reads the strings from disk.
    pub(crate) fn read(store: &Store) -> store::Result<Self> {
        let mut strings = Strings { has_garbage: true, ..Strings::default() };
        for (key, string) in store.strings()? {
            if string.is_live() {
                strings.insert(key, string);
            }
        }
        Ok(strings)
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<&StoredString> {
        self.values.get(key).filter(|string| string.is_live())
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &Bytes> {
        self.values.iter().filter(|(_, string)| string.is_live()).map(|(key, _)| key)
    }

    pub(crate) fn insert(&mut self, key: Bytes, string: StoredString) {
        self.remove(&key);
        self.deadlines.extend(string.deadline.map(|deadline| (deadline, key.clone())));
        self.values.insert(key, string);
    }

    pub(crate) fn remove(&mut self, key: &[u8]) -> Option<StoredString> {
        let (key, string) = self.values.remove_entry(key)?;
        if let Some(deadline) = string.deadline {
            self.deadlines.remove(&(deadline, key));
        }
        Some(string)
    }
}
