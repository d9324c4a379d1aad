//! `MONITOR`: sends all commands to the clients that monitor the server.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::{
    quote::{quote, redacted},
    unix_time,
};
use crate::{Client, command::Call};

/// The clients in `MONITOR` mode.
#[derive(Debug, Default)]
pub(crate) struct Monitors(Mutex<Vec<Client>>);

impl Monitors {
    pub(crate) fn add(&self, client: &Client) {
        self.lock().push(client.clone());
    }

    /// Removes a client. Returns whether other clients still monitor.
    pub(crate) fn remove(&self, client: &Client) -> bool {
        let mut clients = self.lock();
        clients.retain(|known| known.id() != client.id());
        !clients.is_empty()
    }

    /// Sends a request to all clients, using `push` for each.
    pub(crate) fn show(&self, call: &Call<'_>, push: impl Fn(&Client, Bytes)) {
        let line = Bytes::from(line(call));
        // `push` runs without the lock, because it may remove a slow client from this list.
        let clients = self.lock().clone();
        clients.iter().for_each(|client| push(client, line.clone()));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Client>> {
        // A poisoned lock holds valid data, because no code panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Formats a request: `+1700000000.123456 [0 127.0.0.1:50000] "set" "k" "v"`.
fn line(call: &Call<'_>) -> Vec<u8> {
    let now = unix_time();
    let client = call.client();
    let (seconds, micros) = (now.as_secs(), now.subsec_micros());
    let mut line = format!("+{seconds}.{micros:06} [{} {}]", client.db(), client.addr()).into_bytes();
    for word in redacted(call) {
        line.push(b' ');
        quote(word, &mut line);
    }
    line.extend(b"\r\n");
    line
}
