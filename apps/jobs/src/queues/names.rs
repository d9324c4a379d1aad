//! The names of jobs, and the results of jobs that have ended.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use bytes::Bytes;
use foldhash::fast::RandomState;

use super::{Queues, tracker::Tracker};
use crate::job::{Caller, Id, Job, JobResult};

/// The time for which the result of a job with a name is kept, if the job does not say.
const KEEP_NAMED: Duration = Duration::from_secs(60);

/// The names of jobs, and the results that are kept for a time.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// The job, or the kept result, of each queue and name.
    numbers: HashMap<(Bytes, Bytes), u64, RandomState>,
    results: HashMap<u64, KeptResult, RandomState>,
    /// The ends of the results: time and job number.
    ends: BTreeSet<(Instant, u64)>,
}

/// The result of a job that has ended.
#[derive(Debug)]
pub(super) struct KeptResult {
    pub(super) id: Id,
    /// The queue and the name of the job.
    pub(super) name: Option<(Bytes, Bytes)>,
    pub(super) until: Instant,
    pub(super) result: JobResult,
}

/// A job that was added earlier with the same name.
#[derive(Debug)]
pub(crate) enum Earlier {
    /// The job has not ended.
    Pending(Id),
    /// The job has ended with this result.
    Ended(Id, JobResult),
}

impl Names {
    pub(super) fn add(&mut self, queue: &Bytes, name: &Bytes, id: Id) {
        self.numbers.insert((queue.clone(), name.clone()), id.number);
    }

    pub(super) fn remove(&mut self, queue: &Bytes, name: &Bytes) {
        self.numbers.remove(&(queue.clone(), name.clone()));
    }

    pub(super) fn insert(&mut self, kept: KeptResult) {
        let number = kept.id.number;
        if let Some(name) = &kept.name {
            self.numbers.insert(name.clone(), number);
        }
        self.ends.insert((kept.until, number));
        self.results.insert(number, kept);
    }

    /// Returns the result of the job with this number.
    pub(super) fn kept(&self, number: u64) -> Option<&KeptResult> {
        self.results.get(&number)
    }

    fn forget(&mut self, number: u64) {
        let Some(kept) = self.results.remove(&number) else { return };
        self.ends.remove(&(kept.until, number));
        if let Some(name) = kept.name {
            self.numbers.remove(&name);
        }
    }

    /// Removes the results whose time is over.
    fn tidy(&mut self, now: Instant, tracker: &mut Tracker) {
        while let Some((_, number)) = self.ends.first().copied().filter(|(until, _)| *until <= now) {
            self.ends.pop_first();
            self.forget(number);
            tracker.result_changed(number);
        }
    }
}

impl Queues {
    /// Returns the job of a queue that was added with this name.
    pub(crate) fn named(&mut self, queue: &Bytes, name: &Bytes, now: Instant) -> Option<Earlier> {
        self.tidy_results(now);
        let number = self.names.numbers.get(&(queue.clone(), name.clone()))?;
        match self.names.results.get(number) {
            Some(kept) => Some(Earlier::Ended(kept.id, kept.result.clone())),
            None => self.jobs.get(number).map(|job| Earlier::Pending(job.id)),
        }
    }

    /// Adds a caller to a job, or a producer that waits for no result.
    ///
    /// The job expires no sooner than `ttl` ends.
    pub(crate) fn join(&mut self, id: Id, caller: Option<Caller>, ttl: Option<Duration>, now: Instant) {
        let Some(job) = self.jobs.get_mut(&id.number) else { return };
        let (was_stored, expired) = (job.is_stored(), job.expires);
        job.expires = job.expires.zip(ttl).map(|(expires, ttl)| expires.max(now + ttl));
        if let Some(caller) = &caller {
            self.calls.insert(caller.client().id(), id.number);
        }
        job.join(caller);
        if !was_stored {
            self.tracker.job_added(job);
        } else if job.expires != expired {
            self.tracker.job_changed(job);
        }
        let due = job.due;
        self.set_due(id.number, due);
    }

    /// Keeps the result of a job that has ended, if somebody may ask for it.
    ///
    /// The job was added with a name, or with a time for its result.
    pub(crate) fn keep_result(&mut self, job: &Job, result: &JobResult, now: Instant) {
        let Some(rare) = &job.rare else { return };
        self.tidy_results(now);
        if let Some(keep) = rare.keep.or_else(|| rare.name.as_ref().map(|_| KEEP_NAMED)) {
            let name = rare.name.clone().map(|name| (job.queue.clone(), name));
            self.names.insert(KeptResult { id: job.id, name, until: now + keep, result: result.clone() });
            self.tracker.result_changed(job.id.number);
        }
    }

    /// Returns the kept result of a job.
    pub(crate) fn result(&mut self, id: Id, now: Instant) -> Option<JobResult> {
        self.tidy_results(now);
        self.names.results.get(&id.number).filter(|kept| kept.id == id).map(|kept| kept.result.clone())
    }

    /// Removes the kept result of a job. Returns whether there was one.
    pub(crate) fn forget_result(&mut self, id: Id) -> bool {
        let is_kept = self.names.kept(id.number).is_some_and(|kept| kept.id == id);
        if is_kept {
            self.names.forget(id.number);
            self.tracker.result_changed(id.number);
        }
        is_kept
    }

    /// Removes the results whose time is over.
    pub(super) fn tidy_results(&mut self, now: Instant) {
        self.names.tidy(now, &mut self.tracker);
    }
}
