//! The pause of all clients (`CLIENT PAUSE`).

use actix_rt::{task::JoinHandle, time::Instant};

/// A pause of all clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pause {
    pub(crate) until: Instant,
    /// Only commands that write wait.
    pub(crate) writes_only: bool,
}

/// The current pause, and the task that ends it. Dropping it ends the task.
#[derive(Debug)]
pub(crate) struct CurrentPause {
    pub(crate) pause: Pause,
    timer: JoinHandle<()>,
}

impl CurrentPause {
    pub(crate) fn new(pause: Pause, timer: JoinHandle<()>) -> Self {
        CurrentPause { pause, timer }
    }

    /// Applies another pause. As in Redis, it never shortens or narrows the current one.
    pub(crate) fn extend(&mut self, other: Pause) {
        // The timer looks for a later end when it fires, so it goes on as it is.
        self.pause.until = self.pause.until.max(other.until);
        self.pause.writes_only &= other.writes_only;
    }
}

impl Drop for CurrentPause {
    fn drop(&mut self) {
        self.timer.abort();
    }
}
