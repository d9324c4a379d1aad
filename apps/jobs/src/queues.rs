//! The jobs and their queues. What time it is, is told.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use bytes::Bytes;
use foldhash::fast::RandomState;
use thegiant::InfoFields;

use crate::job::{Caller, Id, Job, Place};

/// A dead job of the queue `mail` is in the queue `dead:mail`.
const DEAD: &[u8] = b"dead:";

/// So many numbers of jobs that are gone are no waste.
const FEW: u64 = 32;

/// All jobs.
#[derive(Debug)]
pub(crate) struct Queues {
    run: u32,
    last: u64,
    jobs: HashMap<u64, Job, RandomState>,
    queues: HashMap<Bytes, Queue, RandomState>,
    /// Jobs that are out, by whom they are with.
    leases: BTreeSet<(u64, u64)>,
    /// The job that a client has called last.
    calls: HashMap<u64, u64, RandomState>,
    /// When jobs have to be looked at.
    deadlines: BTreeSet<(Instant, u64)>,
}

/// A queue. It may name jobs that are not in it any more.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    ready: VecDeque<u64>,
    pub(crate) counts: Counts,
    pub(crate) paused: bool,
    /// Something has happened since it was last asked.
    used: bool,
}

/// How many jobs of a queue are where, and what has become of the others.
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

/// What has been due.
#[derive(Debug)]
pub(crate) struct Passed {
    /// The queue that has a job more.
    pub(crate) queue: Option<Bytes>,
    /// The client that had been pushed the job, and has it no more.
    pub(crate) worker: Option<u64>,
}

/// What is asked for with a job.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) delay: Option<Duration>,
    pub(crate) retry: Option<Duration>,
    pub(crate) ttl: Option<Duration>,
    pub(crate) max_tries: Option<u32>,
    pub(crate) caller: Option<Caller>,
}

/// What somebody else may look at, while the actor works.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) jobs: AtomicU64,
    pub(crate) waiting: AtomicU64,
    pub(crate) queues: AtomicU64,
}

impl Totals {
    /// The fields of `INFO`.
    pub(crate) fn tell(&self, info: &mut InfoFields) {
        info.field("jobs", self.jobs.load(Relaxed));
        info.field("jobs_queues", self.queues.load(Relaxed));
        info.field("jobs_waiting_workers", self.waiting.load(Relaxed));
    }
}

impl Queues {
    pub(crate) fn new(run: u32) -> Self {
        Queues {
            run,
            last: 0,
            jobs: HashMap::default(),
            queues: HashMap::default(),
            leases: BTreeSet::new(),
            calls: HashMap::default(),
            deadlines: BTreeSet::new(),
        }
    }

    /// How many jobs and how many queues there are.
    pub(crate) fn len(&self) -> (usize, usize) {
        (self.jobs.len(), self.queues.len())
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

    /// The queue of this name, made if there is none.
    pub(crate) fn queue_mut(&mut self, name: &Bytes) -> &mut Queue {
        let queue = self.queues.entry(name.clone()).or_default();
        queue.used = true;
        queue
    }

    /// Adds a job at the end of its queue, now or later.
    pub(crate) fn add(&mut self, queue: Bytes, body: Bytes, wanted: Wanted, now: Instant) -> Id {
        self.last += 1;
        let id = Id { run: self.run, number: self.last };
        let Wanted { delay, retry, ttl, max_tries, caller } = wanted;
        let place = if delay.is_some() { Place::Delayed } else { Place::Ready };
        let expires = ttl.map(|ttl| now + ttl);
        let counted = self.queue_mut(&queue);
        counted.counts.added += 1;
        *counted.counts.at(place) += 1;
        if place == Place::Ready {
            counted.ready.push_back(id.number);
        }
        if let Some(caller) = &caller {
            self.calls.insert(caller.client().id(), id.number);
        }
        let (tries, due, deadline) = (0, None, None);
        let job = Job {
            id,
            queue,
            body,
            tries,
            max_tries,
            retry,
            added: now,
            place,
            due,
            expires,
            deadline,
            caller,
        };
        self.jobs.insert(id.number, job);
        self.set_due(id.number, delay.map(|delay| now + delay));
        id
    }

    /// Gives the first job of a queue to a client.
    pub(crate) fn take(&mut self, queue: &[u8], client: u64, now: Instant) -> Option<&mut Job> {
        let number = loop {
            let counted = self.queues.get_mut(queue).filter(|queue| !queue.paused)?;
            counted.used = true;
            let number = counted.ready.pop_front()?;
            match self.jobs.get(&number) {
                Some(job) if job.place == Place::Ready && job.is_abandoned() => self.abandon(number),
                Some(job) if job.place == Place::Ready => break number,
                _ => {}
            }
        };
        self.put(number, Place::Out { client, push: None });
        self.leases.insert((client, number));
        let retry = self.jobs[&number].retry;
        self.set_due(number, retry.map(|retry| now + retry));
        self.jobs.get_mut(&number)
    }

    /// The first jobs of a queue, which stay there.
    pub(crate) fn peek(&self, queue: &[u8]) -> impl Iterator<Item = &Job> {
        let ready = self.queues.get(queue).into_iter().flat_map(|queue| &queue.ready);
        ready.filter_map(|number| self.jobs.get(number)).filter(|job| job.place == Place::Ready)
    }

    /// A job is not to be done any more.
    pub(crate) fn finish(&mut self, id: Id, outcome: fn(&mut Counts) -> &mut u64) -> Option<Job> {
        self.get(id)?;
        let job = self.remove(id.number)?;
        *outcome(&mut self.queue_mut(&job.queue).counts) += 1;
        Some(job)
    }

    /// The jobs that a client has, and the pushes that they were.
    pub(crate) fn of_client(&self, client: u64) -> Vec<(Id, Option<u64>)> {
        let numbers = self.leases.range((client, 0)..=(client, u64::MAX));
        let job = |(_, number): &(u64, u64)| match self.jobs.get(number)?.place {
            Place::Out { push, .. } => Some((self.jobs[number].id, push)),
            _ => None,
        };
        numbers.filter_map(job).collect()
    }

    /// A client does not wait any more for what it has called. Nobody is given the job from now on.
    pub(crate) fn forget_call(&mut self, client: u64) {
        let Some(number) = self.calls.remove(&client) else { return };
        let is_out = |job: &Job| matches!(job.place, Place::Out { .. });
        if self.jobs.get(&number).is_some_and(|job| !is_out(job)) {
            self.abandon(number);
        }
    }

    /// A job is of no use any more.
    fn abandon(&mut self, number: u64) {
        if let Some(job) = self.remove(number) {
            self.queue_mut(&job.queue).counts.expired += 1;
            job.answer(Ok(None));
        }
    }

    /// A job that is out has not been done, and goes back to the head of its queue; or it has been tried too often,
    /// and is dead; or it is of no use any more. Returns the queue that it is in now.
    pub(crate) fn give_back(&mut self, id: Id, was_tried: bool, now: Instant) -> Option<Bytes> {
        let Place::Out { .. } = self.get(id)?.place else { return None };
        self.put(id.number, Place::Ready);
        self.set_due(id.number, None);
        let job = self.jobs.get_mut(&id.number)?;
        job.tries += u32::from(was_tried);
        if job.is_abandoned() {
            self.abandon(id.number);
            return None;
        }
        let queue = job.queue.clone();
        if job.max_tries.is_some_and(|most| job.tries >= most) {
            return self.bury(id.number);
        }
        if job.expires.is_some_and(|expires| expires <= now) {
            self.abandon(id.number);
            return None;
        }
        let counted = self.queue_mut(&queue);
        counted.counts.requeued += 1;
        counted.ready.push_front(id.number);
        Some(queue)
    }

    /// Moves a job to the queue of the dead, where it stays.
    fn bury(&mut self, number: u64) -> Option<Bytes> {
        let job = self.jobs.get_mut(&number)?;
        job.max_tries = None;
        job.expires = None;
        let dead = Bytes::from([DEAD, &job.queue].concat());
        let queue = std::mem::replace(&mut job.queue, dead.clone());
        let counts = &mut self.queue_mut(&queue).counts;
        counts.dead += 1;
        counts.ready -= 1;
        let counted = self.queue_mut(&dead);
        counted.counts.added += 1;
        counted.counts.ready += 1;
        counted.ready.push_back(number);
        self.set_due(number, None);
        Some(dead)
    }

    /// When something is to be done next.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Does what is due for one job, if for any.
    pub(crate) fn pass(&mut self, now: Instant) -> Option<Passed> {
        let (deadline, number) = *self.deadlines.first()?;
        if deadline > now {
            return None;
        }
        let job = self.jobs.get(&number)?;
        let (id, queue) = (job.id, job.queue.clone());
        let is_due = job.due.is_some_and(|due| due <= now);
        Some(match job.place {
            Place::Out { client, push } => {
                Passed { queue: self.give_back(id, true, now), worker: push.map(|_| client) }
            }
            Place::Delayed if is_due => {
                self.put(number, Place::Ready);
                self.set_due(number, None);
                self.queue_mut(&queue).ready.push_back(number);
                Passed { queue: Some(queue), worker: None }
            }
            _ => {
                self.abandon(number);
                Passed { queue: None, worker: None }
            }
        })
    }

    /// Forgets queues that are empty and have not been used since this was last called, unless somebody wants them.
    pub(crate) fn tidy(&mut self, is_wanted: impl Fn(&Bytes) -> bool) {
        self.queues.retain(|name, queue| {
            let Counts { ready, delayed, out, .. } = queue.counts;
            let is_used = std::mem::take(&mut queue.used) || queue.paused || ready + delayed + out > 0;
            is_used || is_wanted(name)
        });
    }

    fn remove(&mut self, number: u64) -> Option<Job> {
        let job = self.jobs.remove(&number)?;
        if let Some(deadline) = job.deadline {
            self.deadlines.remove(&(deadline, number));
        }
        if let Place::Out { client, .. } = job.place {
            self.leases.remove(&(client, number));
        }
        let queue = self.queue_mut(&job.queue);
        *queue.counts.at(job.place) -= 1;
        // Its number stays there, until there are more of such numbers than jobs.
        if queue.ready.len() as u64 > 2 * queue.counts.ready + FEW {
            let mut ready = std::mem::take(&mut queue.ready);
            ready.retain(|number| self.jobs.get(number).is_some_and(|job| job.place == Place::Ready));
            self.queue_mut(&job.queue).ready = ready;
        }
        Some(job)
    }

    /// A job is somewhere else now; its queue has to be told of that by the caller.
    fn put(&mut self, number: u64, place: Place) {
        let Some(job) = self.jobs.get_mut(&number) else { return };
        let before = std::mem::replace(&mut job.place, place);
        let queue = job.queue.clone();
        if let Place::Out { client, .. } = before {
            self.leases.remove(&(client, number));
        }
        let counts = &mut self.queue_mut(&queue).counts;
        *counts.at(before) -= 1;
        *counts.at(place) += 1;
    }

    /// Sets when something is due for a job that has just been put where it is.
    fn set_due(&mut self, number: u64, due: Option<Instant>) {
        let Some(job) = self.jobs.get_mut(&number) else { return };
        job.due = due;
        let expires = job.expires.filter(|_| !matches!(job.place, Place::Out { .. }));
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

impl Counts {
    fn at(&mut self, place: Place) -> &mut u64 {
        match place {
            Place::Ready => &mut self.ready,
            Place::Delayed => &mut self.delayed,
            Place::Out { .. } => &mut self.out,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_does_not_keep_what_is_gone() {
        let mut queues = Queues::new(1);
        let now = Instant::now();
        let (queue, body) = (Bytes::from("q"), Bytes::from("x"));
        let first = queues.add(queue.clone(), body.clone(), Wanted::default(), now);
        for _ in 0..1000 {
            let id = queues.add(queue.clone(), body.clone(), Wanted::default(), now);
            queues.finish(id, |counts| &mut counts.done);
        }
        let kept = queues.queue(&queue).map_or(0, |queue| queue.ready.len());
        assert!(kept < 50, "{kept} numbers of one job");
        assert_eq!(queues.take(&queue, 1, now).map(|job| job.id), Some(first));
    }
}
