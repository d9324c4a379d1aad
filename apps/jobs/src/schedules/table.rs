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
    /// The shards that have a database, each with the names of the schedules that it has in another state.
    changed: BTreeMap<u16, BTreeSet<Bytes>>,
}

impl Schedules {
    /// Adds the schedules that the database of a shard has. From now on, it needs their changes.
    ///
    /// # Errors
    /// Returns an error if this program, or its system, does not know the expression or the time zone of a schedule.
    pub(crate) fn restore(&self, shard: u16, rows: Vec<ScheduleRow>) -> io::Result<()> {
        let schedules = rows.into_iter().map(restored).collect::<io::Result<Vec<_>>>()?;
        let mut table = self.lock();
        for (name, schedule) in schedules {
            table.skipped += schedule.runs.skipped;
            table.insert(shard, name, schedule);
        }
        table.changed.insert(shard, BTreeSet::new());
        Ok(())
    }

    /// Discards the schedules of a shard, which stay in its database.
    pub(crate) fn discard(&self, shard: u16) {
        let mut table = self.lock();
        table.changed.remove(&shard);
        for name in table.names(shard) {
            let skipped = table.remove(&name).map_or(0, |schedule| schedule.runs.skipped);
            table.skipped = table.skipped.saturating_sub(skipped);
        }
    }

    /// Adds the rows of all schedules of a shard that have changed since the last call.
    pub(crate) fn take_changes(&self, shard: u16, changes: &mut Changes) {
        let mut table = self.lock();
        let names = table.changed.get_mut(&shard).map(mem::take).unwrap_or_default();
        for name in names {
            match table.schedules.get(&name) {
                Some((of, schedule)) if *of == shard => changes.schedules.push(schedule_row(name, schedule)),
                _ => changes.removed_schedules.push(name),
            }
        }
    }

    /// Sets a schedule of a shard.
    ///
    /// Returns whether it is new, and did not replace one of the same name.
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

    /// Returns a schedule of this shard that fires at this time.
    ///
    /// Sets its next firing, which is later.
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
        table.skipped += u64::from(job.is_none());
        let Some((shard, Schedule { runs, .. })) = table.schedules.get_mut(name) else { return };
        let shard = *shard;
        runs.added += u64::from(job.is_some());
        runs.skipped += u64::from(job.is_none());
        runs.job = job.or(runs.job);
        table.on_changed(shard, name);
    }

    /// Computes the next firings of a shard anew, after the clock was set back.
    pub(crate) fn restart(&self, shard: u16, now: i64) {
        let mut table = self.lock();
        for name in table.names(shard) {
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
    fn on_changed(&mut self, shard: u16, name: &Bytes) {
        self.changed.get_mut(&shard).map(|changed| changed.insert(name.clone()));
    }

    /// Returns the names of the schedules of a shard.
    fn names(&self, shard: u16) -> Vec<Bytes> {
        let of_shard = self.schedules.iter().filter(|(_, (of, _))| *of == shard);
        of_shard.map(|(name, _)| name.clone()).collect()
    }

    fn insert(&mut self, shard: u16, name: Bytes, schedule: Schedule) {
        self.on_changed(shard, &name);
        self.bytes += bytes_of(&name, &schedule);
        self.due.insert((shard, schedule.next, name.clone()));
        self.schedules.insert(name, (shard, schedule));
    }

    fn remove(&mut self, name: &Bytes) -> Option<Schedule> {
        let (shard, schedule) = self.schedules.remove(name)?;
        self.on_changed(shard, name);
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
    fn the_schedules_of_a_shard_are_discarded_and_restored() {
        let schedules = Schedules::default();
        for (shard, name) in [(0, "s"), (1, "t")] {
            assert!(schedules.restore(shard, Vec::new()).is_ok());
            assert_eq!(schedules.set(shard, name.into(), schedule("q", 60_000)), Ok(true));
            schedules.on_fired(&name.into(), None);
        }
        let changes = |shard| {
            let mut changes = Changes::default();
            schedules.take_changes(shard, &mut changes);
            changes
        };
        let Changes { schedules: rows, .. } = changes(0);
        assert_eq!(rows.iter().map(|row| &row.name[..]).collect::<Vec<_>>(), [b"s"]);
        schedules.discard(0);
        assert_eq!(changes(0), Changes::default(), "they stay in the database");
        assert_eq!((schedules.next(0), schedules.all().len(), schedules.lock().skipped), (None, 1, 1));
        assert!(schedules.restore(0, rows).is_ok());
        assert_eq!(changes(0), Changes::default());
        assert_eq!(
            (schedules.next(0), schedules.all().len(), schedules.lock().skipped),
            (Some(60_000), 2, 2)
        );
        assert!(schedules.remove(&"s".into()));
        assert_eq!(changes(0).removed_schedules, ["s"]);
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
