//! The clients of a server.

use std::{
    cmp::Reverse,
    collections::HashMap,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::sync::Notify;

use bytes::Bytes;

use super::{
    Client, ClientFlag, ClientHost, CloseRequest, Endpoints, UpstreamKeys, memory::ClientMemory,
    pushes::PendingPushes, slot::PushId,
};
use crate::{
    resp::Protocol,
    settings::{OutputLimit, Setting, Settings},
    shrink::shrink_sparse,
};

/// The clients of a server, by id, and the limits of their memory.
#[derive(Debug)]
pub(crate) struct Clients {
    settings: Arc<Settings>,
    upstream_keys: Arc<dyn UpstreamKeys>,
    by_id: Mutex<HashMap<u64, Client>>,
    last_id: AtomicU64,
    /// Notified when the last client has disconnected.
    empty: Notify,
    pub(crate) memory: ClientMemory,
    /// Number of clients that were closed because of `maxmemory-clients`.
    evicted: AtomicU64,
}

impl Clients {
    pub(crate) fn new(settings: Arc<Settings>, upstream_keys: Arc<dyn UpstreamKeys>) -> Arc<Self> {
        Arc::new(Clients {
            settings,
            upstream_keys,
            by_id: Mutex::default(),
            last_id: AtomicU64::new(0),
            empty: Notify::default(),
            memory: ClientMemory::default(),
            evicted: AtomicU64::new(0),
        })
    }

    /// Adds a client that connects at `now`, unless the maximum number of clients is reached.
    pub(crate) fn admit(self: &Arc<Self>, endpoints: Endpoints, now: u32) -> Option<Client> {
        let mut clients = self.lock();
        if clients.len() >= self.settings.size(Setting::MaxClients) {
            return None;
        }
        let host: Weak<Self> = Arc::downgrade(self);
        let client = Client::new(self.last_id.fetch_add(1, Relaxed) + 1, endpoints, now, host);
        clients.insert(client.id(), client.clone());
        Some(client)
    }

    /// Removes a client that has disconnected.
    pub(crate) fn forget(&self, client: &Client) {
        let mut clients = self.lock();
        clients.remove(&client.id());
        shrink_sparse(&mut clients);
        if clients.is_empty() {
            self.empty.notify_waiters();
        }
    }

    /// Closes all clients gracefully, and waits until all have disconnected.
    pub(crate) async fn close_all(&self) {
        let mut empty = pin!(self.empty.notified());
        // Register before the last client can disconnect.
        empty.as_mut().enable();
        let clients = self.all();
        clients.iter().for_each(|client| client.request_close(CloseRequest::Graceful));
        if !clients.is_empty() {
            empty.await;
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Returns all clients.
    pub(crate) fn all(&self) -> Vec<Client> {
        self.lock().values().cloned().collect()
    }

    /// Returns the client with this id.
    pub(crate) fn get(&self, id: u64) -> Option<Client> {
        self.lock().get(&id).cloned()
    }

    /// Returns all clients, sorted by id.
    pub(crate) fn sorted_by_id(&self) -> Vec<Client> {
        let mut clients = self.all();
        clients.sort_unstable_by_key(Client::id);
        clients
    }

    /// Returns the number of clients that were closed because of `maxmemory-clients`.
    pub(crate) fn evicted(&self) -> u64 {
        self.evicted.load(Relaxed)
    }

    pub(crate) fn reset_stats(&self) {
        self.evicted.store(0, Relaxed);
    }

    /// Sends a push whose memory the caller accounts for.
    #[inline(always)]
    fn push_uncounted(&self, client: &Client, piece: Bytes, limit: OutputLimit) -> Option<PendingPushes> {
        let pending = client.push_piece(piece)?;
        if limit.is_over(pending.len) {
            self.handle_slow_consumer(client, pending.len, limit);
        }
        Some(pending)
    }

    #[cold]
    fn handle_slow_consumer(&self, client: &Client, waiting: usize, limit: OutputLimit) {
        if self.settings.flag(Setting::DropOldestPush) {
            let dropped = client.drop_oldest(usize::try_from(limit.hard).unwrap_or(usize::MAX));
            self.memory.change(dropped.no_evict, dropped.len, 0);
        } else if client.close_request() != CloseRequest::Now {
            tracing::warn!(
                id = client.id(), client = %client.addr(), waiting,
                "closed: the output buffer limit for pushes was exceeded"
            );
            client.request_close(CloseRequest::Now);
        }
    }

    /// Switches `CLIENT NO-EVICT` of a client on or off. It is called on the thread of the client's connection.
    pub(crate) fn set_no_evict(&self, client: &Client, on: bool) {
        client.set_no_evict(on, &self.memory);
        self.limit_memory();
    }

    /// Closes the clients with the largest buffers if all buffers together exceed `maxmemory-clients`.
    ///
    /// Clients with `CLIENT NO-EVICT on` do not count: to close other clients would not make their buffers smaller.
    pub(crate) fn limit_memory(&self) {
        let max_bytes = self.settings.size(Setting::MaxMemoryClients);
        if max_bytes == 0 || self.memory.evictable() <= max_bytes {
            return;
        }
        for client in self.evict(max_bytes) {
            self.evicted.fetch_add(1, Relaxed);
            let memory = client.memory();
            tracing::warn!(
                id = client.id(), client = %client.addr(), memory,
                "closed: the memory limit of all clients was exceeded"
            );
        }
    }

    /// Closes the clients with the largest buffers until the rest uses at most `max_bytes`.
    ///
    /// Clients with `CLIENT NO-EVICT on` are neither closed nor counted.
    ///
    /// Returns the closed clients.
    fn evict(&self, max_bytes: usize) -> Vec<Client> {
        let mut clients = self.all();
        clients.retain(|client| !client.is(ClientFlag::NoEvict) && client.memory() > 0);
        let (closing, mut open): (Vec<_>, Vec<_>) =
            clients.into_iter().partition(|client| client.close_request() == CloseRequest::Now);
        let freed: usize = closing.iter().map(Client::memory).sum();
        let mut memory = self.memory.evictable().saturating_sub(freed);
        if memory <= max_bytes {
            return Vec::new();
        }
        open.sort_by_cached_key(|client| Reverse(client.memory()));
        let needed = open.iter().take_while(|client| {
            let is_needed = memory > max_bytes;
            memory = memory.saturating_sub(client.memory());
            is_needed
        });
        let evicted: Vec<Client> = needed.cloned().collect();
        evicted.iter().for_each(|client| client.request_close(CloseRequest::Now));
        evicted
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Client>> {
        // No code panics while it holds the lock.
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientHost for Clients {
    fn client(&self, id: u64) -> Option<Client> {
        self.get(id)
    }

    fn upstream_keys(&self, words: &[&[u8]]) -> Vec<usize> {
        self.upstream_keys.key_positions(words)
    }

    fn push(&self, client: &Client, piece: Bytes) -> Option<PushId> {
        let len = piece.len();
        let limit = self.settings.output_limit(Setting::PushOutputLimit);
        let pending = self.push_uncounted(client, piece, limit)?;
        self.memory.change(pending.no_evict, 0, len);
        self.limit_memory();
        Some(pending.id)
    }

    fn push_to_all(&self, clients: &[Client], encode: &dyn Fn(Protocol) -> Bytes) -> usize {
        let limit = self.settings.output_limit(Setting::PushOutputLimit);
        let mut pieces: [Option<Bytes>; 2] = [None, None];
        let (mut connected, mut evictable, mut no_evict) = (0, 0, 0);
        // Most clients have the protocol of the client before them.
        for clients in clients.chunk_by(|one, next| one.protocol() == next.protocol()) {
            let protocol = clients[0].protocol();
            let piece = pieces[protocol as usize].get_or_insert_with(|| encode(protocol));
            for client in clients {
                let Some(pending) = self.push_uncounted(client, piece.clone(), limit) else { continue };
                connected += 1;
                evictable += piece.len();
                if pending.no_evict {
                    no_evict += piece.len();
                }
            }
        }
        evictable -= no_evict;
        self.memory.change(false, 0, evictable);
        if no_evict > 0 {
            self.memory.change(true, 0, no_evict);
        }
        self.limit_memory();
        connected
    }

    fn account(&self, client: &Client, before: usize, after: usize) {
        self.memory.change(client.is(ClientFlag::NoEvict), before, after);
        if after > before {
            self.limit_memory();
        }
    }

    fn limit_output(&self, client: &Client, output: usize) {
        let limit = self.settings.output_limit(Setting::NormalOutputLimit);
        if limit.is_over(output) && client.close_request() != CloseRequest::Now {
            tracing::warn!(
                id = client.id(), client = %client.addr(), waiting = output,
                "closed: the output buffer limit was exceeded"
            );
            client.request_close(CloseRequest::Now);
        }
    }

    fn reply_timeout(&self) -> Option<Duration> {
        self.settings.time(Setting::ReplyTimeout)
    }
}

#[cfg(test)]
impl Client {
    /// Returns a client without a server and without a connection.
    pub(crate) fn unconnected(id: u64) -> Self {
        let local = Arc::new(super::Address::Unix(std::path::Path::new("test").into()));
        let endpoints = Endpoints { peer: super::Address::clone(&local), local, descriptor: -1 };
        Client::new(id, endpoints, 0, Weak::<Clients>::new())
    }
}
