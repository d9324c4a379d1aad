//! What has been answered and waits to be committed.

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
    batch_queue::{Exclusive, STOPPED, run_batches},
    group_commit::CommitResult,
};
use crate::{Error, observe::Counter};

/// What an actor that commits has done since it began to commit for the last time.
#[derive(Default)]
pub(super) struct CommitGroup {
    /// What must not be sent before it is committed, and how many commands these are.
    held: Vec<HeldReply>,
    commands: usize,
    /// Something may have been changed.
    is_dirty: bool,
    /// What is being committed, and how many commands that is.
    committing: Vec<HeldReply>,
    committing_commands: usize,
    phase: Phase,
    /// There are so many commands that no others are run.
    full: Option<Exclusive>,
    /// Why what a transaction has done that has yet to go on was taken back.
    lost_transaction: Option<Error>,
}

#[derive(Clone, Copy, Default)]
enum Phase {
    #[default]
    Idle,
    /// Others are waited for.
    Delaying,
    /// They have been waited for.
    Due,
    /// A commit is under way, since then.
    Committing(Instant),
}

/// What must not be sent yet.
enum HeldReply {
    /// A batch that the actor has answered from that place on.
    Batch(Box<Batch>, BatchCheckpoint),
    /// The reply that the command with this ticket waits for.
    Reply(Client, u32, Box<Batch>),
}

/// What is to be done with a group.
enum Step {
    Nothing,
    Release(Vec<HeldReply>),
    Delay(Duration),
    Commit,
}

/// Has the reply that a command waits for belong to the group of the moment at which it comes.
pub(crate) struct ReplyHolder {
    queue: Arc<BatchQueue>,
    /// Whether the command may change something.
    may_write: bool,
}

/// The counters of an actor that commits.
#[derive(Debug, Default)]
pub(crate) struct GroupCommitStats {
    pub(crate) groups: Counter,
    pub(crate) commands: Counter,
    pub(crate) nanoseconds: Counter,
    pub(crate) failures: Counter,
    /// 1 if the last commit has failed.
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
        self.queue.call();
    }
}

impl CommitGroup {
    /// Whether there is anything in it.
    pub(super) fn is_any(&self) -> bool {
        self.is_dirty || !self.held.is_empty()
    }

    /// Takes in what an actor has answered from this place on; it is given back if it can be sent at once.
    fn keep(
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

    fn step(&mut self, is_held: bool, max: usize, commit_delay: Duration) -> Step {
        let is_full = self.commands >= max;
        match self.phase {
            // A transaction is to be committed as a whole.
            _ if is_held => Step::Nothing,
            Phase::Committing(_) => Step::Nothing,
            _ if !self.is_any() => Step::Nothing,
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

    /// A commit has ended. Returns what was waiting for that; if it has failed, also what has been done since.
    fn end(&mut self, is_held: bool, failure: Option<&Error>, counters: &GroupCommitStats) -> Vec<HeldReply> {
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
        if is_held && self.full.is_none() {
            self.lost_transaction = Some(error.clone());
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

/// Lets a batch go. If what it waits for is there by now, its actor goes on with it.
fn leave(batch: Box<Batch>, queue: &Arc<BatchQueue>) {
    if let Some(batch) = batch.return_to_client() {
        queue.push(batch);
    }
}

/// Runs all batches that wait for `actor`, and lets go of none before what they did is committed; what
/// `#[commands(group_commit)]` puts into `Handler<RunBatches>`.
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
        && let Some(error) = queue.group(|group, _| group.lost_transaction.take())
        && first.is_transaction()
    {
        first.abort(&error);
    }
    while let Some(mut batch) = batches.pop_front() {
        let checkpoint = batch.checkpoint();
        run(&mut batch, actor, &queue, context);
        let has_written = batch.has_written_since::<A>(&checkpoint);
        if batch.returns_to(queue.actor_id()) {
            // What it has done is committed with the rest of it.
            queue.group(|group, _| group.is_dirty |= has_written);
            batch.exclusive = Some(queue.exclusive(batches));
            return drop(batch.return_to_client());
        }
        if let Some(batch) = queue.group(|group, _| group.keep(batch, checkpoint, has_written)) {
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

/// Runs what the actor has to answer of a batch. What comes later is kept, too.
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
        match queue.group(|group, is_held| group.step(is_held, max, commit_delay)) {
            Step::Nothing => return,
            Step::Release(held) => held.into_iter().for_each(|held| held.release(queue)),
            Step::Delay(time) => {
                let until = (!time.is_zero()).then(|| Box::pin(sleep(time)));
                context.spawn(CommitDelay { until, seen: 0, guard: Guard(Some(Arc::clone(queue))) });
                return;
            }
            Step::Commit => match begin_commit(actor, context).0 {
                CommitResult::Now(result) => end(actor, queue, context, result),
                CommitResult::Later(ending) => {
                    context.spawn(PendingCommit { ending, guard: Guard(Some(Arc::clone(queue))) });
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

/// A commit has ended: lets go of what has waited for that.
fn end<A: GroupCommit>(
    actor: &mut A,
    queue: &Arc<BatchQueue>,
    context: &mut Context<A>,
    result: Result<(), Error>,
) {
    let failure = result.err();
    let counters = queue.group_commit_stats();
    let held = queue.group(|group, is_held| group.end(is_held, failure.as_ref(), counters));
    log_outcome(queue.group_commit_stats(), failure.as_ref(), held.len());
    match failure {
        None => held.into_iter().for_each(|held| held.release(queue)),
        Some(error) => roll_back(actor, queue, context, held, &error),
    }
    // The next ones may come, now that there is room for them.
    drop(queue.group(|group, _| group.full.take()));
}

/// The operator is told of the first failure of many, and of its end.
fn log_outcome(counters: &GroupCommitStats, failure: Option<&Error>, held: usize) {
    let had_failed = counters.has_failed.get() == 1;
    counters.has_failed.set(u64::from(failure.is_some()));
    match failure {
        Some(error) if !had_failed => {
            tracing::error!(%error, held, "nothing can be group_commit_stats: writes are refused")
        }
        None if had_failed => tracing::warn!("what is written is group_commit_stats checkpoint"),
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
        tracing::error!(
            "an actor has panicked when it was to take back what could not be group_commit_stats: it is stopped"
        );
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

/// Answers with an error if the actor stops before it has committed.
struct Guard(Option<Arc<BatchQueue>>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(queue) = self.0.take() {
            abandon(&queue);
        }
    }
}

/// The actor has stopped: nothing of it is going to be committed.
pub(super) fn abandon(queue: &Arc<BatchQueue>) {
    let (held, full) = queue.group(|group, _| (group.take_all(), group.full.take()));
    held.into_iter().for_each(|held| held.refuse(queue, &STOPPED));
    drop(full);
}

/// Until others have been waited for.
struct CommitDelay {
    /// As long as this; if it is not said how long, as long as a turn of the event loop brings more.
    until: Option<Pin<Box<Sleep>>>,
    /// Commands that there were a turn ago.
    seen: usize,
    guard: Guard,
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
                // Sockets are looked at before this is polled again.
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

/// Until a commit has ended.
struct PendingCommit {
    ending: ResponseFuture<Result<(), Error>>,
    guard: Guard,
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
            end(actor, &queue, context, result);
            commit_if_due(actor, &queue, context);
        }
        Poll::Ready(())
    }
}
