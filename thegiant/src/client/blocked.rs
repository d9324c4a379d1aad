//! Commands that wait for a later reply.

use std::{
    mem,
    pin::Pin,
    task::{Context, Waker},
    time::Duration,
};

use actix_rt::time::{Instant, Sleep, sleep_until};
use bytes::Bytes;

use crate::{
    Error,
    batch::{Batch, WaitId},
    resp::Encoder,
};

/// Receives the reply of a blocked command and holds it back.
pub(crate) trait ReplyHolder: Send {
    /// Takes the reply to the command with this wait id.
    fn hold(self: Box<Self>, wait_id: WaitId, reply: Box<Batch>);
}

/// Continues a part of a batch.
pub(crate) trait PartOwner: Send {
    /// Runs the rest of the part, or gives it back to its batch. The blocked command of it has its reply.
    fn resume(self: Box<Self>, part: Box<Batch>);
}

/// A batch that is blocked, or was until now.
pub(super) struct BlockedBatch {
    pub(super) batch: Box<Batch>,
    /// Owns the batch if it is a part of another one.
    pub(super) owner: Option<Box<dyn PartOwner>>,
}

/// The blocked commands of a client.
///
/// A client has at most one, since its commands run in order, or one in each part of its batch.
#[derive(Default)]
pub(super) struct BlockedCommands {
    commands: Vec<BlockedCommand>,
    /// The id of the last wait. A late reply does not answer a later command, because no two waits share an id.
    last_id: u32,
    /// A timer that wakes the connection at the first deadline or earlier. A reply does not reset it: the next
    /// command has a later deadline and can use the same timer.
    alarm: Option<Pin<Box<Sleep>>>,
}

/// A command that waits.
pub(super) struct BlockedCommand {
    wait_id: WaitId,
    state: WaitState,
    /// The end of the wait, and the reply at that time. An empty reply stands for an error.
    deadline: Option<Instant>,
    timeout_reply: Bytes,
    /// The group commit that holds the reply back, if any, and whether it has received the reply.
    reply_holder: Option<Box<dyn ReplyHolder>>,
    is_held: bool,
    /// Wakes the future that waits for the end of this wait.
    watcher: Option<Waker>,
}

enum WaitState {
    /// The batch of the command has not arrived yet.
    Started,
    /// The reply has arrived before the batch.
    Early(Box<Batch>),
    /// The batch has arrived and waits for the reply.
    Blocked(BlockedBatch),
}

impl BlockedCommands {
    /// Starts a wait. Unless a part of a batch waits (`is_part`), it is the only one.
    pub(super) fn begin(&mut self, timeout: Option<Duration>, is_part: bool) -> WaitId {
        if !is_part && !self.commands.is_empty() {
            drop(self.end_all());
        }
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        let wait_id = WaitId(self.last_id);
        if self.commands.is_empty() {
            // Most clients never have more.
            self.commands.reserve_exact(1);
        }
        self.commands.push(BlockedCommand {
            wait_id,
            state: WaitState::Started,
            deadline: timeout.map(|timeout| Instant::now() + timeout),
            timeout_reply: Bytes::new(),
            reply_holder: None,
            is_held: false,
            watcher: None,
        });
        wait_id
    }

    /// Returns the batches that are blocked, each with the wait of its next request.
    pub(super) fn batches(&self) -> impl Iterator<Item = (WaitId, &Batch)> {
        self.commands.iter().filter_map(|command| match &command.state {
            WaitState::Blocked(blocked) => Some((command.wait_id, &*blocked.batch)),
            WaitState::Started | WaitState::Early(_) => None,
        })
    }

    /// Ends a wait.
    pub(super) fn end(&mut self, wait_id: WaitId) {
        self.take(wait_id);
    }

    /// Ends all waits. Returns the commands, so that the caller drops their batches without the lock of the slot.
    pub(super) fn end_all(&mut self) -> Vec<BlockedCommand> {
        self.commands.iter_mut().for_each(BlockedCommand::wake_watcher);
        mem::take(&mut self.commands)
    }

    fn take(&mut self, wait_id: WaitId) -> Option<BlockedCommand> {
        let index = self.commands.iter().position(|command| command.wait_id == wait_id)?;
        let mut command = self.commands.swap_remove(index);
        command.wake_watcher();
        Some(command)
    }

    fn get(&mut self, wait_id: WaitId) -> Option<&mut BlockedCommand> {
        self.commands.iter_mut().find(|command| command.wait_id == wait_id)
    }

    /// Routes the reply through `reply_holder`, or returns the reply if it has arrived.
    pub(super) fn hold_reply_by(
        &mut self,
        wait_id: WaitId,
        reply_holder: Box<dyn ReplyHolder>,
    ) -> Option<Box<Batch>> {
        let command = self.get(wait_id)?;
        match mem::replace(&mut command.state, WaitState::Started) {
            WaitState::Early(reply) => {
                self.end(wait_id);
                Some(reply)
            }
            state => {
                command.state = state;
                command.reply_holder = Some(reply_holder);
                None
            }
        }
    }

    /// Takes the holder that receives the reply. The command then accepts no other reply.
    pub(super) fn take_reply_holder(&mut self, wait_id: WaitId) -> Option<Box<dyn ReplyHolder>> {
        let command = self.get(wait_id)?;
        let reply_holder = command.reply_holder.take()?;
        command.is_held = true;
        command.wake_watcher();
        Some(reply_holder)
    }

    /// Makes a command accept the reply that its holder releases.
    pub(super) fn accept_held(&mut self, wait_id: WaitId) {
        if let Some(command) = self.get(wait_id) {
            command.is_held = false;
        }
    }

    /// Returns whether a command still waits for a reply.
    pub(super) fn is_waiting(&self, wait_id: WaitId) -> bool {
        self.waiting().any(|waiting| waiting == wait_id)
    }

    /// Returns the commands that wait for a reply.
    pub(super) fn waiting(&self) -> impl Iterator<Item = WaitId> {
        self.commands.iter().filter(|command| command.is_waiting()).map(|command| command.wait_id)
    }

    /// Returns a command whose batch has arrived and that has to be answered now: because its deadline has passed, or
    /// without `only_timed_out` in any case.
    pub(super) fn next_due(&self, only_timed_out: bool) -> Option<WaitId> {
        let now = Instant::now();
        let is_due = |command: &&BlockedCommand| {
            let is_timed_out = command.deadline.is_some_and(|deadline| deadline <= now);
            command.has_batch() && !command.is_held && (!only_timed_out || is_timed_out)
        };
        self.commands.iter().find(is_due).map(|command| command.wait_id)
    }

    /// Returns whether a batch is blocked.
    pub(super) fn has_batch(&self) -> bool {
        self.commands.iter().any(BlockedCommand::has_batch)
    }

    /// Sets the timeout, and the reply after that time.
    ///
    /// Returns whether the batch of the command has arrived.
    pub(super) fn set_timeout(&mut self, wait_id: WaitId, after: Duration, timeout_reply: Bytes) -> bool {
        let Some(command) = self.get(wait_id).filter(|command| command.is_waiting()) else { return false };
        command.deadline = Some(Instant::now() + after);
        command.timeout_reply = timeout_reply;
        command.has_batch()
    }

    /// Takes the reply. Returns the batch if it has arrived.
    pub(super) fn answer(&mut self, wait_id: WaitId, reply: Box<Batch>) -> Option<BlockedBatch> {
        let command = self.get(wait_id)?;
        if !command.has_batch() {
            command.wake_watcher();
            command.state = WaitState::Early(reply);
            return None;
        }
        let WaitState::Blocked(mut blocked) = self.take(wait_id)?.state else { return None };
        blocked.batch.take_reply(reply);
        Some(blocked)
    }

    /// Takes the batch.
    ///
    /// Returns it if it need not wait, or has earlier replies to send first.
    pub(super) fn block(&mut self, wait_id: WaitId, mut blocked: BlockedBatch) -> Option<BlockedBatch> {
        let command = self.get(wait_id)?;
        let batch = &mut blocked.batch;
        match mem::replace(&mut command.state, WaitState::Started) {
            WaitState::Early(reply) => {
                batch.take_reply(reply);
                self.end(wait_id);
                Some(blocked)
            }
            _ if batch.has_replies_to_send() => Some(blocked),
            _ => {
                batch.shrink();
                command.state = WaitState::Blocked(blocked);
                None
            }
        }
    }

    /// Writes the reply of a command that has timed out.
    pub(super) fn timeout_reply(
        &self,
        wait_id: WaitId,
        out: &mut Encoder,
        default: impl FnOnce(&mut Encoder),
    ) {
        let command = self.commands.iter().find(|command| command.wait_id == wait_id);
        match command.map_or(&[][..], |command| &command.timeout_reply) {
            [] => default(out),
            reply => out.raw(reply),
        }
    }

    /// Returns whether the timer has to be set, because it would fire too late or not at all.
    pub(super) fn needs_alarm(&self) -> bool {
        let Some(deadline) = self.deadline() else { return false };
        self.alarm.as_ref().is_none_or(|alarm| alarm.is_elapsed() || alarm.deadline() > deadline)
    }

    /// Sets the timer that wakes the connection at the first deadline.
    pub(super) fn set_alarm(&mut self, cx: &mut Context<'_>) {
        let Some(deadline) = self.deadline() else { return };
        let needs_reset = self.needs_alarm();
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if needs_reset {
            alarm.as_mut().reset(deadline);
        }
        if alarm.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }

    /// Returns the first deadline of the commands whose replies are not held back.
    fn deadline(&self) -> Option<Instant> {
        let waiting = self.commands.iter().filter(|command| !command.is_held);
        waiting.filter_map(|command| command.deadline).min()
    }

    /// Registers a waker for the end of a wait.
    ///
    /// Returns whether the command still waits.
    pub(super) fn watch(&mut self, wait_id: WaitId, waker: &Waker) -> bool {
        let Some(command) = self.get(wait_id).filter(|command| command.is_waiting()) else { return false };
        command.watcher = Some(waker.clone());
        true
    }
}

impl BlockedCommand {
    fn is_waiting(&self) -> bool {
        !self.is_held && !matches!(self.state, WaitState::Early(_))
    }

    fn has_batch(&self) -> bool {
        matches!(self.state, WaitState::Blocked(_))
    }

    fn wake_watcher(&mut self) {
        if let Some(watcher) = self.watcher.take() {
            watcher.wake();
        }
    }
}

/// The reply to a command that has timed out.
pub(crate) const TIMED_OUT: Error = Error::from_static("TIMEOUT the command was not answered in time");
