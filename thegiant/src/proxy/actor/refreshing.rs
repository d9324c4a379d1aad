//! Requests that wait until the router has updated its data.

use std::{collections::HashSet, mem};

use foldhash::quality::RandomState;

use crate::proxy::conn::{InFlightId, Retry};

/// The requests that wait for the future of [`Router::refresh`](crate::proxy::Router::refresh).
#[derive(Default)]
pub(super) struct Refreshing {
    retries: Vec<Retry>,
    ids: HashSet<InFlightId, RandomState>,
}

impl Refreshing {
    /// Returns whether a request of this entry waits.
    pub(super) fn has(&self, id: InFlightId) -> bool {
        self.ids.contains(&id)
    }

    /// Adds a request. Returns whether it is the first.
    pub(super) fn push(&mut self, retry: Retry) -> bool {
        self.ids.insert(retry.id);
        self.retries.push(retry);
        self.retries.len() == 1
    }

    /// Removes all requests, after the router has updated its data.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Retry> + use<> {
        self.ids.clear();
        let retries = mem::take(&mut self.retries).into_iter();
        retries.map(|retry| Retry { refreshes: retry.refreshes + 1, ..retry })
    }
}
