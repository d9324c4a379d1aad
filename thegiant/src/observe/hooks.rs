//! Switches for features with a cost per command.

use std::sync::atomic::{AtomicU16, Ordering::Relaxed};

/// The per-command features that are on. While all are off, the check costs one load per batch.
#[derive(Debug, Default)]
pub(crate) struct Hooks(AtomicU16);

/// A per-command feature.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hook {
    /// Times each command.
    Time = 1,
    /// Shows each command to the `MONITOR` clients.
    Monitor = 1 << 1,
    /// Delays commands during `CLIENT PAUSE`.
    Pause = 1 << 2,
    /// Records which keys each command reads and changes.
    Keys = 1 << 3,
    /// Asks the middleware of the application about each command.
    Middleware = 1 << 4,
    /// Checks what the user of each client may do: some user may not do everything.
    Users = 1 << 5,
    /// Checks whether this instance of a cluster has the keys of each command.
    Cluster = 1 << 6,
    /// Puts the key prefix of each client before its keys.
    Tenants = 1 << 7,
    /// Checks whether each command may run on a replica.
    Replica = 1 << 8,
}

impl Hooks {
    /// Returns whether at least one feature is on.
    pub(crate) fn is_any(&self) -> bool {
        self.0.load(Relaxed) != 0
    }

    /// Returns whether this feature is on and no other.
    pub(crate) fn is_only(&self, hook: Hook) -> bool {
        self.0.load(Relaxed) == hook as u16
    }

    /// Returns whether none but these two features is on.
    pub(crate) fn are_only(&self, [one, other]: [Hook; 2]) -> bool {
        self.0.load(Relaxed) & !(one as u16 | other as u16) == 0
    }

    pub(crate) fn is(&self, hook: Hook) -> bool {
        self.0.load(Relaxed) & hook as u16 != 0
    }

    pub(crate) fn set(&self, hook: Hook, on: bool) {
        if on {
            self.0.fetch_or(hook as u16, Relaxed);
        } else {
            self.0.fetch_and(!(hook as u16), Relaxed);
        }
    }
}
