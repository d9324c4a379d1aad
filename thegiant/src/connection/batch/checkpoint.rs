//! Returns a batch to an earlier request, to answer it again.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{ActorId, Batch};
use crate::{
    Error,
    builtin::transaction::aborted_by,
    command::{Commands, Flags, ReplyMode, Resolved, RowId},
    connection::commit_group::ReplyHolder,
    resp::BufferPosition,
};

/// A position in a batch to which the batch can return.
#[derive(Debug)]
pub(crate) struct BatchCheckpoint {
    next: usize,
    next_span: usize,
    mark: BufferPosition,
    replies: ReplyMode,
}

impl Batch {
    /// Returns the current position.
    pub(crate) fn checkpoint(&self) -> BatchCheckpoint {
        BatchCheckpoint {
            next: self.next,
            next_span: self.next_span,
            mark: self.mark,
            replies: self.out.mode(),
        }
    }

    /// Returns the number of requests that were answered since the checkpoint.
    pub(crate) fn answered_since(&self, checkpoint: &BatchCheckpoint) -> usize {
        self.next - checkpoint.next
    }

    /// Returns whether a request since the checkpoint may have changed the actor's data.
    pub(crate) fn has_written_since<A: Commands>(&self, checkpoint: &BatchCheckpoint) -> bool {
        (checkpoint.next..self.next).filter_map(|index| self.row_of(index)).any(|row| writes::<A>(row))
    }

    /// Routes the awaited reply to the next request through a [`ReplyHolder`].
    ///
    /// A reply that is there already is used at once.
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

    /// Answers the requests since the checkpoint again, after a rollback of the actor.
    ///
    /// Requests that may have changed data are answered with `error`. Reads run again. A transaction is
    /// aborted.
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
                // The request is blocked. The requests behind it run after its reply.
                return;
            }
        }
    }

    /// Answers the requests since the checkpoint with `error`, because their actor has stopped.
    pub(crate) fn answer_with(&mut self, checkpoint: BatchCheckpoint, error: &Error) {
        if self.is_transaction {
            return self.abort(error);
        }
        let until = self.go_back(checkpoint);
        while self.next < until {
            self.reject(|_, out| out.error(error));
        }
    }

    /// Returns to the checkpoint. Returns the index of the next request before that.
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

    /// Aborts the transaction: its reply is an `EXECABORT` error.
    pub(crate) fn abort(&mut self, error: &Error) {
        if self.is_blocked()
            && let Some(client) = &self.client
        {
            client.cancel_wait();
        }
        self.requests.clear();
        self.next = 0;
        self.streaming = None;
        self.room = usize::MAX;
        self.clear_replies();
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

/// Returns whether a command may change data. Commands without the flag `readonly` may.
fn writes<A: Commands>(row: RowId) -> bool {
    !row.get::<A>().spec.flags.contains(Flags::READONLY)
}
