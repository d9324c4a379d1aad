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
    pub(super) ready: Ready,
    pub(crate) counts: Counts,
    pub(crate) paused: bool,
    /// Whether the queue was used since the last [`tidy`](super::Queues::tidy).
    pub(super) used: bool,
}

/// The numbers of ready jobs: a list for each priority that was used, the highest first.
#[derive(Debug, Default)]
pub(super) struct Ready(Vec<(u8, VecDeque<u64>)>);

impl Ready {
    pub(super) fn push_back(&mut self, priority: u8, number: u64) {
        self.list(priority).push_back(number);
    }

    pub(super) fn push_front(&mut self, priority: u8, number: u64) {
        self.list(priority).push_front(number);
    }

    pub(super) fn pop_front(&mut self) -> Option<u64> {
        self.0.iter_mut().find_map(|(_, list)| list.pop_front())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &u64> {
        self.0.iter().flat_map(|(_, list)| list)
    }

    pub(super) fn of_priority(&self, priority: u8) -> impl Iterator<Item = &u64> {
        self.0.iter().filter(move |(known, _)| *known == priority).flat_map(|(_, list)| list)
    }

    pub(super) fn len(&self) -> usize {
        self.0.iter().map(|(_, list)| list.len()).sum()
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&u64) -> bool) {
        self.0.iter_mut().for_each(|(_, list)| list.retain(&keep));
    }

    fn list(&mut self, priority: u8) -> &mut VecDeque<u64> {
        let at = self.0.partition_point(|(known, _)| *known > priority);
        if self.0.get(at).is_none_or(|(known, _)| *known != priority) {
            self.0.insert(at, (priority, VecDeque::new()));
        }
        &mut self.0[at].1
    }
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
