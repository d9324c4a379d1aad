//! Where the jobs are: in memory only, or in a database as well.

use thegiant::Client;

use crate::{
    database::{Changes, Writer, Written},
    job::Id,
    queues::Queues,
    schedules::Schedules,
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
    pub(crate) new: Vec<(Client, Id)>,
    /// The group commit in progress writes their changes.
    pub(crate) committing: Vec<(Client, Id)>,
}

impl HeldPushes {
    pub(crate) fn add(&mut self, client: &Client, job: Id) {
        self.new.push((client.clone(), job));
    }
}
