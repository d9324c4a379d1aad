//! How many requests of a batch are sent at once.

use std::collections::HashMap;

use foldhash::quality::RandomState;

use crate::{Client, dispatch::ClientBatch, proxy::conn::BatchRun};

/// The mean lengths of the latest replies to clients that pipeline, by the identities of the clients.
///
/// The proxy sends as many requests of a batch as their replies probably fit into the batch. It begins with a few, so
/// that a client with a short pipeline cannot make the proxy buffer many large replies.
#[derive(Default)]
pub(super) struct ReplySizes(HashMap<usize, usize, RandomState>);

/// Number of requests that are sent first for a client whose replies are not known.
const FIRST: usize = 4;

/// Maximum number of requests that are sent first for a client whose replies are known.
const MAX_FIRST: usize = 64;

/// Maximum ratio of the numbers of requests in two consecutive rounds.
const MAX_GROWTH: usize = 16;

/// Maximum number of requests that are sent at once.
const MAX: usize = 4096;

impl ReplySizes {
    /// Returns how many requests of a batch to send first.
    pub(super) fn first_requests(&self, batch: &ClientBatch) -> usize {
        if batch.requests.len() <= FIRST {
            return FIRST;
        }
        match self.0.get(&batch.client.identity()) {
            Some(mean) => (batch.room() / mean).clamp(1, MAX_FIRST),
            None => FIRST,
        }
    }

    /// Stores the mean length of the replies to these requests, if their client pipelines and is connected.
    pub(super) fn learn(&mut self, run: &BatchRun) {
        if run.batch.requests.len() > FIRST && run.batch.client.is_connected() {
            self.0.insert(run.batch.client.identity(), run.mean_reply_len());
        }
    }

    /// Removes a client that has disconnected.
    pub(super) fn remove(&mut self, client: &Client) {
        self.0.remove(&client.identity());
    }
}

/// Returns how many requests to send after the replies to these.
pub(super) fn next_requests(run: &BatchRun) -> usize {
    (run.batch.room() / run.mean_reply_len()).clamp(1, MAX.min(run.len() * MAX_GROWTH))
}
