//! The times of a client, in seconds of the server's clock.

use super::Client;
use crate::sync::atomic::{AtomicU32, Ordering::Relaxed};

pub(super) struct ClientTimes {
    /// The time of the connect.
    since: u32,
    /// The time of the last activity, or `BUSY`.
    active: AtomicU32,
    /// The time since which the client has had to authenticate, or `NEVER`.
    unauthenticated_since: AtomicU32,
    /// The time since which the rest of a request is missing, or `NEVER`.
    request_since: AtomicU32,
}

/// Special values of a time.
const BUSY: u32 = u32::MAX;
const NEVER: u32 = u32::MAX;

impl ClientTimes {
    /// The client connects now.
    pub(super) fn new(now: u32) -> Self {
        ClientTimes {
            since: now,
            active: AtomicU32::new(now),
            unauthenticated_since: AtomicU32::new(NEVER),
            request_since: AtomicU32::new(NEVER),
        }
    }
}

impl Client {
    /// Returns the age of the connection, in seconds.
    pub(crate) fn age(&self, now: u32) -> u32 {
        now.saturating_sub(self.0.times.since)
    }

    /// Records activity: the client has sent or taken something.
    pub(crate) fn set_active(&self, now: u32) {
        self.0.times.active.store(now, Relaxed);
    }

    /// Marks the client as busy: it is not idle until its requests are answered.
    pub(crate) fn set_busy(&self) {
        self.0.times.active.store(BUSY, Relaxed);
    }

    /// Returns the idle time, in seconds.
    pub(crate) fn idle(&self, now: u32) -> u32 {
        match self.0.times.active.load(Relaxed) {
            BUSY => 0,
            active => now.saturating_sub(active),
        }
    }

    /// Sets the time since which the client has had to authenticate.
    pub(crate) fn set_unauthenticated_since(&self, since: Option<u32>) {
        self.0.times.unauthenticated_since.store(since.unwrap_or(NEVER), Relaxed);
    }

    /// Returns for how long the client has been unauthenticated, in seconds.
    pub(crate) fn unauthenticated_age(&self, now: u32) -> Option<u32> {
        age(&self.0.times.unauthenticated_since, now)
    }

    /// Sets the time since which the rest of a request is missing.
    pub(crate) fn set_request_since(&self, since: Option<u32>) {
        self.0.times.request_since.store(since.unwrap_or(NEVER), Relaxed);
    }

    /// Returns for how long the rest of a request has been missing, in seconds.
    pub(crate) fn request_age(&self, now: u32) -> Option<u32> {
        age(&self.0.times.request_since, now)
    }
}

/// Returns the seconds since `since`, or `None` for `NEVER`.
fn age(since: &AtomicU32, now: u32) -> Option<u32> {
    let since = since.load(Relaxed);
    (since != NEVER).then(|| now.saturating_sub(since))
}
