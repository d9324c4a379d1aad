//! The state of group commit: the replies that wait for the next commit.

use std::{
    mem,
    sync::atomic::AtomicBool,
    time::{Duration, Instant},
};

use super::ClientBatch;
use crate::{
    Client, Error,
    batch::{Batch, BatchCheckpoint, Exclusive, WaitId},
    observe::LocalCounter,
};

/// The commands that an actor has run since its last commit.
#[derive(Default)]
pub(super) struct CommitGroup {
    /// Replies that are held back until the next commit, and the number of their commands.
    pub(super) held: Vec<HeldReply>,
    pub(super) commands: usize,
    /// A command of the group may have changed data.
    pub(super) is_dirty: bool,
    /// Replies that are held back until the commit in progress ends, and the number of their commands.
    pub(super) committing: Vec<HeldReply>,
    committing_commands: usize,
    pub(super) phase: Phase,
    /// Stops the actor from running commands while the group is full.
    pub(super) full: Option<Exclusive>,
    /// The error of a commit that rolled back the first part of an unfinished transaction.
    pub(super) rolled_back_transaction: Option<Error>,
}

#[derive(Clone, Copy, Default)]
pub(super) enum Phase {
    #[default]
    Idle,
    /// Waits for more commands.
    Delaying,
    /// The wait for more commands is over.
    Due,
    /// A commit is in progress since this time.
    Committing(Instant),
}

/// A reply that is held back until the commit.
pub(super) enum HeldReply {
    /// A batch whose requests after this checkpoint the actor has answered.
    Batch(ClientBatch, BatchCheckpoint),
    /// The later reply to the blocked command with this wait id.
    Reply(Client, WaitId, Box<Batch>),
}

/// The next action for a group.
pub(super) enum Step {
    Nothing,
    Release(Vec<HeldReply>),
    Delay(Duration),
    Commit,
}

/// The counters of an actor with group commit.
#[derive(Debug, Default)]
pub(crate) struct GroupCommitStats {
    pub(crate) groups: LocalCounter,
    pub(crate) commands: LocalCounter,
    pub(crate) nanoseconds: LocalCounter,
    pub(crate) failures: LocalCounter,
    /// The last commit failed.
    pub(crate) has_failed: AtomicBool,
}

impl GroupCommitStats {
    pub(crate) fn reset(&self) {
        [&self.groups, &self.commands, &self.nanoseconds, &self.failures]
            .into_iter()
            .for_each(LocalCounter::reset);
    }
}

impl CommitGroup {
    /// Returns whether there is data to commit or a reply to release.
    pub(super) fn has_work(&self) -> bool {
        self.is_dirty || !self.held.is_empty()
    }

    /// Holds a batch back if the requests since `checkpoint` need a commit.
    ///
    /// Otherwise returns it.
    pub(super) fn hold(
        &mut self,
        batch: ClientBatch,
        checkpoint: BatchCheckpoint,
        has_written: bool,
    ) -> Option<ClientBatch> {
        let commands = batch.answered_since(&checkpoint).len();
        let is_committed = !self.is_dirty && !matches!(self.phase, Phase::Committing(_));
        if commands == 0 || (is_committed && !has_written) {
            return Some(batch);
        }
        self.held.push(HeldReply::Batch(batch, checkpoint));
        self.commands += commands;
        self.is_dirty |= has_written;
        None
    }

    pub(super) fn step(&mut self, is_exclusive: bool, max: usize, commit_delay: Duration) -> Step {
        let is_full = self.commands >= max;
        match self.phase {
            // Do not commit half of a transaction.
            _ if is_exclusive => Step::Nothing,
            Phase::Committing(_) => Step::Nothing,
            _ if !self.has_work() => Step::Nothing,
            _ if !self.is_dirty => {
                self.commands = 0;
                Step::Release(mem::take(&mut self.held))
            }
            Phase::Idle if !is_full => {
                self.phase = Phase::Delaying;
                Step::Delay(commit_delay)
            }
            Phase::Delaying if !is_full => Step::Nothing,
            _ => {
                self.committing = mem::take(&mut self.held);
                self.committing_commands = mem::take(&mut self.commands);
                self.is_dirty = false;
                self.phase = Phase::Committing(Instant::now());
                Step::Commit
            }
        }
    }

    /// Ends a commit.
    ///
    /// Returns the replies that it held back; if it failed, also those of the next group.
    pub(super) fn end_commit(
        &mut self,
        is_exclusive: bool,
        failure: Option<&Error>,
        counters: &GroupCommitStats,
    ) -> Vec<HeldReply> {
        if let Phase::Committing(since) = self.phase {
            counters.nanoseconds.add(u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX));
        }
        let Some(error) = failure else {
            counters.groups.add(1);
            counters.commands.add(mem::take(&mut self.committing_commands) as u64);
            self.phase = Phase::Idle;
            return mem::take(&mut self.committing);
        };
        counters.failures.add(1);
        if is_exclusive && self.full.is_none() {
            self.rolled_back_transaction = Some(error.clone());
        }
        self.take_all()
    }

    pub(super) fn take_all(&mut self) -> Vec<HeldReply> {
        let mut all = mem::take(&mut self.committing);
        all.append(&mut self.held);
        self.commands = 0;
        self.committing_commands = 0;
        self.is_dirty = false;
        self.phase = Phase::Idle;
        all
    }

    /// Adds the later reply of a blocked command.
    pub(super) fn hold_reply(&mut self, client: Client, wait_id: WaitId, reply: Box<Batch>, may_write: bool) {
        self.held.push(HeldReply::Reply(client, wait_id, reply));
        self.commands += 1;
        self.is_dirty |= may_write;
    }
}
