//! How batches reach a handler actor: a shared queue, and one message for all that it holds.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use actix::{Actor, Context, Message, Recipient, SyncContext};

use super::{
    Batch,
    batch::ActorId,
    commit_group::{CommitGroup, GroupCommitStats, abandon},
};
use crate::{Error, command::Commands};

/// The batches that wait for one handler actor.
///
/// Whoever puts in the first one sends the actor a [`RunBatches`]; the actor then takes all of them. So
/// any number of connections that are ready in one turn of the event loop cost one message.
///
/// A pool of actors ([`Consumers::MANY`]) shares an inbox; there, each batch has a `RunBatches` of its own,
/// so that every member of the pool finds work.
#[derive(Debug)]
pub(crate) struct BatchQueue {
    actor_id: ActorId,
    is_pool: bool,
    uses_group_commit: bool,
    actor: Recipient<RunBatches>,
    waiting: Mutex<Waiting>,
    group_commit_stats: GroupCommitStats,
}

#[derive(Default)]
struct Waiting {
    batches: VecDeque<Box<Batch>>,
    /// A `RunBatches` is under way.
    scheduled: bool,
    /// There is a `Exclusive`.
    held: bool,
    /// An empty queue, for the next time that `batches` is taken.
    spare: VecDeque<Box<Batch>>,
    /// Of an actor that commits.
    group: Option<Box<CommitGroup>>,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} batches", self.batches.len())
    }
}

impl BatchQueue {
    pub(crate) fn new(
        actor_id: ActorId,
        is_pool: bool,
        uses_group_commit: bool,
        actor: Recipient<RunBatches>,
    ) -> Arc<Self> {
        Arc::new(BatchQueue {
            actor_id,
            is_pool,
            uses_group_commit,
            actor,
            waiting: Mutex::default(),
            group_commit_stats: GroupCommitStats::default(),
        })
    }

    /// Queues a batch; one that holds the inbox comes before all others, and does so no longer.
    pub(crate) fn push(self: &Arc<Self>, mut batch: Box<Batch>) {
        if let Some(exclusive) = batch.exclusive.take() {
            self.waiting().batches.push_front(batch);
            return drop(exclusive);
        }
        let scheduled = {
            let mut waiting = self.waiting();
            waiting.batches.push_back(batch);
            std::mem::replace(&mut waiting.scheduled, true)
        };
        if !scheduled || self.is_pool {
            self.schedule();
        }
    }

    /// Has the actor have a look, though no batch may have come.
    pub(super) fn call(self: &Arc<Self>) {
        if !std::mem::replace(&mut self.waiting().scheduled, true) {
            self.schedule();
        }
    }

    fn schedule(self: &Arc<Self>) {
        // To an actor that is gone, this drops the message, which answers the batches.
        self.actor.do_send(RunBatches { queue: Some(Arc::clone(self)) });
    }

    /// What one `RunBatches` is for.
    pub(crate) fn take(&self) -> VecDeque<Box<Batch>> {
        let mut waiting = self.waiting();
        if self.is_pool {
            return waiting.batches.pop_front().into_iter().collect();
        }
        waiting.scheduled = false;
        if waiting.held {
            return VecDeque::new();
        }
        let spare = std::mem::take(&mut waiting.spare);
        std::mem::replace(&mut waiting.batches, spare)
    }

    /// Has the actor run nothing else for a while: not what it has taken, nor what comes.
    #[cold]
    pub(super) fn exclusive(self: &Arc<Self>, mut taken: VecDeque<Box<Batch>>) -> Exclusive {
        let mut waiting = self.waiting();
        taken.append(&mut waiting.batches);
        waiting.batches = taken;
        waiting.held = true;
        Exclusive(Arc::clone(self))
    }

    fn release(self: &Arc<Self>) {
        let is_due = {
            let mut waiting = self.waiting();
            waiting.held = false;
            let is_any =
                !waiting.batches.is_empty() || waiting.group.as_ref().is_some_and(|group| group.is_any());
            is_any && !std::mem::replace(&mut waiting.scheduled, true)
        };
        if is_due {
            self.schedule();
        }
    }

    pub(crate) fn give_back(&self, empty: VecDeque<Box<Batch>>) {
        self.waiting().spare = empty;
    }

    pub(crate) fn actor_id(&self) -> ActorId {
        self.actor_id
    }

    /// Looks at what has not been committed, and is told whether the inbox is held.
    pub(super) fn group<T>(&self, look: impl FnOnce(&mut CommitGroup, bool) -> T) -> T {
        let mut waiting = self.waiting();
        let is_held = waiting.held;
        look(waiting.group.get_or_insert_default(), is_held)
    }

    /// Whether its actor commits.
    pub(crate) fn uses_group_commit(&self) -> bool {
        self.uses_group_commit
    }

    /// The counters of an actor that commits.
    pub(crate) fn group_commit_stats(&self) -> &GroupCommitStats {
        &self.group_commit_stats
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics while it is held.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps an inbox from being drained, until it is dropped.
pub(crate) struct Exclusive(Arc<BatchQueue>);

impl Drop for Exclusive {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// The context of an actor, and whether its address is that of a pool of them.
///
/// It is sealed: these are the contexts of actix.
pub trait Consumers: sealed::Sealed {
    /// Several actors take messages from one address.
    const MANY: bool;
}

impl<A: Actor<Context = Context<A>>> Consumers for Context<A> {
    const MANY: bool = false;
}

impl<A: Actor<Context = SyncContext<A>>> Consumers for SyncContext<A> {
    const MANY: bool = true;
}

mod sealed {
    use super::{Actor, Context, SyncContext};

    pub trait Sealed {}

    impl<A: Actor<Context = Context<A>>> Sealed for Context<A> {}
    impl<A: Actor<Context = SyncContext<A>>> Sealed for SyncContext<A> {}
}

/// Tells a handler actor that batches wait for it. `#[commands]` implements its handler.
#[derive(Debug)]
pub struct RunBatches {
    /// Until it is drained.
    queue: Option<Arc<BatchQueue>>,
}

impl RunBatches {
    pub(crate) fn take_queue(&mut self) -> Option<Arc<BatchQueue>> {
        self.queue.take()
    }
}

impl Message for RunBatches {
    type Result = ();
}

/// Runs all batches that wait for `actor`; what `#[commands]` puts into `Handler<RunBatches>`.
pub fn run_batches<A>(actor: &mut A, mut message: RunBatches, context: &mut <A as Actor>::Context)
where
    A: Actor + Commands<CommandContext = <A as Actor>::Context>,
{
    let Some(queue) = message.take_queue() else { return };
    let mut batches = queue.take();
    while let Some(batch) = batches.pop_front() {
        let mut next = Some(batch);
        while let Some(mut batch) = next {
            if queue.is_pool && batch.is_observed() {
                batch.report_reads(queue.actor_id);
            }
            batch.run(queue.actor_id, actor, context);
            if batch.returns_to(queue.actor_id) && !queue.is_pool {
                batch.exclusive = Some(queue.exclusive(batches));
                // It does not wait.
                return drop(batch.return_to_client());
            }
            next = batch.return_to_client();
        }
    }
    queue.give_back(batches);
}

impl Drop for RunBatches {
    /// The actor has stopped: its clients get an error rather than no answer.
    fn drop(&mut self) {
        let Some(queue) = self.take_queue() else { return };
        if queue.uses_group_commit {
            abandon(&queue);
        }
        for mut batch in queue.take() {
            batch.refuse(queue.actor_id, &STOPPED);
            // Nothing that is refused waits.
            drop(batch.return_to_client());
        }
    }
}

pub(crate) const STOPPED: Error = Error::from_static("ERR the actor that answers this command has stopped");
