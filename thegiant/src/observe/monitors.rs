//! `MONITOR`: sends all commands to the clients that monitor the server.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::{Hook, Hooks, quote::quote, unix_time};
use crate::{Client, command::Request};

/// The clients in `MONITOR` mode.
#[derive(Debug, Default)]
pub(crate) struct Monitors(Mutex<Vec<Client>>);

impl Monitors {
    pub(crate) fn add(&self, client: &Client, hooks: &Hooks) {
        let mut clients = self.lock();
        clients.push(client.clone());
        // Also under the lock: the hook is set while there are clients.
        hooks.set(Hook::Monitor, true);
    }

    pub(crate) fn remove(&self, client: &Client, hooks: &Hooks) {
        let mut clients = self.lock();
        clients.retain(|known| known.id() != client.id());
        hooks.set(Hook::Monitor, !clients.is_empty());
    }

    /// Sends a request to all clients, using `push` for each.
    pub(crate) fn show(&self, request: &Request<'_>, push: impl Fn(&Client, Bytes)) {
        let line = Bytes::from(line(request));
        // Under the lock, so that a client that has been removed gets nothing more.
        self.lock().iter().for_each(|client| push(client, line.clone()));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Client>> {
        // A poisoned lock holds valid data, because no code panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Formats a request: `+1700000000.123456 [0 127.0.0.1:50000] "set" "k" "v"`.
fn line(request: &Request<'_>) -> Vec<u8> {
    let now = unix_time();
    let client = request.client();
    let (seconds, micros) = (now.as_secs(), now.subsec_micros());
    let mut line = format!("+{seconds}.{micros:06} [{} {}]", client.db(), client.addr()).into_bytes();
    for word in request.redacted() {
        line.push(b' ');
        quote(word, &mut line);
    }
    line.extend(b"\r\n");
    line
}
