//! A batch that is a transaction, and its exclusive access to actors.

use super::{ActorId, Actors, Batch, Exclusive, data::RunState};
use crate::resp::{BufferPosition, Protocol};

impl Batch {
    /// Makes the batch a transaction: it runs as one, and its replies form one array.
    ///
    /// If it is for several shards, it needs exclusive access to all of them before it runs.
    pub(crate) fn begin_transaction(&mut self, protocol: Protocol, mut shards: Vec<ActorId>) {
        self.is_transaction = true;
        self.run_state = self.running();
        if !shards.is_empty() {
            // All transactions take their shards in ascending order, so that no two wait for each other.
            shards.sort_unstable_by(|one, other| other.cmp(one));
            self.exclusive.is_atomic = true;
            self.run_state = RunState::Acquiring(shards);
        }
        let out = self.out.encoder_mut();
        out.set_protocol(protocol);
        out.array(self.requests.len());
        self.mark = out.position();
    }

    /// Drops all requests and replies of the transaction. The caller writes its reply.
    pub(crate) fn abandon_transaction(&mut self) {
        self.requests.truncate(0);
        self.next = 0;
        self.run_state = self.running();
        self.out.rewind(BufferPosition::default());
        self.clear_replies();
        self.stats.clear();
    }

    /// Returns whether the batch is a transaction, whose replies form one array.
    pub(crate) fn is_transaction(&self) -> bool {
        self.is_transaction
    }

    /// Returns whether the batch is a transaction, or a part of one.
    pub(crate) fn is_in_transaction(&self) -> bool {
        self.is_transaction || self.exclusive.is_atomic
    }

    /// Returns whether the batch keeps its exclusive access to an actor that has run some of its requests.
    ///
    /// It does if it is a transaction with more requests for this actor, after built-in commands.
    pub(crate) fn keeps(&self, actor_id: ActorId) -> bool {
        let is_part = self.is_part();
        let returns =
            || self.is_transaction && !self.is_blocked() && self.requests.has_any_of(self.next, actor_id);
        if self.exclusive.is_atomic { is_part || self.has_requests() } else { returns() }
    }

    /// Returns the next shard to which the transaction needs exclusive access.
    pub(crate) fn next_wanted(&self) -> Option<ActorId> {
        match &self.run_state {
            RunState::Acquiring(shards) => shards.last().copied(),
            _ => None,
        }
    }

    /// Takes the exclusive access to the [next wanted](Self::next_wanted) shard.
    ///
    /// Returns whether the transaction can run now.
    pub(crate) fn acquire(&mut self, actor_id: ActorId, exclusive: Exclusive) -> bool {
        self.exclusive.add(actor_id, exclusive);
        let RunState::Acquiring(shards) = &mut self.run_state else { return true };
        shards.retain(|wanted| *wanted != actor_id);
        let can_run = shards.is_empty();
        if can_run {
            self.run_state = self.running();
        }
        can_run
    }

    /// Moves the exclusive access to a shard from the whole batch to this part.
    pub(crate) fn take_access(&mut self, whole: &mut Batch, actor_id: ActorId) {
        self.exclusive.is_atomic = whole.exclusive.is_atomic;
        self.exclusive.time = whole.exclusive.time;
        if let Some(exclusive) = whole.exclusive.take(actor_id) {
            self.exclusive.add(actor_id, exclusive);
        }
    }

    /// Moves the requests of other shards than these, which any shard can run, to the first of these.
    pub(crate) fn keep_on(&mut self, group: Actors, shards: &[ActorId]) {
        self.requests.move_targets(group, shards);
    }
}
