//! The part of a connection that runs transactions.

use std::mem;

use super::{
    Connection,
    connection::{Next, Stage},
};
use crate::{
    batch::{ActorId, Batch},
    dispatch::{Transaction, reject},
    observe::Hook,
};

impl Connection {
    /// Queues the next request for `EXEC`.
    #[cold]
    pub(super) fn queue(&mut self, batch: &mut Batch) {
        let Some(queue) = self.state.transaction.queue() else { return };
        let queued = queue.push(batch, &self.state.server.routes);
        reject(batch, &self.client, |_, out| match &queued {
            Ok(()) => out.raw(b"+QUEUED\r\n"),
            Err(error) => out.error(error),
        });
    }

    /// Runs the queued requests if the next request is `EXEC`.
    ///
    /// Otherwise the replies so far are written, and the client is blocked.
    #[cold]
    pub(super) fn run_transaction(&mut self, batch: Box<Batch>) -> Result<Box<Batch>, Next> {
        if batch.is_transaction() {
            return Err(self.block(batch).into());
        }
        if self.state.transaction.queue().is_some() {
            self.state.publish_queued();
        }
        let state = &mut self.state;
        let Transaction::Queued(queue) = mem::take(&mut state.transaction) else {
            state.replies = batch.out.mode();
            return Err(Stage::Writing(batch).into());
        };
        let watched = state.watch.iter().flat_map(|watch| watch.keys());
        let (mut transaction, actor) =
            match queue.into_batch(self.client.protocol(), watched, &state.server.routes) {
                Ok(ready) => ready,
                Err(error) => {
                    state.end_transaction();
                    let mut batch = batch;
                    batch.take_reply(self.client.reply(|out| out.error(&error)));
                    return Ok(batch);
                }
            };
        state.transaction = Transaction::Running(batch);
        transaction.out.encoder_mut().set_key_prefix(&self.state.key_prefix);
        if self.state.server.hooks.is(Hook::Users) {
            self.deny_queued(&mut transaction);
        }
        let Some(actor) = actor else { return Ok(transaction) };
        // The actor runs the transaction from its first request on, even a built-in one. Only there is it
        // certain whether a watched key has changed.
        self.client.set_watched(false);
        self.observe(&mut transaction);
        self.show(&mut transaction, actor);
        Err(self.send_to(actor, transaction))
    }

    /// Makes the replies of a transaction the reply to its `EXEC`.
    #[cold]
    pub(super) fn end_transaction(&mut self, mut transaction: Box<Batch>) -> Result<Box<Batch>, Next> {
        let state = &mut self.state;
        state.record_stats(&mut transaction);
        state.report_outcomes(&mut transaction);
        let Transaction::Running(mut batch) = mem::take(&mut state.transaction) else {
            return Err(Stage::Ended.into());
        };
        state.end_transaction();
        if transaction.is_observed() {
            state.server.keyspace.broadcast();
        }
        self.show(&mut batch, ActorId::CONNECTION);
        batch.take_reply(transaction);
        batch.out.encoder_mut().set_protocol(self.client.protocol());
        if self.state.closing {
            batch.abandon_requests();
        }
        Ok(batch)
    }
}
