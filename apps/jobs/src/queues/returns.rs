//! Jobs that return to their queues, because a worker has not finished them.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Queues;
use crate::job::{Id, Job, JobState};

/// How a job returns to its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Return {
    /// Returns it at once and without a try, because no worker has seen it.
    Unseen,
    /// Returns it after the back-off.
    Tried,
    /// Returns it after this time.
    TriedAfter(Duration),
}

/// The back-off after the second try. It doubles with each further try.
const MIN_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(60);

/// The times of a database are in milliseconds.
const RESOLUTION: Duration = Duration::from_millis(1);

/// Returns the time that a job waits after this number of tries. After the first try, it waits for no time.
fn backoff(tries: u32) -> Duration {
    match tries.checked_sub(2) {
        Some(doublings) => MIN_BACKOFF.saturating_mul(2u32.saturating_pow(doublings)).min(MAX_BACKOFF),
        None => Duration::ZERO,
    }
}

impl Queues {
    /// Returns a job that a worker has to its queue.
    ///
    /// It goes to the head of the queue, or to the end after a delay.
    ///
    /// A job with too many tries becomes dead, and an expired job is removed. The method returns the queue
    /// that got a ready job.
    pub(crate) fn give_back(&mut self, id: Id, how: Return, now: Instant) -> Option<Bytes> {
        let JobState::Out { .. } = self.get(id)?.state else { return None };
        self.set_state(id.number, JobState::Ready);
        self.set_due(id.number, None);
        let job = self.jobs.get_mut(&id.number)?;
        job.tries += u32::from(how != Return::Unseen);
        self.tracker.job_changed(job);
        if job.is_abandoned() {
            self.abandon(id.number);
            return None;
        }
        let (queue, priority, tries) = (job.queue.clone(), job.priority, job.recent_tries());
        if !job.is_dead() && job.max_tries.is_some_and(|max| tries >= max) {
            return self.bury(id.number, now);
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
        self.queue_mut(&queue).counts.requeued += 1;
        if delay.is_zero() {
            self.set_due(id.number, self.before_first(&queue, id.number));
            self.queue_mut(&queue).ready.push_front(priority, id.number);
            return Some(queue);
        }
        self.set_state(id.number, JobState::Delayed);
        self.set_due(id.number, Some(now + delay));
        None
    }

    /// Returns the time from which a job is ready that returns to the head of its queue; `None` if that is when it was added.
    ///
    /// The database has ready jobs in the order of these times, and then of their numbers.
    fn before_first(&self, queue: &[u8], number: u64) -> Option<Instant> {
        let job = self.jobs.get(&number)?;
        let numbers = self.queue(queue)?.ready.of_priority(job.priority);
        let mut jobs = numbers.filter_map(|number| self.jobs.get(number));
        let first = jobs.find(|first| first.state == JobState::Ready && first.id != job.id)?;
        let since = first.due.unwrap_or(first.added);
        if number < first.id.number && job.added <= since { None } else { since.checked_sub(RESOLUTION) }
    }

    /// Moves a job to the queue for dead jobs.
    fn bury(&mut self, number: u64, now: Instant) -> Option<Bytes> {
        let job = self.jobs.get_mut(&number)?;
        job.expires = None;
        let queue = job.queue.clone();
        let rare = job.rare.get_or_insert_default();
        rare.origin = Some(queue.clone());
        // A dead job does not keep its name. The next job with this name runs.
        if let Some(name) = rare.name.take() {
            self.names.remove(&queue, &name);
        }
        self.queue_mut(&queue).counts.dead += 1;
        let dead = self.shard.dead_queue(&queue);
        self.move_ready(number, dead.clone(), now);
        Some(dead)
    }

    /// Moves the first dead jobs of a queue back to its end.
    ///
    /// Returns the queue that had them, and their number.
    ///
    /// They can be tried as many times as before.
    pub(crate) fn redrive(&mut self, queue: &Bytes, count: usize, now: Instant) -> (Bytes, usize) {
        let dead = self.shard.dead_queue(queue);
        let is_own = |job: &&Job| job.origin() == Some(queue);
        let numbers: Vec<u64> =
            self.peek(&dead).filter(is_own).take(count).map(|job| job.id.number).collect();
        for number in &numbers {
            if let Some(job) = self.jobs.get_mut(number) {
                let rare = job.rare.get_or_insert_default();
                rare.origin = None;
                rare.earlier_tries = job.tries;
            }
            self.move_ready(*number, queue.clone(), now);
        }
        if !numbers.is_empty() {
            let mut ready = std::mem::take(&mut self.queue_mut(&dead).ready);
            ready.retain(|number| self.jobs.get(number).is_some_and(|job| job.queue == dead));
            self.queue_mut(&dead).ready = ready;
        }
        (dead, numbers.len())
    }

    /// Moves a ready job to the end of another queue. The caller removes it from the `ready` list of its queue.
    fn move_ready(&mut self, number: u64, to: Bytes, now: Instant) {
        let Some(job) = self.jobs.get_mut(&number) else { return };
        let priority = job.priority;
        let from = std::mem::replace(&mut job.queue, to.clone());
        self.tracker.job_changed(job);
        self.queue_mut(&from).counts.ready -= 1;
        let counted = self.queue_mut(&to);
        counted.counts.added += 1;
        counted.counts.ready += 1;
        counted.ready.push_back(priority, number);
        self.set_due(number, Some(now));
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
