//! The requests that were sent to upstreams and have no reply yet.

use std::{collections::VecDeque, mem};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::{
    commands::{CommandKind, kind_of_words},
    destination::guarded,
    dial::PoolKey,
    handle::Reply,
    router::{Merge, Words},
};
use crate::{Client, Error, Value, batch::ActorId, dispatch::ClientBatch};

/// Identifies an entry of the [`InFlightTable`]. A later entry may get the same id.
pub(super) type InFlightId = usize;

/// An entry of the [`InFlightTable`]: one or more requests. Each has a position, counted from 0.
pub(super) enum InFlight {
    /// Consecutive requests of a batch.
    Batch(BatchRun),
    /// The parts of a split request.
    Split(Box<SplitRequest>),
    /// A command that the application sent.
    SendCommand { words: Vec<Bytes>, reply: Vec<u8>, answer: oneshot::Sender<Reply>, retries_left: u32 },
    /// The `COMMAND` request of the proxy itself, and its reply so far.
    Commands(Vec<u8>),
    /// A request of the proxy itself. Its reply is discarded.
    Discard,
}

/// Consecutive requests of a batch. Their replies are appended to the batch in the order of the requests.
pub(super) struct BatchRun {
    pub(super) batch: ClientBatch,
    pub(super) actor_id: ActorId,
    /// Index in the batch of the request at position 0.
    pub(super) first: u32,
    /// Position of the request whose reply the batch needs next.
    next: u32,
    /// Number of requests.
    count: u32,
    /// Room for replies in the batch when the requests were sent, in bytes.
    room: usize,
    /// Replies that arrived before the batch needed them, by position. Empty without a router.
    early: Vec<EarlyReply>,
    /// Remaining retries of all these requests together; see [`InFlightTable::take_retry`].
    pub(super) retries_left: u32,
}

/// A request that was split into parts for several upstreams.
pub(super) struct SplitRequest {
    pub(super) requester: Requester,
    pub(super) parts: Vec<Vec<Bytes>>,
    replies: Vec<Vec<u8>>,
    /// Number of parts without a complete reply.
    missing: usize,
    merge: Merge,
    pub(super) retries_left: u32,
}

/// The client or the application that sent a split request.
pub(super) enum Requester {
    /// A client. The split request is the next request of its batch.
    Batch(ClientBatch, ActorId),
    /// The application.
    Application(oneshot::Sender<Reply>),
}

/// A reply that arrived before the replies to earlier requests.
#[derive(Default)]
struct EarlyReply {
    bytes: Vec<u8>,
    is_complete: bool,
}

/// A request that may have to be sent to another upstream.
pub(super) struct Retry {
    pub(super) id: InFlightId,
    pub(super) position: u32,
    /// Whether the request belongs to a transaction, whose requests cannot move to another upstream one by one.
    pub(super) is_in_transaction: bool,
    pub(super) reason: RetryReason,
    /// Number of times that the request has waited for [`Router::refresh`](super::Router::refresh).
    pub(super) refreshes: u32,
}

/// The reason why a request may have to be sent to another upstream.
pub(super) enum RetryReason {
    /// The upstream replied with this error.
    Replied(Vec<u8>),
    /// The request was not sent. If no other upstream can take it, this error is its reply.
    Unsent(Error),
}

/// All requests in flight, and the requests that wait to be sent again.
#[derive(Default)]
pub(super) struct InFlightTable {
    in_flight: Vec<Option<InFlight>>,
    free: Vec<InFlightId>,
    /// Batches and split requests that have all their replies.
    pub(super) completed: VecDeque<InFlightId>,
    /// Requests that another upstream may be able to answer.
    pub(super) retries: VecDeque<Retry>,
    /// Whether the proxy has a router. Without one, no request is sent again.
    pub(super) has_router: bool,
    /// The latest reply to `COMMAND`, until the proxy has read it.
    pub(super) commands: Option<Vec<u8>>,
    /// Empty lists for reuse as [`BatchRun::early`].
    spare: Vec<Vec<EarlyReply>>,
}

/// Maximum number of times that a request waits for [`Router::refresh`](super::Router::refresh).
pub(super) const MAX_REFRESHES: u32 = 5;

/// Maximum number of retries per request. The requests of an entry share their retries.
pub(super) const MAX_RETRIES: u32 = 5;

/// Maximum number of lists of early replies that are kept for reuse.
const MAX_SPARE: usize = 16;

/// Maximum number of replies in a list that is kept for reuse.
const MAX_SPARE_LEN: usize = 256;

/// Maximum capacity of a reply in a list that is kept for reuse, in bytes.
const MAX_SPARE_CAPACITY: usize = 512;

impl BatchRun {
    pub(super) fn new(batch: ClientBatch, actor_id: ActorId, first: u32, count: u32) -> Self {
        let room = batch.room();
        BatchRun {
            batch,
            actor_id,
            first,
            next: 0,
            count,
            room,
            early: Vec::new(),
            retries_left: count.saturating_mul(MAX_RETRIES),
        }
    }

    /// Estimates how many requests of the batch to send next.
    ///
    /// Their replies should fit into the batch. The estimate uses the mean length of the replies to this run.
    pub(super) fn requests_with_room(&self) -> usize {
        let replies = self.room.saturating_sub(self.batch.room()).max(1);
        self.room / (replies / self.count as usize).max(1)
    }

    /// Completes the reply that the batch needs next, and appends the early replies that follow it.
    fn advance(&mut self) {
        self.batch.end_reply();
        self.next += 1;
        while let Some(early) = self.early.get_mut(self.next as usize) {
            self.batch.append_reply(&early.bytes);
            early.bytes.clear();
            if !mem::take(&mut early.is_complete) {
                break;
            }
            self.batch.end_reply();
            self.next += 1;
        }
    }
}

impl SplitRequest {
    pub(super) fn new(requester: Requester, parts: Vec<Vec<Bytes>>, merge: Merge) -> Self {
        let missing = parts.len();
        let replies = vec![Vec::new(); missing];
        SplitRequest { requester, retries_left: MAX_RETRIES * missing as u32, parts, replies, missing, merge }
    }

    /// Merges the replies after all of them have arrived.
    pub(super) fn merge(self) -> (Requester, Value) {
        let replies = self.replies.iter().map(|reply| parsed(reply).unwrap_or_else(Value::Error));
        let replies = replies.collect();
        let merged = guarded(|| (self.merge)(replies));
        (self.requester, merged.unwrap_or(Value::Error(Error::INTERNAL)))
    }
}

impl InFlightTable {
    pub(super) fn new(has_router: bool) -> Self {
        InFlightTable { has_router, ..InFlightTable::default() }
    }

    /// Reserves an id for [`insert`](Self::insert).
    pub(super) fn next_id(&mut self) -> InFlightId {
        self.free.pop().unwrap_or_else(|| {
            self.in_flight.push(None);
            self.in_flight.len() - 1
        })
    }

    pub(super) fn insert(&mut self, id: InFlightId, requests: InFlight) {
        self.in_flight[id] = Some(requests);
    }

    /// Removes an entry and frees its id.
    pub(super) fn remove(&mut self, id: InFlightId) -> Option<InFlight> {
        self.free.push(id);
        self.in_flight[id].take()
    }

    /// Removes all entries.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = InFlight> {
        self.in_flight.drain(..).flatten()
    }

    /// Returns whether a client or the application waits for the reply.
    pub(super) fn has_requester(&self, id: InFlightId) -> bool {
        !matches!(self.in_flight[id], Some(InFlight::Discard | InFlight::Commands(_)) | None)
    }

    /// Takes one of the retries of an entry. Returns whether any is left, so that a request may be sent again.
    pub(super) fn take_retry(&mut self, id: InFlightId) -> bool {
        let retries_left = match &mut self.in_flight[id] {
            Some(
                InFlight::Batch(BatchRun { retries_left, .. }) | InFlight::SendCommand { retries_left, .. },
            ) => retries_left,
            Some(InFlight::Split(split)) => &mut split.retries_left,
            _ => return false,
        };
        let has_one = *retries_left > 0;
        *retries_left = retries_left.saturating_sub(1);
        has_one
    }

    /// Returns whether a multiplexed connection can carry a part of a split request.
    pub(super) fn is_plain(&self, id: InFlightId, position: u32) -> bool {
        let mut is_plain = false;
        self.with_words(id, position, |words| {
            is_plain = words.len() > 0 && kind_of_words(words) == CommandKind::Plain;
        });
        is_plain
    }

    /// Calls `write` with the words of a request. Does nothing for requests of the proxy itself.
    pub(super) fn with_words(&self, id: InFlightId, position: u32, write: impl FnOnce(Words<'_>)) {
        match &self.in_flight[id] {
            Some(InFlight::Batch(run)) => {
                if let Some(call) = run.batch.call(run.first + position) {
                    write(Words::Call(&call));
                }
            }
            Some(InFlight::Split(split)) => write(Words::Own(&split.parts[position as usize])),
            Some(InFlight::SendCommand { words, .. }) => write(Words::Own(words)),
            _ => {}
        }
    }

    /// Returns the connection pool for the requests of an entry, and the number that selects one of its
    /// connections.
    pub(super) fn sender(&self, id: InFlightId) -> Option<(PoolKey, u64)> {
        match self.batch(id) {
            Some(batch) => Some((PoolKey::of(&batch.client), batch.client.id())),
            None => self.in_flight[id].as_ref().map(|_| (PoolKey::FIRST, 0)),
        }
    }

    /// Returns the client that sent the requests of an entry.
    pub(super) fn client(&self, id: InFlightId) -> Option<&Client> {
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
    pub(super) fn append(&mut self, id: InFlightId, position: u32, part: &[u8]) {
        match &mut self.in_flight[id] {
            Some(InFlight::Batch(run)) if position == run.next => run.batch.append_reply(part),
            Some(InFlight::Batch(run)) => {
                if run.early.is_empty() {
                    run.early = self.spare.pop().unwrap_or_default();
                    run.early.resize_with(run.count as usize, EarlyReply::default);
                }
                run.early[position as usize].bytes.extend_from_slice(part);
            }
            Some(InFlight::Split(split)) => split.replies[position as usize].extend_from_slice(part),
            Some(InFlight::SendCommand { reply, .. } | InFlight::Commands(reply)) => {
                reply.extend_from_slice(part)
            }
            Some(InFlight::Discard) | None => {}
        }
    }

    /// Completes the reply to a request.
    pub(super) fn end(&mut self, id: InFlightId, position: u32) {
        let is_complete = match &mut self.in_flight[id] {
            Some(InFlight::Batch(run)) if position == run.next => {
                run.advance();
                run.next == run.count
            }
            Some(InFlight::Batch(run)) => {
                run.early[position as usize].is_complete = true;
                false
            }
            Some(InFlight::Split(split)) => {
                split.missing -= 1;
                split.missing == 0
            }
            _ => return self.end_own(id),
        };
        if is_complete {
            self.completed.push_back(id);
        }
    }

    /// Completes the reply to a command of the application, or of the proxy itself.
    fn end_own(&mut self, id: InFlightId) {
        match self.remove(id) {
            Some(InFlight::SendCommand { reply, answer, .. }) => {
                // The application may have dropped the future that waits for the reply.
                let _ = answer.send(parsed(&reply));
            }
            Some(InFlight::Commands(reply)) => self.commands = Some(reply),
            _ => {}
        }
    }

    /// Replies to a request with an error, and discards the parts of its reply that have arrived.
    pub(super) fn fail(&mut self, id: InFlightId, position: u32, error: &Error) {
        match &mut self.in_flight[id] {
            Some(InFlight::Batch(run)) if position == run.next => run.batch.discard_reply(),
            Some(InFlight::Batch(run)) => {
                if let Some(early) = run.early.get_mut(position as usize) {
                    early.bytes.clear();
                }
            }
            Some(InFlight::Split(split)) => split.replies[position as usize].clear(),
            Some(InFlight::SendCommand { reply, .. } | InFlight::Commands(reply)) => reply.clear(),
            Some(InFlight::Discard) | None => return drop(self.remove(id)),
        }
        self.append(id, position, &error.to_reply());
        self.end(id, position);
    }

    /// Frees memory if no request is in flight.
    pub(super) fn shrink(&mut self) {
        if self.free.len() == self.in_flight.len() {
            self.in_flight.clear();
            self.free.clear();
            self.spare.clear();
            self.in_flight.shrink_to(MAX_SPARE);
            self.free.shrink_to(MAX_SPARE);
            self.completed.shrink_to(MAX_SPARE);
        }
    }

    /// Keeps the list of early replies of a completed entry for reuse.
    pub(super) fn recycle(&mut self, run: &mut BatchRun) {
        if !(1..=MAX_SPARE_LEN).contains(&run.early.len()) || self.spare.len() >= MAX_SPARE {
            return;
        }
        let mut early = mem::take(&mut run.early);
        early.iter_mut().for_each(|reply| reply.bytes.shrink_to(MAX_SPARE_CAPACITY));
        self.spare.push(early);
    }
}

/// Parses a complete reply.
fn parsed(reply: &[u8]) -> Result<Value, Error> {
    let parsed = Value::parse(reply).ok().flatten();
    parsed.map(|(value, _)| value).ok_or(UNREADABLE)
}

const UNREADABLE: Error = Error::from_static("UPSTREAM the reply is not valid RESP");
