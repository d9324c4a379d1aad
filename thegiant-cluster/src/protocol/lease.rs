//! The lease of this instance.

use std::time::Duration;

use super::Time;
use crate::{Revision, Swap};

/// The own heartbeat, and how long it proves that no other instance has taken over.
///
/// The lease lasts from the *start* of the last swap that has succeeded: the others can have seen its effect only later.
#[derive(Debug)]
pub(super) struct Lease {
    lease: Duration,
    /// The state of the heartbeat as far as this instance knows; `None` if it has to look.
    revision: Option<Revision>,
    /// Start of the last swap that has succeeded.
    since: Option<Time>,
    /// Swaps whose results are unknown, with their start. Each may have been the last one that has succeeded.
    attempts: Vec<Attempt>,
    last_sequence: u64,
    in_flight: Option<Attempt>,
    /// The time of the next heartbeat.
    next: Time,
}

#[derive(Clone, Copy, Debug)]
struct Attempt {
    sequence: u64,
    started: Time,
}

impl Lease {
    /// Creates a lease without a heartbeat, which has ended.
    pub(super) fn new(lease: Duration) -> Self {
        Lease {
            lease,
            revision: None,
            since: None,
            attempts: Vec::new(),
            last_sequence: 0,
            in_flight: None,
            next: Time::ZERO,
        }
    }

    /// Returns the time when the instance has to stop serving.
    ///
    /// The margin is for clocks that run at different speeds.
    pub(super) fn end(&self) -> Time {
        self.since.map_or(Time::ZERO, |since| since + self.lease - self.lease / 10)
    }

    pub(super) fn is_valid(&self, now: Time) -> bool {
        now < self.end()
    }

    /// Returns the state of the heartbeat, if it is known.
    pub(super) fn revision(&self) -> Option<Revision> {
        self.revision
    }

    /// Forgets the state of the heartbeat, because it is not what this instance has thought.
    pub(super) fn forget(&mut self) {
        self.revision = None;
    }

    /// Begins an attempt to set the heartbeat. Returns its number.
    pub(super) fn begin(&mut self, now: Time) -> u64 {
        self.last_sequence += 1;
        let attempt = Attempt { sequence: self.last_sequence, started: now };
        self.in_flight = Some(attempt);
        self.attempts.retain(|attempt| now < attempt.started + self.lease);
        self.attempts.push(attempt);
        attempt.sequence
    }

    /// Ends the attempt, whose result may be unknown.
    ///
    /// After a conflict, another process or an earlier attempt has changed the heartbeat.
    pub(super) fn finish(&mut self, now: Time, swap: Option<Swap>) {
        let attempt = self.in_flight.take();
        match swap {
            Some(Swap::Done(revision)) => {
                self.revision = Some(revision);
                self.attempts.clear();
                if let Some(attempt) = attempt {
                    self.since = Some(attempt.started);
                    self.next = attempt.started + self.lease / 3;
                }
            }
            Some(Swap::Conflict) => {
                // This attempt has had no effect, but an earlier one may have.
                self.attempts.retain(|one| Some(one.sequence) != attempt.map(|attempt| attempt.sequence));
                self.revision = None;
            }
            None => self.next = now + retry_after(self.lease),
        }
    }

    /// Takes the state of the own heartbeat from the store, if it is not known.
    pub(super) fn learn(&mut self, revision: Revision, sequence: u64) {
        if self.revision.is_some() {
            return;
        }
        self.revision = Some(revision);
        if let Some(attempt) = self.attempts.iter().find(|attempt| attempt.sequence == sequence) {
            self.since = self.since.max(Some(attempt.started));
        }
    }

    /// Returns whether an attempt waits for its result.
    pub(super) fn is_in_flight(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Returns when the next heartbeat is due, if one can be sent.
    pub(super) fn next(&self) -> Option<Time> {
        (self.revision.is_some() && self.in_flight.is_none()).then_some(self.next)
    }
}

/// Returns the time between two attempts.
pub(super) fn retry_after(lease: Duration) -> Duration {
    lease / 10
}
