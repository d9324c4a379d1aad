//! All tracking clients.

use std::collections::HashMap;

use bytes::Bytes;

use super::{
    Tracked, TrackingMode, TrackingOptions,
    broadcasts::Broadcasts,
    options::{CACHING_WITHOUT_TRACKING, check_prefixes},
    table::TrackingTable,
    tracker::Tracker,
};
use crate::{Client, Error, client::ClientFlag, command::Spec, shrink::shrink_sparse};

/// Maximum length of a key in the tracking table, in bytes.
///
/// The table limits the number of keys, so it needs a limit of their length. A client that reads a longer
/// key gets its invalidation at once.
const MAX_KEY_LEN: usize = 1024;

/// The tracking clients and their keys. As in Redis, all databases share one table.
#[derive(Default)]
pub(in crate::keyspace) struct Trackers {
    /// The tracking clients, by client ID.
    pub(super) by_id: HashMap<u64, Tracker>,
    /// The readers of each key.
    pub(super) table: TrackingTable,
    /// The prefixes of the clients in broadcast mode.
    pub(super) broadcasts: Broadcasts,
}

/// A change of a key.
#[derive(Clone, Copy)]
pub(in crate::keyspace) struct Write<'a> {
    pub(in crate::keyspace) key: &'a [u8],
    /// ID of the client that changed the key, if a command of a client did.
    pub(in crate::keyspace) by: Option<u64>,
}

/// The tracking counters of `INFO`.
#[derive(Debug, Default)]
pub(crate) struct TrackingCounts {
    pub(crate) clients: usize,
    pub(crate) keys: usize,
    /// The pairs of a key and a client that has read it.
    pub(crate) items: usize,
    pub(crate) prefixes: usize,
}

impl Trackers {
    pub(in crate::keyspace) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(in crate::keyspace) fn counts(&self) -> TrackingCounts {
        TrackingCounts {
            clients: self.by_id.len(),
            keys: self.table.keys(),
            items: self.table.items(),
            prefixes: self.broadcasts.len(),
        }
    }

    pub(in crate::keyspace) fn tracked(&self, client: &Client) -> Tracked {
        self.by_id.get(&client.id()).map(|tracker| tracker.tracked).unwrap_or_default()
    }

    /// Returns the prefixes of a client in broadcast mode.
    pub(in crate::keyspace) fn prefixes(&self, client: &Client) -> Vec<Bytes> {
        let prefixes = self.by_id.get(&client.id()).map(|tracker| tracker.prefixes.keys().cloned());
        prefixes.into_iter().flatten().collect()
    }

    pub(in crate::keyspace) fn add(
        &mut self,
        client: &Client,
        options: TrackingOptions,
        worker: u16,
    ) -> Result<(), Error> {
        let TrackingOptions { mode, redirect, no_loop, mut prefixes } = options;
        let before = self.by_id.get(&client.id());
        if let Some(before) = before {
            before.tracked.mode.check_change(mode)?;
        }
        let key_prefix = client.key_prefix();
        check_prefixes(before.map(|before| &before.prefixes), &prefixes, key_prefix.len())?;
        if mode == TrackingMode::Broadcast && prefixes.is_empty() {
            prefixes.push(key_prefix);
        }
        client.set(ClientFlag::Tracking, true);
        let tracker = self.by_id.entry(client.id()).or_insert_with(|| Tracker::new(client.clone(), worker));
        let is_caching = tracker.tracked.is_caching;
        tracker.tracked = Tracked { mode, redirect, no_loop, is_broken: false, is_caching };
        prefixes.iter().for_each(|prefix| self.broadcasts.add(prefix.clone(), client.id()));
        tracker.add_prefixes(prefixes);
        Ok(())
    }

    /// Switches tracking off for a client.
    ///
    /// Its entries stay in the table until the keys change or the last client switches tracking off.
    pub(in crate::keyspace) fn remove(&mut self, client: &Client) {
        client.set(ClientFlag::Tracking, false);
        let Some(tracker) = self.by_id.remove(&client.id()) else { return };
        shrink_sparse(&mut self.by_id);
        tracker.prefixes.keys().for_each(|prefix| self.broadcasts.remove(prefix, client.id()));
        if self.by_id.is_empty() {
            self.table = TrackingTable::default();
        }
    }

    pub(in crate::keyspace) fn set_caching(&mut self, client: &Client, answer: &[u8]) -> Result<(), Error> {
        let tracker = self.by_id.get_mut(&client.id()).ok_or(CACHING_WITHOUT_TRACKING)?;
        tracker.tracked.set_caching(answer)
    }

    /// Adds the keys that a client has read to the table.
    ///
    /// If the table then has more than `max_keys` keys, [evicts](Self::evict) keys.
    pub(in crate::keyspace) fn add_reads<'a>(
        &mut self,
        client: &Client,
        keys: impl Iterator<Item = &'a [u8]>,
        max_keys: usize,
    ) {
        if self.tracked(client).tracks_reads() {
            self.add_tracked(client, keys, max_keys);
        }
    }

    /// Adds keys to the table.
    pub(super) fn add_tracked<'a>(
        &mut self,
        client: &Client,
        keys: impl Iterator<Item = &'a [u8]>,
        max_keys: usize,
    ) {
        for key in keys {
            if key.len() <= MAX_KEY_LEN {
                self.table.add(key, client.id());
            } else {
                self.invalidate_readers(Write { key, by: None }, &[client.id()]);
            }
        }
        self.evict(max_keys);
    }

    /// Evicts keys until the table has at most `max_keys` keys (0: no limit), and sends invalidations to their readers.
    pub(in crate::keyspace) fn evict(&mut self, max_keys: usize) {
        while max_keys > 0 && self.table.keys() > max_keys {
            let Some((key, readers)) = self.table.evict() else { return };
            self.invalidate_readers(Write { key: &key, by: None }, &readers);
        }
    }

    /// Ends the effect of `CLIENT CACHING`, which applies to the next command only.
    pub(in crate::keyspace) fn command_ran(&mut self, client: &Client, command: &Spec) {
        // As in Redis, `CLIENT` commands do not count as the next command, and a transaction counts as one.
        let is_exempt = command.name.starts_with("CLIENT ") || command.name == "MULTI";
        if let Some(tracker) = self.by_id.get_mut(&client.id()).filter(|_| !is_exempt) {
            tracker.tracked.is_caching = false;
        }
    }

    pub(in crate::keyspace) fn modified(&mut self, write: Write<'_>) {
        self.broadcasts.modified(write);
        if let Some(readers) = self.table.take(write.key) {
            self.invalidate_readers(write, &readers);
        }
    }

    /// Records that a client has run a `write` command with these keys. Without keys, it may have changed every key.
    pub(in crate::keyspace) fn ran<'a>(
        &mut self,
        command: &Spec,
        client: &Client,
        keys: impl Iterator<Item = &'a [u8]>,
    ) {
        if command.keys.is_none() {
            self.all_modified(&client.key_prefix());
        }
        keys.for_each(|key| self.modified(Write { key, by: Some(client.id()) }));
    }

    /// Records that all keys that begin with `prefix` may have changed.
    pub(in crate::keyspace) fn all_modified(&mut self, prefix: &[u8]) {
        match prefix.is_empty() {
            true => self.table = TrackingTable::default(),
            false => self.table.remove_with(prefix),
        }
        let trackers = self.by_id.values_mut().filter(|tracker| tracker.may_know(prefix));
        trackers.for_each(Tracker::invalidate_all);
    }

    /// Sends the collected invalidations to the clients in broadcast mode.
    pub(in crate::keyspace) fn broadcast(&mut self) {
        for (prefix, changed) in self.broadcasts.take_changed() {
            for id in self.broadcasts.clients_of(&prefix) {
                if let Some(tracker) = self.by_id.get_mut(&id) {
                    tracker.invalidate_changed(&changed);
                }
            }
        }
    }

    fn invalidate_readers(&mut self, write: Write<'_>, readers: &[u64]) {
        for id in readers {
            let tracker = self.by_id.get_mut(id);
            // A client that has switched to broadcast mode still has entries in the table.
            if let Some(tracker) = tracker.filter(|tracker| tracker.tracked.mode != TrackingMode::Broadcast) {
                tracker.invalidate(write.key, write.by);
            }
        }
    }
}
