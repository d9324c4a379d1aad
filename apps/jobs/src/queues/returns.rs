//! Jobs that return to their queues, because a worker has not finished them.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Queues;
use crate::job::{Id, JobState};

/// How a job returns to its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Return {
    /// At once and without a try, because no worker has seen the job.
    Unseen,
    /// After the back-off.
    Tried,
    /// After this time.
    TriedAfter(Duration),
}

/// The back-off after the second try. It doubles with each further try.
const MIN_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(60);

/// Returns the time that a job waits after this number of tries. After the first try, it waits for no time.
fn backoff(tries: u32) -> Duration {
    match tries.checked_sub(2) {
        Some(doublings) => MIN_BACKOFF.saturating_mul(2u32.saturating_pow(doublings)).min(MAX_BACKOFF),
        None => Duration::ZERO,
    }
}

impl Queues {
    /// Returns a job that a worker has to its queue: to the head, or to the end after a delay.
    ///
    /// A job with too many tries becomes dead, and an expired job is removed. The method returns the queue
    /// that got a ready job.
    pub(crate) fn give_back(&mut self, id: Id, how: Return, now: Instant) -> Option<Bytes> {
        let JobState::Out { .. } = self.get(id)?.state else { return None };
        self.set_state(id.number, JobState::Ready);
        self.set_due(id.number, None);
        let job = self.jobs.get_mut(&id.number)?;
        job.tries += u32::from(how != Return::Unseen);
        if job.is_abandoned() {
            self.abandon(id.number);
            return None;
        }
        let (queue, tries) = (job.queue.clone(), job.tries);
        if job.max_tries.is_some_and(|max| tries >= max) {
            return self.bury(id.number);
        }
        if job.expires.is_some_and(|expires| expires <= now) {
            self.abandon(id.number);
            return None;
        }
        let delay = match how {
            Return::Unseen => Duration::ZERO,
            Return::Tried => backoff(tries),
            Return::TriedAfter(delay) => delay,
        };
        let counted = self.queue_mut(&queue);
        counted.counts.requeued += 1;
        if delay.is_zero() {
            counted.ready.push_front(id.number);
            return Some(queue);
        }
        self.set_state(id.number, JobState::Delayed);
        self.set_due(id.number, Some(now + delay));
        None
    }

    /// Moves a job to the queue for dead jobs.
    fn bury(&mut self, number: u64) -> Option<Bytes> {
        let job = self.jobs.get_mut(&number)?;
        job.max_tries = None;
        job.expires = None;
        // A dead job does not keep its name. The next job with this name runs.
        if let Some(name) = job.rare.as_mut().and_then(|rare| rare.name.take()) {
            self.names.remove(&job.queue, &name);
        }
        let dead = self.shard.dead_queue(&job.queue);
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backoff_doubles_up_to_a_minute() {
        let millis = [0, 1, 2, 3, 4, 11, 12, 13, u32::MAX].map(|tries| backoff(tries).as_millis());
        assert_eq!(millis, [0, 0, 100, 200, 400, 51_200, 60_000, 60_000, 60_000]);
    }
}
