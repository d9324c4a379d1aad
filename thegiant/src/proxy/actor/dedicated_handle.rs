//! The proxy's handle to the task of a dedicated connection.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use bytes::Bytes;
use tokio::sync::mpsc::UnboundedSender;

use crate::{
    Value,
    proxy::conn::{DedicatedRequest, DedicatedRequester},
};

/// The handle to a client's dedicated connection. Dropping the handle closes the connection.
pub(super) struct DedicatedHandle {
    requests: UnboundedSender<QueuedRequest>,
    route: Rc<Cell<DedicatedRoute>>,
    /// The encoded request that has determined the upstream, unless it is long.
    first: RefCell<Bytes>,
}

/// Maximum size of a request that the handle keeps, in bytes.
const MAX_FIRST: usize = 4096;

/// A request on its way to the task, and the receiver of its reply.
pub(super) type QueuedRequest = (DedicatedRequest, DedicatedRequester);

/// The state on which the routes of the client's requests depend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct DedicatedRoute {
    /// The upstream. It is unknown until a request of the transaction determines it.
    pub(super) server: Option<usize>,
    pub(super) is_in_transaction: bool,
}

impl DedicatedHandle {
    pub(super) fn new(requests: UnboundedSender<QueuedRequest>, route: Rc<Cell<DedicatedRoute>>) -> Self {
        DedicatedHandle { requests, route, first: RefCell::default() }
    }

    pub(super) fn route(&self) -> DedicatedRoute {
        self.route.get()
    }

    /// Returns the words of the request that has determined the upstream, if they are known.
    pub(super) fn first_words(&self) -> Vec<Bytes> {
        match Value::parse(&self.first.borrow()) {
            Ok(Some((Value::Array(words), _))) => {
                let bytes = |word| if let Value::Bulk(bytes) = word { Some(bytes) } else { None };
                words.into_iter().filter_map(bytes).collect()
            }
            _ => Vec::new(),
        }
    }

    pub(super) fn send(&self, request: DedicatedRequest, requester: DedicatedRequester) {
        let has_server = request.to.as_ref().is_ok_and(|to| to.server.is_some());
        if has_server && request.bytes.len() <= MAX_FIRST && self.first.borrow().is_empty() {
            self.first.replace(request.bytes.clone());
        }
        // Sending fails only if the client has disconnected.
        let _ = self.requests.send((request, requester));
    }
}
