//! The removal of old events, once a second.

use std::{sync::Arc, time::Duration};

use thegiant::prelude::*;

use crate::{
    collector::{Collector, Result, unreadable, unwritable},
    id::{Id, now},
    store,
    warehouse::Status,
};

/// Interval between two removals of old events, maximum number of events to remove at once, and delay before
/// the next removal if more remain.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
const MAX_EVENTS_PER_SWEEP: i64 = 1000;
const SWEEP_MORE_AFTER: Duration = Duration::from_millis(5);

impl Collector {
    /// Removes events beyond the limits on age and size, and schedules the next removal.
    pub(crate) fn sweep(&mut self, context: &mut Context<Self>) {
        // If commands have uncommitted changes, their group must commit them, so this waits.
        let swept = match self.store.is_open() {
            true => Ok(true),
            false => {
                self.stats.set_wal(self.store.check_wal());
                if self.is_writable() { self.sweep_some() } else { Ok(false) }
            }
        };
        self.waiting.remove_closed();
        let has_more = swept.unwrap_or_else(|error| {
            tracing::warn!(%error, "old events could not be removed");
            self.roll_back(context);
            false
        });
        context.run_later(if has_more { SWEEP_MORE_AFTER } else { SWEEP_EVERY }, Self::sweep);
    }

    /// Returns whether a commit is possible now. Logs once if it is not.
    fn is_writable(&mut self) -> bool {
        let refusal = self.store.check_writable().err();
        if let Some(error) = refusal.as_ref().filter(|_| !self.is_unwritable) {
            tracing::error!(%error, "writes are refused");
        }
        self.is_unwritable = refusal.is_some();
        !self.is_unwritable
    }

    /// Removes one portion of events. Returns whether more remain.
    fn sweep_some(&mut self) -> Result<bool> {
        if let Some(warehouse) = self.warehouse.clone() {
            self.note_shipped(&warehouse);
        }
        let mut has_more = self.store.remove_garbage(MAX_EVENTS_PER_SWEEP).map_err(unwritable)?;
        self.remove_garbage_strings()?;
        let names: Vec<Bytes> = self.streams.keys().cloned().collect();
        if let Some(age) = self.retention.max_age {
            let first = Id { ms: now().saturating_sub(age), seq: 0 };
            for name in &names {
                has_more |= self.remove_before(name, first)? == MAX_EVENTS_PER_SWEEP;
            }
        }
        if let Some(size) = self.retention.max_size
            && self.store.size().map_err(unreadable)? > size
        {
            has_more |= self.remove_share(&names)?;
        }
        self.write_changed()?;
        self.update_totals();
        Ok(has_more)
    }

    /// Removes events before an id that the warehouse has. Returns how many it removed.
    fn remove_before(&mut self, name: &[u8], first: Id) -> Result<i64> {
        let (Some(last), Some(stream)) = (first.previous(), self.stream(name)) else { return Ok(0) };
        let (number, last) = (stream.number, last.min(self.removable(stream)));
        self.remove_oldest(name, number, last, MAX_EVENTS_PER_SWEEP)
    }

    /// Removes the oldest events of each stream. Returns whether there were any.
    fn remove_share(&mut self, names: &[Bytes]) -> Result<bool> {
        if self.remove_share_up_to(names, Self::removable)? > 0 {
            return Ok(true);
        }
        // The disk comes first.
        let removed = self.remove_share_up_to(names, |_, _| Id::MAX)?;
        if let Some(warehouse) = &self.warehouse {
            warehouse.removed(removed);
        }
        Ok(removed > 0)
    }

    /// Removes events of each stream up to an id, in proportion to its length. Returns how many it removed.
    fn remove_share_up_to(
        &mut self,
        names: &[Bytes],
        last: impl Fn(&Self, &store::Stream) -> Id,
    ) -> Result<i64> {
        let total: i64 = self.streams.values().map(|stream| stream.length).sum();
        let mut removed = 0;
        for name in names {
            let Some(stream) = self.stream(name) else { continue };
            let share = stream.length * MAX_EVENTS_PER_SWEEP / total.max(1) + 1;
            let (number, last) = (stream.number, last(self, stream));
            removed += self.remove_oldest(name, number, last, share)?;
        }
        Ok(removed)
    }

    /// Returns the last event that can be removed without loss. Without a warehouse, it is the last one.
    fn removable(&self, stream: &store::Stream) -> Id {
        if self.warehouse.is_some() { stream.shipped.id } else { Id::MAX }
    }

    /// Takes over how far the warehouse has the streams.
    fn note_shipped(&mut self, warehouse: &Arc<Status>) {
        for (number, (name, shipped)) in warehouse.news() {
            let known = self.stream(&name).filter(|stream| stream.number == number);
            if known.is_some_and(|stream| stream.shipped != shipped) {
                self.stream_to_change(&name).shipped = shipped;
            }
        }
        let behind = self.streams.values().filter(|stream| stream.shipped.id < stream.last);
        warehouse.set_behind(behind.map(|stream| (stream.added - stream.shipped.added).max(0)).sum());
    }

    /// Tells the warehouse the time of the oldest event that it does not have.
    pub(crate) fn note_oldest_unshipped(&self) -> store::Result<()> {
        let Some(warehouse) = &self.warehouse else { return Ok(()) };
        let mut oldest = now();
        for stream in self.streams.values().filter(|stream| stream.shipped.id < stream.last) {
            let first = self.store.first_after(stream.number, stream.shipped.id)?;
            oldest = oldest.min(first.map_or(oldest, |id| id.ms));
        }
        warehouse.complete_until(oldest);
        Ok(())
    }
}
