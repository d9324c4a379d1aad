//! Changes that are in the log, and not yet in the rows of the tables.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::rows::{Changes, JobChange, JobRow, QueueRow, ResultRow, ScheduleRow};

/// The latest state of all rows that have changed since they were last written.
#[derive(Debug, Default)]
pub(super) struct Pending {
    jobs: BTreeMap<i64, PendingJob>,
    results: BTreeMap<i64, Option<ResultRow>>,
    queues: BTreeMap<Bytes, Option<QueueRow>>,
    schedules: BTreeMap<Bytes, Option<ScheduleRow>>,
    /// Whether the tables may have some of the changes.
    is_doubtful: bool,
}

#[derive(Clone, Debug)]
enum PendingJob {
    /// The table does not have the job, unless the changes are doubtful.
    Added(JobRow),
    Changed(JobChange),
    Removed,
}

impl Pending {
    /// Adds later changes.
    pub(super) fn add(&mut self, changes: Changes) {
        let Changes { added_jobs, changed_jobs, removed_jobs, results, queues, schedules, .. } = changes;
        self.jobs.extend(added_jobs.into_iter().map(|job| (job.state.number, PendingJob::Added(job))));
        for change in changed_jobs {
            match self.jobs.get_mut(&change.number) {
                Some(PendingJob::Added(job)) => job.state = change,
                _ => drop(self.jobs.insert(change.number, PendingJob::Changed(change))),
            }
        }
        for number in removed_jobs {
            match self.jobs.get(&number) {
                // No row was written for the job.
                Some(PendingJob::Added(_)) if !self.is_doubtful => drop(self.jobs.remove(&number)),
                _ => drop(self.jobs.insert(number, PendingJob::Removed)),
            }
        }
        self.results.extend(results.into_iter().map(|result| (result.number, Some(result))));
        self.results.extend(changes.removed_results.into_iter().map(|number| (number, None)));
        self.queues.extend(queues.into_iter().map(|queue| (queue.name.clone(), Some(queue))));
        self.queues.extend(changes.removed_queues.into_iter().map(|name| (name, None)));
        self.schedules.extend(schedules.into_iter().map(|schedule| (schedule.name.clone(), Some(schedule))));
        self.schedules.extend(changes.removed_schedules.into_iter().map(|name| (name, None)));
    }

    /// Notes that the tables may have the changes, or not.
    ///
    /// From now on, every removed job is removed from the table.
    pub(super) fn doubt(&mut self) {
        self.is_doubtful = true;
    }

    /// Returns the number of rows that have changed.
    pub(super) fn rows(&self) -> usize {
        self.jobs.len() + self.results.len() + self.queues.len() + self.schedules.len()
    }

    /// Returns the changes of the rows.
    pub(super) fn changes(&self) -> Changes {
        let mut changes = Changes::default();
        for (number, job) in &self.jobs {
            match job {
                PendingJob::Added(job) => changes.added_jobs.push(job.clone()),
                PendingJob::Changed(change) => changes.changed_jobs.push(change.clone()),
                PendingJob::Removed => changes.removed_jobs.push(*number),
            }
        }
        (changes.results, changes.removed_results) = divided(&self.results);
        (changes.queues, changes.removed_queues) = divided(&self.queues);
        (changes.schedules, changes.removed_schedules) = divided(&self.schedules);
        changes
    }
}

/// Returns the rows, and the keys of those that are gone.
fn divided<K: Clone, R: Clone>(rows: &BTreeMap<K, Option<R>>) -> (Vec<R>, Vec<K>) {
    let gone = rows.iter().filter(|(_, row)| row.is_none()).map(|(key, _)| key.clone());
    (rows.values().flatten().cloned().collect(), gone.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(number: i64) -> JobRow {
        let queue = Bytes::from_static(b"q");
        let state = JobChange {
            number,
            queue,
            name: None,
            origin: None,
            tries: 0,
            earlier_tries: 0,
            ready: 1,
            expires: None,
            is_out: 0,
        };
        JobRow {
            run: 1,
            body: "body".into(),
            priority: 0,
            max_tries: None,
            retry: None,
            keep: None,
            added: 1,
            state,
        }
    }

    fn out(number: i64) -> JobChange {
        JobChange { is_out: 1, ..job(number).state }
    }

    fn added(number: i64) -> Changes {
        Changes { added_jobs: vec![job(number)], ..Changes::default() }
    }

    fn taken(number: i64) -> Changes {
        Changes { changed_jobs: vec![out(number)], ..Changes::default() }
    }

    fn removed(number: i64) -> Changes {
        Changes { removed_jobs: vec![number], ..Changes::default() }
    }

    fn pending(all: impl IntoIterator<Item = Changes>) -> Pending {
        let mut pending = Pending::default();
        all.into_iter().for_each(|changes| pending.add(changes));
        pending
    }

    #[test]
    fn a_job_has_one_change() {
        let added_and_taken =
            Changes { added_jobs: vec![JobRow { state: out(1), ..job(1) }], ..Changes::default() };
        assert_eq!(pending([added(1), taken(1)]).changes(), added_and_taken);
        assert_eq!(pending([added(1), taken(1), removed(1)]).changes(), Changes::default());
        assert_eq!(pending([taken(1), taken(1)]).changes(), taken(1));
        assert_eq!(pending([taken(1), removed(1)]).changes(), removed(1));
        assert_eq!(pending([added(1), taken(2), removed(3)]).rows(), 3);
    }

    #[test]
    fn a_job_that_may_be_in_the_table_is_removed_from_it() {
        let mut pending = pending([added(1)]);
        pending.doubt();
        pending.add(removed(1));
        assert_eq!(pending.changes(), removed(1));
    }

    #[test]
    fn other_rows_have_their_last_state() {
        let counts = |added| {
            let name = Bytes::from_static(b"q");
            QueueRow { name, paused: 0, added, done: 0, failed: 0, requeued: 0, dead: 0, expired: 0 }
        };
        let with = |added| Changes { queues: vec![counts(added)], ..Changes::default() };
        let without = || Changes { removed_queues: vec!["q".into()], ..Changes::default() };
        assert_eq!(pending([with(1), with(2)]).changes(), with(2));
        assert_eq!(pending([with(1), without()]).changes(), without());
        assert_eq!(pending([without(), with(3)]).changes(), with(3));
    }
}
