//! Writes changes, and holds back the replies and pushes that acknowledge them until they are on disk.

use std::mem;

use actix::{WrapFuture, fut::ActorFutureExt};
use thegiant::{Commit, GroupCommit, prelude::*};

use crate::{
    job::{Id, JobPush, JobState, Pushed},
    server::Jobs,
    storage::Storage,
};

impl<S: Storage> GroupCommit for Jobs<S> {
    const USES_GROUP_COMMIT: bool = S::IS_DURABLE;

    fn commit(&mut self, _: &mut Context<Self>) -> Commit {
        self.held.committing = mem::take(&mut self.held.new);
        let changes = self.storage.take_changes(&mut self.queues, &self.schedules);
        match self.storage.write(changes) {
            Some(written) => Commit::later(written),
            None => Ok(()).into(),
        }
    }

    /// Ends the server. PostgreSQL does the same when it cannot write: a restart finds all that was acknowledged.
    ///
    /// If the jobs are with another instance, it discards the effects of a command that came too late.
    fn rollback(&mut self, error: &Error, context: &mut Context<Self>) {
        if !self.storage.is_open() {
            return self.clear(context);
        }
        tracing::error!(%error, "the server stops, because its jobs are no longer those of the database: start it again");
        context.stop();
    }

    fn committed(&mut self, context: &mut Context<Self>) {
        let pushes = mem::take(&mut self.held.committing);
        self.send(pushes, context);
    }
}

impl<S: Storage> Jobs<S> {
    /// Writes the changes of timers, of lost clients, and of commands that wait without a reply.
    ///
    /// Group commit writes those of other commands. If the jobs are with another instance, nobody waits here: a command that
    /// came too late gets an error.
    pub(crate) fn write_changes(&mut self, context: &mut Context<Self>) {
        if !S::IS_DURABLE {
            return;
        }
        if !self.storage.is_open() {
            return self.clear(context);
        }
        let changes = self.storage.take_changes(&mut self.queues, &self.schedules);
        let pushes = mem::take(&mut self.held.new);
        if changes.is_empty() && pushes.is_empty() {
            return;
        }
        let Some(written) = self.storage.write(changes) else { return self.send(pushes, context) };
        let written = written.into_actor(self).map(|result, this, context| match result {
            Ok(()) => this.send(pushes, context),
            Err(error) => this.rollback(&error, context),
        });
        context.spawn(written);
    }

    /// Sends pushes whose changes are on disk.
    fn send(&mut self, pushes: Vec<(Client, Id)>, context: &mut Context<Self>) {
        let mut failed = false;
        for (client, id) in pushes {
            let held = JobState::Out { client: client.id(), push: Some(JobPush::Held) };
            // The job may have ended, or another worker may have it.
            let Some(job) = self.queues.get(id).filter(|job| job.state == held) else { continue };
            let queue = job.queue.clone();
            match client.push(Pushed(job.delivery())) {
                Some(push) => self.queues.set_push(id, push),
                None => {
                    self.on_unpushable(&client, id);
                    self.serve(&queue);
                    failed = true;
                }
            }
        }
        if failed {
            self.update_timer(context);
            self.write_changes(context);
        }
    }
}
