//! The pushes of a client.

use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;

use super::{
    Client, ClientFlag,
    flags::{PUSHES_PENDING, SENDING_PUSHES},
    slot::{PushId, SlotExtras},
};
use crate::resp::Encoder;

/// The pushes that wait to be sent to a client.
pub(crate) struct PendingPushes {
    /// The last push.
    pub(crate) id: PushId,
    /// Bytes of all pushes.
    pub(crate) len: usize,
    /// `CLIENT NO-EVICT` was on when the push was added.
    pub(crate) no_evict: bool,
}

/// Pushes that were dropped.
pub(crate) struct DroppedPushes {
    /// Bytes of the pushes.
    pub(crate) len: usize,
    /// `CLIENT NO-EVICT` was on when the pushes were dropped.
    pub(crate) no_evict: bool,
}

impl Client {
    /// Adds a push to the queue. Returns `None` if the client has disconnected.
    pub(crate) fn push_piece(&self, piece: Bytes) -> Option<PendingPushes> {
        let mut slot = self.slot();
        if !self.is_connected() {
            return None;
        }
        let pushed = &mut slot.extra_mut().pushed;
        let id = pushed.add(piece);
        let len = pushed.len();
        // Pending pushes have woken the connection already, and it will take all of them.
        if !self.has_pending_pushes() {
            self.0.signals.fetch_or(PUSHES_PENDING, Relaxed);
            slot.wake();
        }
        Some(PendingPushes { id, len, no_evict: self.is(ClientFlag::NoEvict) })
    }

    /// Tells the client that the server has ended its subscription to a shard channel.
    pub(crate) fn end_shard_channel(&self, name: &[u8]) {
        let left = {
            let mut slot = self.slot();
            let [_, _, shard_channels] = &mut slot.extra_mut().subscribed;
            *shard_channels = shard_channels.saturating_sub(1);
            *shard_channels
        };
        let mut out = Encoder::new(self.protocol());
        out.push(3);
        out.bulk(b"sunsubscribe");
        out.bulk(name);
        out.integer(left as i64);
        // A client that has disconnected needs no push.
        let _ = self.push_encoded(out.into_vec().into());
    }

    /// Drops the oldest pushes until at most `max_bytes` are left.
    pub(crate) fn drop_oldest(&self, max_bytes: usize) -> DroppedPushes {
        let mut slot = self.slot();
        let pushed = &mut slot.extra_mut().pushed;
        let before = pushed.len();
        pushed.drop_oldest(max_bytes);
        DroppedPushes { len: before - pushed.len(), no_evict: self.is(ClientFlag::NoEvict) }
    }

    /// Returns whether the client may stay silent: it has subscribed, or was ever sent a push.
    pub(crate) fn is_listening(&self) -> bool {
        let is_listening = |extra: &SlotExtras| extra.subscribed != [0; 3] || extra.pushed.was_used();
        self.slot().extra().is_some_and(is_listening)
    }

    /// Returns whether pushes wait to be sent.
    pub(crate) fn has_pending_pushes(&self) -> bool {
        self.0.signals.load(Relaxed) & PUSHES_PENDING != 0
    }

    /// Moves all pending pushes to the end of `out`. Returns their size in bytes.
    pub(crate) fn take_pushes(&self, out: &mut Encoder) -> usize {
        let mut slot = self.slot();
        self.0.signals.fetch_and(!PUSHES_PENDING, Relaxed);
        self.0.signals.fetch_or(SENDING_PUSHES, Relaxed);
        slot.extra_mut().pushed.take(out)
    }

    /// Moves all pending pushes to the end of `out`, and accounts for their memory.
    pub(crate) fn move_pushes(&self, out: &mut Encoder) {
        let len = self.take_pushes(out);
        if let Some(host) = self.host() {
            host.account(self, len, 0);
        }
    }

    /// Records that the socket has taken the first `sent` bytes of the replies.
    pub(crate) fn record_sent_up_to(&self, sent: usize) {
        if self.0.signals.load(Relaxed) & SENDING_PUSHES != 0 {
            self.slot().extra_mut().pushed.sent_up_to(sent);
        }
    }

    /// Records that the socket has taken all replies.
    pub(crate) fn record_sent(&self) {
        if self.0.signals.load(Relaxed) & SENDING_PUSHES != 0 {
            self.0.signals.fetch_and(!SENDING_PUSHES, Relaxed);
            self.slot().extra_mut().pushed.sent();
        }
    }

    /// Returns the bytes of pending pushes.
    pub(crate) fn pushed_len(&self) -> usize {
        if !self.has_pending_pushes() {
            return 0;
        }
        self.slot().extra().map_or(0, |extra| extra.pushed.len())
    }

    /// Returns whether a [push](Self::push) to this client was written to the socket completely.
    ///
    /// The answer remains available after the client has disconnected. A push that the socket has taken may still be lost
    /// on its way.
    pub fn has_taken(&self, push: PushId) -> bool {
        self.slot().extra().is_some_and(|extra| extra.pushed.has_taken(push))
    }
}
