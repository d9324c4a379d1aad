//! The clients of a server.

use std::{
    cmp::Reverse,
    collections::HashMap,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::sync::Notify;

use bytes::Bytes;

use super::{Client, ClientFlag, ClientHost, CloseRequest, Endpoints};
use crate::{
    resp::Protocol,
    settings::{OutputLimit, Setting, Settings},
};

/// The clients of a server, by id, and the limits of their memory.
#[derive(Debug)]
pub(crate) struct Clients {
    settings: Arc<Settings>,
    by_id: Mutex<HashMap<u64, Client>>,
    last_id: AtomicU64,
    /// Notified when the last client has disconnected.
    empty: Notify,
    /// Size of all client buffers in bytes.
    memory: AtomicUsize,
    /// Number of clients that were closed because of `maxmemory-clients`.
    evicted: AtomicU64,
}

impl Clients {
    pub(crate) fn new(settings: Arc<Settings>) -> Arc<Self> {
        Arc::new(Clients {
            settings,
            by_id: Mutex::default(),
            last_id: AtomicU64::new(0),
            empty: Notify::default(),
            memory: AtomicUsize::new(0),
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
        if clients.is_empty() {
            // Free the memory after a peak in the number of clients.
            clients.shrink_to_fit();
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

    /// Returns the size of all client buffers in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.memory.load(Relaxed)
    }

    /// Returns the number of clients that were closed because of `maxmemory-clients`.
    pub(crate) fn evicted(&self) -> u64 {
        self.evicted.load(Relaxed)
    }

    pub(crate) fn reset_stats(&self) {
        self.evicted.store(0, Relaxed);
    }

    /// Sends a push that has been accounted for.
    fn push_accounted(&self, client: &Client, piece: Bytes) -> Option<u64> {
        let len = piece.len();
        let Some(pending) = client.push_piece(piece) else {
            self.account(len, 0);
            return None;
        };
        let limit = self.settings.output_limit(Setting::PushOutputLimit);
        if limit.is_over(pending.len) {
            self.handle_slow_consumer(client, pending.len, limit);
        }
        Some(pending.number)
    }

    #[cold]
    fn handle_slow_consumer(&self, client: &Client, waiting: usize, limit: OutputLimit) {
        if self.settings.flag(Setting::DropOldestPush) {
            let dropped = client.drop_oldest(usize::try_from(limit.hard).unwrap_or(usize::MAX));
            self.account(dropped, 0);
        } else if client.close_request() != CloseRequest::Now {
            tracing::warn!(
                id = client.id(), client = %client.addr(), waiting,
                "closed: the output buffer limit for pushes was exceeded"
            );
            client.request_close(CloseRequest::Now);
        }
    }

    /// Closes the clients with the largest buffers if all buffers together exceed `maxmemory-clients`.
    pub(crate) fn limit_memory(&self) {
        let max_bytes = self.settings.size(Setting::MaxMemoryClients);
        if max_bytes == 0 || self.memory() <= max_bytes {
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
    /// Returns the closed clients.
    fn evict(&self, max_bytes: usize) -> Vec<Client> {
        let (closing, mut open): (Vec<_>, Vec<_>) =
            self.all().into_iter().partition(|client| client.close_request() == CloseRequest::Now);
        open.retain(|client| !client.is(ClientFlag::NoEvict) && client.memory() > 0);
        open.sort_by_cached_key(|client| Reverse(client.memory()));
        let freed: usize = closing.iter().map(Client::memory).sum();
        let mut memory = self.memory().saturating_sub(freed);
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

    fn push(&self, client: &Client, piece: Bytes) -> Option<u64> {
        self.account(0, piece.len());
        self.push_accounted(client, piece)
    }

    fn push_to_all(&self, clients: &[Client], len: usize, piece: &mut dyn FnMut(Protocol) -> Bytes) -> usize {
        self.account(0, clients.len() * len);
        clients
            .iter()
            .filter(|client| self.push_accounted(client, piece(client.protocol())).is_some())
            .count()
    }

    fn account(&self, before: usize, after: usize) {
        if after > before {
            self.memory.fetch_add(after - before, Relaxed);
            self.limit_memory();
        } else {
            self.memory.fetch_sub(before - after, Relaxed);
        }
    }

    fn reply_timeout(&self) -> Option<Duration> {
        self.settings.time(Setting::ReplyTimeout)
    }
}
