//! The commands for operators.

use std::time::Instant;

use thegiant::prelude::*;

use crate::{
    job::{Delivery, Id, JobState},
    server::Jobs,
};

#[commands(rows = INSPECTION, group = "jobs")]
impl Jobs {
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
    fn qstat(&self, queue: Key<&[u8]>) -> Option<Value> {
        let workers = self.waiting.count(&queue);
        let known = self.queues.queue(&queue)?;
        let oldest = self.queues.peek(&queue).next().map_or(0, |job| age(job.added));
        let counts = known.counts;
        let numbers = [
            ("ready", counts.ready),
            ("delayed", counts.delayed),
            ("out", counts.out),
            ("workers", workers as u64),
            ("added", counts.added),
            ("done", counts.done),
            ("failed", counts.failed),
            ("requeued", counts.requeued),
            ("dead", counts.dead),
            ("expired", counts.expired),
            ("oldest-ms", oldest),
            ("paused", known.paused.into()),
        ];
        Some(fields(numbers.map(|(name, number)| (name, number_of(number)))))
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
    fn show(&self, id: Key<Id>) -> Option<Value> {
        let job = self.queues.get(*id)?;
        let worker = match job.state {
            JobState::Out { client, .. } => number_of(client),
            _ => Value::Null,
        };
        Some(fields([
            ("queue", job.queue.clone().into()),
            ("state", job.state.name().into()),
            ("body", job.body.clone().into()),
            ("tries", number_of(job.tries.into())),
            ("age-ms", number_of(age(job.added))),
            ("worker", worker),
            ("called", number_of(job.is_called().into())),
        ]))
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
        let (dead, count) = self.queues.redrive(&queue, options.count.unwrap_or(usize::MAX));
        self.keyspace.modified(0, dead);
        self.serve(&queue);
        self.update_timer(context);
        count
    }

    /// Stops the delivery of jobs from a queue until it is resumed.
    #[command("PAUSE", write)]
    fn pause(&mut self, queue: Key, context: &mut Context<Self>) {
        self.queues.queue_mut(&Bytes::from(queue)).paused = true;
        self.update_timer(context);
    }

    /// Resumes the delivery of jobs from a queue.
    #[command("RESUME", write)]
    fn resume(&mut self, queue: Key, context: &mut Context<Self>) {
        let queue = Bytes::from(queue);
        self.queues.queue_mut(&queue).paused = false;
        self.serve(&queue);
        self.update_timer(context);
    }
}

/// `[COUNT n]`
#[derive(Args)]
struct RedriveOptions {
    #[arg("COUNT", name = "n")]
    count: Option<usize>,
}

const DELETED: Error = Error::from_static("JOBFAILED the job was deleted");

/// Returns the time since `since`, in milliseconds.
fn age(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn number_of(number: u64) -> Value {
    i64::try_from(number).unwrap_or(i64::MAX).into()
}

pub(crate) fn fields<const N: usize>(fields: [(&'static str, Value); N]) -> Value {
    Value::Map(fields.into_iter().map(|(name, value)| (name.into(), value)).collect())
}
