//! The queue of batches of one actor, and the message that makes the actor run them.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use actix::{Actor, Context, Message, Recipient, SyncContext};

use super::{
    ClientBatch,
    group::{CommitGroup, GroupCommitStats, HeldReply},
};
use crate::{
    Error, Keyspace,
    batch::{ActorId, Exclusive, ExclusiveAccess},
    command::Commands,
};

/// The batches that wait for one actor.
///
/// The first batch in an empty queue sends the actor a [`RunBatches`] message, and the actor then takes all
/// batches. Any number of connections that are ready in one turn of the event loop thus cost one message.
///
/// The actors of an actor pool ([`Consumers::MANY`]) share one queue. There, each batch sends its own
/// `RunBatches`, so that the batches spread over the pool.
#[derive(Debug)]
pub(crate) struct BatchQueue {
    actor_id: ActorId,
    is_pool: bool,
    uses_group_commit: bool,
    actor: Recipient<RunBatches>,
    state: Mutex<QueueState>,
    group_commit_stats: GroupCommitStats,
    keyspace: Keyspace,
}

#[derive(Default)]
struct QueueState {
    batches: VecDeque<ClientBatch>,
    /// A `RunBatches` message is in the actor's mailbox.
    is_scheduled: bool,
    /// An [`Exclusive`] guard exists.
    is_exclusive: bool,
    /// An empty deque, swapped in when `batches` is taken, to reuse its allocation.
    spare: VecDeque<ClientBatch>,
    /// The current group, if the actor uses group commit.
    group: Option<Box<CommitGroup>>,
}

impl std::fmt::Debug for QueueState {
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
        keyspace: Keyspace,
    ) -> Arc<Self> {
        Arc::new(BatchQueue {
            actor_id,
            is_pool,
            uses_group_commit,
            actor,
            state: Mutex::default(),
            group_commit_stats: GroupCommitStats::default(),
            keyspace,
        })
    }

    /// Adds a batch.
    ///
    /// A batch with exclusive access goes to the front and gives its access up.
    pub(crate) fn push(self: &Arc<Self>, mut batch: ClientBatch) {
        if let Some(exclusive) = batch.exclusive.take() {
            self.lock().batches.push_front(batch);
            return drop(exclusive);
        }
        let is_scheduled = {
            let mut state = self.lock();
            state.batches.push_back(batch);
            std::mem::replace(&mut state.is_scheduled, true)
        };
        if !is_scheduled || self.is_pool {
            self.schedule();
        }
    }

    /// Sends the actor a `RunBatches`, even if the queue is empty.
    pub(super) fn wake_actor(self: &Arc<Self>) {
        if !std::mem::replace(&mut self.lock().is_scheduled, true) {
            self.schedule();
        }
    }

    fn schedule(self: &Arc<Self>) {
        // If the actor has stopped, this drops the message, which answers the batches with an error.
        self.actor.do_send(RunBatches { queue: Some(Arc::clone(self)) });
    }

    /// Takes the batches that one `RunBatches` is for.
    pub(crate) fn take(&self) -> VecDeque<ClientBatch> {
        let mut state = self.lock();
        if self.is_pool {
            return state.batches.pop_front().into_iter().collect();
        }
        state.is_scheduled = false;
        if state.is_exclusive {
            return VecDeque::new();
        }
        let spare = std::mem::take(&mut state.spare);
        std::mem::replace(&mut state.batches, spare)
    }

    /// Gives a transaction exclusive access: the actor runs neither the batches in `taken` nor later ones.
    #[cold]
    pub(super) fn exclusive(self: &Arc<Self>, mut taken: VecDeque<ClientBatch>) -> Exclusive {
        let mut state = self.lock();
        taken.append(&mut state.batches);
        state.batches = taken;
        state.is_exclusive = true;
        drop(state);
        Exclusive::new(Arc::<Self>::clone(self))
    }

    /// Gives a batch back to its client, or runs it again if its awaited reply is there already.
    pub(super) fn return_to_client(self: &Arc<Self>, batch: ClientBatch) {
        if let Some(batch) = batch.return_to_client() {
            self.push(batch);
        }
    }

    /// Sends a reply that was held back.
    pub(super) fn release_reply(self: &Arc<Self>, held: HeldReply) {
        match held {
            HeldReply::Batch(batch, _) => self.return_to_client(batch),
            HeldReply::Reply(client, wait_id, reply) => client.answer_held(wait_id, reply),
        }
    }

    /// Sends `error` in place of a reply that was held back.
    pub(super) fn refuse_reply(self: &Arc<Self>, held: HeldReply, error: &Error) {
        match held {
            HeldReply::Batch(mut batch, checkpoint) => {
                batch.answer_with(checkpoint, error);
                self.return_to_client(batch);
            }
            HeldReply::Reply(client, wait_id, _) => {
                let reply = client.reply(|out| out.error(error));
                client.answer_held(wait_id, reply);
            }
        }
    }

    /// Answers all held replies with an error, because the actor has stopped.
    pub(super) fn abandon_group(self: &Arc<Self>) {
        let (held, full) = self.group(|group, _| (group.take_all(), group.full.take()));
        held.into_iter().for_each(|held| self.refuse_reply(held, &STOPPED));
        drop(full);
    }

    pub(crate) fn give_back(&self, empty: VecDeque<ClientBatch>) {
        self.lock().spare = empty;
    }

    pub(crate) fn actor_id(&self) -> ActorId {
        self.actor_id
    }

    /// Gives `access` the current group, and whether the actor is under exclusive access.
    pub(super) fn group<T>(&self, access: impl FnOnce(&mut CommitGroup, bool) -> T) -> T {
        let mut state = self.lock();
        let is_exclusive = state.is_exclusive;
        access(state.group.get_or_insert_default(), is_exclusive)
    }

    pub(super) fn keyspace(&self) -> &Keyspace {
        &self.keyspace
    }

    /// Returns whether the actor uses group commit.
    pub(crate) fn uses_group_commit(&self) -> bool {
        self.uses_group_commit
    }

    /// Returns the counters of group commit.
    pub(crate) fn group_commit_stats(&self) -> &GroupCommitStats {
        &self.group_commit_stats
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        // No code panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ExclusiveAccess for BatchQueue {
    fn release(self: Arc<Self>) {
        let must_schedule = {
            let mut state = self.lock();
            state.is_exclusive = false;
            let has_work =
                !state.batches.is_empty() || state.group.as_ref().is_some_and(|group| group.has_work());
            has_work && !std::mem::replace(&mut state.is_scheduled, true)
        };
        if must_schedule {
            self.schedule();
        }
    }
}

/// An actix context, and whether its address belongs to an actor pool.
///
/// The trait is sealed. Only the contexts of actix implement it.
pub trait Consumers: sealed::Sealed {
    /// Whether several actors take messages from one address.
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

/// Makes an actor run the batches in its queue. `#[commands]` implements the handler.
#[derive(Debug)]
pub struct RunBatches {
    /// `None` after the handler has run.
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

/// Runs all batches in the queue of `actor`. `#[commands]` calls this in its `Handler<RunBatches>`.
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
                batch.report_reads::<A>(queue.actor_id, &queue.keyspace);
            }
            batch.run(queue.actor_id, actor, context, &queue.keyspace);
            if batch.returns_to(queue.actor_id) && !queue.is_pool {
                batch.exclusive = Some(queue.exclusive(batches));
                // The batch goes to its connection, since it is not blocked.
                return drop(batch.return_to_client());
            }
            next = batch.return_to_client();
        }
    }
    queue.give_back(batches);
}

impl Drop for RunBatches {
    /// Answers the batches with an error if the actor stops before it has handled the message.
    fn drop(&mut self) {
        let Some(queue) = self.take_queue() else { return };
        if queue.uses_group_commit {
            queue.abandon_group();
        }
        for mut batch in queue.take() {
            batch.refuse(queue.actor_id, &STOPPED);
            // A refused batch is never blocked.
            drop(batch.return_to_client());
        }
    }
}

pub(crate) const STOPPED: Error = Error::from_static("ERR the actor that answers this command has stopped");
