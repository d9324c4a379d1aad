//! All jobs and queues of a shard.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use bytes::Bytes;
use foldhash::fast::RandomState;
use thegiant::{Error, PushId};

use super::{
    names::Names,
    queue::{Counts, Queue},
    returns::Return,
    tracker::Tracker,
};
use crate::{
    job::{Caller, Id, Job, JobPush, JobState, Rare},
    shard::Shard,
};

/// Number of stale entries that a queue may keep.
const MAX_STALE: u64 = 32;

/// All jobs and queues of a shard.
#[derive(Debug)]
pub(crate) struct Queues {
    pub(super) shard: Shard,
    run: u32,
    /// Number of the last job.
    pub(super) last: u64,
    pub(super) jobs: HashMap<u64, Job, RandomState>,
    queues: HashMap<Bytes, Queue, RandomState>,
    /// Jobs that workers have: client id and job number.
    leases: BTreeSet<(u64, u64)>,
    /// The latest job that each client called with `CALLJOB`.
    pub(super) calls: HashMap<u64, u64, RandomState>,
    pub(super) names: Names,
    /// The deadlines of jobs: time and job number.
    deadlines: BTreeSet<(Instant, u64)>,
    pub(super) tracker: Tracker,
}

/// The effects of a deadline.
#[derive(Debug)]
pub(crate) struct DueEffects {
    /// The queue that got a ready job.
    pub(crate) queue: Option<Bytes>,
    /// The client whose push has ended because its time is over.
    pub(crate) worker: Option<u64>,
}

/// The client does not have the job.
#[derive(Debug)]
pub(crate) struct NotHeld;

/// The options of a new job.
#[derive(Debug, Default)]
pub(crate) struct JobOptions {
    pub(crate) delay: Option<Duration>,
    pub(crate) retry: Option<Duration>,
    pub(crate) ttl: Option<Duration>,
    pub(crate) max_tries: Option<u32>,
    pub(crate) caller: Option<Caller>,
    /// The name of the job, and the time for which its result is kept.
    pub(crate) name: Option<Bytes>,
    pub(crate) keep: Option<Duration>,
    /// Workers get jobs of a higher priority first.
    pub(crate) priority: u8,
}

impl Queues {
    pub(crate) fn new(shard: Shard, run: u32) -> Self {
        Queues {
            shard,
            run,
            last: 0,
            jobs: HashMap::default(),
            queues: HashMap::default(),
            leases: BTreeSet::new(),
            calls: HashMap::default(),
            names: Names::default(),
            deadlines: BTreeSet::new(),
            tracker: Tracker::default(),
        }
    }

    /// Returns no queues, while another instance has those of this shard.
    pub(crate) fn closed(shard: Shard) -> Self {
        // Ids of run 0 name no job.
        Self::new(shard, 0)
    }

    /// Returns the number of jobs and the number of queues.
    pub(crate) fn len(&self) -> (usize, usize) {
        (self.jobs.len(), self.queues.len())
    }

    pub(crate) fn shard(&self) -> Shard {
        self.shard
    }

    /// Returns whether another shard may have a job with this id.
    ///
    /// A database has jobs of earlier runs, too.
    pub(crate) fn is_elsewhere(&self, id: Id) -> bool {
        let is_known = id.run == self.run || (self.tracker.is_on() && id.run != 0);
        is_known && !self.shard.has_id(id)
    }

    /// Sends an error to all callers.
    pub(crate) fn fail_calls(self, error: &Error) {
        for job in self.jobs.into_values().filter(Job::is_called) {
            job.answer(Err(error.clone()));
        }
    }

    /// Returns the next id that belongs to this shard, so that each command with it reaches this shard.
    fn next_id(&mut self) -> Id {
        loop {
            self.last += 1;
            let id = Id { run: self.run, number: self.last };
            if self.shard.has_id(id) {
                return id;
            }
        }
    }

    pub(crate) fn get(&self, id: Id) -> Option<&Job> {
        self.jobs.get(&id.number).filter(|job| job.id == id)
    }

    pub(crate) fn queue(&self, name: &[u8]) -> Option<&Queue> {
        self.queues.get(name)
    }

    pub(crate) fn all(&self) -> impl ExactSizeIterator<Item = (&Bytes, &Queue)> {
        self.queues.iter()
    }

    /// Returns the queue with this name. A missing queue is created.
    pub(crate) fn queue_mut(&mut self, name: &Bytes) -> &mut Queue {
        self.tracker.queue_counted(name);
        let queue = self.queues.entry(name.clone()).or_default();
        queue.used = true;
        queue
    }

    /// Stops or resumes the delivery of jobs from a queue.
    pub(crate) fn set_paused(&mut self, queue: &Bytes, paused: bool) {
        self.queue_mut(queue).paused = paused;
        self.tracker.counters_are_due();
    }

    /// Adds a job at the end of its queue, now or after its delay.
    pub(crate) fn add(&mut self, queue: Bytes, body: Bytes, options: JobOptions, now: Instant) -> Id {
        let id = self.next_id();
        let JobOptions { delay, retry, ttl, max_tries, caller, name, keep, priority } = options;
        let state = if delay.is_some() { JobState::Delayed } else { JobState::Ready };
        if let Some(caller) = &caller {
            self.calls.insert(caller.client().id(), id.number);
        }
        let is_rare = name.is_some() || keep.is_some();
        let rare = is_rare.then(|| Box::new(Rare { name, keep, ..Rare::default() }));
        let (due, expires) = (delay.map(|delay| now + delay), ttl.map(|ttl| now + ttl));
        let (tries, deadline) = (0, None);
        let job = Job {
            id,
            queue,
            body,
            priority,
            tries,
            max_tries,
            retry,
            added: now,
            state,
            due,
            expires,
            deadline,
            caller,
            rare,
        };
        self.tracker.job_added(&job);
        self.insert(job);
        id
    }

    /// Adds a job at the end of its queue, or among the delayed jobs.
    pub(super) fn insert(&mut self, job: Job) {
        let (number, due) = (job.id.number, job.due);
        let counted = self.queue_mut(&job.queue);
        counted.counts.added += 1;
        *counted.counts.at(job.state) += 1;
        if job.state == JobState::Ready {
            counted.ready.push_back(job.priority, number);
        }
        if let Some(name) = job.name() {
            self.names.add(&job.queue, name, job.id);
        }
        self.jobs.insert(number, job);
        self.set_due(number, due);
    }

    /// Gives the first job of a queue to a client.
    pub(crate) fn take(&mut self, queue: &[u8], client: u64, now: Instant) -> Option<&mut Job> {
        let number = loop {
            let counted = self.queues.get_mut(queue).filter(|queue| !queue.paused)?;
            counted.used = true;
            let number = counted.ready.pop_front()?;
            match self.jobs.get(&number) {
                Some(job) if job.state == JobState::Ready && job.is_abandoned() => self.abandon(number),
                Some(job) if job.state == JobState::Ready => break number,
                _ => {}
            }
        };
        self.set_state(number, JobState::Out { client, push: None });
        self.leases.insert((client, number));
        let retry = self.jobs[&number].retry;
        self.set_due(number, retry.map(|retry| now + retry));
        let job = self.jobs.get_mut(&number)?;
        self.tracker.job_changed(job);
        Some(job)
    }

    /// Notes that the push of a job was sent.
    pub(crate) fn set_push(&mut self, id: Id, sent: PushId) {
        if let Some(JobState::Out { push, .. }) = self.jobs.get_mut(&id.number).map(|job| &mut job.state) {
            *push = Some(JobPush::Sent(sent));
        }
    }

    /// Returns the ready jobs of a queue without removing them.
    pub(crate) fn peek(&self, queue: &[u8]) -> impl Iterator<Item = &Job> {
        let ready = self.queues.get(queue).into_iter().flat_map(|queue| queue.ready.iter());
        ready.filter_map(|number| self.jobs.get(number)).filter(|job| job.state == JobState::Ready)
    }

    /// Removes a job and counts its outcome.
    pub(crate) fn finish(&mut self, id: Id, outcome: fn(&mut Counts) -> &mut u64) -> Option<Job> {
        self.get(id)?;
        let job = self.remove(id.number)?;
        *outcome(&mut self.queue_mut(&job.queue).counts) += 1;
        Some(job)
    }

    /// Sets the time that a worker still has for its job.
    ///
    /// Without `lease`, it is the retry time of the job. Returns the new time, which is `None` if there is no limit.
    ///
    /// # Errors
    /// Returns `NotHeld` if the client does not have the job.
    pub(crate) fn extend(
        &mut self,
        id: Id,
        client: u64,
        lease: Option<Duration>,
        now: Instant,
    ) -> Result<Option<Duration>, NotHeld> {
        let job = self.get(id).ok_or(NotHeld)?;
        if !matches!(job.state, JobState::Out { client: holder, .. } if holder == client) {
            return Err(NotHeld);
        }
        let lease = lease.or(job.retry);
        self.set_due(id.number, lease.map(|lease| now + lease));
        Ok(lease)
    }

    /// Returns the jobs that a client has, each with its push.
    pub(crate) fn of_client(&self, client: u64) -> Vec<(Id, Option<JobPush>)> {
        let numbers = self.leases.range((client, 0)..=(client, u64::MAX));
        let job = |(_, number): &(u64, u64)| match self.jobs.get(number)?.state {
            JobState::Out { push, .. } => Some((self.jobs[number].id, push)),
            _ => None,
        };
        numbers.filter_map(job).collect()
    }

    /// Removes the job that a disconnected client called, unless a worker has it or another caller waits.
    pub(crate) fn forget_call(&mut self, client: u64) {
        let Some(number) = self.calls.remove(&client) else { return };
        let is_out = |job: &Job| matches!(job.state, JobState::Out { .. });
        if self.jobs.get(&number).is_some_and(|job| !is_out(job) && job.is_abandoned()) {
            self.abandon(number);
        }
    }

    /// Removes a job that has expired or whose callers no longer wait.
    pub(super) fn abandon(&mut self, number: u64) {
        if let Some(job) = self.remove(number) {
            self.queue_mut(&job.queue).counts.expired += 1;
            job.answer(Ok(None));
        }
    }

    /// Returns the earliest deadline.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Handles one deadline that has passed. Returns `None` if there is no such deadline.
    pub(crate) fn handle_due(&mut self, now: Instant) -> Option<DueEffects> {
        let (deadline, number) = *self.deadlines.first()?;
        if deadline > now {
            return None;
        }
        let job = self.jobs.get(&number)?;
        let (id, queue, priority) = (job.id, job.queue.clone(), job.priority);
        let is_due = job.due.is_some_and(|due| due <= now);
        Some(match job.state {
            JobState::Out { client, push } => {
                DueEffects { queue: self.give_back(id, Return::Tried, now), worker: push.map(|_| client) }
            }
            JobState::Delayed if is_due => {
                let due = job.due;
                self.set_state(number, JobState::Ready);
                self.set_due(number, due);
                self.queue_mut(&queue).ready.push_back(priority, number);
                DueEffects { queue: Some(queue), worker: None }
            }
            _ => {
                self.abandon(number);
                DueEffects { queue: None, worker: None }
            }
        })
    }

    /// Removes results whose time is over, and queues that are not used.
    ///
    /// A queue is not used if it is empty, was not used since the last call, and no client waits for its jobs.
    pub(crate) fn tidy(&mut self, is_wanted: impl Fn(&Bytes) -> bool, now: Instant) {
        self.tidy_results(now);
        let tracker = &mut self.tracker;
        self.queues.retain(|name, queue| {
            let Counts { ready, delayed, out, .. } = queue.counts;
            let is_used = std::mem::take(&mut queue.used) || queue.paused || ready + delayed + out > 0;
            let is_kept = is_used || is_wanted(name);
            if !is_kept {
                tracker.queue_counted(name);
            }
            is_kept
        });
        tracker.counters_are_due();
    }

    fn remove(&mut self, number: u64) -> Option<Job> {
        let job = self.jobs.remove(&number)?;
        self.tracker.job_changed(&job);
        if let Some(deadline) = job.deadline {
            self.deadlines.remove(&(deadline, number));
        }
        if let JobState::Out { client, .. } = job.state {
            self.leases.remove(&(client, number));
        }
        if let Some(name) = job.name() {
            self.names.remove(&job.queue, name);
        }
        let queue = self.queue_mut(&job.queue);
        *queue.counts.at(job.state) -= 1;
        // The entry in `ready` becomes stale. Stale entries are removed when they outnumber the ready jobs.
        if queue.ready.len() as u64 > 2 * queue.counts.ready + MAX_STALE {
            let mut ready = std::mem::take(&mut queue.ready);
            ready.retain(|number| self.jobs.get(number).is_some_and(|job| job.state == JobState::Ready));
            self.queue_mut(&job.queue).ready = ready;
        }
        Some(job)
    }

    /// Changes the state of a job and the counts.
    ///
    /// The caller adds it to the queue's `ready` list.
    pub(super) fn set_state(&mut self, number: u64, state: JobState) {
        let Some(job) = self.jobs.get_mut(&number) else { return };
        let before = std::mem::replace(&mut job.state, state);
        let queue = job.queue.clone();
        if let JobState::Out { client, .. } = before {
            self.leases.remove(&(client, number));
        }
        let counts = &mut self.queue_mut(&queue).counts;
        *counts.at(before) -= 1;
        *counts.at(state) += 1;
    }

    /// Sets the due time of a job whose state has just changed.
    pub(super) fn set_due(&mut self, number: u64, due: Option<Instant>) {
        let Some(job) = self.jobs.get_mut(&number) else { return };
        job.due = due;
        let due = due.filter(|_| job.state != JobState::Ready);
        let expires = job.expires.filter(|_| !matches!(job.state, JobState::Out { .. }));
        let deadline = [due, expires].into_iter().flatten().min();
        if job.deadline == deadline {
            return;
        }
        if let Some(before) = std::mem::replace(&mut job.deadline, deadline) {
            self.deadlines.remove(&(before, number));
        }
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_removes_stale_entries() {
        let mut queues = Queues::new(Shard { number: 0, count: 1 }, 1);
        let now = Instant::now();
        let (queue, body) = (Bytes::from("q"), Bytes::from("x"));
        let first = queues.add(queue.clone(), body.clone(), JobOptions::default(), now);
        for _ in 0..1000 {
            let id = queues.add(queue.clone(), body.clone(), JobOptions::default(), now);
            queues.finish(id, |counts| &mut counts.done);
        }
        let kept = queues.queue(&queue).map_or(0, |queue| queue.ready.len());
        assert!(kept < 50, "{kept} entries for one job");
        assert_eq!(queues.take(&queue, 1, now).map(|job| job.id), Some(first));
    }

    #[test]
    fn the_ids_of_a_shard_belong_to_it() {
        let now = Instant::now();
        for number in 0..5 {
            let shard = Shard { number, count: 5 };
            let mut queues = Queues::new(shard, 1);
            for _ in 0..100 {
                let id = queues.add("q".into(), "x".into(), JobOptions::default(), now);
                assert!(shard.has_id(id) && !queues.is_elsewhere(id));
                let other = Shard { number: (number + 1) % 5, count: 5 };
                assert!(Queues::new(other, 1).is_elsewhere(id));
            }
        }
    }
}
