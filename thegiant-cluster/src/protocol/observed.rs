//! The heartbeats of other instances, as this one has seen them.

use std::{collections::HashMap, time::Duration};

use super::Time;
use crate::Revision;

/// The time since which each heartbeat is unchanged.
#[derive(Debug, Default)]
pub(super) struct Observed {
    by_name: HashMap<String, Observation>,
    last_look: Time,
}

#[derive(Clone, Copy, Debug)]
struct Observation {
    revision: Revision,
    since: Time,
    has_changed: bool,
}

impl Observed {
    /// Looks at all heartbeats.
    ///
    /// If the last look is too long ago, the store or this process has been away, and other instances may have had no chance to
    /// send a heartbeat either. Then all counts begin anew.
    pub(super) fn look<'a>(
        &mut self,
        now: Time,
        max_gap: Duration,
        all: impl Iterator<Item = (&'a str, Revision)>,
    ) {
        let was_away = now.saturating_sub(self.last_look) > max_gap;
        self.last_look = now;
        let look = |(name, revision): (&str, Revision)| {
            let last = self.by_name.get(name);
            let is_same = last.is_some_and(|last| last.revision == revision);
            let since = last.filter(|_| is_same && !was_away).map_or(now, |last| last.since);
            let has_changed = last.is_some_and(|last| last.has_changed || !is_same);
            (name.to_owned(), Observation { revision, since, has_changed })
        };
        self.by_name = all.map(look).collect();
    }

    /// Returns whether a heartbeat has been unchanged for this time.
    pub(super) fn is_dead(&self, name: &str, now: Time, lease: Duration) -> bool {
        self.by_name.get(name).is_some_and(|observation| now.saturating_sub(observation.since) >= lease)
    }

    /// Returns whether an instance has sent a heartbeat since the first look.
    pub(super) fn is_alive(&self, name: &str) -> bool {
        self.by_name.get(name).is_some_and(|observation| observation.has_changed)
    }

    /// Forgets what was seen.
    pub(super) fn clear(&mut self) {
        self.by_name.clear();
    }
}
