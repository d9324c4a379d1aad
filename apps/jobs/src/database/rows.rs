//! The rows of the tables. Times are in milliseconds, and times of day in milliseconds since 1970.

use std::{mem, time::Duration};

use bytes::Bytes;

use super::Result;

/// All rows of a database.
#[derive(Debug)]
pub(crate) struct Contents {
    /// The run of this start. No earlier start had it.
    pub(crate) run: u32,
    /// The jobs, in the order in which they become ready.
    pub(crate) jobs: Vec<JobRow>,
    pub(crate) results: Vec<ResultRow>,
    pub(crate) queues: Vec<QueueRow>,
    pub(crate) schedules: Vec<ScheduleRow>,
}

/// Changes that one transaction writes.
///
/// They are rows as they are now, and the keys of rows that are gone.
///
/// Changes can be written twice, with the same effect.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Changes {
    pub(crate) added_jobs: Vec<JobRow>,
    pub(crate) changed_jobs: Vec<JobChange>,
    pub(crate) removed_jobs: Vec<i64>,
    pub(crate) results: Vec<ResultRow>,
    pub(crate) removed_results: Vec<i64>,
    pub(crate) queues: Vec<QueueRow>,
    pub(crate) removed_queues: Vec<Bytes>,
    pub(crate) schedules: Vec<ScheduleRow>,
    pub(crate) removed_schedules: Vec<Bytes>,
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Changes::default()
    }

    /// Returns the bytes of bodies and results.
    pub(super) fn bytes(&self) -> usize {
        let jobs = self.added_jobs.iter().map(JobRow::bytes);
        let results = self.results.iter().map(ResultRow::bytes);
        let schedules = self.schedules.iter().map(ScheduleRow::bytes);
        jobs.chain(results).chain(schedules).sum()
    }

    /// Divides the changes into parts with at most this many bytes.
    ///
    /// A row with more bytes is a part by itself.
    pub(super) fn split(self, max: usize) -> Vec<Changes> {
        let Changes { added_jobs, results, schedules, .. } = self;
        let rest = Changes { added_jobs: Vec::new(), results: Vec::new(), schedules: Vec::new(), ..self };
        let mut parts = Parts { full: Vec::new(), last: rest, used: 0, max };
        added_jobs.into_iter().for_each(|row| parts.with_room(row.bytes()).added_jobs.push(row));
        results.into_iter().for_each(|row| parts.with_room(row.bytes()).results.push(row));
        schedules.into_iter().for_each(|row| parts.with_room(row.bytes()).schedules.push(row));
        parts.full.push(parts.last);
        parts.full
    }
}

/// Parts of changes.
struct Parts {
    full: Vec<Changes>,
    last: Changes,
    /// Bytes of the last part, and their maximum.
    used: usize,
    max: usize,
}

impl Parts {
    fn with_room(&mut self, bytes: usize) -> &mut Changes {
        if self.used > 0 && self.used + bytes > self.max {
            self.full.push(mem::take(&mut self.last));
            self.used = 0;
        }
        self.used += bytes;
        &mut self.last
    }
}

/// Returns a time as a column has it.
pub(crate) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Returns the time of a column.
pub(crate) fn duration(millis: i64) -> Duration {
    Duration::from_millis(millis.unsigned_abs())
}

/// A job.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct JobRow {
    pub(crate) run: i64,
    pub(crate) body: Bytes,
    pub(crate) priority: i64,
    pub(crate) max_tries: Option<i64>,
    pub(crate) retry: Option<i64>,
    pub(crate) keep: Option<i64>,
    pub(crate) added: i64,
    pub(crate) state: JobChange,
}

/// The parts of a job that change.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct JobChange {
    pub(crate) number: i64,
    pub(crate) queue: Bytes,
    pub(crate) name: Option<Bytes>,
    pub(crate) origin: Option<Bytes>,
    pub(crate) tries: i64,
    pub(crate) earlier_tries: i64,
    /// The time at which the job becomes ready, or became ready.
    ///
    /// It gives the order of a queue.
    pub(crate) ready: i64,
    pub(crate) expires: Option<i64>,
    /// 1 if a worker has the job, else 0.
    pub(crate) is_out: i64,
}

/// The kept result of a job.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ResultRow {
    pub(crate) number: i64,
    pub(crate) run: i64,
    /// The queue and the name of the job, if it had a name.
    pub(crate) queue: Option<Bytes>,
    pub(crate) name: Option<Bytes>,
    pub(crate) until: i64,
    /// One of both.
    pub(crate) result: Option<Bytes>,
    pub(crate) failure: Option<Bytes>,
}

/// The counters of a queue.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct QueueRow {
    pub(crate) name: Bytes,
    /// 1 or 0.
    pub(crate) paused: i64,
    pub(crate) added: i64,
    pub(crate) done: i64,
    pub(crate) failed: i64,
    pub(crate) requeued: i64,
    pub(crate) dead: i64,
    pub(crate) expired: i64,
}

/// A schedule.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ScheduleRow {
    pub(crate) name: Bytes,
    pub(crate) cron: String,
    pub(crate) zone: Option<String>,
    pub(crate) queue: Bytes,
    pub(crate) body: Bytes,
    pub(crate) retry: Option<i64>,
    pub(crate) ttl: Option<i64>,
    pub(crate) max_len: Option<i64>,
    pub(crate) max_tries: Option<i64>,
    pub(crate) keep: Option<i64>,
    pub(crate) priority: i64,
    pub(crate) next: i64,
    /// The last job: run and number.
    pub(crate) last_run: Option<i64>,
    pub(crate) last_number: Option<i64>,
    pub(crate) added: i64,
    pub(crate) skipped: i64,
}

/// A row of a query. Columns have the names of the fields above.
pub(super) trait Row {
    fn number(&self, column: &str) -> Result<Option<i64>>;
    fn bytes(&self, column: &str) -> Result<Option<Bytes>>;
    fn text(&self, column: &str) -> Result<Option<String>>;
}

/// The rows of a table.
pub(super) trait Table: Sized {
    /// Reads all rows.
    const SELECT: &str;

    fn read(row: &impl Row) -> Result<Self>;
}

/// Returns a value that every row has.
fn some<T>(value: Option<T>) -> Result<T> {
    value.ok_or_else(|| "a column without a value".into())
}

impl JobRow {
    fn bytes(&self) -> usize {
        self.body.len()
    }
}

impl Table for JobRow {
    const SELECT: &str = "SELECT * FROM jobs ORDER BY ready, number";

    fn read(row: &impl Row) -> Result<Self> {
        let state = JobChange {
            number: some(row.number("number")?)?,
            queue: some(row.bytes("queue")?)?,
            name: row.bytes("name")?,
            origin: row.bytes("origin")?,
            tries: some(row.number("tries")?)?,
            earlier_tries: some(row.number("earlier_tries")?)?,
            ready: some(row.number("ready")?)?,
            expires: row.number("expires")?,
            is_out: some(row.number("is_out")?)?,
        };
        Ok(JobRow {
            run: some(row.number("run")?)?,
            body: some(row.bytes("body")?)?,
            priority: some(row.number("priority")?)?,
            max_tries: row.number("max_tries")?,
            retry: row.number("retry")?,
            keep: row.number("keep")?,
            added: some(row.number("added")?)?,
            state,
        })
    }
}

impl ResultRow {
    fn bytes(&self) -> usize {
        [&self.result, &self.failure].into_iter().flatten().map(Bytes::len).sum()
    }
}

impl Table for ResultRow {
    const SELECT: &str = "SELECT * FROM results";

    fn read(row: &impl Row) -> Result<Self> {
        Ok(ResultRow {
            number: some(row.number("number")?)?,
            run: some(row.number("run")?)?,
            queue: row.bytes("queue")?,
            name: row.bytes("name")?,
            until: some(row.number("until")?)?,
            result: row.bytes("result")?,
            failure: row.bytes("failure")?,
        })
    }
}

impl Table for QueueRow {
    const SELECT: &str = "SELECT * FROM queues";

    fn read(row: &impl Row) -> Result<Self> {
        Ok(QueueRow {
            name: some(row.bytes("name")?)?,
            paused: some(row.number("paused")?)?,
            added: some(row.number("added")?)?,
            done: some(row.number("done")?)?,
            failed: some(row.number("failed")?)?,
            requeued: some(row.number("requeued")?)?,
            dead: some(row.number("dead")?)?,
            expired: some(row.number("expired")?)?,
        })
    }
}

impl ScheduleRow {
    fn bytes(&self) -> usize {
        self.body.len()
    }
}

impl Table for ScheduleRow {
    const SELECT: &str = "SELECT * FROM schedules";

    fn read(row: &impl Row) -> Result<Self> {
        Ok(ScheduleRow {
            name: some(row.bytes("name")?)?,
            cron: some(row.text("cron")?)?,
            zone: row.text("zone")?,
            queue: some(row.bytes("queue")?)?,
            body: some(row.bytes("body")?)?,
            retry: row.number("retry")?,
            ttl: row.number("ttl")?,
            max_len: row.number("max_len")?,
            max_tries: row.number("max_tries")?,
            keep: row.number("keep")?,
            priority: some(row.number("priority")?)?,
            next: some(row.number("next")?)?,
            last_run: row.number("last_run")?,
            last_number: row.number("last_number")?,
            added: some(row.number("added")?)?,
            skipped: some(row.number("skipped")?)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(number: i64, bytes: usize) -> ResultRow {
        let result = Some(vec![b'x'; bytes].into());
        ResultRow { number, run: 1, queue: None, name: None, until: 0, result, failure: None }
    }

    #[test]
    fn a_part_has_a_maximum_size_or_one_row() {
        let results = [5, 5, 1, 30, 2].into_iter().zip(0..).map(|(bytes, number)| result(number, bytes));
        let changes = Changes { results: results.collect(), removed_jobs: vec![7], ..Changes::default() };
        let parts = changes.split(10);
        let sizes = parts.iter().map(|part| part.results.iter().map(ResultRow::bytes).sum::<usize>());
        assert_eq!(sizes.collect::<Vec<_>>(), [10, 1, 30, 2]);
        assert_eq!(parts[0].removed_jobs, [7]);
        let numbers = parts.iter().flat_map(|part| &part.results).map(|row| row.number);
        assert!(numbers.eq(0..5));
    }
}
