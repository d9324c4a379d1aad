//! Where the jobs are: in memory only, or in a database as well.

use std::mem;

use actix::{WrapFuture, fut::ActorFutureExt};
use thegiant::{Commit, GroupCommit, prelude::*};

use crate::{
    database::{Changes, Writer, Written},
    job::{Id, JobPush, JobState, Pushed},
    queues::Queues,
    schedules::Schedules,
    server::Jobs,
    wall_clock::WallClock,
};

/// Where the jobs are.
pub(crate) trait Storage: Unpin + 'static {
    /// Whether replies and pushes wait until a database has the changes that they acknowledge.
    const IS_DURABLE: bool;

    /// Returns the changes since the last call.
    fn take_changes(&mut self, queues: &mut Queues, schedules: &Schedules) -> Changes;

    /// Writes changes. Returns `None` if these, and all earlier ones, are on disk already.
    fn write(&mut self, changes: Changes) -> Option<Written>;
}

/// The jobs end with the process.
pub(crate) struct Memory;

impl Storage for Memory {
    const IS_DURABLE: bool = false;

    fn take_changes(&mut self, _: &mut Queues, _: &Schedules) -> Changes {
        Changes::default()
    }

    fn write(&mut self, _: Changes) -> Option<Written> {
        None
    }
}

/// A database has the jobs, too.
pub(crate) struct Durable {
    pub(crate) writer: Writer,
    pub(crate) clock: WallClock,
}

impl Storage for Durable {
    const IS_DURABLE: bool = true;

    fn take_changes(&mut self, queues: &mut Queues, schedules: &Schedules) -> Changes {
        let mut changes = Changes::default();
        self.clock.follow();
        queues.take_changes(&self.clock, &mut changes);
        schedules.take_changes(&mut changes);
        changes
    }

    fn write(&mut self, changes: Changes) -> Option<Written> {
        let is_written = changes.is_empty() && self.writer.is_idle();
        (!is_written).then(|| self.writer.write(changes))
    }
}

/// Pushes that wait for the database: the worker and the job of each.
#[derive(Debug, Default)]
pub(crate) struct HeldPushes {
    /// Their changes are not written yet.
    new: Vec<(Client, Id)>,
    /// The group commit in progress writes their changes.
    committing: Vec<(Client, Id)>,
}

impl HeldPushes {
    pub(crate) fn add(&mut self, client: &Client, job: Id) {
        self.new.push((client.clone(), job));
    }
}

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
    fn rollback(&mut self, error: &Error, context: &mut Context<Self>) {
        tracing::error!(%error, "the server stops, because its jobs are no longer those of the database: start it again");
        context.stop();
    }

    fn committed(&mut self, context: &mut Context<Self>) {
        let pushes = mem::take(&mut self.held.committing);
        self.send(pushes, context);
    }
}

impl<S: Storage> Jobs<S> {
    /// Writes the changes of timers, of lost clients, and of commands that wait without a reply. Group commit writes those of
    /// other commands.
    pub(crate) fn write_changes(&mut self, context: &mut Context<Self>) {
        if !S::IS_DURABLE {
            return;
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
