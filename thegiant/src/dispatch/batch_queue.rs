//! The queue of batches of one actor, and the message that makes the actor run them.

use std::{
    collections::VecDeque,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use actix::{Actor, Context, Message, Recipient, SyncContext};
use actix_rt::time::sleep;
use tokio::sync::Notify;

use super::{
    ClientBatch,
    group::{CommitGroup, GroupCommitStats, HeldReply},
};
use crate::{
    Error, Keyspace,
    batch::{ActorId, Exclusive, ExclusiveAccess},
    command::Commands,
    sync::{Mutex, MutexGuard},
};

/// The time for which an actor with many expired keys serves its clients before it removes more of them.
const EXPIRE_MORE_AFTER: Duration = Duration::from_millis(1);

/// The batches that wait for one actor.
///
/// The first batch in an empty queue sends the actor a [`RunBatches`] message, and the actor then takes all
/// batches. Any number of connections that are ready in one turn of the event loop thus cost one message.
///
/// The actors of an actor pool ([`Consumers::MANY`]) share one queue. There, each batch sends its own
/// `RunBatches`, so that the batches spread over the pool.
#[derive(Debug)]
pub(crate) struct BatchQueue {
    /// The [`ActorId`]. It changes when the application becomes a part of another one.
    actor_id: AtomicU16,
    actor: MountedActor,
    state: Mutex<QueueState>,
    group_commit_stats: GroupCommitStats,
    keyspace: Keyspace,
    /// Wakes the server when batches were refused, which means that the actor has ended.
    refused: Mutex<Arc<Notify>>,
    /// The actor has ended, and its supervisor has not started it again yet.
    is_restarting: AtomicBool,
    /// How often the supervisor has started the actor again.
    restarts: AtomicU64,
}

/// An actor with commands, or an actor pool.
#[derive(Debug)]
pub(crate) struct MountedActor {
    /// The type of the actor, for the log.
    pub(crate) actor_type: &'static str,
    pub(crate) address: Recipient<RunBatches>,
    pub(crate) is_pool: bool,
    pub(crate) uses_group_commit: bool,
    pub(crate) expires: bool,
}

#[derive(Default)]
struct QueueState {
    batches: VecDeque<ClientBatch>,
    /// A `RunBatches` message is in the actor's mailbox.
    is_scheduled: bool,
    /// An [`Exclusive`] guard exists.
    is_exclusive: bool,
    /// The actor has ended during the transaction that has exclusive access.
    is_transaction_lost: bool,
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

impl MountedActor {
    /// An actor that is not a pool and does not use group commit.
    pub(crate) fn single(actor_type: &'static str, address: Recipient<RunBatches>) -> Self {
        MountedActor { actor_type, address, is_pool: false, uses_group_commit: false, expires: false }
    }
}

impl BatchQueue {
    pub(crate) fn new(
        actor_id: ActorId,
        actor: MountedActor,
        keyspace: Keyspace,
        refused: Arc<Notify>,
    ) -> Arc<Self> {
        Arc::new(BatchQueue {
            actor_id: AtomicU16::new(actor_id.0),
            actor,
            state: Mutex::default(),
            group_commit_stats: GroupCommitStats::default(),
            keyspace,
            refused: Mutex::new(refused),
            is_restarting: AtomicBool::new(false),
            restarts: AtomicU64::new(0),
        })
    }

    /// Adds a batch.
    ///
    /// A batch with exclusive access goes to the front and gives its access up.
    pub(crate) fn push(self: &Arc<Self>, mut batch: ClientBatch) {
        if let Some(exclusive) = batch.exclusive.take(self.actor_id()) {
            let mut state = self.lock();
            if state.is_transaction_lost {
                drop(state);
                self.refuse(batch);
            } else {
                state.batches.push_front(batch);
                drop(state);
            }
            return drop(exclusive);
        }
        let is_scheduled = {
            let mut state = self.lock();
            state.batches.push_back(batch);
            std::mem::replace(&mut state.is_scheduled, true)
        };
        if !is_scheduled || self.actor.is_pool {
            self.schedule();
        }
    }

    /// Returns whether keys of the actor expire.
    pub(crate) fn expires(&self) -> bool {
        self.actor.expires
    }

    /// Lets the actor remove expired keys, if its keys expire.
    pub(crate) fn expire(self: &Arc<Self>) {
        if self.actor.expires {
            self.wake_actor();
        }
    }

    /// Lets the actor remove more expired keys, after it has served its clients.
    fn expire_soon(self: &Arc<Self>) {
        let queue = Arc::downgrade(self);
        actix_rt::spawn(async move {
            sleep(EXPIRE_MORE_AFTER).await;
            queue.upgrade().inspect(Self::expire);
        });
    }

    /// Sends the actor a `RunBatches`, even if the queue is empty.
    pub(super) fn wake_actor(self: &Arc<Self>) {
        if !std::mem::replace(&mut self.lock().is_scheduled, true) {
            self.schedule();
        }
    }

    fn schedule(self: &Arc<Self>) {
        // If the actor has ended, this drops the message, which refuses the batches.
        self.actor.address.do_send(RunBatches { queue: Some(Arc::clone(self)) });
    }

    /// Takes the batches that one `RunBatches` is for.
    pub(crate) fn take(&self) -> VecDeque<ClientBatch> {
        let mut state = self.lock();
        if self.actor.is_pool {
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
        held.into_iter().for_each(|held| self.refuse_reply(held, &ACTOR_DOWN));
        drop(full);
    }

    pub(crate) fn give_back(&self, empty: VecDeque<ClientBatch>) {
        self.lock().spare = empty;
    }

    /// Refuses all requests in the queue, because the actor has ended.
    pub(super) fn refuse_all(self: &Arc<Self>) {
        if self.actor.uses_group_commit {
            self.abandon_group();
        }
        let mut state = self.lock();
        state.is_transaction_lost = state.is_exclusive;
        drop(state);
        self.take().into_iter().for_each(|batch| self.refuse(batch));
    }

    /// Refuses the next requests of a batch, or a whole transaction: an earlier part of it may be lost.
    fn refuse(&self, mut batch: ClientBatch) {
        if batch.is_transaction() {
            batch.abort(&ACTOR_DOWN);
        } else {
            batch.refuse(self.actor_id(), &ACTOR_DOWN);
        }
        // A refused batch is never blocked.
        drop(batch.return_to_client());
    }

    /// Refuses all requests in the queue until the supervisor [has started](Self::on_restart) the actor again.
    pub(super) fn on_end(self: &Arc<Self>) {
        self.is_restarting.store(true, Relaxed);
        self.refuse_all();
    }

    /// Counts a restart of a supervised actor.
    pub(super) fn on_restart(&self) {
        self.is_restarting.store(false, Relaxed);
        self.restarts.fetch_add(1, Relaxed);
    }

    /// Returns whether the actor has ended for good. A supervised actor never has.
    pub(super) fn has_ended(&self) -> bool {
        !self.actor.address.connected()
    }

    /// Returns whether the actor runs no commands at the moment.
    pub(super) fn is_down(&self) -> bool {
        self.has_ended() || self.is_restarting.load(Relaxed)
    }

    pub(super) fn restarts(&self) -> u64 {
        self.restarts.load(Relaxed)
    }

    /// Returns the name of the actor's type.
    pub(super) fn actor_type(&self) -> &'static str {
        self.actor.actor_type
    }

    #[inline]
    pub(crate) fn actor_id(&self) -> ActorId {
        ActorId(self.actor_id.load(Relaxed))
    }

    /// Gives the actor its place in another application, of which this one becomes a part.
    pub(super) fn move_to(&self, actor_id: ActorId, refused: &Arc<Notify>) {
        self.actor_id.store(actor_id.0, Relaxed);
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(refused);
    }

    /// Wakes the server, because batches were refused.
    fn report_refused(&self) {
        // No code panics while it holds the lock.
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).notify_one();
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
        self.actor.uses_group_commit
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
            state.is_transaction_lost = false;
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

/// A message that cannot be sent.
///
/// `#[commands]` implements a second handler for it, so that rustc says which handler an actor does not have.
#[derive(Debug)]
pub enum NoMessage {}

impl Message for NoMessage {
    type Result = ();
}

/// Runs all batches in the queue of `actor`. `#[commands]` calls this in its `Handler<RunBatches>`.
pub fn run_batches<A>(actor: &mut A, mut message: RunBatches, context: &mut <A as Actor>::Context)
where
    A: Actor + Commands<CommandContext = <A as Actor>::Context>,
{
    let Some(queue) = message.take_queue() else { return };
    let actor_id = queue.actor_id();
    let mut batches = queue.take();
    if batches.is_empty() {
        remove_expired(actor, &queue);
    }
    while let Some(batch) = batches.pop_front() {
        let mut next = Some(batch);
        while let Some(mut batch) = next {
            if queue.actor.is_pool && batch.is_observed() {
                batch.report_reads::<A>(actor_id, &queue.keyspace);
            }
            if batch.next_wanted() == Some(actor_id) {
                batch.acquire(actor_id, actor, &queue.keyspace, queue.exclusive(batches));
                return queue.return_to_client(batch);
            }
            batch.run(actor_id, actor, context, &queue.keyspace);
            if batch.keeps(actor_id) && !queue.actor.is_pool {
                batch.exclusive.add(actor_id, queue.exclusive(batches));
                return queue.return_to_client(batch);
            }
            next = batch.return_to_client();
        }
    }
    queue.give_back(batches);
}

/// Removes expired keys of an actor that has no batch to run, unless a transaction has exclusive access to it.
#[cold]
pub(super) fn remove_expired<A: Commands>(actor: &mut A, queue: &Arc<BatchQueue>) {
    if !queue.lock().is_exclusive && actor.remove_expired(&queue.keyspace) {
        queue.expire_soon();
    }
}

impl Drop for RunBatches {
    /// Refuses the batches if the actor ends before it has handled the message.
    fn drop(&mut self) {
        let Some(queue) = self.take_queue() else { return };
        queue.refuse_all();
        queue.report_refused();
    }
}

pub(crate) const ACTOR_DOWN: Error =
    Error::from_static("ACTORDOWN the actor that answers this command has ended");
