//! The proxy's handle to the task of a dedicated connection.

use std::{cell::Cell, rc::Rc};

use tokio::sync::mpsc::UnboundedSender;

use crate::proxy::conn::{DedicatedRequest, DedicatedRequester};

/// The handle to a client's dedicated connection. Dropping the handle closes the connection.
pub(super) struct DedicatedHandle {
    requests: UnboundedSender<QueuedRequest>,
    route: Rc<Cell<DedicatedRoute>>,
}

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
        DedicatedHandle { requests, route }
    }

    pub(super) fn route(&self) -> DedicatedRoute {
        self.route.get()
    }

    pub(super) fn send(&self, request: DedicatedRequest, requester: DedicatedRequester) {
        // Sending fails only if the client has disconnected.
        let _ = self.requests.send((request, requester));
    }
}
