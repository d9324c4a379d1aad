//! The commands for operators.

use std::time::Instant;

use thegiant::{Milliseconds, prelude::*};

use crate::{
    job::{Delivery, Id, JobState},
    server::Jobs,
    storage::Storage,
};

#[commands(rows = INSPECTION, group = "jobs")]
impl<S: Storage> Jobs<S> {
    /// Returns the number of ready jobs in a queue.
    #[command("QLEN", readonly, fast)]
    fn qlen(&self, queue: Key<&[u8]>) -> u64 {
        self.queues.queue(&queue).map_or(0, |queue| queue.counts.ready)
    }

    /// Returns the first jobs of a queue without removing them.
    #[command("QPEEK", readonly)]
    fn qpeek(&self, queue: Key<&[u8]>, count: usize) -> Vec<Delivery> {
        self.queues.peek(&queue).take(count).map(|job| job.delivery()).collect()
    }

    /// Returns the counters and the state of a queue.
    #[command("QSTAT", readonly)]
    fn qstat(&self, queue: Key<&[u8]>) -> Option<QueueState> {
        let known = self.queues.queue(&queue)?;
        let counts = known.counts;
        let oldest = self.queues.peek(&queue).next().map(|job| job.added.elapsed());
        Some(QueueState {
            ready: counts.ready,
            delayed: counts.delayed,
            out: counts.out,
            workers: self.waiting.count(&queue),
            added: counts.added,
            done: counts.done,
            failed: counts.failed,
            requeued: counts.requeued,
            dead: counts.dead,
            expired: counts.expired,
            oldest_ms: Milliseconds(oldest.unwrap_or_default()),
            paused: known.paused.into(),
        })
    }

    /// Returns the names of all queues.
    #[command("QUEUES", readonly, all)]
    fn queues(&self) -> Vec<Bytes> {
        let mut names: Vec<Bytes> = self.queues.all().map(|(name, _)| name.clone()).collect();
        names.sort_unstable();
        names
    }

    /// Returns the state of a job.
    #[command("SHOW", readonly)]
    fn show(&self, id: Key<Id>) -> Option<JobDescription> {
        let job = self.queues.get(*id)?;
        Some(JobDescription {
            queue: job.queue.clone(),
            state: job.state.name(),
            body: job.body.clone(),
            tries: job.tries,
            age_ms: Milliseconds(job.added.elapsed()),
            worker: match job.state {
                JobState::Out { client, .. } => Some(client),
                _ => None,
            },
            called: job.is_called().into(),
        })
    }

    /// Deletes jobs in any state and kept results, and returns how many existed.
    #[command("DELJOB", write, split = "agg_sum")]
    fn del_job(&mut self, ids: Vec<Key<Id>>, context: &mut Context<Self>) -> usize {
        let mut jobs = Vec::new();
        let mut results = 0;
        for Key(id) in ids {
            match self.queues.finish(id, |counts| &mut counts.failed) {
                Some(job) => jobs.push(job),
                None => results += usize::from(self.queues.forget_result(id)),
            }
        }
        let count = jobs.len() + results;
        for job in jobs {
            self.on_finished(&job);
            job.answer(Err(DELETED));
        }
        self.update_timer(context);
        count
    }

    /// Moves dead jobs back to their queue, and returns how many.
    #[command("REDRIVE", write)]
    fn redrive(&mut self, queue: Key, options: RedriveOptions, context: &mut Context<Self>) -> usize {
        let queue = Bytes::from(queue);
        let (dead, count) = self.queues.redrive(&queue, options.count.unwrap_or(usize::MAX), Instant::now());
        self.keyspace.modified(0, dead);
        self.serve(&queue);
        self.update_timer(context);
        count
    }

    /// Stops the delivery of jobs from a queue until it is resumed.
    #[command("PAUSE", write)]
    fn pause(&mut self, queue: Key, context: &mut Context<Self>) {
        self.queues.set_paused(&queue.into(), true);
        self.update_timer(context);
    }

    /// Resumes the delivery of jobs from a queue.
    #[command("RESUME", write)]
    fn resume(&mut self, queue: Key, context: &mut Context<Self>) {
        let queue = Bytes::from(queue);
        self.queues.set_paused(&queue, false);
        self.serve(&queue);
        self.update_timer(context);
    }
}

/// The reply of `QSTAT`.
#[derive(Reply)]
#[reply(rename_all = "kebab-case")]
struct QueueState {
    ready: u64,
    delayed: u64,
    out: u64,
    workers: usize,
    added: u64,
    done: u64,
    failed: u64,
    requeued: u64,
    dead: u64,
    expired: u64,
    oldest_ms: Milliseconds,
    /// 1 or 0.
    paused: u8,
}

/// The reply of `SHOW`.
#[derive(Reply)]
#[reply(rename_all = "kebab-case")]
struct JobDescription {
    queue: Bytes,
    state: &'static str,
    body: Bytes,
    tries: u32,
    age_ms: Milliseconds,
    /// The client id of the worker.
    worker: Option<u64>,
    /// 1 or 0.
    called: u8,
}

/// `[COUNT n]`
#[derive(Args)]
struct RedriveOptions {
    #[arg("COUNT", name = "n")]
    count: Option<usize>,
}

const DELETED: Error = Error::from_static("JOBFAILED the job was deleted");
