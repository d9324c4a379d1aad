//! A command that waits for a later reply.

use std::{
    mem,
    pin::Pin,
    task::{Context, Waker},
    time::Duration,
};

use actix_rt::time::{Instant, Sleep, sleep_until};
use bytes::Bytes;

use crate::{Error, batch::Batch, resp::Encoder};

/// Receives the reply of a blocked command and holds it back.
pub(crate) trait ReplyHolder: Send {
    /// Takes the reply to the command with this wait id.
    fn hold(self: Box<Self>, wait_id: u32, reply: Box<Batch>);
}

/// The blocked command of a client.
///
/// A client has at most one, since its commands run in order.
#[derive(Default)]
pub(super) struct BlockedCommand {
    /// Changes with each wait, so that a late reply does not answer a later command.
    wait_id: u32,
    state: WaitState,
    /// The end of the wait, and the reply at that time. An empty reply stands for an error.
    deadline: Option<Instant>,
    timeout_reply: Bytes,
    /// The group commit that holds the reply back, if any, and whether it has received the reply.
    reply_holder: Option<Box<dyn ReplyHolder>>,
    is_held: bool,
    /// A timer that wakes the connection at the deadline or earlier. A reply does not reset it: the next
    /// command has a later deadline and can use the same timer.
    alarm: Option<Pin<Box<Sleep>>>,
    /// Wakes the future that waits for the end of this wait.
    watcher: Option<Waker>,
}

#[derive(Default)]
enum WaitState {
    /// No command waits.
    #[default]
    None,
    /// The command waits, but its batch has not arrived yet.
    Started,
    /// The reply has arrived before the batch.
    Early(Box<Batch>),
    /// The batch has arrived and waits for the reply.
    Blocked(Box<Batch>),
}

impl BlockedCommand {
    /// Starts a wait. Returns its wait id.
    pub(super) fn begin(&mut self, timeout: Option<Duration>) -> u32 {
        self.end();
        self.state = WaitState::Started;
        self.deadline = timeout.map(|timeout| Instant::now() + timeout);
        self.wait_id
    }

    /// Ends the wait.
    pub(super) fn end(&mut self) {
        self.wait_id = self.wait_id.wrapping_add(1);
        self.state = WaitState::None;
        self.timeout_reply = Bytes::new();
        self.reply_holder = None;
        self.is_held = false;
        self.wake_watcher();
    }

    /// Routes the reply through `reply_holder`, or returns the reply if it has arrived.
    pub(super) fn hold_reply_by(&mut self, reply_holder: Box<dyn ReplyHolder>) -> Option<Box<Batch>> {
        match mem::take(&mut self.state) {
            WaitState::Early(reply) => Some(reply),
            state => {
                self.state = state;
                self.reply_holder = Some(reply_holder);
                None
            }
        }
    }

    /// Takes the holder that receives the reply. The command then accepts no other reply.
    pub(super) fn take_reply_holder(&mut self) -> Option<Box<dyn ReplyHolder>> {
        let reply_holder = self.reply_holder.take()?;
        self.is_held = true;
        self.wake_watcher();
        Some(reply_holder)
    }

    /// Makes the command with this wait id accept the reply that its holder releases.
    pub(super) fn accept_held(&mut self, wait_id: u32) {
        self.is_held &= self.wait_id != wait_id;
    }

    /// Returns whether the command with this wait id still waits for a reply.
    pub(super) fn is_waiting_for(&self, wait_id: u32) -> bool {
        self.wait_id == wait_id
            && !self.is_held
            && matches!(self.state, WaitState::Started | WaitState::Blocked(_))
    }

    /// Returns the wait id of the command that waits.
    pub(super) fn wait_id(&self) -> Option<u32> {
        Some(self.wait_id).filter(|wait_id| self.is_waiting_for(*wait_id))
    }

    /// Returns whether a batch is blocked.
    pub(super) fn has_batch(&self) -> bool {
        matches!(self.state, WaitState::Blocked(_))
    }

    /// Sets the timeout, and the reply after that time.
    pub(super) fn set_timeout(&mut self, after: Duration, timeout_reply: Bytes) {
        self.deadline = Some(Instant::now() + after);
        self.timeout_reply = timeout_reply;
    }

    /// Takes the reply. Returns the batch if it has arrived.
    pub(super) fn answer(&mut self, reply: Box<Batch>) -> Option<Box<Batch>> {
        self.wake_watcher();
        match mem::take(&mut self.state) {
            WaitState::Blocked(mut batch) => {
                batch.take_reply(reply);
                Some(batch)
            }
            _ => {
                self.state = WaitState::Early(reply);
                None
            }
        }
    }

    /// Takes the batch.
    ///
    /// Returns it if it need not wait, or has earlier replies to send first.
    pub(super) fn block(&mut self, mut batch: Box<Batch>) -> Option<Box<Batch>> {
        match mem::take(&mut self.state) {
            WaitState::Early(reply) => {
                batch.take_reply(reply);
                Some(batch)
            }
            started @ WaitState::Started if !batch.out.encoder().is_empty() && !batch.is_transaction() => {
                // The replies to earlier requests are sent first.
                self.state = started;
                Some(batch)
            }
            _ => {
                batch.shrink();
                self.state = WaitState::Blocked(batch);
                None
            }
        }
    }

    /// Writes the reply of a command that has timed out.
    pub(super) fn timeout_reply(&self, out: &mut Encoder, default: impl FnOnce(&mut Encoder)) {
        match self.timeout_reply.as_ref() {
            [] => default(out),
            reply => out.raw(reply),
        }
    }

    /// Returns whether a group commit holds the reply back.
    pub(super) fn is_held(&self) -> bool {
        self.is_held
    }

    /// Returns whether the deadline has passed.
    pub(super) fn is_timed_out(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= Instant::now())
    }

    /// Returns whether the timer has to be set, because it would fire too late or not at all.
    pub(super) fn needs_alarm(&self) -> bool {
        let Some(deadline) = self.deadline else { return false };
        self.alarm.as_ref().is_none_or(|alarm| alarm.is_elapsed() || alarm.deadline() > deadline)
    }

    /// Sets the timer that wakes the connection at the deadline.
    pub(super) fn set_alarm(&mut self, cx: &mut Context<'_>) {
        let Some(deadline) = self.deadline else { return };
        let needs_reset = self.needs_alarm();
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if needs_reset {
            alarm.as_mut().reset(deadline);
        }
        if alarm.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }

    /// Registers a waker for the end of the wait.
    pub(super) fn watch(&mut self, waker: &Waker) {
        self.watcher = Some(waker.clone());
    }

    fn wake_watcher(&mut self) {
        if let Some(watcher) = self.watcher.take() {
            watcher.wake();
        }
    }
}

/// The reply to a command that has timed out.
pub(super) const TIMED_OUT: Error = Error::from_static("TIMEOUT the command was not answered in time");
