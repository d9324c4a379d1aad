//! A schedule as a row of the database.

use std::io;

use bytes::Bytes;
use thegiant::{Error, Milliseconds};

use super::{Cron, Expression, Runs, Schedule};
use crate::{
    database::{ScheduleRow, duration, millis},
    job::Id,
    options::{CommonOptions, Priority, ScheduleOptions},
};

pub(super) fn schedule_row(name: Bytes, schedule: &Schedule) -> ScheduleRow {
    let Schedule { cron, queue, body, options: ScheduleOptions { zone, common }, next, runs } = schedule;
    ScheduleRow {
        name,
        cron: cron.expression(),
        zone: zone.clone(),
        queue: queue.clone(),
        body: body.clone(),
        retry: common.retry.map(|time| millis(time.0)),
        ttl: common.ttl.map(|time| millis(time.0)),
        max_len: common.maxlen.map(|max| i64::try_from(max).unwrap_or(i64::MAX)),
        max_tries: common.maxtries.map(i64::from),
        keep: common.keep.map(|time| millis(time.0)),
        priority: common.priority.unwrap_or_default().0.into(),
        next: *next,
        last_run: runs.job.map(|job| job.run.into()),
        last_number: runs.job.map(|job| job.number as i64),
        added: runs.added as i64,
        skipped: runs.skipped as i64,
    }
}

/// Returns the schedule of a row, with its name.
pub(super) fn restored(row: ScheduleRow) -> io::Result<(Bytes, Schedule)> {
    let unknown = |error: Error| {
        let name = String::from_utf8_lossy(&row.name);
        io::Error::other(format!(
            "the schedule {name} has the expression {} which is not known: {error}",
            row.cron
        ))
    };
    let expression = Expression::try_from(&row.cron[..]).map_err(unknown)?;
    let cron = Cron::new(expression, row.zone.as_deref()).map_err(unknown)?;
    let time = |millis| Milliseconds(duration(millis));
    let common = CommonOptions {
        retry: row.retry.map(time),
        ttl: row.ttl.map(time),
        maxlen: row.max_len.map(i64::unsigned_abs),
        maxtries: row.max_tries.map(|max| max as u32),
        keep: row.keep.map(time),
        priority: Some(Priority(row.priority as u8)),
    };
    let job = row.last_run.zip(row.last_number);
    let job = job.map(|(run, number)| Id { run: run as u32, number: number as u64 });
    let schedule = Schedule {
        cron,
        queue: row.queue,
        body: row.body,
        options: ScheduleOptions { zone: row.zone, common },
        next: row.next,
        runs: Runs { job, added: row.added as u64, skipped: row.skipped as u64 },
    };
    Ok((row.name, schedule))
}
