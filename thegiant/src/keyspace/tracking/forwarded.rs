//! The reads of requests that a proxy sends to upstreams, and the invalidations that the upstreams report.

use std::collections::BTreeMap;

use super::{TrackingMode, tracker::Tracker, trackers::Trackers};
use crate::Client;

/// The keys that a request reads on an upstream.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reads<'a> {
    /// The upstream reports the changes of these keys from now on.
    Tracked(&'a [&'a [u8]]),
    /// Keys of which the upstream may not report all changes, so the client must not keep them.
    Untracked(&'a [&'a [u8]]),
    /// The keys of the request are not known.
    Unknown,
}

impl Trackers {
    /// Returns whether clients of a worker track keys, or clients of any worker.
    pub(in crate::keyspace) fn has_any(&self, worker: Option<u16>) -> bool {
        self.by_id.values().any(|tracker| tracker.is_of(worker))
    }

    /// Records the keys that a request reads, before it is sent.
    ///
    /// The client gets the invalidation of a key that it must not keep behind the replies to its batch.
    pub(in crate::keyspace) fn forwarded(
        &mut self,
        client: &Client,
        reads: Reads<'_>,
        max_keys: usize,
        ends_caching: bool,
    ) {
        // The proxy names the keys as the client does.
        let prefix = client.key_prefix();
        if let Reads::Tracked(keys @ [_, ..]) | Reads::Untracked(keys @ [_, ..]) = reads
            && !prefix.is_empty()
        {
            let keys: Vec<Vec<u8>> = keys.iter().map(|key| [&prefix[..], key].concat()).collect();
            let keys: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
            let reads = if matches!(reads, Reads::Tracked(_)) {
                Reads::Tracked(&keys)
            } else {
                Reads::Untracked(&keys)
            };
            return self.read_by(client, reads, max_keys, ends_caching);
        }
        self.read_by(client, reads, max_keys, ends_caching);
    }

    /// Records a read of keys, which have the prefix of the client.
    fn read_by(&mut self, client: &Client, reads: Reads<'_>, max_keys: usize, ends_caching: bool) {
        // Another server, which shares the proxy, may have a client with the same ID.
        let is_same = |tracker: &&mut Tracker| tracker.client.identity() == client.identity();
        let Some(tracker) = self.by_id.get_mut(&client.id()).filter(is_same) else { return };
        let is_broadcast = tracker.tracked.mode == TrackingMode::Broadcast;
        let tracks_reads = tracker.tracked.tracks_reads();
        if ends_caching {
            tracker.tracked.is_caching = false;
        }
        match reads {
            Reads::Tracked(keys) if tracks_reads => self.add_tracked(client, keys.iter().copied(), max_keys),
            Reads::Untracked(keys) if is_broadcast => {
                let has_prefix = |key: &&&[u8]| self.broadcasts.clients_with(key).any(|id| id == client.id());
                let keys: Vec<&[u8]> = keys.iter().filter(has_prefix).copied().collect();
                if !keys.is_empty() {
                    tracker.invalidate_keys(&keys);
                }
            }
            Reads::Untracked(keys) if tracks_reads && !keys.is_empty() => tracker.invalidate_keys(keys),
            Reads::Unknown if tracks_reads || is_broadcast => tracker.invalidate_all(),
            _ => {}
        }
    }

    /// Sends the clients of a worker the invalidations of keys that an upstream has reported.
    ///
    /// The proxies of other workers have their own reports.
    pub(in crate::keyspace) fn invalidated<'a>(
        &mut self,
        keys: impl Iterator<Item = &'a [u8]>,
        worker: Option<u16>,
    ) {
        let mut keys_of: BTreeMap<u64, Vec<&[u8]>> = BTreeMap::new();
        for key in keys {
            for id in self.broadcasts.clients_with(key) {
                keys_of.entry(id).or_default().push(key);
            }
            for id in self.table.take(key).unwrap_or_default() {
                match self.by_id.get(&id) {
                    Some(tracker) if !tracker.is_of(worker) => self.table.add(key, id),
                    // A client that has switched to broadcast mode still has entries in the table.
                    Some(tracker) if tracker.tracked.mode != TrackingMode::Broadcast => {
                        keys_of.entry(id).or_default().push(key);
                    }
                    _ => {}
                }
            }
        }
        for (id, keys) in keys_of {
            if let Some(tracker) = self.by_id.get_mut(&id).filter(|tracker| tracker.is_of(worker)) {
                tracker.invalidate_keys(&keys);
            }
        }
    }

    /// Sends the clients of a worker an invalidation of every key. Their entries in the table stay until the keys change.
    pub(in crate::keyspace) fn all_invalidated(&mut self, worker: Option<u16>) {
        self.of_worker(worker).for_each(Tracker::invalidate_all);
    }

    /// Sends an invalidation of every key to the clients of a worker in broadcast mode, which may keep keys that they have read
    /// over other connections.
    pub(in crate::keyspace) fn unseen_invalidated(&mut self, worker: Option<u16>) {
        let trackers = self.of_worker(worker);
        trackers
            .filter(|tracker| tracker.tracked.mode == TrackingMode::Broadcast)
            .for_each(Tracker::invalidate_all);
    }

    fn of_worker(&mut self, worker: Option<u16>) -> impl Iterator<Item = &mut Tracker> {
        self.by_id.values_mut().filter(move |tracker| tracker.is_of(worker))
    }
}

impl Tracker {
    /// Returns whether this worker serves the client. Without a worker, any does.
    fn is_of(&self, worker: Option<u16>) -> bool {
        worker.is_none_or(|worker| worker == self.worker)
    }
}
