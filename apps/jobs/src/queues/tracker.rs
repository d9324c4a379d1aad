//! The jobs, results and queues that have changed since the database was written.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::job::Job;

/// Notes which jobs, results and queues have changed.
///
/// Their rows are made when they are written, so that a job with many changes has one row, and one that was added and
/// finished meanwhile has none.
///
/// Jobs with callers are not in the database: when the process ends, their callers disconnect, and no worker would get them.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    /// Whether changes are tracked: there is a database.
    is_on: bool,
    pub(super) jobs: BTreeMap<u64, JobEvent>,
    pub(super) results: BTreeSet<u64>,
    pub(super) queues: BTreeSet<Bytes>,
    /// Whether the database must have the changes now. Counters can wait.
    pub(super) is_due: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum JobEvent {
    /// The database does not have the job.
    Added,
    Changed,
}

impl Tracker {
    pub(super) fn switch_on(&mut self) {
        self.is_on = true;
    }

    pub(super) fn is_on(&self) -> bool {
        self.is_on
    }

    pub(super) fn job_added(&mut self, job: &Job) {
        if self.is_on && job.is_stored() {
            self.jobs.insert(job.id.number, JobEvent::Added);
            self.is_due = true;
        }
    }

    /// Notes that a job has changed or was removed.
    pub(super) fn job_changed(&mut self, job: &Job) {
        if self.is_on && job.is_stored() {
            self.jobs.entry(job.id.number).or_insert(JobEvent::Changed);
            self.is_due = true;
        }
    }

    pub(super) fn result_changed(&mut self, number: u64) {
        if self.is_on {
            self.results.insert(number);
            self.is_due = true;
        }
    }

    pub(super) fn queue_counted(&mut self, name: &Bytes) {
        if self.is_on && !self.queues.contains(name) {
            self.queues.insert(name.clone());
        }
    }

    /// Makes the counters due, if they have changed.
    pub(super) fn counters_are_due(&mut self) {
        self.is_due |= !self.queues.is_empty();
    }
}
