//! The places of jobs: memory only, or a database as well.

use std::{future::ready, io};

use thegiant::{Client, Error};
use tokio::task::spawn_blocking;

use crate::{
    database::{self, Changes, Contents, ScheduleRow, Scope, Writer, Written},
    job::Id,
    queues::Queues,
    schedules::Schedules,
    wall_clock::WallClock,
};

/// The place of the jobs.
pub(crate) trait Storage: Unpin + 'static {
    /// Whether replies and pushes wait until a database has the changes that they acknowledge.
    const IS_DURABLE: bool;

    /// Whether the jobs are those of one partition, and other instances own others.
    const IS_PARTITION: bool = false;

    /// Returns whether the jobs are here. Those of a partition may be with another instance.
    fn is_open(&self) -> bool {
        true
    }

    /// Returns the changes since the last call.
    fn take_changes(&mut self, queues: &mut Queues, schedules: &Schedules) -> Changes;

    /// Writes changes. Returns `None` if these, and all earlier ones, are on disk already.
    fn write(&mut self, changes: Changes) -> Option<Written>;
}

/// A place in memory. The jobs end with the process.
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

/// A place in memory and in a database.
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
        schedules.take_changes(queues.shard().number, &mut changes);
        changes
    }

    fn write(&mut self, changes: Changes) -> Option<Written> {
        let is_written = changes.is_empty() && self.writer.is_idle();
        (!is_written).then(|| self.writer.write(changes))
    }
}

/// The jobs of one of the partitions of a database.
///
/// They are here while this instance owns the partition.
pub(crate) enum Partition {
    Closed,
    Open(Durable),
}

impl Storage for Partition {
    const IS_DURABLE: bool = true;
    const IS_PARTITION: bool = true;

    fn is_open(&self) -> bool {
        matches!(self, Partition::Open(_))
    }

    fn take_changes(&mut self, queues: &mut Queues, schedules: &Schedules) -> Changes {
        match self {
            Partition::Open(durable) => durable.take_changes(queues, schedules),
            Partition::Closed => Changes::default(),
        }
    }

    fn write(&mut self, changes: Changes) -> Option<Written> {
        match self {
            Partition::Open(durable) => durable.write(changes),
            // A command had begun when the partition was closed.
            Partition::Closed => Some(Box::pin(ready(Err(NOT_SERVED)))),
        }
    }
}

/// The reply to commands for the jobs of a partition that is closed.
pub(crate) const NOT_SERVED: Error = Error::from_static("CLUSTERDOWN Hash slot not served");

/// The jobs of a database.
pub(crate) struct Stored {
    pub(crate) storage: Durable,
    pub(crate) queues: Queues,
    pub(crate) schedules: Vec<ScheduleRow>,
}

impl Stored {
    /// Opens a database, and reads its jobs.
    ///
    /// # Errors
    /// Returns the errors of [`database::open`].
    pub(crate) async fn open(url: &str, scope: Scope) -> io::Result<Self> {
        let (writer, contents) = database::open(url, scope).await?;
        let clock = WallClock::start();
        let Contents { run, jobs, results, queues, schedules } = contents;
        // Other shards may run on this thread.
        let restore = move || Queues::restore(scope.shard(), run, jobs, results, queues, &clock);
        let queues = spawn_blocking(restore).await?;
        Ok(Stored { storage: Durable { writer, clock }, queues, schedules })
    }
}

/// Pushes that wait for the database: the worker and the job of each.
#[derive(Debug, Default)]
pub(crate) struct HeldPushes {
    /// Pushes whose changes are not written yet.
    pub(crate) new: Vec<(Client, Id)>,
    /// Pushes whose changes the group commit in progress writes.
    pub(crate) committing: Vec<(Client, Id)>,
}

impl HeldPushes {
    pub(crate) fn add(&mut self, client: &Client, job: Id) {
        self.new.push((client.clone(), job));
    }
}
