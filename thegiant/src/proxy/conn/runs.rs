//! Requests of clients that were sent together.

use std::mem;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::{CallError, reply_meter::ReplyMeter};
use crate::{Error, Value, batch::ActorId, dispatch::ClientBatch, proxy::guarded::guarded};

/// The reply to a command of the application.
pub(crate) type CallResult = Result<Value, CallError>;

/// The function that merges the replies of a split request.
pub(crate) type MergeFn = Box<dyn FnOnce(Vec<Value>) -> Value>;

/// Consecutive requests of a batch. Their replies are appended to the batch in the order of the requests.
pub(crate) struct BatchRun {
    pub(crate) batch: ClientBatch,
    pub(crate) actor_id: ActorId,
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
    meter: ReplyMeter,
    /// Remaining retries of all these requests together.
    pub(super) retries_left: u32,
}

/// A reply that arrived before the replies to earlier requests.
#[derive(Default)]
struct EarlyReply {
    bytes: Vec<u8>,
    is_complete: bool,
}

/// The parts of one request, which were sent to several upstreams.
pub(crate) struct SplitRun {
    pub(crate) requester: Requester,
    pub(super) parts: Vec<Vec<Bytes>>,
    replies: Vec<Vec<u8>>,
    /// Number of parts without a complete reply.
    missing: usize,
    merge: MergeFn,
    meter: ReplyMeter,
    pub(super) retries_left: u32,
}

/// The client or the application that sent a split request.
pub(crate) enum Requester {
    /// A client. The split request is the next request of its batch.
    Batch(ClientBatch, ActorId),
    /// The application.
    Application(oneshot::Sender<CallResult>),
}

/// Empty lists of early replies, for reuse.
#[derive(Default)]
pub(super) struct SpareLists(Vec<Vec<EarlyReply>>);

/// Maximum number of retries per request. The requests of an entry share their retries.
pub(crate) const MAX_RETRIES: u32 = 5;

/// Maximum number of lists of early replies that are kept for reuse.
const MAX_SPARE: usize = 16;

/// Maximum number of replies in a list that is kept for reuse.
const MAX_SPARE_LEN: usize = 256;

/// Maximum capacity of a reply in a list that is kept for reuse, in bytes.
const MAX_SPARE_CAPACITY: usize = 512;

impl BatchRun {
    pub(crate) fn new(batch: ClientBatch, actor_id: ActorId, first: u32, count: u32) -> Self {
        let room = batch.room();
        let meter = ReplyMeter::new(&batch);
        BatchRun {
            batch,
            actor_id,
            first,
            next: 0,
            count,
            room,
            early: Vec::new(),
            meter,
            retries_left: count.saturating_mul(MAX_RETRIES),
        }
    }

    /// Returns the number of requests.
    pub(crate) fn len(&self) -> usize {
        self.count as usize
    }

    /// Returns the mean length of the replies, in bytes and at least 1.
    pub(crate) fn mean_reply_len(&self) -> usize {
        (self.room.saturating_sub(self.batch.room()) / self.count as usize).max(1)
    }

    /// Appends a part of the reply to a request.
    pub(super) fn append(&mut self, position: u32, part: &[u8], spare: &mut SpareLists) {
        if position != self.next && self.early.is_empty() {
            self.early = spare.0.pop().unwrap_or_default();
            self.early.resize_with(self.count as usize, EarlyReply::default);
        }
        if self.meter.has_left() {
            return;
        }
        if !self.meter.add(&self.batch.client, part.len()) {
            return self.free();
        }
        if position == self.next {
            self.batch.append_reply(part);
        } else {
            self.early[position as usize].bytes.extend_from_slice(part);
        }
    }

    /// Frees the replies that have arrived, because the client has left. Further replies are discarded.
    #[cold]
    pub(super) fn free(&mut self) {
        self.meter.leave();
        self.batch.clear_replies();
        self.batch.shrink();
        self.early.iter_mut().for_each(|early| early.bytes = Vec::new());
    }

    /// Discards the part of the reply to a request that has arrived.
    pub(super) fn discard(&mut self, position: u32) {
        if position == self.next {
            self.batch.discard_reply();
        } else if let Some(early) = self.early.get_mut(position as usize) {
            early.bytes = Vec::new();
        }
    }

    /// Completes the reply to a request. Returns whether all replies are complete.
    pub(super) fn end(&mut self, position: u32) -> bool {
        if position == self.next {
            self.advance();
        } else {
            self.early[position as usize].is_complete = true;
        }
        self.next == self.count
    }

    /// Completes the reply that the batch needs next, and appends the early replies that follow it.
    fn advance(&mut self) {
        self.batch.end_reply();
        self.next += 1;
        while let Some(early) = self.early.get_mut(self.next as usize) {
            self.batch.append_reply(&early.bytes);
            early.bytes.clear();
            early.bytes.shrink_to(MAX_SPARE_CAPACITY);
            if !mem::take(&mut early.is_complete) {
                break;
            }
            self.batch.end_reply();
            self.next += 1;
        }
    }
}

impl SplitRun {
    pub(crate) fn new(requester: Requester, parts: Vec<Vec<Bytes>>, merge: MergeFn) -> Self {
        let missing = parts.len();
        let replies = vec![Vec::new(); missing];
        let meter = match &requester {
            Requester::Batch(batch, _) => ReplyMeter::new(batch),
            Requester::Application(_) => ReplyMeter::default(),
        };
        let retries_left = MAX_RETRIES * missing as u32;
        SplitRun { requester, parts, replies, missing, merge, meter, retries_left }
    }

    /// Appends bytes of the reply to a part of the request.
    pub(super) fn append(&mut self, position: u32, bytes: &[u8]) {
        if self.meter.has_left() {
            return;
        }
        match &self.requester {
            Requester::Batch(batch, _) if !self.meter.add(&batch.client, bytes.len()) => self.free(),
            _ => self.replies[position as usize].extend_from_slice(bytes),
        }
    }

    /// Frees the replies that have arrived, because the client has left. Further replies are discarded.
    #[cold]
    pub(super) fn free(&mut self) {
        self.meter.leave();
        self.replies.fill(Vec::new());
    }

    /// Discards the received bytes of the reply to a part of the request.
    pub(super) fn discard(&mut self, position: u32) {
        self.replies[position as usize] = Vec::new();
    }

    /// Completes the reply to a part. Returns whether all replies are complete.
    pub(super) fn end(&mut self) -> bool {
        self.missing -= 1;
        self.missing == 0
    }

    /// Merges the replies after all of them have arrived.
    pub(crate) fn merge(self) -> (Requester, Value) {
        // Each reply is freed as soon as it is parsed.
        let replies = self.replies.into_iter();
        let replies = replies.map(|reply| parsed(&reply).unwrap_or_else(|error| Value::Error(error.into())));
        let replies = replies.collect();
        let merged = guarded(|| (self.merge)(replies));
        (self.requester, merged.unwrap_or(Value::Error(Error::INTERNAL)))
    }
}

impl SpareLists {
    /// Keeps the list of early replies of a completed run for reuse.
    pub(super) fn recycle(&mut self, run: &mut BatchRun) {
        if !(1..=MAX_SPARE_LEN).contains(&run.early.len()) || self.0.len() >= MAX_SPARE {
            return;
        }
        self.0.push(mem::take(&mut run.early));
    }
}

/// Parses a complete reply.
pub(super) fn parsed(reply: &[u8]) -> CallResult {
    match Value::parse(reply) {
        Ok(Some((value, _))) => Ok(value),
        _ => Err(CallError::Lost(UNREADABLE)),
    }
}

const UNREADABLE: Error = Error::from_static("UPSTREAM the reply is not valid RESP");
