//! A command that is answered later.

use std::{
    mem,
    pin::Pin,
    task::{Context, Waker},
    time::Duration,
};

use actix_rt::time::{Instant, Sleep, sleep_until};
use bytes::Bytes;

use super::{Batch, commit_group::ReplyHolder};
use crate::{Error, resp::Encoder};

/// The command of a connection that waits for its reply. There is one at most, since the commands of
/// a connection run in order.
#[derive(Default)]
pub(super) struct BlockedCommand {
    /// A number that tells it from those before.
    wait_id: u32,
    reply: AwaitedReply,
    /// When it is not waited for any longer, and what is answered then: an error if that is empty.
    deadline: Option<Instant>,
    timeout_reply: Bytes,
    /// Who has the reply come in its own time, and whether it has been given to that one.
    reply_holder: Option<ReplyHolder>,
    is_held: bool,
    /// Wakes the connection at the deadline, or before: it stays as it is for the next command,
    /// whose deadline is later, so that a reply in time does not have to see to it.
    alarm: Option<Pin<Box<Sleep>>>,
    /// Of whoever wants to know that it does not wait any more.
    waker: Option<Waker>,
}

#[derive(Default)]
enum AwaitedReply {
    /// No command waits.
    #[default]
    None,
    /// Somebody has it to answer; the batch is still on its way here.
    Asked,
    /// It is there before the batch is.
    Early(Box<Batch>),
    /// The batch is here.
    Awaited(Box<Batch>),
}

impl BlockedCommand {
    /// A command begins to wait. Returns its ticket.
    pub(super) fn begin(&mut self, timeout: Option<Duration>) -> u32 {
        self.end();
        self.reply = AwaitedReply::Asked;
        self.deadline = timeout.map(|timeout| Instant::now() + timeout);
        self.wait_id
    }

    /// Nothing waits any more.
    pub(super) fn end(&mut self) {
        self.wait_id = self.wait_id.wrapping_add(1);
        self.reply = AwaitedReply::None;
        self.timeout_reply = Bytes::new();
        self.reply_holder = None;
        self.is_held = false;
        self.tell();
    }

    /// Has the reply come by way of this keeper; unless it is there: then it is returned.
    pub(super) fn hold_reply_by(&mut self, reply_holder: ReplyHolder) -> Option<Box<Batch>> {
        match mem::take(&mut self.reply) {
            AwaitedReply::Early(reply) => Some(reply),
            reply => {
                self.reply = reply;
                self.reply_holder = Some(reply_holder);
                None
            }
        }
    }

    /// The one who is to be given the reply. Then the command does not wait for another.
    pub(super) fn take_reply_holder(&mut self) -> Option<ReplyHolder> {
        let reply_holder = self.reply_holder.take()?;
        self.is_held = true;
        self.tell();
        Some(reply_holder)
    }

    /// The reply to this command comes from its keeper.
    pub(super) fn let_in(&mut self, wait_id: u32) {
        self.is_held &= self.wait_id != wait_id;
    }

    /// Whether this command waits for its reply.
    pub(super) fn is_asked(&self, wait_id: u32) -> bool {
        self.wait_id == wait_id
            && !self.is_held
            && matches!(self.reply, AwaitedReply::Asked | AwaitedReply::Awaited(_))
    }

    /// The ticket of the command that waits.
    pub(super) fn wait_id(&self) -> Option<u32> {
        Some(self.wait_id).filter(|wait_id| self.is_asked(*wait_id))
    }

    /// Whether a batch is here that waits.
    pub(super) fn has_batch(&self) -> bool {
        matches!(self.reply, AwaitedReply::Awaited(_))
    }

    /// Sets when it ends by itself, and the reply then.
    pub(super) fn set_timeout(&mut self, after: Duration, timeout_reply: Bytes) {
        self.deadline = Some(Instant::now() + after);
        self.timeout_reply = timeout_reply;
    }

    /// Takes the reply to this command. Returns the batch if it is here.
    pub(super) fn answer(&mut self, reply: Box<Batch>) -> Option<Box<Batch>> {
        self.tell();
        match mem::take(&mut self.reply) {
            AwaitedReply::Awaited(mut batch) => {
                batch.take_reply(reply);
                Some(batch)
            }
            _ => {
                self.reply = AwaitedReply::Early(reply);
                None
            }
        }
    }

    /// The batch of the command is here. It is given back if it need not wait.
    pub(super) fn block(&mut self, mut batch: Box<Batch>) -> Option<Box<Batch>> {
        match mem::take(&mut self.reply) {
            AwaitedReply::Early(reply) => {
                batch.take_reply(reply);
                Some(batch)
            }
            asked @ AwaitedReply::Asked if !batch.out.encoder().is_empty() && !batch.is_transaction() => {
                // What comes before it has to be sent first.
                self.reply = asked;
                Some(batch)
            }
            _ => {
                batch.make_small();
                self.reply = AwaitedReply::Awaited(batch);
                None
            }
        }
    }

    /// The reply of a command that has waited for too long.
    pub(super) fn timeout_reply(&self, out: &mut Encoder, default: impl FnOnce(&mut Encoder)) {
        match self.timeout_reply.as_ref() {
            [] => default(out),
            reply => out.raw(reply),
        }
    }

    /// Whether it has its reply, by way of a keeper.
    pub(super) fn is_held(&self) -> bool {
        self.is_held
    }

    /// Whether it has waited for too long.
    pub(super) fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= Instant::now())
    }

    /// Whether the connection has to see to its alarm.
    pub(super) fn is_alarm_due(&self) -> bool {
        let Some(deadline) = self.deadline else { return false };
        self.alarm.as_ref().is_none_or(|alarm| alarm.is_elapsed() || alarm.deadline() > deadline)
    }

    /// Has the connection woken at the deadline.
    pub(super) fn set_alarm(&mut self, cx: &mut Context<'_>) {
        let Some(deadline) = self.deadline else { return };
        let is_due = self.is_alarm_due();
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if is_due {
            alarm.as_mut().reset(deadline);
        }
        if alarm.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }

    /// Has `waker` called when it does not wait any more.
    pub(super) fn watch(&mut self, waker: &Waker) {
        self.waker = Some(waker.clone());
    }

    fn tell(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// The reply to a command that has waited for as long as it may.
pub(super) const LATE: Error = Error::from_static("TIMEOUT the command was not answered in time");
