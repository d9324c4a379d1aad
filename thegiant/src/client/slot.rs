//! The part of a client that its connection shares with the rest of the program, behind a mutex.

use std::{
    any::{Any, TypeId},
    collections::VecDeque,
    sync::Arc,
    task::Waker,
};

use bytes::Bytes;
#[cfg(feature = "tls")]
use thegiant_tls::ClientCertificate;

use super::{
    UpstreamNames,
    blocked::{BlockedCommand, BlockedCommands},
};
use crate::{
    batch::Batch,
    command::Flags,
    resp::{Encoder, LARGE_BULK},
};

/// The answered batch, the pushes and the waker of a connection.
#[derive(Default)]
pub(super) struct ClientSlot {
    waker: Option<Waker>,
    /// The batch that an actor has answered.
    pub(super) answered: Option<Box<Batch>>,
    extra: Option<Box<SlotExtras>>,
}

/// State that most connections do not have. It is allocated on first use.
#[derive(Default)]
pub(super) struct SlotExtras {
    pub(super) names: Option<Box<ClientNames>>,
    /// The name of the user; `None` for `default`.
    pub(super) user: Option<Arc<[u8]>>,
    /// The certificate that the client has sent.
    #[cfg(feature = "tls")]
    pub(super) certificate: Option<Arc<ClientCertificate>>,
    /// The prefix of all keys and channels.
    pub(super) key_prefix: Bytes,
    pub(super) pushed: PushQueue,
    pub(super) blocked: BlockedCommands,
    /// The numbers of subscribed channels, patterns and shard channels.
    pub(super) subscribed: [usize; 3],
    /// The names among them that are subscribed at an upstream.
    pub(super) upstream_names: Option<UpstreamNames>,
    /// The number of queued commands of a transaction, and their size in bytes.
    pub(super) queued: Option<(u32, usize)>,
    /// The flags of the queued commands, while the middleware decides about their `EXEC`.
    pub(super) queued_flags: Flags,
    /// The number of watched keys.
    pub(super) watched_keys: usize,
    /// Bytes of the names, the certificate, the subscriptions, the watched keys, the tracking prefixes and the queued commands.
    pub(super) memory: usize,
    /// The values that the application has attached, one of each type.
    pub(super) attached: Vec<(TypeId, Arc<dyn Any + Send + Sync>)>,
}

/// Names that a client has set with `CLIENT SETNAME` and `CLIENT SETINFO`.
#[derive(Default)]
pub(super) struct ClientNames {
    pub(super) connection: Option<String>,
    pub(super) library: Option<String>,
    pub(super) library_version: Option<String>,
}

/// Capacity that `ends` keeps after its pushes were sent.
///
/// It saves an allocation for the next few pushes.
const KEPT_ENDS: usize = 4;

/// Identifies a push to a client; see [`Client::push`](crate::Client::push).
///
/// The pushes to one client are ordered: a later one is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PushId(u64);

/// The pushes of a client.
#[derive(Default)]
pub(super) struct PushQueue {
    /// Encoded pushes that wait to be sent.
    pieces: VecDeque<Bytes>,
    /// Bytes of `pieces`.
    len: usize,
    /// Number of all pushes so far.
    count: u64,
    /// Number of pushes that have been moved to the replies.
    sending: u64,
    /// Number of pushes that the socket has taken completely.
    taken: u64,
    /// The end positions, within the replies, of the pushes that are being sent.
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

    /// Ends the waits of all blocked commands, and returns these.
    pub(super) fn end_waits(&mut self) -> Vec<BlockedCommand> {
        self.extra.as_mut().map(|extra| extra.blocked.end_all()).unwrap_or_default()
    }

    /// Closes the slot and drops the pending pushes.
    ///
    /// Returns the bytes that no longer count as memory of the client: the pushes, the names and the certificate. The
    /// handle keeps the names and the certificate.
    pub(super) fn close(&mut self) -> usize {
        self.waker = None;
        let Some(extra) = &mut self.extra else { return 0 };
        extra.pushed.pieces.clear();
        let kept = extra.kept_memory();
        extra.memory -= kept;
        std::mem::take(&mut extra.pushed.len) + kept
    }
}

impl SlotExtras {
    /// Returns the bytes of the data that the handle of a client keeps after the client has disconnected.
    fn kept_memory(&self) -> usize {
        let names = self.names.as_ref().map_or(0, |names| names.memory());
        #[cfg(feature = "tls")]
        let names = names + self.certificate.as_ref().map_or(0, |certificate| certificate.memory());
        names
    }
}

impl ClientNames {
    /// Returns the bytes of all names.
    pub(super) fn memory(&self) -> usize {
        let names = [&self.connection, &self.library, &self.library_version];
        names.into_iter().flatten().map(String::len).sum()
    }
}

impl PushQueue {
    /// Adds a push.
    pub(super) fn add(&mut self, piece: Bytes) -> PushId {
        self.len += piece.len();
        self.pieces.push_back(piece);
        self.count += 1;
        PushId(self.count)
    }

    /// Returns whether there was ever a push.
    pub(super) fn was_used(&self) -> bool {
        self.count > 0
    }

    /// Returns the bytes of pending pushes.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Drops the oldest pending pushes until at most `max_bytes` are left, but keeps the newest one.
    pub(super) fn drop_oldest(&mut self, max_bytes: usize) {
        while self.len > max_bytes && self.pieces.len() > 1 {
            self.len -= self.pieces.pop_front().map_or(0, |piece| piece.len());
        }
    }

    /// Moves all pending pushes to the end of `out`. Returns their size in bytes.
    pub(super) fn take(&mut self, out: &mut Encoder) -> usize {
        let copied = self.pieces.iter().map(Bytes::len).filter(|len| *len < LARGE_BULK).sum();
        out.reserve(copied);
        self.ends.reserve(self.pieces.len());
        for piece in std::mem::take(&mut self.pieces) {
            out.raw_bytes(&piece);
            self.ends.push(out.len());
        }
        self.sending = self.count;
        std::mem::take(&mut self.len)
    }

    /// Records that all pushes that were being sent have been sent.
    pub(super) fn sent(&mut self) {
        self.taken = self.sending;
        self.ends.clear();
        self.ends.shrink_to(KEPT_ENDS);
    }

    /// Records that the socket has taken the first `sent` bytes of the replies.
    pub(super) fn sent_up_to(&mut self, sent: usize) {
        let left = self.ends.iter().rev().take_while(|end| **end > sent).count();
        self.taken = self.sending - left as u64;
    }

    /// Returns whether the socket has taken a push.
    pub(super) fn has_taken(&self, push: PushId) -> bool {
        push.0 <= self.taken
    }
}
