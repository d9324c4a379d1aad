//! The jobs and queues that a database has, when it is opened.

use std::time::Instant;

use thegiant::Error;

use super::{Counts, Queues, Return, names::KeptResult};
use crate::{
    database::{JobRow, QueueRow, ResultRow, duration},
    job::{Id, Job, JobState, Rare},
    shard::Shard,
    wall_clock::WallClock,
};

/// Stands for the workers of an earlier start. The ids of clients begin with 1.
const LOST_CLIENT: u64 = 0;

impl Queues {
    /// Returns the queues as a database has them. From now on, it needs their changes.
    ///
    /// The workers of the earlier start have disconnected, so their jobs return to their queues.
    pub(crate) fn restore(
        shard: Shard,
        run: u32,
        jobs: Vec<JobRow>,
        results: Vec<ResultRow>,
        queues: Vec<QueueRow>,
        clock: &WallClock,
    ) -> Self {
        let now = Instant::now();
        let mut restored = Queues::new(shard, run);
        let jobs: Vec<Job> = jobs.into_iter().map(|row| job(row, clock, now)).collect();
        let are_out = |job: &&Job| matches!(job.state, JobState::Out { .. });
        let out: Vec<Id> = jobs.iter().filter(are_out).map(|job| job.id).collect();
        for job in jobs {
            restored.last = restored.last.max(job.id.number);
            restored.insert(job);
        }
        for kept in results.into_iter().map(|row| kept_result(row, clock)) {
            restored.last = restored.last.max(kept.id.number);
            restored.names.insert(kept);
        }
        for row in queues {
            let queue = restored.queue_mut(&row.name);
            queue.paused = row.paused != 0;
            queue.counts = with_counters(queue.counts, &row);
        }
        restored.tracker.switch_on();
        out.into_iter().rev().for_each(|id| drop(restored.give_back(id, Return::Tried, now)));
        restored
    }
}

fn job(row: JobRow, clock: &WallClock, now: Instant) -> Job {
    let JobRow { run, body, priority, max_tries, retry, keep, added, state } = row;
    let ready = clock.instant(state.ready);
    let job_state = match state.is_out {
        0 if ready > now => JobState::Delayed,
        0 => JobState::Ready,
        _ => JobState::Out { client: LOST_CLIENT, push: None },
    };
    let rare = Rare {
        name: state.name,
        keep: keep.map(duration),
        origin: state.origin,
        earlier_tries: state.earlier_tries as u32,
        joined: Vec::new(),
    };
    Job {
        id: id(run, state.number),
        queue: state.queue,
        body,
        priority: priority as u8,
        tries: state.tries as u32,
        max_tries: max_tries.map(|max| max as u32),
        retry: retry.map(duration),
        added: clock.instant(added),
        state: job_state,
        due: (state.ready != added).then_some(ready),
        expires: state.expires.map(|expires| clock.instant(expires)),
        deadline: None,
        caller: None,
        rare: (!rare.is_empty()).then(|| Box::new(rare)),
    }
}

fn kept_result(row: ResultRow, clock: &WallClock) -> KeptResult {
    KeptResult {
        id: id(row.run, row.number),
        name: row.queue.zip(row.name),
        until: clock.instant(row.until),
        result: match row.failure {
            Some(failure) => Err(Error::from_bytes(failure.into())),
            None => Ok(row.result),
        },
    }
}

fn with_counters(counts: Counts, row: &QueueRow) -> Counts {
    Counts {
        added: row.added as u64,
        done: row.done as u64,
        failed: row.failed as u64,
        requeued: row.requeued as u64,
        dead: row.dead as u64,
        expired: row.expired as u64,
        ..counts
    }
}

fn id(run: i64, number: i64) -> Id {
    Id { run: run as u32, number: number as u64 }
}
