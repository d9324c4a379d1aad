//! The replies of an actor with group commit that wait for the next commit.

use std::{
    future::Future,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context as TaskContext, Poll, ready},
};

use actix::{ActorContext, ActorState, AsyncContext, Context, ResponseFuture, fut::ActorFuture};
use actix_rt::time::{Sleep, sleep};
use tokio::task::yield_now;

use super::{
    BatchQueue, ClientBatch, Commit, GroupCommit, RunBatches,
    batch_queue::remove_expired,
    group::{GroupCommitStats, HeldReply, Phase, Step},
    group_commit::CommitResult,
    run_batches,
};
use crate::{
    Client, Error,
    batch::{Batch, WaitId},
    client::ReplyHolder,
    observe::reason,
};

/// Adds the later reply of a blocked command to the group that is open when the reply arrives.
struct GroupReplyHolder {
    queue: Arc<BatchQueue>,
    client: Client,
    /// The command may change data.
    may_write: bool,
}

impl ReplyHolder for GroupReplyHolder {
    fn hold(self: Box<Self>, wait_id: WaitId, reply: Box<Batch>) {
        let GroupReplyHolder { queue, client, may_write } = *self;
        queue.group(|group, _| group.hold_reply(client, wait_id, reply, may_write));
        queue.wake_actor();
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
    if batches.is_empty() {
        remove_expired(actor, &queue);
    }
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
        if batch.keeps(queue.actor_id()) {
            // The first part of a transaction is committed together with the rest.
            queue.group(|group, _| group.is_dirty |= has_written);
            batch.exclusive.add(queue.actor_id(), queue.exclusive(batches));
            return queue.return_to_client(batch);
        }
        if let Some(batch) = queue.group(|group, _| group.hold(batch, checkpoint, has_written)) {
            queue.return_to_client(batch);
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
fn run<A: GroupCommit>(
    batch: &mut ClientBatch,
    actor: &mut A,
    queue: &Arc<BatchQueue>,
    context: &mut Context<A>,
) {
    loop {
        batch.run(queue.actor_id(), actor, context, queue.keyspace());
        if !batch.is_blocked() {
            return;
        }
        batch.hold_reply::<A>(|client, may_write| {
            Box::new(GroupReplyHolder { queue: Arc::clone(queue), client: client.clone(), may_write })
        });
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
            Step::Release(held) => held.into_iter().for_each(|held| queue.release_reply(held)),
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
        None => {
            held.into_iter().for_each(|held| queue.release_reply(held));
            committed(actor, context);
        }
        Some(error) => roll_back(actor, queue, context, held, &error),
    }
    // The group has room again, so the actor may run commands.
    drop(queue.group(|group, _| group.full.take()));
}

/// Tells the actor of the success. A panic has the same effect as that of a handler: none on the next commands.
fn committed<A: GroupCommit>(actor: &mut A, context: &mut Context<A>) {
    if catch_unwind(AssertUnwindSafe(|| actor.committed(context))).is_err() {
        tracing::error!("an actor panicked after a commit, in `GroupCommit::committed`");
    }
}

/// Logs the first of consecutive failures, and their end.
fn log_outcome(counters: &GroupCommitStats, failure: Option<&Error>, held: usize) {
    let had_failed = counters.has_failed.swap(failure.is_some(), Relaxed);
    // The commands of the group that get this error are not logged.
    let _ = failure.is_some_and(Error::begin_report);
    match failure {
        Some(error) if !had_failed => {
            tracing::error!(error = %reason(error), held, "group commit failed; writes are refused")
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
        match held {
            HeldReply::Batch(mut batch, checkpoint) if context.state() == ActorState::Running => {
                batch.answer_again(checkpoint, error, actor, context);
                queue.return_to_client(batch);
            }
            held => queue.refuse_reply(held, error),
        }
    }
}

/// Answers the held replies with an error if the actor stops before the commit.
struct StopGuard(Option<Arc<BatchQueue>>);

impl Drop for StopGuard {
    fn drop(&mut self) {
        if let Some(queue) = self.0.take() {
            queue.abandon_group();
        }
    }
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
