//! The requests that were sent to upstreams and have no reply yet.

use std::{collections::VecDeque, mem};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::{
    CallError, OnLoss, PoolKey,
    runs::{BatchRun, CallResult, MAX_RETRIES, Requester, SpareLists, SplitRun, parsed},
};
use crate::{
    Client,
    dispatch::ClientBatch,
    proxy::wire::{Words, is_slow},
};

/// Identifies an entry of the [`InFlightTable`]. A later entry may get the same id.
pub(crate) type InFlightId = usize;

/// An entry of the [`InFlightTable`]: one or more requests. Each has a position, counted from 0.
pub(crate) enum InFlight {
    /// Consecutive requests of a batch.
    Batch(BatchRun),
    /// The parts of a split request.
    Split(Box<SplitRun>),
    /// A command of the application.
    Call(ApplicationCall),
    /// The `COMMAND` request of the proxy itself, and its reply so far.
    Commands(Vec<u8>),
    /// A request of the proxy itself. Its reply is discarded.
    Discard,
}

/// A command of the application, and its reply so far.
pub(crate) struct ApplicationCall {
    words: Vec<Bytes>,
    reply: Vec<u8>,
    answer: oneshot::Sender<CallResult>,
    retries_left: u32,
}

/// A request that may have to be sent to another upstream.
pub(crate) struct Retry {
    pub(crate) id: InFlightId,
    pub(crate) position: u32,
    /// Whether the request belongs to a transaction, whose requests cannot move to another upstream one by one.
    pub(crate) is_in_transaction: bool,
    pub(crate) reason: RetryReason,
    /// Number of times that the request has waited for [`Router::refresh`](crate::proxy::Router::refresh).
    pub(crate) refreshes: u32,
}

/// The reason why a request may have to be sent to another upstream.
pub(crate) enum RetryReason {
    /// The server with this number replied with this error.
    Replied(usize, Vec<u8>),
    /// The request was not sent. If no other upstream can take it, this error is its reply.
    Unsent(CallError),
}

/// All requests in flight, and the requests that wait to be sent again.
#[derive(Default)]
pub(crate) struct InFlightTable {
    in_flight: Vec<Option<InFlight>>,
    free: Vec<InFlightId>,
    /// Batches and split requests that have all their replies.
    pub(crate) completed: VecDeque<InFlightId>,
    /// Requests that another upstream may be able to answer.
    pub(crate) retries: VecDeque<Retry>,
    /// Whether the proxy has a router. Without one, no request is sent again.
    has_router: bool,
    on_loss: OnLoss,
    /// The latest reply to `COMMAND`, until the proxy has read it.
    pub(crate) commands: Option<Vec<u8>>,
    spare: SpareLists,
}

/// Capacity that the table keeps while no request is in flight.
const MIN_CAPACITY: usize = 16;

impl Retry {
    pub(crate) fn new(id: InFlightId, position: u32, is_in_transaction: bool, reason: RetryReason) -> Self {
        Retry { id, position, is_in_transaction, reason, refreshes: 0 }
    }
}

impl ApplicationCall {
    pub(crate) fn new(words: Vec<Bytes>, answer: oneshot::Sender<CallResult>) -> Self {
        ApplicationCall { words, reply: Vec::new(), answer, retries_left: MAX_RETRIES }
    }

    fn end(self, result: CallResult) {
        // The application may have dropped the future that waits for the reply.
        let _ = self.answer.send(result);
    }
}

impl InFlightTable {
    pub(crate) fn new(has_router: bool, on_loss: OnLoss) -> Self {
        InFlightTable { has_router, on_loss, ..InFlightTable::default() }
    }

    /// Reserves an id for [`insert`](Self::insert).
    pub(crate) fn next_id(&mut self) -> InFlightId {
        self.free.pop().unwrap_or_else(|| {
            self.in_flight.push(None);
            self.in_flight.len() - 1
        })
    }

    pub(crate) fn insert(&mut self, id: InFlightId, requests: InFlight) {
        self.in_flight[id] = Some(requests);
        if let Some(client) = self.client(id) {
            client.set_in_flight(id);
        }
    }

    /// Frees the replies to a client that has left, and discards further ones.
    ///
    /// Its entry stays until the last reply has come, because the replies of a connection are counted.
    pub(crate) fn leave(&mut self, client: &Client) {
        let id = client.in_flight();
        let is_of_client = |id| self.client(id).is_some_and(|known| known.identity() == client.identity());
        if id >= self.in_flight.len() || !is_of_client(id) {
            return;
        }
        match &mut self.in_flight[id] {
            Some(InFlight::Batch(run)) => run.free(),
            Some(InFlight::Split(split)) => split.free(),
            _ => {}
        }
    }

    /// Removes an entry and frees its id.
    pub(crate) fn remove(&mut self, id: InFlightId) -> Option<InFlight> {
        self.free.push(id);
        let mut removed = self.in_flight[id].take();
        if let Some(InFlight::Batch(run)) = &mut removed {
            self.spare.recycle(run);
        }
        removed
    }

    /// Removes all entries, and returns the batches of clients among them.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Requester> {
        self.in_flight.drain(..).flatten().filter_map(|requests| match requests {
            InFlight::Batch(run) => Some(Requester::Batch(run.batch, run.actor_id)),
            InFlight::Split(split) => Some(split.requester),
            _ => None,
        })
    }

    /// Returns whether a client or the application waits for the reply.
    pub(crate) fn has_requester(&self, id: InFlightId) -> bool {
        !matches!(self.in_flight[id], Some(InFlight::Discard | InFlight::Commands(_)) | None)
    }

    /// Returns whether a router may send the requests of an entry to another upstream.
    pub(crate) fn may_move(&self, id: InFlightId) -> bool {
        self.has_router && self.has_requester(id)
    }

    /// Takes one of the retries of an entry. Returns whether any is left, so that a request may be sent again.
    pub(crate) fn take_retry(&mut self, id: InFlightId) -> bool {
        let retries_left = match &mut self.in_flight[id] {
            Some(InFlight::Batch(run)) => &mut run.retries_left,
            Some(InFlight::Split(split)) => &mut split.retries_left,
            Some(InFlight::Call(call)) => &mut call.retries_left,
            _ => return false,
        };
        let has_one = *retries_left > 0;
        *retries_left = retries_left.saturating_sub(1);
        has_one
    }

    /// Calls `read` with the words of a request. Does nothing for requests of the proxy itself.
    pub(crate) fn with_words(&self, id: InFlightId, position: u32, read: impl FnOnce(Words<'_>)) {
        match &self.in_flight[id] {
            Some(InFlight::Batch(run)) => {
                if let Some(request) = run.batch.request(run.first + position) {
                    read(Words::Client(&request));
                }
            }
            Some(InFlight::Split(split)) => read(Words::Own(&split.parts[position as usize])),
            Some(InFlight::Call(call)) => read(Words::Own(&call.words)),
            _ => {}
        }
    }

    /// Returns whether a request may take long because of its nature.
    pub(crate) fn is_slow(&self, id: InFlightId, position: u32) -> bool {
        let mut is = false;
        self.with_words(id, position, |words| is = is_slow(words));
        is
    }

    /// Returns the connection pool for the requests of an entry, and the number that selects one of its
    /// connections.
    pub(crate) fn sender(&self, id: InFlightId) -> Option<(PoolKey, u64)> {
        match self.batch(id) {
            Some(batch) => Some((PoolKey::of(&batch.client), batch.client.id())),
            None => self.in_flight[id].as_ref().map(|_| (PoolKey::FIRST, 0)),
        }
    }

    /// Returns the client that sent the requests of an entry.
    pub(crate) fn client(&self, id: InFlightId) -> Option<&Client> {
        Some(&self.batch(id)?.client)
    }

    fn batch(&self, id: InFlightId) -> Option<&ClientBatch> {
        match self.in_flight[id].as_ref()? {
            InFlight::Batch(run) => Some(&run.batch),
            InFlight::Split(split) => match &split.requester {
                Requester::Batch(batch, _) => Some(batch),
                Requester::Application(_) => None,
            },
            _ => None,
        }
    }

    /// Appends a part of the reply to a request.
    pub(crate) fn append(&mut self, id: InFlightId, position: u32, part: &[u8]) {
        match &mut self.in_flight[id] {
            Some(InFlight::Batch(run)) => run.append(position, part, &mut self.spare),
            Some(InFlight::Split(split)) => split.append(position, part),
            Some(InFlight::Call(call)) => call.reply.extend_from_slice(part),
            Some(InFlight::Commands(reply)) => reply.extend_from_slice(part),
            Some(InFlight::Discard) | None => {}
        }
    }

    /// Completes the reply to a request.
    pub(crate) fn end(&mut self, id: InFlightId, position: u32) {
        let is_complete = match &mut self.in_flight[id] {
            Some(InFlight::Batch(run)) => run.end(position),
            Some(InFlight::Split(split)) => split.end(),
            _ => return self.end_own(id),
        };
        if is_complete {
            self.completed.push_back(id);
        }
    }

    /// Completes the reply to a command of the application, or of the proxy itself.
    fn end_own(&mut self, id: InFlightId) {
        match self.remove(id) {
            Some(InFlight::Call(mut call)) => {
                let reply = mem::take(&mut call.reply);
                call.end(parsed(&reply));
            }
            Some(InFlight::Commands(reply)) => self.commands = Some(reply),
            _ => {}
        }
    }

    /// Replies to a request with an error, because its upstream was lost, or closes its client.
    pub(crate) fn fail(&mut self, id: InFlightId, position: u32, error: &CallError) {
        if let Some(InFlight::Batch(run)) = &self.in_flight[id] {
            self.on_loss.apply(&run.batch.client, error.error());
        }
        self.reply_error(id, position, error);
    }

    /// Replies to a request with an error, and discards the parts of its reply that have arrived.
    pub(crate) fn reply_error(&mut self, id: InFlightId, position: u32, error: &CallError) {
        match &mut self.in_flight[id] {
            Some(InFlight::Batch(run)) => run.discard(position),
            Some(InFlight::Split(split)) => split.discard(position),
            _ => {
                if let Some(InFlight::Call(call)) = self.remove(id) {
                    call.end(Err(error.clone()));
                }
                return;
            }
        }
        self.append(id, position, &error.error().to_reply());
        self.end(id, position);
    }

    /// Replies to a request in place of an upstream.
    pub(crate) fn reply(&mut self, id: InFlightId, position: u32, reply: &[u8]) {
        self.append(id, position, reply);
        self.end(id, position);
    }

    /// Frees memory if no request is in flight.
    pub(crate) fn shrink(&mut self) {
        if self.free.len() == self.in_flight.len() {
            self.in_flight.clear();
            self.free.clear();
            self.spare = SpareLists::default();
            self.in_flight.shrink_to(MIN_CAPACITY);
            self.free.shrink_to(MIN_CAPACITY);
            self.completed.shrink_to(MIN_CAPACITY);
        }
    }
}
