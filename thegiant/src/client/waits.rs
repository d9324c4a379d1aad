//! The batch of a client that is with an actor or blocked, and the commands that wait for their replies.

use std::{
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;

use super::{
    Client, ClientFlag, CloseRequest,
    blocked::{BlockedBatch, PartOwner, ReplyHolder, TIMED_OUT},
    slot::ClientSlot,
};
use crate::{
    Error,
    batch::{Batch, CommandId, RequestWords, WaitId},
    resp::Encoder,
    sync::MutexGuard,
};

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
pub(crate) const SHUTTING_DOWN: Error = Error::from_static("UNBLOCKED the server is shutting down");

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
        loop {
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
            let Some(due) = blocked.next_due(!is_closing) else {
                blocked.set_alarm(cx);
                return Collected::Blocked;
            };
            let reply = self.reply(|out| match is_closing {
                true => out.error(&SHUTTING_DOWN),
                false => blocked.timeout_reply(due, out, |out| out.error(&TIMED_OUT)),
            });
            if let Some(answered) = blocked.answer(due, reply) {
                resume(slot, answered);
            }
        }
    }

    /// Registers the waker of the connection.
    pub(crate) fn watch(&self, waker: &Waker) {
        self.slot().watch(waker);
    }

    /// Starts the wait of a command for its reply. `is_part`: its batch is a part of another one.
    ///
    /// Returns the wait id that the reply must carry.
    pub(crate) fn begin_wait(&self, timeout: Option<Duration>, is_part: bool) -> WaitId {
        let timeout = timeout.or_else(|| self.host()?.reply_timeout());
        self.slot().extra_mut().blocked.begin(timeout, is_part)
    }

    /// Ends the wait of a command that was answered in another way.
    pub(crate) fn cancel_wait(&self, wait_id: WaitId) {
        self.slot().extra_mut().blocked.end(wait_id);
    }

    /// Blocks a batch until its next command has its reply. `owner` then continues a part of another batch.
    ///
    /// Returns the batch if it need not wait.
    ///
    /// With `wakes`, this wakes the connection if it has to watch its socket or set its alarm. The connection
    /// itself passes `false`.
    pub(crate) fn block(
        &self,
        batch: Box<Batch>,
        owner: Option<Box<dyn PartOwner>>,
        wakes: bool,
    ) -> Option<Box<Batch>> {
        let Some(wait_id) = batch.wait_id() else { return Some(batch) };
        let mut slot = self.slot();
        if !self.is_connected() {
            return None;
        }
        let blocked = &mut slot.extra_mut().blocked;
        let returned = blocked.block(wait_id, BlockedBatch { batch, owner });
        let needs_connection = || {
            let is_closing = self.close_request() != CloseRequest::None;
            blocked.needs_alarm() || is_closing || !self.is(ClientFlag::Watched)
        };
        if returned.is_none() && wakes && needs_connection() {
            slot.wake();
        }
        returned.map(|returned| returned.batch)
    }

    /// Routes the awaited reply through `reply_holder`, or returns the reply if it has arrived.
    pub(crate) fn hold_reply_by(
        &self,
        wait_id: WaitId,
        reply_holder: Box<dyn ReplyHolder>,
    ) -> Option<Box<Batch>> {
        let mut slot = self.slot();
        if !self.is_connected() {
            None
        } else {
            slot.extra_mut().blocked.hold_reply_by(wait_id, reply_holder)
        }
    }

    /// Returns whether the command with this wait id is waiting.
    pub(crate) fn is_waiting(&self, wait_id: WaitId) -> bool {
        self.slot().extra().is_some_and(|extra| extra.blocked.is_waiting(wait_id))
    }

    /// Returns whether a command is blocked or waits for the end of a pause.
    pub(crate) fn is_blocked(&self) -> bool {
        self.is(ClientFlag::Paused)
            || self.slot().extra().is_some_and(|extra| extra.blocked.waiting().next().is_some())
    }

    /// Answers the command with this wait id. Returns `false` if it does not wait.
    pub(crate) fn answer(&self, wait_id: WaitId, reply: Box<Batch>) -> bool {
        let mut slot = self.slot();
        let blocked = &mut slot.extra_mut().blocked;
        if !blocked.is_waiting(wait_id) {
            return false;
        }
        if let Some(reply_holder) = blocked.take_reply_holder(wait_id) {
            drop(slot);
            reply_holder.hold(wait_id, reply);
        } else if let Some(answered) = blocked.answer(wait_id, reply) {
            resume(slot, answered);
        }
        true
    }

    /// Answers the command with this wait id with a reply that its holder has released.
    pub(crate) fn answer_held(&self, wait_id: WaitId, reply: Box<Batch>) {
        // Under one lock, so that no timeout comes in between.
        let mut slot = self.slot();
        let blocked = &mut slot.extra_mut().blocked;
        blocked.accept_held(wait_id);
        if blocked.is_waiting(wait_id)
            && let Some(answered) = blocked.answer(wait_id, reply)
        {
            resume(slot, answered);
        }
    }

    /// Sets the timeout of the command with this wait id, and the reply after that time.
    pub(crate) fn set_timeout(&self, wait_id: WaitId, after: Duration, timeout_reply: Bytes) {
        let mut slot = self.slot();
        if slot.extra_mut().blocked.set_timeout(wait_id, after, timeout_reply) {
            slot.wake();
        }
    }

    /// Returns `Ready` when the command with this wait id does not wait any longer.
    pub(crate) fn poll_answered(&self, wait_id: WaitId, cx: &mut Context<'_>) -> Poll<()> {
        let is_waiting = self.slot().extra_mut().blocked.watch(wait_id, cx.waker());
        if is_waiting { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Unblocks the client with an error, or as if its commands had timed out (`CLIENT UNBLOCK`).
    ///
    /// Returns `false` if the client is not blocked.
    pub(crate) fn unblock(&self, error: Option<&Error>) -> bool {
        let waiting: Vec<WaitId> =
            self.slot().extra().into_iter().flat_map(|extra| extra.blocked.waiting()).collect();
        // No `any`: each of them is unblocked.
        waiting.into_iter().filter(|wait_id| self.unblock_command(*wait_id, error)).count() > 0
    }

    /// Unblocks the commands for which `refuse` returns an error. Returns whether there are any.
    pub(crate) fn unblock_refused(
        &self,
        refuse: impl Fn(RequestWords<'_>, CommandId) -> Option<Error>,
    ) -> bool {
        let refused = |(wait_id, batch): (WaitId, &Batch)| {
            let next = batch.next_request();
            let command = batch.requests.target(next)?.command()?;
            Some((wait_id, refuse(batch.requests.words(next)?, command)?))
        };
        let refused: Vec<(WaitId, Error)> = {
            let slot = self.slot();
            slot.extra().into_iter().flat_map(|extra| extra.blocked.batches()).filter_map(refused).collect()
        };
        // No `any`: each of them is unblocked.
        refused.into_iter().filter(|(wait_id, error)| self.unblock_command(*wait_id, Some(error))).count() > 0
    }

    /// Ends the wait of one command with an error, or as if it had timed out.
    ///
    /// Returns `false` if the command does not wait.
    pub(crate) fn unblock_command(&self, wait_id: WaitId, error: Option<&Error>) -> bool {
        let reply = {
            let slot = self.slot();
            let Some(blocked) = slot.extra().map(|extra| &extra.blocked) else { return false };
            self.reply(|out| match error {
                Some(error) => out.error(error),
                None => blocked.timeout_reply(wait_id, out, Encoder::null),
            })
        };
        self.answer(wait_id, reply)
    }

    /// Encodes a reply into a batch, to be merged into the blocked batch. The encoder has no key prefix.
    pub(crate) fn reply(&self, write: impl FnOnce(&mut Encoder)) -> Box<Batch> {
        let mut reply = Batch::new();
        reply.out.encoder_mut().set_protocol(self.protocol());
        write(reply.out.encoder_mut());
        reply
    }
}

/// Continues a batch that was blocked: its connection does, or the owner of a part.
fn resume(mut slot: MutexGuard<'_, ClientSlot>, BlockedBatch { batch, owner }: BlockedBatch) {
    match owner {
        None => {
            slot.answered = Some(batch);
            slot.wake();
        }
        Some(owner) => {
            drop(slot);
            owner.resume(batch);
        }
    }
}
