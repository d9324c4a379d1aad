//! `CLIENT PAUSE`: the pause of all clients, and the timer that ends it.

use std::sync::Weak;

use actix_rt::{
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use super::ServerState;

/// A pause of all clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pause {
    pub(crate) until: Instant,
    /// Only commands that write wait.
    pub(crate) writes_only: bool,
}

/// The current pause. Dropping it ends the timer.
#[derive(Debug)]
pub(super) struct CurrentPause {
    pub(super) pause: Pause,
    timer: JoinHandle<()>,
}

impl CurrentPause {
    pub(super) fn start(pause: Pause, server: Weak<ServerState>) -> Self {
        CurrentPause { pause, timer: actix_rt::spawn(end_pause(server)) }
    }

    /// Applies another pause. As in Redis, it never shortens or narrows the current one.
    pub(super) fn extend(&mut self, other: Pause) {
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

/// Waits for the end of the current pause, and resumes the clients.
async fn end_pause(server: Weak<ServerState>) {
    while let Some(server) = server.upgrade()
        && let Some(Pause { until, .. }) = server.paused()
    {
        if until <= Instant::now() {
            return server.unpause();
        }
        drop(server);
        sleep_until(until).await;
    }
}
