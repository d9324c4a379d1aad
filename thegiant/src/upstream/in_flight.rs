//! Requests that have been sent on and wait for their replies.

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
use crate::{
    Client, Error, Value,
    connection::{ActorId, Batch},
};

/// A number of a flight; it is used again when that has landed.
pub(super) type InFlightId = usize;

/// Requests that have been sent on together, and for whom. Each has a place among them, its slot.
pub(super) enum InFlight {
    /// Requests of a batch in a row.
    Batch(BatchRun),
    /// A request that has been sent in parts.
    Split(Box<SplitRequest>),
    /// A request of the program.
    SendCommand {
        words: Vec<Bytes>,
        reply: Vec<u8>,
        answer: oneshot::Sender<Reply>,
        turns: u32,
    },
    Commands(Vec<u8>),
    Nobody,
}

/// Requests of a batch in a row: replies are appended to those of the batch in the order of the requests.
pub(super) struct BatchRun {
    pub(super) batch: Box<Batch>,
    pub(super) actor_id: ActorId,
    /// The request in the first slot.
    pub(super) first: u32,
    /// The slot whose reply is next, and how many there are.
    next: u32,
    count: u32,
    /// Bytes of replies that there was room for.
    room: usize,
    /// What has come before its turn, which happens where there are several upstreams.
    early: Vec<PartSlot>,
    /// So many requests may be sent once more.
    pub(super) turns: u32,
}

/// A request that has been sent in parts, and for whom.
pub(super) struct SplitRequest {
    pub(super) who: Requester,
    pub(super) parts: Vec<Vec<Bytes>>,
    replies: Vec<Vec<u8>>,
    left: usize,
    merge: Merge,
    pub(super) turns: u32,
}

/// Requester waits for one reply that is made of several.
pub(super) enum Requester {
    /// A batch, whose next request it is.
    Batch(Box<Batch>, ActorId),
    Program(oneshot::Sender<Reply>),
}

/// A reply that is not needed yet.
#[derive(Default)]
struct PartSlot {
    bytes: Vec<u8>,
    is_whole: bool,
}

/// A request that may have to be sent elsewhere.
pub(super) struct Retry {
    pub(super) entry: InFlightId,
    pub(super) slot: u32,
    /// It belongs to a transaction, which cannot be sent elsewhere in part.
    pub(super) is_bound: bool,
    pub(super) why: RetryReason,
    /// How often it has waited for the router to ask again.
    pub(super) refreshes: u32,
}

pub(super) enum RetryReason {
    /// This was replied: an error.
    Replied(Vec<u8>),
    /// It has not been sent: what is answered if that is so of all that it could be sent to.
    Unsent(Error),
}

/// All requests that have been sent on and not been answered.
#[derive(Default)]
pub(super) struct InFlightTable {
    in_flight: Vec<Option<InFlight>>,
    free: Vec<InFlightId>,
    /// Those of batches that have all their replies.
    pub(super) completed: VecDeque<InFlightId>,
    /// Those for which there might be another upstream.
    pub(super) retries: VecDeque<Retry>,
    /// Whether there might be.
    pub(super) has_router: bool,
    /// What an upstream has said of its commands.
    pub(super) commands: Option<Vec<u8>>,
    /// Lists that are not in use.
    spare: Vec<Vec<PartSlot>>,
}

/// How often a request waits for the router to ask again.
pub(super) const REFRESHES: u32 = 5;

/// So many requests of a flight may be sent once more, for each that it has.
pub(super) const MAX_RETRIES: u32 = 5;

/// So many lists of early replies are kept, of so many replies, and so many bytes of each.
const SPARE: usize = 16;
const LONGEST: usize = 256;
const KEPT: usize = 512;

impl BatchRun {
    pub(super) fn new(batch: Box<Batch>, actor_id: ActorId, first: u32, count: u32) -> Self {
        let room = batch.room();
        BatchRun {
            batch,
            actor_id,
            first,
            next: 0,
            count,
            room,
            early: Vec::new(),
            turns: count.saturating_mul(MAX_RETRIES),
        }
    }

    /// How many requests there is room for, if replies go on being as long as these were.
    pub(super) fn as_many(&self) -> usize {
        let replies = self.room.saturating_sub(self.batch.room()).max(1);
        self.room / (replies / self.count as usize).max(1)
    }

    /// The reply to the next request is there; so may be those behind it.
    fn advance(&mut self) {
        self.batch.end_proxied();
        self.next += 1;
        while let Some(slot) = self.early.get_mut(self.next as usize) {
            self.batch.proxy(&slot.bytes);
            slot.bytes.clear();
            if !mem::take(&mut slot.is_whole) {
                break;
            }
            self.batch.end_proxied();
            self.next += 1;
        }
    }
}

impl SplitRequest {
    pub(super) fn new(who: Requester, parts: Vec<Vec<Bytes>>, merge: Merge) -> Self {
        let left = parts.len();
        let replies = vec![Vec::new(); left];
        SplitRequest { who, turns: MAX_RETRIES * left as u32, parts, replies, left, merge }
    }

    /// All replies are there.
    pub(super) fn merge(self) -> (Requester, Value) {
        let replies = self.replies.iter().map(|reply| parsed(reply).unwrap_or_else(Value::Error));
        let replies = replies.collect();
        let merged = guarded(|| (self.merge)(replies));
        (self.who, merged.unwrap_or(Value::Error(Error::INTERNAL)))
    }
}

impl InFlightTable {
    pub(super) fn new(has_router: bool) -> Self {
        InFlightTable { has_router, ..InFlightTable::default() }
    }

    /// The number of the flight that departs next.
    pub(super) fn next_id(&mut self) -> InFlightId {
        self.free.pop().unwrap_or_else(|| {
            self.in_flight.push(None);
            self.in_flight.len() - 1
        })
    }

    pub(super) fn insert(&mut self, id: InFlightId, entry: InFlight) {
        self.in_flight[id] = Some(entry);
    }

    pub(super) fn arrive(&mut self, id: InFlightId) -> Option<InFlight> {
        self.free.push(id);
        self.in_flight[id].take()
    }

    /// All that are under way.
    pub(super) fn run_batches(&mut self) -> impl Iterator<Item = InFlight> {
        self.in_flight.drain(..).flatten()
    }

    /// Whether somebody has asked for it.
    pub(super) fn is_asked_for(&self, id: InFlightId) -> bool {
        !matches!(self.in_flight[id], Some(InFlight::Nobody | InFlight::Commands(_)) | None)
    }

    /// Whether a request of this flight may be sent once more.
    pub(super) fn may_turn(&mut self, id: InFlightId) -> bool {
        let turns = match &mut self.in_flight[id] {
            Some(InFlight::Batch(BatchRun { turns, .. }) | InFlight::SendCommand { turns, .. }) => turns,
            Some(InFlight::Split(parts)) => &mut parts.turns,
            _ => return false,
        };
        *turns = turns.saturating_sub(1);
        *turns > 0
    }

    /// Whether a part of a request can be sent by a connection that others use.
    pub(super) fn is_plain(&self, id: InFlightId, slot: u32) -> bool {
        let mut is_plain = false;
        self.with_words(id, slot, |words| {
            is_plain = words.len() > 0 && kind_of_words(words) == CommandKind::Plain;
        });
        is_plain
    }

    /// Gives `write` the words of a request.
    pub(super) fn with_words(&self, id: InFlightId, slot: u32, write: impl FnOnce(Words<'_>)) {
        match &self.in_flight[id] {
            Some(InFlight::Batch(run)) => {
                if let Some(call) = run.batch.call(run.first + slot) {
                    write(Words::Call(&call));
                }
            }
            Some(InFlight::Split(parts)) => write(Words::Own(&parts.parts[slot as usize])),
            Some(InFlight::SendCommand { words, .. }) => write(Words::Own(words)),
            _ => {}
        }
    }

    /// By which lane a request of this flight goes, and the number of who sends it.
    pub(super) fn sender(&self, id: InFlightId) -> Option<(PoolKey, u64)> {
        match self.batch(id) {
            Some(batch) => batch.client().map(|client| (PoolKey::of(client), client.id())),
            None => self.in_flight[id].as_ref().map(|_| (PoolKey::FIRST, 0)),
        }
    }

    /// The client that has sent the requests of this flight.
    pub(super) fn client(&self, id: InFlightId) -> Option<&Client> {
        self.batch(id)?.client()
    }

    fn batch(&self, id: InFlightId) -> Option<&Batch> {
        match self.in_flight[id].as_ref()? {
            InFlight::Batch(run) => Some(&run.batch),
            InFlight::Split(parts) => match &parts.who {
                Requester::Batch(batch, _) => Some(batch),
                Requester::Program(_) => None,
            },
            _ => None,
        }
    }

    /// A part of the reply to a request has come.
    pub(super) fn part(&mut self, id: InFlightId, slot: u32, part: &[u8]) {
        match &mut self.in_flight[id] {
            Some(InFlight::Batch(run)) if slot == run.next => run.batch.proxy(part),
            Some(InFlight::Batch(run)) => {
                if run.early.is_empty() {
                    run.early = self.spare.pop().unwrap_or_default();
                    run.early.resize_with(run.count as usize, PartSlot::default);
                }
                run.early[slot as usize].bytes.extend_from_slice(part);
            }
            Some(InFlight::Split(parts)) => parts.replies[slot as usize].extend_from_slice(part),
            Some(InFlight::SendCommand { reply, .. } | InFlight::Commands(reply)) => {
                reply.extend_from_slice(part)
            }
            Some(InFlight::Nobody) | None => {}
        }
    }

    /// The reply to a request, of which a part has come, is there as a whole.
    pub(super) fn end(&mut self, id: InFlightId, slot: u32) {
        let is_over = match &mut self.in_flight[id] {
            Some(InFlight::Batch(run)) if slot == run.next => {
                run.advance();
                run.next == run.count
            }
            Some(InFlight::Batch(run)) => {
                run.early[slot as usize].is_whole = true;
                false
            }
            Some(InFlight::Split(parts)) => {
                parts.left -= 1;
                parts.left == 0
            }
            _ => return self.end_own(id),
        };
        if is_over {
            self.completed.push_back(id);
        }
    }

    /// Of one that is no client's, the reply is there.
    fn end_own(&mut self, id: InFlightId) {
        match self.arrive(id) {
            Some(InFlight::SendCommand { reply, answer, .. }) => {
                // Requester has asked may have gone.
                let _ = answer.send(parsed(&reply));
            }
            Some(InFlight::Commands(reply)) => self.commands = Some(reply),
            _ => {}
        }
    }

    /// This is answered in place of the reply to a request, of which a part may have come.
    pub(super) fn fail(&mut self, id: InFlightId, slot: u32, error: &Error) {
        match &mut self.in_flight[id] {
            Some(InFlight::Batch(run)) if slot == run.next => run.batch.discard_proxied(),
            Some(InFlight::Batch(run)) => {
                if let Some(early) = run.early.get_mut(slot as usize) {
                    early.bytes.clear();
                }
            }
            Some(InFlight::Split(parts)) => parts.replies[slot as usize].clear(),
            Some(InFlight::SendCommand { reply, .. } | InFlight::Commands(reply)) => reply.clear(),
            Some(InFlight::Nobody) | None => return drop(self.arrive(id)),
        }
        self.part(id, slot, &error.to_reply());
        self.end(id, slot);
    }

    /// If none is under way, gives back what many have needed.
    pub(super) fn tidy(&mut self) {
        if self.free.len() == self.in_flight.len() {
            self.in_flight.clear();
            self.free.clear();
            self.spare.clear();
            self.in_flight.shrink_to(SPARE);
            self.free.shrink_to(SPARE);
            self.completed.shrink_to(SPARE);
        }
    }

    /// Of a flight that has landed, the list is kept.
    pub(super) fn keep(&mut self, run: &mut BatchRun) {
        if !(1..=LONGEST).contains(&run.early.len()) || self.spare.len() >= SPARE {
            return;
        }
        let mut early = mem::take(&mut run.early);
        early.iter_mut().for_each(|slot| slot.bytes.shrink_to(KEPT));
        self.spare.push(early);
    }
}

/// Parses a reply that the frame scanner has found complete.
fn parsed(reply: &[u8]) -> Result<Value, Error> {
    let parsed = Value::parse(reply).ok().flatten();
    parsed.map(|(value, _)| value).ok_or(UNREADABLE)
}

const UNREADABLE: Error = Error::from_static("UPSTREAM the reply cannot be read");
