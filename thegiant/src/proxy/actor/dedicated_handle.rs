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
    resp::Encoder,
};

/// The handle to a client's dedicated connection. Dropping the handle closes the connection.
pub(super) struct DedicatedHandle {
    requests: UnboundedSender<QueuedRequest>,
    route: Rc<Cell<DedicatedRoute>>,
    /// The encoded request that has determined the upstream, without long words. Empty if it has too many words.
    first: RefCell<Bytes>,
}

/// Maximum size of a request that the handle keeps, in bytes.
const MAX_FIRST: usize = 64 * 1024;

/// Maximum size of a word in a long request that the handle keeps, in bytes. Longer words are values, not keys.
const MAX_WORD: usize = 1024;

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

    /// Returns the words of the request that has determined the upstream, if the handle knows them.
    pub(super) fn first_words(&self) -> Vec<Bytes> {
        words_of(&self.first.borrow())
    }

    pub(super) fn send(&self, request: DedicatedRequest, requester: DedicatedRequester) {
        let has_server = request.to.as_ref().is_ok_and(|to| to.server.is_some());
        if has_server && self.first.borrow().is_empty() {
            self.first.replace(shortened(&request.bytes));
        }
        // Sending fails only if the client has disconnected.
        let _ = self.requests.send((request, requester));
    }
}

/// Returns a request without long words, or nothing if it has too many words.
fn shortened(request: &Bytes) -> Bytes {
    if request.len() <= MAX_WORD {
        return request.clone();
    }
    let mut out = Encoder::default();
    let short = |word: Bytes| if word.len() > MAX_WORD { Bytes::new() } else { word };
    out.request(&words_of(request).into_iter().map(short).collect::<Vec<_>>());
    if out.len() > MAX_FIRST { Bytes::new() } else { out.into_vec().into() }
}

/// Returns the words of an encoded request.
fn words_of(request: &[u8]) -> Vec<Bytes> {
    let Ok(Some((Value::Array(words), _))) = Value::parse(request) else { return Vec::new() };
    words
        .into_iter()
        .filter_map(|word| if let Value::Bulk(word) = word { Some(word) } else { None })
        .collect()
}
