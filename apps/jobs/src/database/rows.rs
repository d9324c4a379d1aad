//! The rows of the tables. Times are in milliseconds, and times of day in milliseconds since 1970.

use bytes::Bytes;

use super::Result;

/// Everything that a database has.
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

/// Changes that one transaction writes: rows as they are now, and the keys of rows that are gone.
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
    /// The time at which the job becomes ready, or became ready. It gives the order of a queue.
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
