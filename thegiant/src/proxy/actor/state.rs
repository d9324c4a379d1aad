//! The state of a proxy.

use std::{
    cell::RefCell,
    collections::HashMap,
    fmt,
    rc::{Rc, Weak},
};

use bytes::Bytes;
use foldhash::quality::RandomState;
use tokio::sync::oneshot;

use super::{
    dedicated_handle::DedicatedHandle, feed::Feed, publishers::Publishers, refreshing::Refreshing,
    reply_sizes::ReplySizes, tracked_clients::ClientTracking,
};
use crate::{
    batch::ActorId,
    dispatch::{ACTOR_DOWN, ClientBatch},
    proxy::{
        conn::{CallResult, InFlightTable, OnLoss, Requester},
        pool::{Blamed, Pool, Servers},
        routing::{Prefix, Router, Routing},
    },
};

/// The state that the proxy shares with the tasks of its connections, on the same thread.
///
/// Each file of this folder implements the methods for one matter.
pub(super) struct ProxyState {
    /// A weak reference to this state, for the tasks of the connections.
    pub(super) me: Weak<RefCell<ProxyState>>,
    pub(super) pool: Pool,
    pub(super) routing: Routing,
    pub(super) in_flight: InFlightTable,
    /// Dedicated connections, by the identities of their clients.
    pub(super) dedicated: HashMap<usize, DedicatedHandle, RandomState>,
    pub(super) publishers: Publishers,
    pub(super) on_loss: OnLoss,
    pub(super) blamed: Blamed,
    pub(super) reply_sizes: ReplySizes,
    pub(super) waiting: Waiting,
    pub(super) refreshing: Refreshing,
    /// Number of connections that slow commands keep.
    pub(super) detached: usize,
    pub(super) feeds: Vec<Rc<Feed>>,
    /// The clients that track keys. Empty if none has done so in the last minute.
    pub(super) tracking: Vec<ClientTracking>,
    /// The application prepares the router, so the requests of clients wait.
    pub(super) is_starting: bool,
    /// Number of commands that the application has sent. It spreads them over the connections.
    pub(super) call_count: u64,
}

/// Requests without a destination.
#[derive(Default)]
pub(super) struct Waiting {
    /// Batches that wait for space in a send buffer, or for the key tables.
    pub(super) batches: Vec<(ClientBatch, ActorId)>,
    /// Commands of the application that wait for the key tables.
    pub(super) calls: Vec<Call>,
}

/// A command of the application, and the channel for its reply.
pub(super) type Call = (Vec<Bytes>, oneshot::Sender<CallResult>);

/// Starts the task that keeps the connection with this index open; see [`Pool::new`].
pub(super) type KeepUpFn = fn(Weak<RefCell<ProxyState>>, usize, bool);

impl ProxyState {
    pub(super) fn new(
        servers: Servers,
        router: Option<Box<dyn Router>>,
        prefix: Option<Prefix>,
        on_loss: OnLoss,
        keep_up: KeepUpFn,
    ) -> Rc<RefCell<Self>> {
        Rc::new_cyclic(|me| {
            let proxy = Weak::clone(me);
            let keep_up = move |index, is_first| keep_up(Weak::clone(&proxy), index, is_first);
            RefCell::new(ProxyState {
                me: Weak::clone(me),
                pool: Pool::new(servers, Box::new(keep_up)),
                in_flight: InFlightTable::new(router.is_some(), on_loss),
                routing: Routing::new(router, prefix),
                dedicated: HashMap::default(),
                publishers: Publishers::default(),
                on_loss,
                blamed: Blamed::default(),
                reply_sizes: ReplySizes::default(),
                waiting: Waiting::default(),
                refreshing: Refreshing::default(),
                detached: 0,
                feeds: Vec::new(),
                tracking: Vec::new(),
                is_starting: false,
                call_count: 0,
            })
        })
    }
}

impl Drop for ProxyState {
    /// Ends the feeds, and replies to all waiting batches.
    fn drop(&mut self) {
        self.routing.publish(false);
        self.stop_feeds();
        let in_flight = self.in_flight.drain().filter_map(|requester| match requester {
            Requester::Batch(batch, actor_id) => Some((batch, actor_id)),
            Requester::Application(_) => None,
        });
        for (mut batch, actor_id) in in_flight.chain(self.waiting.batches.drain(..)) {
            batch.discard_reply();
            batch.refuse(actor_id, &ACTOR_DOWN);
            // A refused batch does not wait for a reply, so it returns to its client.
            drop(batch.return_to_client());
        }
    }
}

impl fmt::Debug for ProxyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyState").field("servers", &self.pool.servers).finish_non_exhaustive()
    }
}
