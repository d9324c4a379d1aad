//! State that the collector and the thread of the warehouse share.

use std::{
    collections::HashMap,
    mem,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use thegiant::{App, Counter, Gauge};

use crate::{id::now, store::Shipped};

const WARN_EVERY: Duration = Duration::from_secs(60);

/// Positions of streams by their number, with their names.
pub(crate) type Positions = HashMap<i64, (Bytes, Shipped)>;

/// The state of the warehouse.
#[derive(Debug, Default)]
pub(crate) struct Status {
    /// The positions that the collector does not know yet.
    news: Mutex<Positions>,
    /// The warehouse has all events that were on the disk at this time, in milliseconds since 1970.
    complete_until: AtomicI64,
    pub(super) connected: Gauge,
    pub(super) shipped: Counter,
    pub(super) skipped: Counter,
    removed: Counter,
    /// The time from which on the log reports removed events again.
    next_warning: Mutex<Option<Instant>>,
    behind_events: Gauge,
    behind_seconds: Gauge,
}

impl Status {
    /// Shows the state in `INFO`, and exports it.
    pub(crate) fn show(&self, app: App) -> App {
        const SECTION: &str = "Warehouse";
        app.gauge(SECTION, "warehouse_connected", &self.connected)
            .gauge(SECTION, "warehouse_behind_events", &self.behind_events)
            .gauge(SECTION, "warehouse_behind_seconds", &self.behind_seconds)
            .counter(SECTION, "warehouse_shipped_events_total", &self.shipped)
            .counter(SECTION, "warehouse_skipped_events_total", &self.skipped)
            .counter(SECTION, "warehouse_removed_events_total", &self.removed)
    }

    /// Tells the collector positions.
    pub(super) fn tell(&self, positions: impl IntoIterator<Item = (i64, (Bytes, Shipped))>) {
        self.news.lock().unwrap_or_else(PoisonError::into_inner).extend(positions);
    }

    /// Returns the positions that are new since the last call.
    pub(crate) fn news(&self) -> Positions {
        mem::take(&mut self.news.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes that the warehouse has all events up to this time.
    pub(crate) fn complete_until(&self, time: i64) {
        self.complete_until.fetch_max(time, Relaxed);
    }

    /// Sets the number of events that the warehouse does not have.
    pub(crate) fn set_behind(&self, events: i64) {
        self.behind_events.set(events);
        let behind = now().saturating_sub(self.complete_until.load(Relaxed));
        self.behind_seconds.set(behind.max(0) / 1000);
    }

    /// Counts events that were removed although the warehouse may not have them. Logs a warning once a minute.
    pub(crate) fn removed(&self, events: i64) {
        if events == 0 {
            return;
        }
        self.removed.add(events.unsigned_abs());
        let (now, mut next) =
            (Instant::now(), self.next_warning.lock().unwrap_or_else(PoisonError::into_inner));
        if next.is_none_or(|next| now >= next) {
            *next = Some(now + WARN_EVERY);
            tracing::error!(
                total = self.removed.get(),
                "events were removed because of --max-size before they were shipped"
            );
        }
    }
}
