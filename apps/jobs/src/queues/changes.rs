//! The rows of changed jobs, results and queues.

use std::mem;

use bytes::Bytes;

use super::{Counts, Queues, names::KeptResult, queue::Queue, tracker::JobEvent};
use crate::{
    database::{Changes, JobChange, JobRow, QueueRow, ResultRow, millis},
    job::{Job, JobState},
    wall_clock::WallClock,
};

impl Queues {
    /// Adds all changes since the last call, if the database must have them now.
    pub(crate) fn take_changes(&mut self, clock: &WallClock, changes: &mut Changes) {
        if !mem::take(&mut self.tracker.is_due) {
            return;
        }
        for (number, event) in mem::take(&mut self.tracker.jobs) {
            match (self.jobs.get(&number), event) {
                (Some(job), JobEvent::Added) => changes.added_jobs.push(job_row(job, clock)),
                (Some(job), JobEvent::Changed) => changes.changed_jobs.push(job_change(job, clock)),
                (None, JobEvent::Added) => {}
                (None, JobEvent::Changed) => changes.removed_jobs.push(number as i64),
            }
        }
        for number in mem::take(&mut self.tracker.results) {
            match self.names.kept(number) {
                Some(kept) => changes.results.push(result_row(kept, clock)),
                None => changes.removed_results.push(number as i64),
            }
        }
        for name in mem::take(&mut self.tracker.queues) {
            match self.queue(&name) {
                Some(queue) => changes.queues.push(queue_row(name, queue)),
                None => changes.removed_queues.push(name),
            }
        }
    }
}

fn job_row(job: &Job, clock: &WallClock) -> JobRow {
    JobRow {
        run: job.id.run.into(),
        body: job.body.clone(),
        priority: job.priority.into(),
        max_tries: job.max_tries.map(i64::from),
        retry: job.retry.map(millis),
        keep: job.rare.as_ref().and_then(|rare| rare.keep).map(millis),
        added: clock.millis(job.added),
        state: job_change(job, clock),
    }
}

fn job_change(job: &Job, clock: &WallClock) -> JobChange {
    let is_out = matches!(job.state, JobState::Out { .. });
    let ready = job.due.filter(|_| !is_out).unwrap_or(job.added);
    JobChange {
        number: job.id.number as i64,
        queue: job.queue.clone(),
        name: job.name().cloned(),
        origin: job.origin().cloned(),
        tries: job.tries.into(),
        earlier_tries: (job.tries - job.recent_tries()).into(),
        ready: clock.millis(ready),
        expires: job.expires.map(|expires| clock.millis(expires)),
        is_out: is_out.into(),
    }
}

fn result_row(kept: &KeptResult, clock: &WallClock) -> ResultRow {
    let (queue, name) = kept.name.clone().unzip();
    ResultRow {
        number: kept.id.number as i64,
        run: kept.id.run.into(),
        queue,
        name,
        until: clock.millis(kept.until),
        result: kept.result.clone().ok().flatten(),
        failure: kept.result.as_ref().err().map(|error| Bytes::copy_from_slice(error.as_bytes())),
    }
}

fn queue_row(name: Bytes, queue: &Queue) -> QueueRow {
    let Counts { added, done, failed, requeued, dead, expired, .. } = queue.counts;
    QueueRow {
        name,
        paused: queue.paused.into(),
        added: added as i64,
        done: done as i64,
        failed: failed as i64,
        requeued: requeued as i64,
        dead: dead as i64,
        expired: expired as i64,
    }
}
