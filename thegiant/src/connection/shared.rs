//! What the connections of a server have in common.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::{Address, Client, Wish, routes::Routes};
use crate::options::Options;

/// Who is attacked by every page of a browser is warned this often.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// The routes, the settings, and the clients of a server.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) routes: Routes,
    pub(crate) options: Options,
    /// Where the server listens.
    pub(crate) addresses: Vec<Address>,
    pub(crate) started: Instant,
    clients: Mutex<HashMap<u64, Client>>,
    last_id: AtomicU64,
    /// The last client has gone.
    empty: Notify,
    /// When it was last warned of a cross-protocol attack.
    last_warning: Mutex<Option<Instant>>,
}

impl Shared {
    pub(crate) fn new(routes: Routes, options: Options, addresses: Vec<Address>) -> Self {
        Shared {
            routes,
            options,
            addresses,
            started: Instant::now(),
            clients: Mutex::default(),
            last_id: AtomicU64::new(0),
            empty: Notify::new(),
            last_warning: Mutex::default(),
        }
    }

    /// Lets a client in, if there is room.
    pub(crate) fn admit(&self, address: Address) -> Option<Client> {
        let mut clients = self.lock();
        if clients.len() >= self.options.max_clients {
            return None;
        }
        let client = Client::new(self.last_id.fetch_add(1, Relaxed) + 1, address);
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
    pub(crate) async fn drain(&self) {
        let mut empty = pin!(self.empty.notified());
        // From now on it hears of the last one.
        empty.as_mut().enable();
        let clients = self.clients();
        clients.iter().for_each(|client| client.ask(Wish::Finish));
        if !clients.is_empty() {
            empty.await;
        }
    }

    /// A client has sent what a browser would send for a page of somebody else's; see
    /// [`Resolved::CrossProtocol`](crate::command::Resolved).
    pub(crate) fn warn_of_cross_protocol(&self, client: &Client) {
        let mut last = self.last_warning.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() >= WARNING_INTERVAL) {
            *last = Some(Instant::now());
            tracing::warn!(client = %client.addr(), "closed: POST or Host: is no command, but what a browser sends");
        }
    }

    /// The number of clients at this moment.
    pub(crate) fn client_count(&self) -> usize {
        self.lock().len()
    }

    /// The clients of this moment.
    pub(crate) fn clients(&self) -> Vec<Client> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Client>> {
        // Nothing panics while it is held.
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
