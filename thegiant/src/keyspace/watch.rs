//! `WATCH`: marks clients whose watched keys have changed.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use foldhash::quality::RandomState;

use super::Keyspace;
use crate::{Client, client::ClientFlag};

/// Approximate memory of a watched key besides its name, in bytes.
const ENTRY: usize = 100;

/// The watching clients of each key, with the database that each client watches.
#[derive(Debug, Default)]
pub(super) struct Watchers(HashMap<Bytes, Vec<(u16, Client)>, RandomState>);

impl Watchers {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn modified(&self, db: u16, key: &[u8]) {
        let watchers = self.0.get(key).into_iter().flatten();
        watchers
            .filter(|(watched_db, _)| *watched_db == db)
            .for_each(|(_, client)| client.set(ClientFlag::Dirty, true));
    }

    pub(super) fn all_modified(&self) {
        self.0.values().flatten().for_each(|(_, client)| client.set(ClientFlag::Dirty, true));
    }

    fn remove(&mut self, client: &Client, key: &Bytes) {
        if let Some(watchers) = self.0.get_mut(key) {
            watchers.retain(|(_, watcher)| watcher.id() != client.id());
            if watchers.is_empty() {
                self.0.remove(key);
            }
        }
    }
}

/// The keys that one client watches. Dropping it ends the watch.
#[derive(Debug)]
pub(crate) struct Watch {
    keyspace: Keyspace,
    client: Client,
    keys: HashSet<(u16, Bytes)>,
    /// Memory of the watched keys, in bytes.
    memory: usize,
}

impl Watch {
    pub(crate) fn new(keyspace: Keyspace, client: Client) -> Self {
        Watch { keyspace, client, keys: HashSet::new(), memory: 0 }
    }

    /// Watches a key of the client's database.
    pub(crate) fn add(&mut self, key: &[u8]) {
        let (db, key) = (self.client.db(), Bytes::copy_from_slice(key));
        if self.keys.insert((db, key.clone())) {
            self.account(self.memory + ENTRY + key.len());
            let watcher = (db, self.client.clone());
            self.keyspace.change(|observers| observers.watchers.0.entry(key).or_default().push(watcher));
        }
    }

    /// Publishes the number of keys and their memory to the client's statistics.
    fn account(&mut self, memory: usize) {
        self.client.set_watched_keys(self.keys.len());
        self.client.account(std::mem::replace(&mut self.memory, memory), memory);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let keys = std::mem::take(&mut self.keys);
        self.keyspace.change(|observers| {
            keys.iter().for_each(|(_, key)| observers.watchers.remove(&self.client, key));
        });
        self.client.set(ClientFlag::Dirty, false);
        self.account(0);
    }
}
