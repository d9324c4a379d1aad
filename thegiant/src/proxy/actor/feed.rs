//! The state of a feed: connections over which upstreams send messages for one consumer.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
};

use bytes::Bytes;
use tokio::sync::Notify;

use super::feed_consumer::Consumer;

/// A feed: the request that its connections send, and the consumer of the messages.
pub(super) struct Feed {
    pub(super) request: Vec<Bytes>,
    pub(super) consumer: Consumer,
    /// The upstreams to which the feed connects, if it connects to all of them.
    pub(super) followed: RefCell<BTreeSet<usize>>,
    /// The upstreams that are up, and whose connection is not open or not confirmed.
    missing: RefCell<BTreeSet<usize>>,
    /// Whether the consumer knows that no upstream is missing.
    is_complete: Cell<bool>,
    /// Ends the tasks when the proxy stops.
    pub(super) stopped: Notify,
}

impl Feed {
    pub(super) fn new(request: Vec<Bytes>, consumer: Consumer) -> Self {
        Feed {
            request,
            consumer,
            followed: RefCell::default(),
            missing: RefCell::default(),
            is_complete: Cell::default(),
            stopped: Notify::new(),
        }
    }

    /// Counts an upstream as missing until its connection is confirmed.
    pub(super) fn expect(&self, server: usize) {
        self.missing.borrow_mut().insert(server);
        if self.is_complete.replace(false) {
            self.consumer.on_incomplete();
        }
    }

    /// Handles a confirmed connection.
    pub(super) fn confirmed(&self, server: usize) {
        self.missing.borrow_mut().remove(&server);
        self.consumer.on_confirmed();
        self.check_complete();
    }

    /// Stops waiting for an upstream that is down or removed, so that no request can reach it.
    pub(super) fn exclude(&self, server: usize) {
        self.missing.borrow_mut().remove(&server);
        self.check_complete();
    }

    /// Returns whether all upstreams that are up send their messages.
    pub(super) fn is_complete(&self) -> bool {
        self.is_complete.get()
    }

    fn check_complete(&self) {
        if self.missing.borrow().is_empty() && !self.is_complete.replace(true) {
            self.consumer.on_complete();
        }
    }

    /// Returns the number of replies to the request: one for each channel.
    pub(super) fn confirmations(&self) -> usize {
        if self.consumer.is_tracking() { 1 } else { self.request.len() - 1 }
    }
}
