//! What a connection does between `MULTI` and the reply of `EXEC`.

use std::mem;

use super::{ActorId, Batch, Connection, Transaction, actor::Stage};

impl Connection {
    /// Has the next request wait for `EXEC`.
    #[cold]
    pub(super) fn queue(&mut self, batch: &mut Batch) {
        let Some(queue) = self.state.transaction.queue() else { return };
        match queue.push(batch, &self.state.server.routes) {
            Ok(()) => batch.reject(|_, out| out.raw(b"+QUEUED\r\n")),
            Err(error) => batch.reject(|_, out| out.error(&error)),
        }
    }

    /// The next request waits for its reply. If it is `EXEC`, that is what has been queued, and is run next.
    #[cold]
    pub(super) fn run_transaction(&mut self, batch: Box<Batch>) -> Result<Box<Batch>, Stage> {
        if batch.is_transaction() {
            return Err(self.block(batch));
        }
        let state = &mut self.state;
        let Transaction::Queued(queue) = mem::take(&mut state.transaction) else {
            state.replies = batch.out.mode();
            return Err(Stage::Writing(batch));
        };
        state.client.set_queued(Some(queue.size()));
        let (mut transaction, actor) = queue.into_batch(&state.client);
        state.transaction = Transaction::Running(batch);
        let Some(actor) = actor else { return Ok(transaction) };
        // Its actor begins it, whatever comes first: there it is known whether what was watched has changed.
        state.client.set_watched(false);
        self.observe(&mut transaction);
        self.show(&mut transaction, actor);
        Err(self.send_to(actor, transaction))
    }

    /// A transaction has been run: what it has answered is the reply that its `EXEC` waits for.
    #[cold]
    pub(super) fn end_transaction(&mut self, mut transaction: Box<Batch>) -> Result<Box<Batch>, Stage> {
        let state = &mut self.state;
        state.tally(&mut transaction);
        let Transaction::Running(mut batch) = mem::take(&mut state.transaction) else {
            return Err(Stage::Ended);
        };
        state.end_transaction();
        if transaction.is_observed() {
            state.server.keyspace.broadcast();
        }
        self.show(&mut batch, ActorId::CONNECTION);
        batch.take_reply(transaction);
        batch.out.encoder_mut().set_protocol(self.state.client.protocol());
        if batch.is_observed() {
            batch.tell_of_keys();
        }
        if self.state.closing {
            batch.abandon_requests();
        }
        Ok(batch)
    }
}
