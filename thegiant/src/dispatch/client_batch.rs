//! A batch on its way to an actor and back.

use std::{
    ops::{Deref, DerefMut},
    panic::{AssertUnwindSafe, catch_unwind},
};

use tracing::{Span, debug_span, level_filters::LevelFilter};

use super::{
    prefetch::{AHEAD, prefetch_next},
    run::{reject, report_keys, report_reads, step},
    shards::PartOf,
    transaction::aborted_by,
};
use crate::{
    Client, Error, Keyspace, Request,
    batch::{ActorId, Batch, BatchCheckpoint, CommandRef, Exclusive, ReplyBuffer, Resolved, RowId},
    client::{ClientFlag, PartOwner, ReplyHolder},
    clock::{StoppedClock, now},
    command::{Commands, Flags, Spec},
};

/// A batch, and the client that sent it and gets it back.
///
/// A batch in the slot of its client is a [`Batch`] alone: the slot belongs to the client.
#[derive(Debug)]
pub(crate) struct ClientBatch {
    pub(crate) client: Client,
    batch: Box<Batch>,
    /// The way back of a part to its batch.
    part_of: Option<PartOf>,
}

impl Deref for ClientBatch {
    type Target = Batch;

    fn deref(&self) -> &Batch {
        &self.batch
    }
}

impl DerefMut for ClientBatch {
    fn deref_mut(&mut self) -> &mut Batch {
        &mut self.batch
    }
}

impl ClientBatch {
    pub(crate) fn new(client: Client, batch: Box<Batch>) -> Self {
        ClientBatch { client, batch, part_of: None }
    }

    /// Returns a part of a batch, for one shard.
    pub(super) fn part(client: Client, batch: Box<Batch>, part_of: PartOf) -> Self {
        ClientBatch { client, batch, part_of: Some(part_of) }
    }

    /// Returns the client and the batch.
    pub(super) fn into_parts(self) -> (Client, Box<Batch>) {
        (self.client, self.batch)
    }

    /// Returns a request of the batch.
    pub(crate) fn request(&self, index: u32) -> Option<Request<'_>> {
        Some(Request::new(self.batch.requests.words(index)?, &self.client))
    }

    /// Runs the next requests, up to the first one for another actor.
    ///
    /// A request that causes pushes for its own client is also the last one: the connection inserts the pushes
    /// after its reply.
    ///
    /// If a handler panics, the client gets an internal error and the other requests still run.
    pub(super) fn run<A: Commands>(
        &mut self,
        actor_id: ActorId,
        actor: &mut A,
        context: &mut A::CommandContext,
        keyspace: &Keyspace,
    ) {
        let clock = StoppedClock::new(self.batch.exclusive.time);
        actor.remove_expired(keyspace);
        if self.batch.is_transaction() {
            self.abort_if_dirty();
        }
        // Check the level once per batch: a span that nothing records would still cost time.
        if LevelFilter::current() >= LevelFilter::DEBUG {
            self.run_in_span(actor_id, actor, context, keyspace);
        } else {
            self.run_here(actor_id, actor, context, keyspace);
        }
        if self.batch.is_in_transaction() {
            self.batch.exclusive.time = clock.time();
        }
    }

    /// Runs the requests inside a tracing span with the id and the address of the client.
    ///
    /// The target of the span, `thegiant::batch`, lets an operator filter for it.
    #[cold]
    fn run_in_span<A: Commands>(
        &mut self,
        actor_id: ActorId,
        actor: &mut A,
        context: &mut A::CommandContext,
        keyspace: &Keyspace,
    ) {
        let client = &self.client;
        let span = debug_span!(target: "thegiant::batch", "batch", id = client.id(), client = %client.addr());
        span.in_scope(|| self.run_here(actor_id, actor, context, keyspace));
    }

    /// Runs the requests, and reports their keys if anything observes them.
    #[inline]
    fn run_here<A: Commands>(
        &mut self,
        actor_id: ActorId,
        actor: &mut A,
        context: &mut A::CommandContext,
        keyspace: &Keyspace,
    ) {
        if keyspace.is_observed() {
            self.batch.observe_keys(keyspace.published());
            // Another client may have begun to observe keys since the connection has sent the batch.
            if !self.batch.is_observed() {
                self.batch.observe(false);
            }
        }
        if self.batch.is_observed() {
            self.run_observed(actor_id, actor, context, keyspace);
        } else {
            self.run_all(actor_id, actor, context);
        }
    }

    /// Runs the requests, and reports their keys.
    fn run_observed<A: Commands>(
        &mut self,
        actor_id: ActorId,
        actor: &mut A,
        context: &mut A::CommandContext,
        keyspace: &Keyspace,
    ) {
        if self.batch.runs_one_by_one() {
            return self.run_one_by_one(actor_id, actor, context, keyspace);
        }
        self.run_all(actor_id, actor, context);
        report_keys(&mut self.batch, &self.client, keyspace, spec_of::<A>(actor_id));
    }

    /// Runs the requests of a client that gets pushes, and reports the keys of each.
    #[cold]
    fn run_one_by_one<A: Commands>(
        &mut self,
        actor_id: ActorId,
        actor: &mut A,
        context: &mut A::CommandContext,
        keyspace: &Keyspace,
    ) {
        self.batch.begin();
        while let Some(row) = next_row(&self.batch, actor_id) {
            self.run_one(row, actor, context);
            report_keys(&mut self.batch, &self.client, keyspace, spec_of::<A>(actor_id));
            if self.client.has_pending_pushes() {
                break;
            }
        }
        keyspace.broadcast();
    }

    /// Runs the next request, which has this row.
    fn run_one<A: Commands>(&mut self, row: RowId, actor: &mut A, context: &mut A::CommandContext) {
        let ClientBatch { client, batch, .. } = self;
        let row = row.get::<A>();
        let spans =
            if batch.stats.has_spans() { batch.stats.spans(batch.next_request()) } else { Vec::new() };
        let _entered: Vec<_> = spans.iter().map(Span::enter).collect();
        let run =
            || step(batch, client, Some(&row.spec), |request, out| (row.run)(actor, request, context, out));
        if catch_unwind(AssertUnwindSafe(run)).is_err() {
            answer_panic(batch, client, Some(&row.spec));
        }
    }

    fn run_all<A: Commands>(&mut self, actor_id: ActorId, actor: &mut A, context: &mut A::CommandContext) {
        self.batch.begin();
        if self.batch.stats.has_spans() {
            return self.run_all_in_spans(actor_id, actor, context);
        }
        while next_row(&self.batch, actor_id).is_some() {
            let guarded = catch_unwind(AssertUnwindSafe(|| {
                let ClientBatch { client, batch, .. } = self;
                if A::PREFETCHES {
                    prefetch_next(batch, client, actor_id, actor);
                }
                let end = batch.next_request() + if A::PREFETCHES { AHEAD as u32 } else { 0 };
                while let Some(row) = next_row(batch, actor_id) {
                    let row = row.get::<A>();
                    step(batch, client, Some(&row.spec), |request, out| {
                        (row.run)(actor, request, context, out)
                    });
                    if A::PREFETCHES && batch.next_request() >= end {
                        break;
                    }
                }
            }));
            if guarded.is_err() {
                let ClientBatch { client, batch, .. } = self;
                let spec = next_row(batch, actor_id).map(|row| &row.get::<A>().spec);
                answer_panic(batch, client, spec);
            }
        }
    }

    /// Runs the requests, each in the tracing spans that the middleware has opened for it.
    #[cold]
    fn run_all_in_spans<A: Commands>(
        &mut self,
        actor_id: ActorId,
        actor: &mut A,
        context: &mut A::CommandContext,
    ) {
        while let Some(row) = next_row(&self.batch, actor_id) {
            self.run_one(row, actor, context);
        }
    }

    /// Reports the keys that the next requests read, before they run.
    ///
    /// An actor pool needs this: another actor of the pool may change a key during the read.
    #[cold]
    pub(super) fn report_reads<A: Commands>(&self, actor_id: ActorId, keyspace: &Keyspace) {
        let upcoming = self.batch.upcoming(actor_id).map(|(request, _)| request);
        report_reads(&self.batch, &self.client, keyspace, upcoming, spec_of::<A>(actor_id));
    }

    /// Answers the next request with `run`.
    pub(crate) fn step(&mut self, spec: &'static Spec, run: impl FnOnce(&Request<'_>, &mut ReplyBuffer)) {
        step(&mut self.batch, &self.client, Some(spec), run);
    }

    /// Answers the next request without running it.
    pub(crate) fn reject(&mut self, error: &Error) {
        reject(&mut self.batch, &self.client, |_, out| out.error(error));
    }

    /// Answers the next requests with `error`, up to the first one for another actor.
    pub(crate) fn refuse(&mut self, actor_id: ActorId, error: &Error) {
        while next_row(&self.batch, actor_id).is_some() {
            self.reject(error);
        }
    }

    /// Gives the batch to its connection or the part to its batch, or blocks it in the client slot if it waits for a
    /// reply.
    ///
    /// Returns the batch if that reply is there already.
    pub(crate) fn return_to_client(self) -> Option<Self> {
        let ClientBatch { client, mut batch, part_of } = self;
        if !batch.is_blocked() {
            match part_of {
                None => client.hand_back(batch),
                Some(part_of) => part_of.put_back(batch),
            }
            return None;
        }
        if !batch.is_observed() {
            // Another client may begin to observe keys before the reply comes.
            batch.observe(false);
        }
        end_wait(&batch, &client);
        let owner = part_of.clone().map(|part_of| Box::new(part_of) as Box<dyn PartOwner>);
        let batch = client.block(batch, owner, true)?;
        if batch.is_blocked() {
            client.hand_back(batch);
            return None;
        }
        Some(ClientBatch { client, batch, part_of })
    }

    /// Returns whether a request since the checkpoint may have changed the actor's data.
    pub(super) fn has_written_since<A: Commands>(&self, checkpoint: &BatchCheckpoint) -> bool {
        self.batch.answered_since(checkpoint).any(|request| self.may_write::<A>(request))
    }

    /// Routes the awaited reply to the next request through a [`ReplyHolder`].
    ///
    /// A reply that is there already is used at once.
    pub(super) fn hold_reply<A: Commands>(
        &mut self,
        reply_holder: impl FnOnce(&Client, bool) -> Box<dyn ReplyHolder>,
    ) {
        let Some(wait_id) = self.batch.wait_id() else { return };
        end_wait(&self.batch, &self.client);
        let may_write = self.may_write::<A>(self.batch.next_request());
        let reply_holder = reply_holder(&self.client, may_write);
        if let Some(reply) = self.client.hold_reply_by(wait_id, reply_holder) {
            self.batch.take_reply(reply);
        }
    }

    /// Answers the requests since the checkpoint again, after a rollback of the actor.
    ///
    /// Requests that may have changed data are answered with `error`. Reads run again. A request behind them that waits
    /// for its reply goes on waiting. A transaction is aborted.
    pub(super) fn answer_again<A: Commands>(
        &mut self,
        checkpoint: BatchCheckpoint,
        error: &Error,
        actor: &mut A,
        context: &mut A::CommandContext,
    ) {
        if self.batch.is_transaction() {
            return self.abort(error);
        }
        let answered = self.batch.answered_since(&checkpoint);
        self.batch.go_back(checkpoint);
        let waiting = self.batch.take_wait();
        self.batch.begin();
        for request in answered {
            let ClientBatch { client, batch, .. } = self;
            let Some(row) = row_of(batch, request) else { break };
            let spec = &row.get::<A>().spec;
            if writes::<A>(row) || spec.flags.contains(Flags::BLOCKING) {
                step(batch, client, Some(spec), |_, out| out.error(error));
            } else {
                self.run_one(row, actor, context);
            }
            if self.batch.is_blocked() {
                // The requests behind it run after its reply, and so does the one that was waiting.
                waiting.into_iter().for_each(|(wait_id, _)| self.client.cancel_wait(wait_id));
                return;
            }
        }
        if let Some(waiting) = waiting {
            self.batch.wait_again(waiting);
        }
    }

    /// Answers the requests since the checkpoint with `error`, because their actor has stopped.
    pub(super) fn answer_with(&mut self, checkpoint: BatchCheckpoint, error: &Error) {
        if self.batch.is_transaction() {
            return self.abort(error);
        }
        let answered = self.batch.answered_since(&checkpoint);
        self.batch.go_back(checkpoint);
        answered.for_each(|_| self.reject(error));
    }

    /// Aborts the transaction: its reply is an `EXECABORT` error.
    pub(super) fn abort(&mut self, error: &Error) {
        if let Some(wait_id) = self.batch.wait_id() {
            self.client.cancel_wait(wait_id);
        }
        self.batch.abandon_transaction();
        self.batch.out.error(&aborted_by(error));
    }

    /// Takes the exclusive access that the transaction needs next. With the last one, it can run.
    ///
    /// First removes the expired keys of the actor, which may be watched.
    #[cold]
    pub(super) fn acquire<A: Commands>(
        &mut self,
        actor_id: ActorId,
        actor: &mut A,
        keyspace: &Keyspace,
        exclusive: Exclusive,
    ) {
        let time = *self.batch.exclusive.time.get_or_insert_with(now);
        let _clock = StoppedClock::new(Some(time));
        actor.remove_expired(keyspace);
        if self.batch.acquire(actor_id, exclusive) {
            self.abort_if_dirty();
        }
    }

    /// Aborts the transaction if a key that its client watches has changed.
    #[cold]
    fn abort_if_dirty(&mut self) {
        if self.batch.next_request() == 0 && self.client.is(ClientFlag::Dirty) {
            self.batch.abandon_transaction();
            self.batch.out.encoder_mut().null_array();
        }
    }

    fn may_write<A: Commands>(&self, request: u32) -> bool {
        row_of(&self.batch, request).is_some_and(writes::<A>)
    }
}

#[inline]
fn next_row(batch: &Batch, actor_id: ActorId) -> Option<RowId> {
    batch.runnable()?.of_actor(actor_id).map(|target| target.row)
}

/// Returns the row of a request that an actor runs.
fn row_of(batch: &Batch, request: u32) -> Option<RowId> {
    let target = batch.requests.target(request)?.target()?;
    (target.actor_id != ActorId::CONNECTION).then_some(target.row)
}

/// Returns a function that finds the descriptions of this actor's commands.
fn spec_of<A: Commands>(actor_id: ActorId) -> impl Fn(Resolved<CommandRef>) -> Option<&'static Spec> {
    move |target| target.of_actor(actor_id).map(|target| &target.row.get::<A>().spec)
}

/// Returns whether a command may change data. Commands without the flag `readonly` may.
fn writes<A: Commands>(row: RowId) -> bool {
    !row.get::<A>().spec.flags.contains(Flags::READONLY)
}

/// Answers the next request, whose handler panicked, with an error.
#[cold]
fn answer_panic(batch: &mut Batch, client: &Client, spec: Option<&'static Spec>) {
    batch.discard_reply();
    if let Some(wait_id) = batch.out.take_deferred() {
        client.cancel_wait(wait_id);
    }
    step(batch, client, spec, |request, out| {
        let client = request.client();
        let command = request.quoted_name();
        tracing::error!(id = client.id(), client = %client.addr(), ?command, "a handler panicked");
        out.error(&Error::INTERNAL);
    });
}

/// Ends the wait of a command such as `BLPOP` as if its timeout had expired, since a transaction cannot block.
///
/// Commands that are merely answered later are waited for.
fn end_wait(batch: &Batch, client: &Client) {
    if let Some(wait_id) = batch.wait_id()
        && batch.is_in_transaction()
        && batch.may_block()
    {
        client.unblock_command(wait_id, None);
    }
}
