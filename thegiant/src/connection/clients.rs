//! The clients of a server.

use std::{
    cmp::Reverse,
    collections::HashMap,
    pin::pin,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use tokio::sync::Notify;

use super::{Client, ClientFlag, CloseRequest, client_memory::ClientMemory};
use crate::shrink::shrink_sparse;

/// The clients of a server, by id.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    by_id: Mutex<HashMap<u64, Client>>,
    last_id: AtomicU64,
    /// Notified when the last client has disconnected.
    empty: Notify,
    pub(crate) memory: ClientMemory,
}

impl Clients {
    /// Adds a client, if there are fewer than `max_clients`.
    pub(crate) fn admit(&self, max_clients: usize, client: impl FnOnce(u64) -> Client) -> Option<Client> {
        let mut clients = self.lock();
        if clients.len() >= max_clients {
            return None;
        }
        let client = client(self.last_id.fetch_add(1, Relaxed) + 1);
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

    /// Closes the clients with the largest buffers until the rest uses at most `max_bytes`.
    ///
    /// Clients with `CLIENT NO-EVICT on` are neither closed nor counted.
    ///
    /// Returns the closed clients.
    pub(crate) fn evict(&self, max_bytes: usize) -> Vec<Client> {
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
