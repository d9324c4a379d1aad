//! One queue, and the numbers of its jobs.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use thegiant::InfoFields;

use crate::job::JobState;

/// A queue. Its `ready` list may contain stale numbers of jobs that are no longer ready.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    pub(super) ready: VecDeque<u64>,
    pub(crate) counts: Counts,
    pub(crate) paused: bool,
    /// Whether the queue was used since the last [`tidy`](super::Queues::tidy).
    pub(super) used: bool,
}

/// Numbers of jobs of a queue by state, and of finished jobs by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) ready: u64,
    pub(crate) delayed: u64,
    pub(crate) out: u64,
    pub(crate) added: u64,
    pub(crate) done: u64,
    pub(crate) failed: u64,
    pub(crate) requeued: u64,
    pub(crate) dead: u64,
    pub(crate) expired: u64,
}

impl Counts {
    pub(super) fn at(&mut self, state: JobState) -> &mut u64 {
        match state {
            JobState::Ready => &mut self.ready,
            JobState::Delayed => &mut self.delayed,
            JobState::Out { .. } => &mut self.out,
        }
    }
}

/// Totals of a shard that other threads read for `INFO` while the actor works.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) jobs: AtomicU64,
    pub(crate) waiting: AtomicU64,
    pub(crate) queues: AtomicU64,
}

impl Totals {
    /// Writes the fields of `INFO`, with the sums of all shards.
    pub(crate) fn write_all(shards: &[Arc<Totals>], info: &mut InfoFields) {
        let sum = |total: fn(&Totals) -> &AtomicU64| {
            shards.iter().map(|totals| total(totals).load(Relaxed)).sum::<u64>()
        };
        info.field("jobs", sum(|totals| &totals.jobs));
        info.field("jobs_queues", sum(|totals| &totals.queues));
        info.field("jobs_waiting_workers", sum(|totals| &totals.waiting));
    }
}
