//! `MONITOR`: clients that are shown all commands.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::{
    quote::{quote, shown},
    unix_time,
};
use crate::{Client, command::Call};

/// The clients that are shown all commands.
#[derive(Debug, Default)]
pub(crate) struct Monitors(Mutex<Vec<Client>>);

impl Monitors {
    pub(crate) fn add(&self, client: &Client) {
        self.lock().push(client.clone());
    }

    /// Returns whether there are still others.
    pub(crate) fn remove(&self, client: &Client) -> bool {
        let mut clients = self.lock();
        clients.retain(|known| known.id() != client.id());
        !clients.is_empty()
    }

    /// Shows a request to all of them, each by `push`.
    pub(crate) fn show(&self, call: &Call<'_>, push: impl Fn(&Client, Bytes)) {
        let line = Bytes::from(line(call));
        // Without the lock: what is done about a slow one may need it.
        let clients = self.lock().clone();
        clients.iter().for_each(|client| push(client, line.clone()));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Client>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `+1700000000.123456 [0 127.0.0.1:50000] "set" "k" "v"`
fn line(call: &Call<'_>) -> Vec<u8> {
    let now = unix_time();
    let client = call.client();
    let (seconds, micros) = (now.as_secs(), now.subsec_micros());
    let mut line = format!("+{seconds}.{micros:06} [{} {}]", client.db(), client.addr()).into_bytes();
    for word in shown(call) {
        line.push(b' ');
        quote(word, &mut line);
    }
    line.extend(b"\r\n");
    line
}
