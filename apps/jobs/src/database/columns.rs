//! Changes as the parameters of `postgres_fold.sql`: an array for each column of each table.

use tokio_postgres::types::ToSql;

use super::{
    Changes,
    rows::{JobChange, JobRow, QueueRow, ResultRow, ScheduleRow},
};

/// The columns, in the order of the parameters of the statement.
#[derive(Default)]
pub(super) struct Columns<'r>(Vec<Box<dyn ToSql + Sync + 'r>>);

impl<'r> Columns<'r> {
    pub(super) fn of(changes: &'r Changes) -> Self {
        let mut columns = Columns::default();
        columns.added_jobs(&changes.added_jobs);
        columns.changed_jobs(&changes.changed_jobs);
        columns.add(&changes.removed_jobs, |number| *number);
        columns.results(&changes.results);
        columns.add(&changes.removed_results, |number| *number);
        columns.queues(&changes.queues);
        columns.add(&changes.removed_queues, |name| &name[..]);
        columns.schedules(&changes.schedules);
        columns.add(&changes.removed_schedules, |name| &name[..]);
        columns
    }

    pub(super) fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.0.iter().map(|column| &**column as &(dyn ToSql + Sync)).collect()
    }

    /// Adds a column of rows, as an array for `UNNEST`.
    fn add<R, T: ToSql + Sync + 'r>(&mut self, rows: &'r [R], value: impl Fn(&'r R) -> T) {
        self.0.push(Box::new(rows.iter().map(value).collect::<Vec<T>>()));
    }

    fn added_jobs(&mut self, jobs: &'r [JobRow]) {
        self.add(jobs, |job| job.state.number);
        self.add(jobs, |job| job.run);
        self.add(jobs, |job| &job.state.queue[..]);
        self.add(jobs, |job| job.state.name.as_deref());
        self.add(jobs, |job| job.state.origin.as_deref());
        self.add(jobs, |job| job.priority);
        self.add(jobs, |job| job.state.tries);
        self.add(jobs, |job| job.state.earlier_tries);
        self.add(jobs, |job| job.max_tries);
        self.add(jobs, |job| job.retry);
        self.add(jobs, |job| job.keep);
        self.add(jobs, |job| job.added);
        self.add(jobs, |job| job.state.ready);
        self.add(jobs, |job| job.state.expires);
        self.add(jobs, |job| job.state.is_out);
        self.add(jobs, |job| &job.body[..]);
    }

    fn changed_jobs(&mut self, jobs: &'r [JobChange]) {
        self.add(jobs, |job| job.number);
        self.add(jobs, |job| &job.queue[..]);
        self.add(jobs, |job| job.name.as_deref());
        self.add(jobs, |job| job.origin.as_deref());
        self.add(jobs, |job| job.tries);
        self.add(jobs, |job| job.earlier_tries);
        self.add(jobs, |job| job.ready);
        self.add(jobs, |job| job.expires);
        self.add(jobs, |job| job.is_out);
    }

    fn results(&mut self, results: &'r [ResultRow]) {
        self.add(results, |result| result.number);
        self.add(results, |result| result.run);
        self.add(results, |result| result.queue.as_deref());
        self.add(results, |result| result.name.as_deref());
        self.add(results, |result| result.until);
        self.add(results, |result| result.result.as_deref());
        self.add(results, |result| result.failure.as_deref());
    }

    fn queues(&mut self, queues: &'r [QueueRow]) {
        self.add(queues, |queue| &queue.name[..]);
        self.add(queues, |queue| queue.paused);
        self.add(queues, |queue| queue.added);
        self.add(queues, |queue| queue.done);
        self.add(queues, |queue| queue.failed);
        self.add(queues, |queue| queue.requeued);
        self.add(queues, |queue| queue.dead);
        self.add(queues, |queue| queue.expired);
    }

    fn schedules(&mut self, schedules: &'r [ScheduleRow]) {
        self.add(schedules, |schedule| &schedule.name[..]);
        self.add(schedules, |schedule| &schedule.cron[..]);
        self.add(schedules, |schedule| schedule.zone.as_deref());
        self.add(schedules, |schedule| &schedule.queue[..]);
        self.add(schedules, |schedule| &schedule.body[..]);
        self.add(schedules, |schedule| schedule.retry);
        self.add(schedules, |schedule| schedule.ttl);
        self.add(schedules, |schedule| schedule.max_len);
        self.add(schedules, |schedule| schedule.max_tries);
        self.add(schedules, |schedule| schedule.keep);
        self.add(schedules, |schedule| schedule.priority);
        self.add(schedules, |schedule| schedule.next);
        self.add(schedules, |schedule| schedule.last_run);
        self.add(schedules, |schedule| schedule.last_number);
        self.add(schedules, |schedule| schedule.added);
        self.add(schedules, |schedule| schedule.skipped);
    }
}
