//! The clients whose requests may have broken connections.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use foldhash::quality::RandomState;

use crate::Client;

/// The clients that are blamed for lost connections, by their identities.
#[derive(Default)]
pub(crate) struct Blamed(HashMap<usize, Blame, RandomState>);

/// The losses of connections for which a client is blamed.
struct Blame {
    /// Number of losses at which the client had the oldest request without a reply.
    losses: u32,
    /// Time of the latest loss.
    last: Instant,
}

/// Number of losses after which all requests of a client are isolated.
const ISOLATE_AFTER: u32 = 3;

/// Time without another loss after which a client is no longer blamed.
const FORGIVE_AFTER: Duration = Duration::from_secs(60);

impl Blamed {
    /// Blames a client for the loss of a connection on which it had the oldest request without a reply.
    pub(crate) fn add(&mut self, client: &Client) {
        let now = Instant::now();
        let blame = self.0.entry(client.identity()).or_insert(Blame { losses: 0, last: now });
        blame.losses += 1;
        blame.last = now;
        if blame.losses == ISOLATE_AFTER {
            tracing::warn!(id = client.id(), client = %client.addr(), "isolated: its requests have broken connections to upstreams");
        }
    }

    /// Removes the clients without a recent loss.
    pub(crate) fn forgive(&mut self) {
        self.0.retain(|_, blame| blame.last.elapsed() < FORGIVE_AFTER);
    }

    /// Removes a client that has disconnected.
    pub(crate) fn remove(&mut self, client: &Client) {
        self.0.remove(&client.identity());
    }

    /// Returns whether all requests of a client are isolated.
    pub(crate) fn is_isolated(&self, client: &Client) -> bool {
        let blame = || self.0.get(&client.identity());
        !self.0.is_empty() && blame().is_some_and(|blame| blame.losses >= ISOLATE_AFTER)
    }
}
