//! The clients that track keys.

use std::{collections::HashMap, convert::Infallible, rc::Rc};

use bytes::Bytes;
use foldhash::quality::RandomState;

use super::{feed::Feed, feed_consumer::TrackedClients, feed_queue::FeedReceiver};

/// The clients of one server whose keys the proxy tracks.
pub(super) struct ClientTracking {
    pub(super) clients: TrackedClients,
    pub(super) feed: Rc<Feed>,
    /// Keeps the feed open.
    pub(super) _keep_open: FeedReceiver<Infallible>,
    /// The keys that the queued requests of each transaction will read, by the identities of the clients.
    pub(super) queued: HashMap<usize, Vec<Bytes>, RandomState>,
    /// Number of ticks without a tracking client.
    pub(super) idle: u32,
}

/// Number of ticks for which the feed stays open without tracking clients.
const MAX_IDLE: u32 = 60;

impl ClientTracking {
    /// Returns whether a client has tracked keys in the last ticks. The proxy calls this method once a tick.
    pub(super) fn is_needed(&mut self) -> bool {
        let TrackedClients { keyspace, worker, .. } = &self.clients;
        self.idle = if keyspace.has_trackers(*worker) { 0 } else { self.idle + 1 };
        self.idle < MAX_IDLE
    }
}
