//! The replies of an actor with group commit that wait for the next commit.

use std::{
    future::Future,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context as TaskContext, Poll, ready},
    time::{Duration, Instant},
};

use actix::{ActorContext, ActorState, AsyncContext, Context, ResponseFuture, fut::ActorFuture};
use actix_rt::time::{Sleep, sleep};
use tokio::task::yield_now;

use super::{
    Batch, BatchQueue, Client, Commit, GroupCommit, RunBatches,
    batch::BatchCheckpoint,
    batch_queue::{ACTOR_DOWN, Exclusive, run_batches},
    group_commit::CommitResult,
};
use crate::{Error, observe::Counter};

/// The commands that an actor has run since its last commit.
#[derive(Default)]
pub(super) struct CommitGroup {
    /// Replies that are held back until the next commit, and the number of their commands.
    held: Vec<HeldReply>,
    commands: usize,
    /// A command of the group may have changed data.
    is_dirty: bool,
    /// Replies that are held back until the commit in progress ends, and the number of their commands.
    committing: Vec<HeldReply>,
    committing_commands: usize,
    phase: Phase,
    /// Stops the actor from running commands while the group is full.
    full: Option<Exclusive>,
    /// The error of a commit that rolled back the first part of an unfinished transaction.
    rolled_back_transaction: Option<Error>,
}

#[derive(Clone, Copy, Default)]
enum Phase {
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
enum HeldReply {
    /// A batch whose requests after this checkpoint the actor has answered.
    Batch(Box<Batch>, BatchCheckpoint),
    /// The later reply to the blocked command with this wait id.
    Reply(Client, u32, Box<Batch>),
}

/// The next action for a group.
enum Step {
    Nothing,
    Release(Vec<HeldReply>),
    Delay(Duration),
    Commit,
}

/// Adds the later reply of a blocked command to the group that is open when the reply arrives.
pub(crate) struct ReplyHolder {
    queue: Arc<BatchQueue>,
    /// The command may change data.
    may_write: bool,
}

/// The counters of an actor with group commit.
#[derive(Debug, Default)]
pub(crate) struct GroupCommitStats {
    pub(crate) groups: Counter,
    pub(crate) commands: Counter,
    pub(crate) nanoseconds: Counter,
    pub(crate) failures: Counter,
    /// 1 if the last commit failed, else 0.
    pub(crate) has_failed: Counter,
}

impl GroupCommitStats {
    pub(crate) fn reset(&self) {
        [&self.groups, &self.commands, &self.nanoseconds, &self.failures]
            .into_iter()
            .for_each(|count| count.set(0));
    }
}

impl ReplyHolder {
    pub(super) fn hold(self, client: Client, wait_id: u32, reply: Box<Batch>) {
        self.queue.group(|group, _| {
            group.held.push(HeldReply::Reply(client, wait_id, reply));
            group.commands += 1;
            group.is_dirty |= self.may_write;
        });
        self.queue.wake_actor();
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
    fn hold(
        &mut self,
        batch: Box<Batch>,
        checkpoint: BatchCheckpoint,
        has_written: bool,
    ) -> Option<Box<Batch>> {
        let commands = batch.answered_since(&checkpoint);
        let is_committed = !self.is_dirty && !matches!(self.phase, Phase::Committing(_));
        if commands == 0 || (is_committed && !has_written) {
            return Some(batch);
        }
        self.held.push(HeldReply::Batch(batch, checkpoint));
        self.commands += commands;
        self.is_dirty |= has_written;
        None
    }

    fn step(&mut self, is_exclusive: bool, max: usize, commit_delay: Duration) -> Step {
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
    fn end_commit(
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

    fn take_all(&mut self) -> Vec<HeldReply> {
        let mut all = mem::take(&mut self.committing);
        all.append(&mut self.held);
        self.commands = 0;
        self.committing_commands = 0;
        self.is_dirty = false;
        self.phase = Phase::Idle;
        all
    }
}

impl HeldReply {
    fn release(self, queue: &Arc<BatchQueue>) {
        match self {
            HeldReply::Batch(batch, _) => leave(batch, queue),
            HeldReply::Reply(client, wait_id, reply) => client.answer_held(wait_id, reply),
        }
    }

    fn refuse(self, queue: &Arc<BatchQueue>, error: &Error) {
        match self {
            HeldReply::Batch(mut batch, checkpoint) => {
                batch.answer_with(checkpoint, error);
                leave(batch, queue);
            }
            HeldReply::Reply(client, wait_id, _) => {
                let reply = client.reply(|out| out.error(error));
                client.answer_held(wait_id, reply);
            }
        }
    }

    fn answer_again<A: GroupCommit>(
        self,
        queue: &Arc<BatchQueue>,
        error: &Error,
        actor: &mut A,
        context: &mut Context<A>,
    ) {
        match self {
            HeldReply::Batch(mut batch, checkpoint) => {
                batch.answer_again(checkpoint, error, actor, context);
                leave(batch, queue);
            }
            reply => reply.refuse(queue, error),
        }
    }
}

/// Returns a batch to its connection.
///
/// If its awaited reply is there already, the actor continues with the batch.
fn leave(batch: Box<Batch>, queue: &Arc<BatchQueue>) {
    if let Some(batch) = batch.return_to_client() {
        queue.push(batch);
    }
}

/// Runs all batches in the queue of `actor`, and holds their replies back until the changes are committed.
///
/// `#[commands(group_commit)]` calls this in its `Handler<RunBatches>`.
pub fn run_batches_in_groups<A: GroupCommit>(
    actor: &mut A,
    mut message: RunBatches,
    context: &mut Context<A>,
) {
    if !<A as GroupCommit>::USES_GROUP_COMMIT {
        return run_batches(actor, message, context);
    }
    let Some(queue) = message.take_queue() else { return };
    let mut batches = queue.take();
    if let Some(first) = batches.front_mut()
        && let Some(error) = queue.group(|group, _| group.rolled_back_transaction.take())
        && first.is_transaction()
    {
        first.abort(&error);
    }
    while let Some(mut batch) = batches.pop_front() {
        let checkpoint = batch.checkpoint();
        run(&mut batch, actor, &queue, context);
        let has_written = batch.has_written_since::<A>(&checkpoint);
        if batch.returns_to(queue.actor_id()) {
            // The first part of a transaction is committed together with the rest.
            queue.group(|group, _| group.is_dirty |= has_written);
            batch.exclusive = Some(queue.exclusive(batches));
            return drop(batch.return_to_client());
        }
        if let Some(batch) = queue.group(|group, _| group.hold(batch, checkpoint, has_written)) {
            leave(batch, &queue);
        }
        let max = actor.max_group_size();
        let is_full = || queue.group(|group, _| group.commands >= max);
        if is_full() {
            commit_if_due(actor, &queue, context);
        }
        if is_full() {
            let full = queue.exclusive(batches);
            return queue.group(|group, _| group.full = Some(full));
        }
    }
    queue.give_back(batches);
    commit_if_due(actor, &queue, context);
}

/// Runs the requests for this actor, and holds back later replies too.
fn run<A: GroupCommit>(batch: &mut Batch, actor: &mut A, queue: &Arc<BatchQueue>, context: &mut Context<A>) {
    loop {
        batch.run(queue.actor_id(), actor, context);
        if !batch.is_blocked() {
            return;
        }
        batch.hold_reply::<A>(|may_write| ReplyHolder { queue: Arc::clone(queue), may_write });
        if batch.is_blocked() {
            return;
        }
    }
}

fn commit_if_due<A: GroupCommit>(actor: &mut A, queue: &Arc<BatchQueue>, context: &mut Context<A>) {
    loop {
        let (max, commit_delay) = (actor.max_group_size(), actor.commit_delay());
        match queue.group(|group, is_exclusive| group.step(is_exclusive, max, commit_delay)) {
            Step::Nothing => return,
            Step::Release(held) => held.into_iter().for_each(|held| held.release(queue)),
            Step::Delay(time) => {
                let until = (!time.is_zero()).then(|| Box::pin(sleep(time)));
                context.spawn(CommitDelay { until, seen: 0, guard: StopGuard(Some(Arc::clone(queue))) });
                return;
            }
            Step::Commit => match begin_commit(actor, context).0 {
                CommitResult::Now(result) => end_commit(actor, queue, context, result),
                CommitResult::Later(ending) => {
                    context.spawn(PendingCommit { ending, guard: StopGuard(Some(Arc::clone(queue))) });
                    return;
                }
            },
        }
    }
}

fn begin_commit<A: GroupCommit>(actor: &mut A, context: &mut Context<A>) -> Commit {
    let commit = catch_unwind(AssertUnwindSafe(|| actor.commit(context)));
    commit.unwrap_or_else(|_| Commit(CommitResult::Now(Err(Error::INTERNAL))))
}

/// Ends a commit: releases the replies, or rolls the changes back if it failed.
fn end_commit<A: GroupCommit>(
    actor: &mut A,
    queue: &Arc<BatchQueue>,
    context: &mut Context<A>,
    result: Result<(), Error>,
) {
    let failure = result.err();
    let counters = queue.group_commit_stats();
    let held = queue.group(|group, is_exclusive| group.end_commit(is_exclusive, failure.as_ref(), counters));
    log_outcome(queue.group_commit_stats(), failure.as_ref(), held.len());
    match failure {
        None => held.into_iter().for_each(|held| held.release(queue)),
        Some(error) => roll_back(actor, queue, context, held, &error),
    }
    // The group has room again, so the actor may run commands.
    drop(queue.group(|group, _| group.full.take()));
}

/// Logs the first of consecutive failures, and their end.
fn log_outcome(counters: &GroupCommitStats, failure: Option<&Error>, held: usize) {
    let had_failed = counters.has_failed.get() == 1;
    counters.has_failed.set(u64::from(failure.is_some()));
    match failure {
        Some(error) if !had_failed => {
            tracing::error!(%error, held, "group commit failed; writes are refused")
        }
        None if had_failed => tracing::warn!("group commit works again"),
        _ => {}
    }
}

#[cold]
fn roll_back<A: GroupCommit>(
    actor: &mut A,
    queue: &Arc<BatchQueue>,
    context: &mut Context<A>,
    held: Vec<HeldReply>,
    error: &Error,
) {
    if catch_unwind(AssertUnwindSafe(|| actor.rollback(error, context))).is_err() {
        tracing::error!("an actor panicked in its rollback and is stopped");
        context.stop();
    }
    for held in held {
        if context.state() == ActorState::Running {
            held.answer_again(queue, error, actor, context);
        } else {
            held.refuse(queue, error);
        }
    }
}

/// Answers the held replies with an error if the actor stops before the commit.
struct StopGuard(Option<Arc<BatchQueue>>);

impl Drop for StopGuard {
    fn drop(&mut self) {
        if let Some(queue) = self.0.take() {
            abandon(&queue);
        }
    }
}

/// Answers all held replies with an error, because the actor has stopped.
pub(super) fn abandon(queue: &Arc<BatchQueue>) {
    let (held, full) = queue.group(|group, _| (group.take_all(), group.full.take()));
    held.into_iter().for_each(|held| held.refuse(queue, &ACTOR_DOWN));
    drop(full);
}

/// Waits for more commands before a commit.
struct CommitDelay {
    /// The commit delay. Without one, the wait ends when a turn of the event loop brings no more commands.
    until: Option<Pin<Box<Sleep>>>,
    /// Number of commands in the group one turn ago.
    seen: usize,
    guard: StopGuard,
}

impl<A: GroupCommit> ActorFuture<A> for CommitDelay {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        actor: &mut A,
        context: &mut Context<A>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<()> {
        if let Some(until) = &mut self.until {
            ready!(until.as_mut().poll(cx));
        } else if let Some(queue) = &self.guard.0 {
            let commands = queue.group(|group, _| group.commands);
            if mem::replace(&mut self.seen, commands) != commands {
                // The runtime polls the sockets before it polls this future again.
                let _ = pin!(yield_now()).poll(cx);
                return Poll::Pending;
            }
        }
        if let Some(queue) = self.guard.0.take() {
            queue.group(|group, _| {
                if matches!(group.phase, Phase::Delaying) {
                    group.phase = Phase::Due;
                }
            });
            commit_if_due(actor, &queue, context);
        }
        Poll::Ready(())
    }
}

/// Waits for the end of a commit.
struct PendingCommit {
    ending: ResponseFuture<Result<(), Error>>,
    guard: StopGuard,
}

impl<A: GroupCommit> ActorFuture<A> for PendingCommit {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        actor: &mut A,
        context: &mut Context<A>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<()> {
        let ending = catch_unwind(AssertUnwindSafe(|| self.ending.as_mut().poll(cx)));
        let result = ready!(ending.unwrap_or(Poll::Ready(Err(Error::INTERNAL))));
        if let Some(queue) = self.guard.0.take() {
            end_commit(actor, &queue, context, result);
            commit_if_due(actor, &queue, context);
        }
        Poll::Ready(())
    }
}
