//! Where a connection and the rest of the program meet.

use std::{
    any::{Any, TypeId},
    collections::VecDeque,
    sync::Arc,
    task::Waker,
};

use bytes::Bytes;

use super::{Batch, blocked::BlockedCommand};
use crate::resp::Encoder;

/// What the program leaves for a connection, and what it can be told while others hold its
/// [`Client`](super::Client).
#[derive(Default)]
pub(super) struct ClientSlot {
    /// Wakes the connection.
    waker: Option<Waker>,
    /// A batch that has been answered.
    pub(super) answered: Option<Box<Batch>>,
    /// Nobody will come for it any more.
    pub(super) closed: bool,
    extra: Option<Box<SlotExtras>>,
}

/// What not every connection has.
#[derive(Default)]
pub(super) struct SlotExtras {
    pub(super) names: Option<Box<ClientNames>>,
    pub(super) pushed: PushQueue,
    pub(super) waiting: BlockedCommand,
    /// To how many channels, patterns and channels of shards it has subscribed.
    pub(super) subscribed: [usize; 3],
    /// How many requests its transaction has, if there is one, and the bytes that these take.
    pub(super) queued: Option<(u32, usize)>,
    /// How many keys it watches.
    pub(super) watched: usize,
    /// Bytes that all these take.
    pub(super) memory: usize,
    /// What the application has attached, one of each type.
    pub(super) attached: Vec<(TypeId, Arc<dyn Any + Send + Sync>)>,
}

/// What the client says of itself; most say nothing.
#[derive(Default)]
pub(super) struct ClientNames {
    pub(super) connection: Option<String>,
    pub(super) library: Option<String>,
    pub(super) library_version: Option<String>,
}

/// Of so many pushes at once it is noted where they end without an allocation.
const FEW: usize = 4;

/// What is to be sent that is no reply.
#[derive(Default)]
pub(super) struct PushQueue {
    /// What waits, each piece whole.
    pieces: VecDeque<Bytes>,
    /// Bytes of them.
    len: usize,
    /// How many there have ever been, how many of them are on their way, and how many the socket has taken.
    count: u64,
    leaving: u64,
    taken: u64,
    /// Where those that are on their way end, in what is being sent.
    ends: Vec<usize>,
}

impl ClientSlot {
    pub(super) fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    pub(super) fn watch(&mut self, waker: &Waker) {
        match &self.waker {
            Some(known) if known.will_wake(waker) => {}
            _ => self.waker = Some(waker.clone()),
        }
    }

    pub(super) fn extra(&self) -> Option<&SlotExtras> {
        self.extra.as_deref()
    }

    pub(super) fn extra_mut(&mut self) -> &mut SlotExtras {
        self.extra.get_or_insert_default()
    }

    pub(super) fn names(&mut self) -> &mut ClientNames {
        self.extra_mut().names.get_or_insert_default()
    }

    /// Nobody comes any more. Returns the bytes that were to be pushed.
    pub(super) fn close(&mut self) -> usize {
        self.closed = true;
        self.waker = None;
        let Some(extra) = &mut self.extra else { return 0 };
        extra.waiting.end();
        extra.pushed.pieces.clear();
        std::mem::take(&mut extra.pushed.len)
    }
}

impl PushQueue {
    /// Adds a piece; returns its number.
    pub(super) fn add(&mut self, piece: Bytes) -> u64 {
        self.len += piece.len();
        self.pieces.push_back(piece);
        self.count += 1;
        self.count
    }

    /// Whether there has ever been any.
    pub(super) fn is_any(&self) -> bool {
        self.count > 0
    }

    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Drops the oldest that wait, until those left take at most so many bytes. The last one stays.
    pub(super) fn drop_oldest(&mut self, most: usize) {
        while self.len > most && self.pieces.len() > 1 {
            self.len -= self.pieces.pop_front().map_or(0, |piece| piece.len());
        }
    }

    /// Moves all that waits behind what has been written. Returns its bytes.
    pub(super) fn take(&mut self, out: &mut Encoder) -> usize {
        for piece in std::mem::take(&mut self.pieces) {
            out.raw_bytes(&piece);
            self.ends.push(out.len());
        }
        self.leaving = self.count;
        std::mem::take(&mut self.len)
    }

    /// What was on its way has been sent.
    pub(super) fn sent(&mut self) {
        self.taken = self.leaving;
        self.ends.clear();
        self.ends.shrink_to(FEW);
    }

    /// So many bytes of what they are part of have been sent.
    pub(super) fn sent_up_to(&mut self, sent: usize) {
        let left = self.ends.iter().rev().take_while(|end| **end > sent).count();
        self.taken = self.leaving - left as u64;
    }

    /// The number of the last that the socket has taken.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }
}
