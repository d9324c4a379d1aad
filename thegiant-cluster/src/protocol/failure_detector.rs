//! Finds out which other instances have failed.

use std::{collections::HashMap, time::Duration};

use super::Time;
use crate::Revision;

/// Finds out which instances have failed, by the time since which their heartbeats are unchanged.
#[derive(Debug, Default)]
pub(super) struct FailureDetector {
    by_name: HashMap<String, Observation>,
    last_observed: Time,
}

#[derive(Clone, Copy, Debug)]
struct Observation {
    revision: Revision,
    /// The time since which it has this revision.
    since: Time,
    has_changed: bool,
}

impl FailureDetector {
    /// Compares all heartbeats with those of the last call.
    ///
    /// If that is longer ago than `max_gap`, the store or this process has been away, and other instances may have had no chance to
    /// send a heartbeat either. Then all counts begin anew.
    pub(super) fn observe<'a>(
        &mut self,
        now: Time,
        max_gap: Duration,
        all: impl Iterator<Item = (&'a str, Revision)>,
    ) {
        let was_away = now.saturating_sub(self.last_observed) > max_gap;
        self.last_observed = now;
        let observe = |(name, revision): (&str, Revision)| {
            let last = self.by_name.get(name);
            let is_same = last.is_some_and(|last| last.revision == revision);
            let since = last.filter(|_| is_same && !was_away).map_or(now, |last| last.since);
            let has_changed = last.is_some_and(|last| last.has_changed || !is_same);
            (name.to_owned(), Observation { revision, since, has_changed })
        };
        self.by_name = all.map(observe).collect();
    }

    /// Returns whether a heartbeat has been unchanged for this time.
    pub(super) fn is_dead(&self, name: &str, now: Time, lease: Duration) -> bool {
        self.by_name.get(name).is_some_and(|observation| now.saturating_sub(observation.since) >= lease)
    }

    /// Returns whether an instance has sent a heartbeat since it was observed first.
    pub(super) fn is_alive(&self, name: &str) -> bool {
        self.by_name.get(name).is_some_and(|observation| observation.has_changed)
    }

    /// Forgets all heartbeats.
    pub(super) fn clear(&mut self) {
        self.by_name.clear();
    }
}
