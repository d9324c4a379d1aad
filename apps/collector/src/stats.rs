//! Counters for operators.

use std::{
    mem,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use thegiant::InfoFields;

use crate::{fields::Fields, wal::WalState};

/// Counters that the actor updates and other threads read.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    added: AtomicU64,
    bytes: AtomicU64,
    /// Number of groups that were committed.
    groups: AtomicU64,
    streams: AtomicUsize,
    events: AtomicI64,
    size: AtomicU64,
    wal: Mutex<WalState>,
    /// Number of events that a reader has found to be damaged.
    damaged: AtomicUsize,
    clients: AtomicI64,
}

/// The counters at the previous line of statistics.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    added: u64,
    bytes: u64,
    groups: u64,
}

impl Stats {
    pub(crate) fn added(&self, fields: &Fields) {
        self.added.fetch_add(1, Relaxed);
        self.bytes.fetch_add(fields.0.iter().map(|bytes| bytes.len() as u64).sum(), Relaxed);
    }

    /// Counts a committed group.
    pub(crate) fn group_written(&self) {
        self.groups.fetch_add(1, Relaxed);
    }

    pub(crate) fn set_totals(&self, streams: usize, events: i64, size: u64) {
        self.streams.store(streams, Relaxed);
        self.events.store(events, Relaxed);
        self.size.store(size, Relaxed);
    }

    pub(crate) fn set_wal(&self, wal: WalState) {
        *self.wal() = wal;
    }

    pub(crate) fn set_damaged(&self, events: usize) {
        self.damaged.store(events, Relaxed);
    }

    /// Adds to the number of connected clients. `more` is negative when clients disconnect.
    pub(crate) fn clients(&self, more: i64) {
        self.clients.fetch_add(more, Relaxed);
    }

    fn wal(&self) -> MutexGuard<'_, WalState> {
        self.wal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the fields of `INFO collector`.
    pub(crate) fn info(&self, info: &mut InfoFields) {
        info.field("streams", self.streams.load(Relaxed));
        info.field("events", self.events.load(Relaxed));
        info.field("events_added", self.added.load(Relaxed));
        info.field("bytes_added", self.bytes.load(Relaxed));
        info.field("damaged_events", self.damaged.load(Relaxed));
        info.field("disk_bytes", self.size.load(Relaxed));
        let wal = self.wal();
        info.field("wal_bytes", wal.bytes);
        info.field("wal_blocked_seconds", wal.blocked_seconds);
        info.field("wal_readers", &wal.readers);
    }

    /// Returns the next line for `--stats`: the events since the previous line, and the totals.
    pub(crate) fn line(&self, seen: &mut Seen) -> String {
        let [added, bytes, groups] =
            [&self.added, &self.bytes, &self.groups].map(|count| count.load(Relaxed));
        let before = mem::replace(seen, Seen { added, bytes, groups });
        format!(
            "{} events/s, {} bytes/s, {} groups/s; {} events in {} streams, {} bytes on disk; {} clients",
            added - before.added,
            bytes - before.bytes,
            groups - before.groups,
            self.events.load(Relaxed),
            self.streams.load(Relaxed),
            self.size.load(Relaxed),
            self.clients.load(Relaxed),
        )
    }
}
