//! The schedules of all shards, and their next firings.

use std::{
    collections::{BTreeMap, BTreeSet},
    io, mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use thegiant::{Error, InfoFields};

use super::{
    Cron,
    rows::{restored, schedule_row},
};
use crate::{
    database::{Changes, ScheduleRow},
    job::Id,
    options::ScheduleOptions,
    shard::Shard,
};

/// Maximum number of schedules.
const MAX_SCHEDULES: usize = 10_000;

/// A schedule adds a job to a queue whenever its cron expression says so.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    pub(crate) cron: Cron,
    pub(crate) queue: Bytes,
    pub(crate) body: Bytes,
    pub(crate) options: ScheduleOptions,
    /// The next firing, in milliseconds since 1970.
    pub(crate) next: i64,
    pub(crate) runs: Runs,
}

/// The earlier firings of a schedule.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Runs {
    /// The job that the schedule has added last.
    pub(crate) job: Option<Id>,
    /// Number of firings that added a job.
    pub(crate) added: u64,
    /// Number of firings that did not.
    pub(crate) skipped: u64,
}

/// A schedule that fires now.
#[derive(Debug)]
pub(crate) struct Firing {
    pub(crate) name: Bytes,
    pub(crate) schedule: Schedule,
}

/// The schedules of all shards. Only their commands and their firings lock them.
///
/// A name belongs to the whole server, so a schedule that moves to the queue of another shard leaves its shard.
#[derive(Debug, Default)]
pub(crate) struct Schedules(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    schedules: BTreeMap<Bytes, (u16, Schedule)>,
    /// The next firing of each schedule: shard, time and name.
    due: BTreeSet<(u16, i64, Bytes)>,
    /// Memory of the schedules, in bytes.
    bytes: usize,
    skipped: u64,
    /// Names of the schedules that the database has in another state, or `None` if there is no database.
    changed: Option<BTreeSet<Bytes>>,
}

impl Schedules {
    /// Returns the schedules that a database has. From now on, it needs their changes.
    ///
    /// # Errors
    /// Returns an error if this program, or its system, does not know the expression or the time zone of a schedule.
    pub(crate) fn restore(rows: Vec<ScheduleRow>) -> io::Result<Self> {
        let mut table = Table::default();
        for row in rows {
            let (name, schedule) = restored(row)?;
            table.skipped += schedule.runs.skipped;
            table.insert(Shard::ONLY.number, name, schedule);
        }
        table.changed = Some(BTreeSet::new());
        Ok(Schedules(Mutex::new(table)))
    }

    /// Adds the rows of all schedules that have changed since the last call.
    pub(crate) fn take_changes(&self, changes: &mut Changes) {
        let mut table = self.lock();
        let names = table.changed.as_mut().map(mem::take).unwrap_or_default();
        for name in names {
            match table.schedules.get(&name) {
                Some((_, schedule)) => changes.schedules.push(schedule_row(name, schedule)),
                None => changes.removed_schedules.push(name),
            }
        }
    }

    /// Sets a schedule of a shard. Returns whether it is new, and did not replace one of the same name.
    ///
    /// # Errors
    /// Returns an error if there are too many schedules.
    pub(crate) fn set(&self, shard: u16, name: Bytes, mut schedule: Schedule) -> Result<bool, Error> {
        let mut table = self.lock();
        if table.schedules.len() >= MAX_SCHEDULES && !table.schedules.contains_key(&name) {
            return Err(TOO_MANY);
        }
        let earlier = table.remove(&name);
        // A program that sets its schedules whenever it starts does not run a job twice.
        if let Some(earlier) = earlier.as_ref().filter(|earlier| earlier.queue == schedule.queue) {
            schedule.runs = earlier.runs;
        }
        table.insert(shard, name, schedule);
        Ok(earlier.is_none())
    }

    /// Removes a schedule. Returns whether there was one.
    pub(crate) fn remove(&self, name: &Bytes) -> bool {
        self.lock().remove(name).is_some()
    }

    /// Returns the time of the next firing of a shard, in milliseconds since 1970.
    pub(crate) fn next(&self, shard: u16) -> Option<i64> {
        self.lock().next(shard).map(|(time, _)| time)
    }

    /// Returns a schedule of this shard that fires at this time, and sets its next firing, which is later.
    ///
    /// However many firings were missed, a schedule fires once.
    pub(crate) fn take_due(&self, shard: u16, now: i64) -> Option<Firing> {
        let mut table = self.lock();
        let (_, name) = table.next(shard).filter(|(time, _)| *time <= now)?;
        let schedule = table.remove(&name)?;
        if let Some(next) = schedule.cron.next(now) {
            table.insert(shard, name.clone(), Schedule { next, ..schedule.clone() });
        }
        Some(Firing { name, schedule })
    }

    /// Counts a firing: with its job, or without one if it was skipped.
    pub(crate) fn on_fired(&self, name: &Bytes, job: Option<Id>) {
        let mut table = self.lock();
        table.on_changed(name);
        table.skipped += u64::from(job.is_none());
        let Some((_, Schedule { runs, .. })) = table.schedules.get_mut(name) else { return };
        runs.added += u64::from(job.is_some());
        runs.skipped += u64::from(job.is_none());
        runs.job = job.or(runs.job);
    }

    /// Computes the next firings of a shard anew, after the clock was set back.
    pub(crate) fn restart(&self, shard: u16, now: i64) {
        let mut table = self.lock();
        let of_shard = |(of, _): &(u16, Schedule)| *of == shard;
        let names: Vec<Bytes> = table
            .schedules
            .iter()
            .filter(|(_, known)| of_shard(known))
            .map(|(name, _)| name.clone())
            .collect();
        for name in names {
            let Some(schedule) = table.remove(&name) else { continue };
            if let Some(next) = schedule.cron.next(now) {
                table.insert(shard, name, Schedule { next, ..schedule });
            }
        }
    }

    /// Returns all schedules, ordered by their names.
    pub(crate) fn all(&self) -> Vec<(Bytes, Schedule)> {
        let table = self.lock();
        table.schedules.iter().map(|(name, (_, schedule))| (name.clone(), schedule.clone())).collect()
    }

    /// Writes the fields of `INFO`.
    pub(crate) fn write(&self, info: &mut InfoFields) {
        let table = self.lock();
        info.field("jobs_schedules", table.schedules.len());
        info.field("jobs_schedules_bytes", table.bytes);
        info.field("jobs_schedules_skipped", table.skipped);
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn on_changed(&mut self, name: &Bytes) {
        self.changed.as_mut().map(|changed| changed.insert(name.clone()));
    }

    fn insert(&mut self, shard: u16, name: Bytes, schedule: Schedule) {
        self.on_changed(&name);
        self.bytes += bytes_of(&name, &schedule);
        self.due.insert((shard, schedule.next, name.clone()));
        self.schedules.insert(name, (shard, schedule));
    }

    fn remove(&mut self, name: &Bytes) -> Option<Schedule> {
        let (shard, schedule) = self.schedules.remove(name)?;
        self.on_changed(name);
        self.due.remove(&(shard, schedule.next, name.clone()));
        self.bytes -= bytes_of(name, &schedule);
        Some(schedule)
    }

    fn next(&self, shard: u16) -> Option<(i64, Bytes)> {
        let first = self.due.range((shard, i64::MIN, Bytes::new())..).next();
        first.filter(|(of, ..)| *of == shard).map(|(_, time, name)| (*time, name.clone()))
    }
}

/// Returns the memory of a schedule, in bytes.
fn bytes_of(name: &Bytes, schedule: &Schedule) -> usize {
    let entries = mem::size_of::<(Bytes, (u16, Schedule))>() + mem::size_of::<(u16, i64, Bytes)>();
    entries + name.len() + schedule.queue.len() + schedule.body.len() + schedule.cron.expression().len()
}

const TOO_MANY: Error =
    Error::from_static("ERR there are 10000 schedules: remove some with UNSCHEDULE first");

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(queue: &'static str, next: i64) -> Schedule {
        let cron = Cron::every_minute();
        let (queue, body) = (Bytes::from(queue), Bytes::from("body"));
        Schedule { cron, queue, body, options: ScheduleOptions::default(), next, runs: Runs::default() }
    }

    #[test]
    fn the_number_of_schedules_is_limited() {
        let schedules = Schedules::default();
        let one = schedule("q", 60_000);
        for number in 0..MAX_SCHEDULES {
            assert_eq!(schedules.set(0, number.to_string().into(), one.clone()), Ok(true));
        }
        assert_eq!(schedules.set(0, "more".into(), schedule("q", 60_000)), Err(TOO_MANY));
        assert_eq!(schedules.set(0, "7".into(), schedule("q", 60_000)), Ok(false));
        assert!(schedules.remove(&"7".into()));
        assert_eq!(schedules.set(0, "more".into(), schedule("q", 60_000)), Ok(true));
    }

    #[test]
    fn a_schedule_that_moves_to_another_shard_leaves_its_shard() {
        let schedules = Schedules::default();
        assert_eq!(schedules.set(0, "s".into(), schedule("q", 60_000)), Ok(true));
        schedules.on_fired(&"s".into(), None);
        assert_eq!(schedules.set(1, "s".into(), schedule("other", 60_000)), Ok(false));
        assert_eq!((schedules.next(0), schedules.next(1)), (None, Some(60_000)));
        assert_eq!(schedules.all()[0].1.runs.skipped, 0, "the job of another queue is another one");
        assert!(schedules.remove(&"s".into()) && !schedules.remove(&"s".into()));
        let table = schedules.lock();
        assert_eq!((table.bytes, table.due.len()), (0, 0));
    }

    #[test]
    fn the_firings_follow_a_clock_that_was_set_back() {
        let schedules = Schedules::default();
        assert_eq!(schedules.set(0, "s".into(), schedule("q", 7_200_000)), Ok(true));
        assert_eq!(schedules.set(1, "t".into(), schedule("q", 7_200_000)), Ok(true));
        schedules.restart(0, 0);
        assert_eq!((schedules.next(0), schedules.next(1)), (Some(60_000), Some(7_200_000)));
    }
}
