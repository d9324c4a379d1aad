//! Going back to a request, to answer it again.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{ActorId, Batch};
use crate::{
    Error,
    builtin::transaction::aborted_by,
    command::{Commands, Flags, ReplyMode, Resolved, RowId},
    connection::commit_group::ReplyHolder,
    resp::BufferPosition,
};

/// Where a batch is before something of it is run.
#[derive(Debug)]
pub(crate) struct BatchCheckpoint {
    next: usize,
    next_span: usize,
    mark: BufferPosition,
    replies: ReplyMode,
}

impl Batch {
    /// Where it is.
    pub(crate) fn checkpoint(&self) -> BatchCheckpoint {
        BatchCheckpoint {
            next: self.next,
            next_span: self.next_span,
            mark: self.mark,
            replies: self.out.mode(),
        }
    }

    /// How many requests have been answered since.
    pub(crate) fn answered_since(&self, checkpoint: &BatchCheckpoint) -> usize {
        self.next - checkpoint.next
    }

    /// Whether one of those that the actor has answered since may have changed something.
    pub(crate) fn has_written_since<A: Commands>(&self, checkpoint: &BatchCheckpoint) -> bool {
        (checkpoint.next..self.next).filter_map(|index| self.row_of(index)).any(|row| writes::<A>(row))
    }

    /// Has what its next request waits for come by way of a keeper. If the reply is there already, it waits no longer.
    pub(crate) fn hold_reply<A: Commands>(&mut self, reply_holder: impl FnOnce(bool) -> ReplyHolder) {
        let Some(client) = self.client.clone() else { return };
        if self.is_transaction {
            self.end_wait(&client);
        }
        let may_write = self.row_of(self.next).is_some_and(|row| writes::<A>(row));
        if let Some(reply) = client.hold_reply_by(reply_holder(may_write)) {
            self.take_reply(reply);
        }
    }

    /// Answers again what has been answered since by an actor that has taken its changes back: what may have changed
    /// something with `error`, and what has only read by reading again. Of a transaction nothing was run.
    pub(crate) fn answer_again<A: Commands>(
        &mut self,
        checkpoint: BatchCheckpoint,
        error: &Error,
        actor: &mut A,
        context: &mut A::CommandContext,
    ) {
        if self.is_transaction {
            return self.abort(error);
        }
        let until = self.go_back(checkpoint);
        self.begin();
        while self.next < until {
            let before = self.next;
            let Some(row) = self.row_of(self.next) else { break };
            let spec = &row.get::<A>().spec;
            if writes::<A>(row) || spec.flags.contains(Flags::BLOCKING) {
                self.step(Some(spec), |_, out| out.error(error));
            } else {
                let read =
                    || self.step(Some(spec), |call, out| (row.get::<A>().run)(actor, call, context, out));
                if catch_unwind(AssertUnwindSafe(read)).is_err() {
                    self.answer_panic(Some(spec));
                }
            }
            if self.next == before {
                // It waits for its reply now, and what is behind it is run when that is there.
                return;
            }
        }
    }

    /// Answers what has been answered since with `error`, where its actor cannot be asked any more.
    pub(crate) fn answer_with(&mut self, checkpoint: BatchCheckpoint, error: &Error) {
        if self.is_transaction {
            return self.abort(error);
        }
        let until = self.go_back(checkpoint);
        while self.next < until {
            self.reject(|_, out| out.error(error));
        }
    }

    /// Returns how far it was.
    fn go_back(&mut self, checkpoint: BatchCheckpoint) -> usize {
        let until = self.next;
        self.end_streaming();
        self.next = checkpoint.next;
        self.next_span = checkpoint.next_span;
        self.mark = checkpoint.mark;
        self.out.rewind(checkpoint.mark);
        self.out.set_mode(checkpoint.replies);
        self.stats.forget_from(checkpoint.next as u32);
        until
    }

    /// As a transaction, it has not taken place.
    pub(crate) fn abort(&mut self, error: &Error) {
        if self.is_waiting()
            && let Some(client) = &self.client
        {
            client.cancel_wait();
        }
        self.requests.clear();
        self.next = 0;
        self.streaming = None;
        self.room = usize::MAX;
        self.forget_replies();
        self.stats.clear();
        self.out.error(&aborted_by(error));
    }

    fn row_of(&self, index: usize) -> Option<RowId> {
        match self.requests.get(index)?.target {
            Resolved::Command(target) if target.actor_id != ActorId::CONNECTION => Some(target.row),
            _ => None,
        }
    }
}

/// Whether a command may change something: one that does not say that it only reads.
fn writes<A: Commands>(row: RowId) -> bool {
    !row.get::<A>().spec.flags.contains(Flags::READONLY)
}
