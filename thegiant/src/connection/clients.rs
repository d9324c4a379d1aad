//! The clients of a server.

use std::{
    cmp::Reverse,
    collections::HashMap,
    pin::pin,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use tokio::sync::Notify;

use super::{Client, ClientFlag, CloseRequest};

/// The clients of a server, by their numbers.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    by_id: Mutex<HashMap<u64, Client>>,
    last_id: AtomicU64,
    /// The last client has gone.
    empty: Notify,
    /// Bytes of all their buffers.
    memory: AtomicUsize,
}

impl Clients {
    /// Lets a client in, if there are less than `most`.
    pub(crate) fn admit(&self, most: usize, client: impl FnOnce(u64) -> Client) -> Option<Client> {
        let mut clients = self.lock();
        if clients.len() >= most {
            return None;
        }
        let client = client(self.last_id.fetch_add(1, Relaxed) + 1);
        clients.insert(client.id(), client.clone());
        Some(client)
    }

    /// A client has gone.
    pub(crate) fn forget(&self, client: &Client) {
        let mut clients = self.lock();
        clients.remove(&client.id());
        if clients.is_empty() {
            // Ten thousand clients leave room behind that ten do not need.
            clients.shrink_to_fit();
            self.empty.notify_waiters();
        }
    }

    /// Asks all clients to finish, and waits until they have.
    pub(crate) async fn run_batches(&self) {
        let mut empty = pin!(self.empty.notified());
        // From now on it hears of the last one.
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

    /// The clients of this moment.
    pub(crate) fn all(&self) -> Vec<Client> {
        self.lock().values().cloned().collect()
    }

    /// The client of this number.
    pub(crate) fn get(&self, id: u64) -> Option<Client> {
        self.lock().get(&id).cloned()
    }

    /// The clients of this moment, in the order in which they came.
    pub(crate) fn sorted_by_id(&self) -> Vec<Client> {
        let mut clients = self.all();
        clients.sort_unstable_by_key(Client::id);
        clients
    }

    /// Bytes of all their buffers.
    pub(crate) fn memory(&self) -> usize {
        self.memory.load(Relaxed)
    }

    /// The buffers of a client have changed in size. Returns what all take now.
    pub(crate) fn account(&self, before: usize, after: usize) -> usize {
        if after >= before {
            self.memory.fetch_add(after - before, Relaxed) + (after - before)
        } else {
            self.memory.fetch_sub(before - after, Relaxed) - (before - after)
        }
    }

    /// Closes the biggest clients until the rest takes at most so many bytes; returns them.
    pub(crate) fn evict(&self, most: usize) -> Vec<Client> {
        let (dying, mut living): (Vec<_>, Vec<_>) =
            self.all().into_iter().partition(|client| client.close_request() == CloseRequest::Now);
        living.retain(|client| !client.is(ClientFlag::NoEvict) && client.memory() > 0);
        living.sort_by_cached_key(|client| Reverse(client.memory()));
        let freed: usize = dying.iter().map(Client::memory).sum();
        let mut memory = self.memory().saturating_sub(freed);
        let needed = living.iter().take_while(|client| {
            let is_needed = memory > most;
            memory = memory.saturating_sub(client.memory());
            is_needed
        });
        let evicted: Vec<Client> = needed.cloned().collect();
        evicted.iter().for_each(|client| client.request_close(CloseRequest::Now));
        evicted
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Client>> {
        // Nothing panics while it is held.
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
