//! Going back to a request, to answer it again.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Burst, MountId};
use crate::{
    Error,
    builtin::transaction::aborted_by,
    command::{Commands, Flags, Resolved, RowId},
    connection::group::Keeper,
    resp::{Mark, Replies},
};

/// Where a burst is before something of it is run.
#[derive(Debug)]
pub(crate) struct Place {
    next: usize,
    next_span: usize,
    mark: Mark,
    replies: Replies,
}

impl Burst {
    /// Where it is.
    pub(crate) fn place(&self) -> Place {
        Place { next: self.next, next_span: self.next_span, mark: self.mark, replies: self.out.replies() }
    }

    /// How many requests have been answered since.
    pub(crate) fn answered_since(&self, place: &Place) -> usize {
        self.next - place.next
    }

    /// Whether one of those that the actor has answered since may have changed something.
    pub(crate) fn has_written_since<A: Commands>(&self, place: &Place) -> bool {
        (place.next..self.next).filter_map(|index| self.row_of(index)).any(|row| writes::<A>(row))
    }

    /// Has what its next request waits for come by way of a keeper. If the reply is there already, it waits no longer.
    pub(crate) fn answer_by_way_of<A: Commands>(&mut self, keeper: impl FnOnce(bool) -> Keeper) {
        let Some(client) = self.client.clone() else { return };
        if self.is_transaction {
            self.end_waiting(&client);
        }
        let may_write = self.row_of(self.next).is_some_and(|row| writes::<A>(row));
        if let Some(reply) = client.keep_by(keeper(may_write)) {
            self.take_reply(reply);
        }
    }

    /// Answers again what has been answered since by an actor that has taken its changes back: what may have changed
    /// something with `error`, and what has only read by reading again. Of a transaction nothing was run.
    pub(crate) fn answer_again<A: Commands>(
        &mut self,
        place: Place,
        error: &Error,
        actor: &mut A,
        context: &mut A::CommandContext,
    ) {
        if self.is_transaction {
            return self.abort(error);
        }
        let until = self.go_back(place);
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
    pub(crate) fn answer_with(&mut self, place: Place, error: &Error) {
        if self.is_transaction {
            return self.abort(error);
        }
        let until = self.go_back(place);
        while self.next < until {
            self.reject(|_, out| out.error(error));
        }
    }

    /// Returns how far it was.
    fn go_back(&mut self, place: Place) -> usize {
        let until = self.next;
        self.forget_tail();
        self.next = place.next;
        self.next_span = place.next_span;
        self.mark = place.mark;
        self.out.rewind(place.mark);
        self.out.set_replies(place.replies);
        self.ledger.forget_from(place.next as u32);
        until
    }

    /// As a transaction, it has not taken place.
    pub(crate) fn abort(&mut self, error: &Error) {
        if self.is_waiting()
            && let Some(client) = &self.client
        {
            client.forget_to_wait();
        }
        self.requests.clear();
        self.next = 0;
        self.tail = None;
        self.room = usize::MAX;
        self.forget_replies();
        self.ledger.clear();
        self.out.error(&aborted_by(error));
    }

    fn row_of(&self, index: usize) -> Option<RowId> {
        match self.requests.get(index)?.target {
            Resolved::Command(target) if target.mount != MountId::SESSION => Some(target.row),
            _ => None,
        }
    }
}

/// Whether a command may change something: one that does not say that it only reads.
fn writes<A: Commands>(row: RowId) -> bool {
    !row.get::<A>().spec.flags.contains(Flags::READONLY)
}
