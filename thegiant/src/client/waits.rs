//! The batch of a client that is with an actor or blocked, and the command that waits for its reply.

use std::{
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;

use super::{
    Client, ClientFlag,
    blocked::{ReplyHolder, TIMED_OUT},
};
use crate::{Error, batch::Batch, resp::Encoder};

/// The state of a batch that is away from its connection.
pub(crate) enum Collected {
    /// The batch is back.
    Answered(Box<Batch>),
    /// The batch is with an actor.
    Dispatched,
    /// The batch is blocked.
    Blocked,
}

/// The reply to a blocked command when the server stops.
const SHUTTING_DOWN: Error = Error::from_static("UNBLOCKED the server is shutting down");

impl Client {
    /// Returns an answered batch to the connection and wakes it.
    pub(crate) fn hand_back(&self, batch: Box<Batch>) {
        let mut slot = self.slot();
        if self.is_connected() {
            slot.answered = Some(batch);
            slot.wake();
        }
    }

    /// Takes the answered batch, or registers the waker of the connection.
    ///
    /// A connection that closes gracefully (`is_closing`) does not wait for a blocked command any longer.
    pub(crate) fn collect(&self, is_closing: bool, cx: &mut Context<'_>) -> Collected {
        let mut slot = self.slot();
        if let Some(answered) = slot.answered.take() {
            return Collected::Answered(answered);
        }
        slot.watch(cx.waker());
        if slot.extra().is_none_or(|extra| !extra.blocked.has_batch()) {
            self.set_watched(false);
            return Collected::Dispatched;
        }
        let blocked = &mut slot.extra_mut().blocked;
        let answered = if blocked.is_held() {
            None
        } else if is_closing {
            blocked.answer(self.reply(|out| out.error(&SHUTTING_DOWN)))
        } else if blocked.is_timed_out() {
            let reply = self.reply(|out| blocked.timeout_reply(out, |out| out.error(&TIMED_OUT)));
            blocked.answer(reply)
        } else {
            blocked.set_alarm(cx);
            None
        };
        answered.map_or(Collected::Blocked, Collected::Answered)
    }

    /// Registers the waker of the connection.
    pub(crate) fn watch(&self, waker: &Waker) {
        self.slot().watch(waker);
    }

    /// Starts the wait of a command for its reply.
    ///
    /// Returns the wait id that the reply must carry.
    pub(crate) fn begin_wait(&self, timeout: Option<Duration>) -> u32 {
        let timeout = timeout.or_else(|| self.host()?.reply_timeout());
        self.slot().extra_mut().blocked.begin(timeout)
    }

    /// Ends the wait of a command that was answered in another way.
    pub(crate) fn cancel_wait(&self) {
        self.slot().extra_mut().blocked.end();
    }

    /// Blocks a batch until its next command has its reply.
    ///
    /// Returns the batch if it need not wait.
    ///
    /// With `wakes`, this wakes the connection if it has to watch its socket or set its alarm. The connection
    /// itself passes `false`.
    pub(crate) fn block(&self, batch: Box<Batch>, wakes: bool) -> Option<Box<Batch>> {
        let mut slot = self.slot();
        if !self.is_connected() {
            return None;
        }
        let blocked = &mut slot.extra_mut().blocked;
        let returned = blocked.block(batch);
        if returned.is_none() && wakes && (blocked.needs_alarm() || !self.is(ClientFlag::Watched)) {
            slot.wake();
        }
        returned
    }

    /// Routes the awaited reply through `reply_holder`, or returns the reply if it has arrived.
    pub(crate) fn hold_reply_by(&self, reply_holder: Box<dyn ReplyHolder>) -> Option<Box<Batch>> {
        let mut slot = self.slot();
        if !self.is_connected() { None } else { slot.extra_mut().blocked.hold_reply_by(reply_holder) }
    }

    /// Returns whether the command with this wait id is waiting.
    pub(crate) fn is_waiting(&self, wait_id: u32) -> bool {
        self.slot().extra().is_some_and(|extra| extra.blocked.is_waiting_for(wait_id))
    }

    /// Returns whether a command is blocked or waits for the end of a pause.
    pub(crate) fn is_blocked(&self) -> bool {
        self.is(ClientFlag::Paused)
            || self.slot().extra().is_some_and(|extra| extra.blocked.wait_id().is_some())
    }

    /// Answers the command with this wait id. Returns `false` if it does not wait.
    pub(crate) fn answer(&self, wait_id: u32, reply: Box<Batch>) -> bool {
        let mut slot = self.slot();
        let blocked = &mut slot.extra_mut().blocked;
        if !blocked.is_waiting_for(wait_id) {
            return false;
        }
        if let Some(reply_holder) = blocked.take_reply_holder() {
            drop(slot);
            reply_holder.hold(wait_id, reply);
            return true;
        }
        if let Some(answered) = blocked.answer(reply) {
            slot.answered = Some(answered);
            slot.wake();
        }
        true
    }

    /// Answers the command with this wait id with a reply that its holder has released.
    pub(crate) fn answer_held(&self, wait_id: u32, reply: Box<Batch>) {
        self.slot().extra_mut().blocked.accept_held(wait_id);
        self.answer(wait_id, reply);
    }

    /// Sets the timeout of the command with this wait id, and the reply after that time.
    pub(crate) fn set_timeout(&self, wait_id: u32, after: Duration, timeout_reply: Bytes) {
        let mut slot = self.slot();
        let blocked = &mut slot.extra_mut().blocked;
        if blocked.is_waiting_for(wait_id) {
            blocked.set_timeout(after, timeout_reply);
            if blocked.has_batch() {
                slot.wake();
            }
        }
    }

    /// Returns `Ready` when the command with this wait id does not wait any longer.
    pub(crate) fn poll_answered(&self, wait_id: u32, cx: &mut Context<'_>) -> Poll<()> {
        let mut slot = self.slot();
        let blocked = &mut slot.extra_mut().blocked;
        if !blocked.is_waiting_for(wait_id) {
            return Poll::Ready(());
        }
        blocked.watch(cx.waker());
        Poll::Pending
    }

    /// Unblocks the client with an error, or as if its command had timed out (`CLIENT UNBLOCK`).
    ///
    /// Returns `false` if the client is not blocked.
    pub(crate) fn unblock(&self, error: Option<&Error>) -> bool {
        let (wait_id, reply) = {
            let slot = self.slot();
            let Some(blocked) = slot.extra().map(|extra| &extra.blocked) else { return false };
            let Some(wait_id) = blocked.wait_id() else { return false };
            let reply = match error {
                Some(error) => self.reply(|out| out.error(error)),
                None => self.reply(|out| blocked.timeout_reply(out, Encoder::null)),
            };
            (wait_id, reply)
        };
        self.answer(wait_id, reply)
    }

    /// Encodes a reply into a batch, to be merged into the blocked batch.
    pub(crate) fn reply(&self, write: impl FnOnce(&mut Encoder)) -> Box<Batch> {
        let mut reply = Batch::new();
        reply.out.encoder_mut().set_protocol(self.protocol());
        write(reply.out.encoder_mut());
        reply
    }
}
