//! `CLIENT TRACKING` for clients of the proxy.
//!
//! A feed reports all keys that change on the upstreams, and the keyspace of the server knows which client has read which
//! key. A read is recorded before it is sent. So an invalidation that overtakes its reply finds the client, too, and waits
//! until the client has all replies to its batch.

use std::{cell::RefCell, collections::HashMap, rc::Weak};

use bytes::Bytes;

use super::{
    feed_consumer::{Consumer, TrackedClients},
    feed_queue::feed_queue,
    state::ProxyState,
    tracked_clients::ClientTracking,
};
use crate::{
    Client, Keyspace,
    client::ClientFlag,
    dispatch::ClientBatch,
    keyspace::Reads,
    proxy::{
        routing::Prefix,
        wire::{CommandKind, Words},
    },
};

/// Starts a feed whenever clients of this server, or of this worker, begin to track keys.
pub(super) async fn watch_trackers(
    proxy: Weak<RefCell<ProxyState>>,
    keyspace: Keyspace,
    worker: Option<u16>,
) {
    loop {
        let changed = keyspace.trackers_changed();
        if keyspace.has_trackers(worker) {
            let Some(proxy) = proxy.upgrade() else { return };
            proxy.borrow_mut().track_clients(&keyspace, worker);
        }
        changed.await;
    }
}

impl ProxyState {
    fn track_clients(&mut self, keyspace: &Keyspace, worker: Option<u16>) {
        if self.tracking.iter().any(|tracking| tracking.clients.keyspace.is_same(keyspace)) {
            return;
        }
        let prefix = self.routing.prefix().cloned();
        let mut request = vec!["CLIENT", "TRACKING", "ON", "BCAST"];
        request.extend(prefix.is_some().then_some("PREFIX"));
        let mut request: Vec<Bytes> =
            request.into_iter().map(|word| Bytes::from_static(word.as_bytes())).collect();
        request.extend(prefix.iter().map(|Prefix(prefix)| prefix.clone()));
        let (alive, keep_open) = feed_queue();
        let clients = TrackedClients { keyspace: keyspace.clone(), worker, prefix, alive };
        let feed = self.track(request, Consumer::Clients(clients.clone()));
        let queued = HashMap::default();
        self.tracking.push(ClientTracking { clients, feed, _keep_open: keep_open, queued, idle: 0 });
    }

    /// Records the keys that requests of a batch read, if its client tracks keys.
    #[inline]
    pub(super) fn record_reads(&mut self, batch: &ClientBatch, first: u32, count: u32) {
        if !self.tracking.is_empty() && batch.client.is(ClientFlag::Tracking) {
            self.record_requests(batch, first, count);
        }
    }

    #[cold]
    fn record_requests(&mut self, batch: &ClientBatch, first: u32, count: u32) {
        let mut is_in_transaction = false;
        for index in first..first + count {
            let (Some(request), Some(target)) = (batch.request(index), batch.requests.target(index)) else {
                continue;
            };
            let words = Words::Client(&request);
            let row = target.target().map_or(0, |target| target.row.index());
            match self.routing.kind(words, row) {
                CommandKind::Multi => is_in_transaction = true,
                CommandKind::Exec | CommandKind::Discard => is_in_transaction = false,
                _ => {}
            }
            self.record(&batch.client, words, is_in_transaction);
        }
    }

    /// Records the keys that a request reads. `CLIENT CACHING` applies to it, and to later ones only in a transaction.
    fn record(&self, client: &Client, words: Words<'_>, is_in_transaction: bool) {
        let keys = self.routing.keys_read(words);
        for tracking in &self.tracking {
            let reads = match &keys {
                // The upstream has not described its commands yet.
                None => Reads::Unknown,
                Some(keys) if tracking.feed.is_complete() => Reads::Tracked(keys),
                Some(keys) => Reads::Untracked(keys),
            };
            tracking.clients.keyspace.forwarded(client, reads, !is_in_transaction);
        }
    }

    /// Records the keys that a request on a dedicated connection reads.
    ///
    /// The requests of a transaction read when `EXEC` runs them. Returns the keys of a blocking request: invalidations may
    /// overtake its reply, so the client must not keep it.
    pub(super) fn record_dedicated(&mut self, batch: &ClientBatch, kind: CommandKind) -> Vec<Bytes> {
        let client = &batch.client;
        if self.tracking.is_empty() || !client.is(ClientFlag::Tracking) {
            return Vec::new();
        }
        let identity = client.identity();
        let handle = self.dedicated.get(&identity);
        let is_in_transaction = handle.is_some_and(|handle| handle.route().is_in_transaction);
        let Some(request) = batch.request(batch.next_request()) else { return Vec::new() };
        let words = Words::Client(&request);
        match kind {
            CommandKind::Exec | CommandKind::Discard => {
                for tracking in &mut self.tracking {
                    let keys = tracking.queued.remove(&identity).unwrap_or_default();
                    let keys: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
                    let is_complete = tracking.feed.is_complete();
                    let reads = if is_complete { Reads::Tracked(&keys) } else { Reads::Untracked(&keys) };
                    tracking.clients.keyspace.forwarded(client, reads, true);
                }
            }
            CommandKind::Multi => {}
            _ if is_in_transaction => {
                let keys = self.routing.keys_read(words).unwrap_or_default();
                for tracking in &mut self.tracking {
                    let queued = tracking.queued.entry(identity).or_default();
                    queued.extend(keys.iter().map(|key| Bytes::copy_from_slice(key)));
                }
            }
            CommandKind::Blocks => {
                let keys = self.routing.keys_read(words).unwrap_or_default();
                return keys.iter().map(|key| Bytes::copy_from_slice(key)).collect();
            }
            _ => self.record(client, words, false),
        }
        Vec::new()
    }

    /// Invalidates the keys that a blocking request has read.
    pub(super) fn invalidate_blocked(&self, client: &Client, keys: &[Bytes]) {
        let keys: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
        for tracking in &self.tracking {
            tracking.clients.keyspace.forwarded(client, Reads::Untracked(&keys), true);
        }
    }

    /// Forgets the transaction of a client that has disconnected.
    pub(super) fn forget_queued(&mut self, client: &Client) {
        for tracking in &mut self.tracking {
            tracking.queued.remove(&client.identity());
        }
    }

    /// Closes the feeds that no client has needed for a while.
    pub(super) fn drop_tracking(&mut self) {
        self.tracking.retain_mut(ClientTracking::is_needed);
    }
}
