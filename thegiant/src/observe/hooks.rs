//! Whether anybody looks.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// What the batches of a server have to be looked at for: usually nothing, which is one load per batch.
#[derive(Debug, Default)]
pub(crate) struct Hooks(AtomicU8);

/// A reason to look, a bit each.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hook {
    /// Each command is timed.
    Time = 1,
    /// Each command is shown to somebody.
    Monitor = 1 << 1,
    /// Some commands have to wait.
    Pause = 1 << 2,
    /// Somebody wants to know which keys are read and changed.
    Keys = 1 << 3,
}

impl Hooks {
    /// Whether there is any reason at all.
    pub(crate) fn is_any(&self) -> bool {
        self.0.load(Relaxed) != 0
    }

    pub(crate) fn is(&self, look: Hook) -> bool {
        self.0.load(Relaxed) & look as u8 != 0
    }

    pub(crate) fn set(&self, look: Hook, on: bool) {
        if on {
            self.0.fetch_or(look as u8, Relaxed);
        } else {
            self.0.fetch_and(!(look as u8), Relaxed);
        }
    }
}
