//! `WATCH`: marks clients whose watched keys have changed.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use foldhash::quality::RandomState;

use super::Keyspace;
use crate::{Client, KeyEvents, client::ClientFlag, clock::now, command::Spec, shrink::shrink_sparse};

/// Approximate memory of a watched key besides its name, in bytes.
const ENTRY: usize = 400;

/// The watching clients of each key, by database.
#[derive(Debug, Default)]
pub(super) struct Watchers(BTreeMap<u16, WatchedKeys>);

/// The watching clients of each key of a database, by client ID.
///
/// A client finds itself by its ID when it leaves, because thousands of clients may watch the same keys.
type WatchedKeys = HashMap<Bytes, BTreeMap<u64, Watcher>, RandomState>;

/// A client that watches a key.
#[derive(Debug)]
struct Watcher {
    client: Client,
    /// The time at which it began, in milliseconds since 1970.
    since: i64,
}

impl Keyspace {
    /// Reports that a command is about to remove all keys of a database, as `FLUSHDB` does.
    ///
    /// Transactions fail whose clients watch a key of the database for which `exists` returns true. Client-side caches
    /// drop all keys. Redis publishes no keyspace event for such a command, so neither does this method.
    ///
    /// Without this report, a `write` command without keys touches all watched keys of all databases.
    ///
    /// ```
    /// use std::collections::HashMap;
    /// use thegiant::{KeyEvents, Keyspace, prelude::*};
    ///
    /// struct Store {
    ///     values: HashMap<Bytes, Bytes>,
    ///     keyspace: Keyspace,
    /// }
    ///
    /// impl Actor for Store {
    ///     type Context = Context<Self>;
    /// }
    ///
    /// #[commands]
    /// impl Store {
    ///     /// Removes all keys.
    ///     #[command("FLUSHALL", write)]
    ///     fn flush_all(&mut self, events: &mut KeyEvents) {
    ///         self.keyspace.clear(0, events, |key| self.values.contains_key(key));
    ///         self.values.clear();
    ///     }
    /// }
    /// ```
    pub fn clear(&self, db: u16, events: &mut KeyEvents, mut exists: impl FnMut(&[u8]) -> bool) {
        if !events.is_observed() {
            return;
        }
        events.add_cleared();
        // `exists` runs without the lock, because it may call this handle.
        let watched = self.lock().watchers.keys(db);
        let watched: Vec<_> = watched.into_iter().filter(|key| exists(key)).collect();
        let observers = self.lock();
        watched.iter().for_each(|key| observers.watchers.modified(db, key));
    }
}

impl Watchers {
    /// Returns the watched keys of a database.
    fn keys(&self, db: u16) -> Vec<Bytes> {
        self.0.get(&db).into_iter().flat_map(HashMap::keys).cloned().collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn modified(&self, db: u16, key: &[u8]) {
        let watchers = self.0.get(&db).and_then(|keys| keys.get(key));
        watchers.into_iter().flat_map(BTreeMap::values).for_each(Watcher::set_dirty);
    }

    /// Records that the keys for which `is_modified` returns true have changed, in all databases.
    pub(super) fn modified_if(&self, is_modified: impl Fn(&[u8]) -> bool) {
        let keys = self.0.values().flatten().filter(|(key, _)| is_modified(key));
        keys.flat_map(|(_, watchers)| watchers.values()).for_each(Watcher::set_dirty);
    }

    /// Records that a key has expired at this deadline.
    ///
    /// For the clients that have watched it only since then, it has been missing all the time.
    pub(super) fn expired(&self, db: u16, key: &[u8], deadline: i64) {
        let watchers = self.0.get(&db).and_then(|keys| keys.get(key));
        let watchers = watchers.into_iter().flat_map(BTreeMap::values);
        watchers.filter(|watcher| watcher.since <= deadline).for_each(Watcher::set_dirty);
    }

    /// Records that a `write` command with these keys has run. Without keys, it may have changed every key.
    pub(super) fn ran<'a>(&self, command: &Spec, client: &Client, keys: impl Iterator<Item = &'a [u8]>) {
        if command.keys.is_none() {
            self.all_modified(&client.key_prefix());
        }
        keys.for_each(|key| self.modified(client.db(), key));
    }

    /// Records that all keys that begin with `prefix` may have changed.
    pub(super) fn all_modified(&self, prefix: &[u8]) {
        self.modified_if(|key| key.starts_with(prefix));
    }

    fn add(&mut self, db: u16, key: Bytes, client: Client) {
        self.0
            .entry(db)
            .or_default()
            .entry(key)
            .or_default()
            .insert(client.id(), Watcher { client, since: now() });
    }

    /// Removes a watching client, the key with its last client, and the database with its last key.
    fn remove(&mut self, db: u16, key: &Bytes, client: &Client) {
        let Some(keys) = self.0.get_mut(&db) else { return };
        let Some(watchers) = keys.get_mut(key) else { return };
        watchers.remove(&client.id());
        if watchers.is_empty() {
            keys.remove(key);
            shrink_sparse(keys);
        }
        if keys.is_empty() {
            self.0.remove(&db);
        }
    }
}

impl Watcher {
    fn set_dirty(&self) {
        self.client.set(ClientFlag::Dirty, true);
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

    /// Returns the watched keys of all databases.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.keys.iter().map(|(_, key)| &key[..])
    }

    /// Watches a key of the client's database.
    pub(crate) fn add(&mut self, key: &[u8]) {
        let (db, key) = (self.client.db(), Bytes::copy_from_slice(key));
        if self.keys.insert((db, key.clone())) {
            self.account(self.memory + ENTRY + key.len());
            self.keyspace.change(|observers| observers.watchers.add(db, key, self.client.clone()));
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
            keys.iter().for_each(|(db, key)| observers.watchers.remove(*db, key, &self.client));
        });
        self.client.set(ClientFlag::Dirty, false);
        self.account(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watchers_shrink_when_keys_are_no_longer_watched() {
        let keyspace = Keyspace::default();
        let capacity = || keyspace.change(|observers| observers.watchers.0.get(&0).map(HashMap::capacity));
        let mut other = Watch::new(keyspace.clone(), Client::unconnected(1));
        other.add(b"7");
        let mut watch = Watch::new(keyspace.clone(), Client::unconnected(2));
        (0..10_000).for_each(|key| watch.add(key.to_string().as_bytes()));
        assert!(capacity().is_some_and(|capacity| capacity >= 10_000));
        drop(watch);
        assert!(capacity().is_some_and(|capacity| capacity < 200), "{:?}", capacity());
        keyspace.change(|observers| observers.watchers.modified(0, b"7"));
        assert!(other.client.is(ClientFlag::Dirty));
        drop(other);
        assert_eq!(capacity(), None);
    }
}
