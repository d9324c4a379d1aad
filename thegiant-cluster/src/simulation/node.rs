//! A machine with a clock, and the process on it.

use std::{collections::BTreeSet, time::Duration};

use super::LEASE;
use crate::protocol::{CallKind, Machine, Settings, Time};

/// A machine on which at most one process of the application runs at a time.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: &'static str,
    address: String,
    clock: Clock,
    pub(super) process: Option<Process>,
}

/// A clock that begins at any time, and runs at its own speed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    pub(super) offset: Duration,
    /// Its millionths of a second in a second of the world.
    pub(super) rate: u32,
}

#[derive(Debug)]
pub(super) struct Process {
    pub(super) id: u64,
    pub(super) machine: Machine,
    /// The partitions that the server serves.
    pub(super) served: BTreeSet<u16>,
    /// The partitions that the application has opened, with the epochs.
    pub(super) open: Vec<(u16, u64)>,
    pub(super) paused_until: Option<Duration>,
    pub(super) last_wake: u64,
    /// The call of each kind that waits for an answer.
    pending: [Option<u64>; 2],
}

impl Node {
    pub(super) fn new(index: usize, name: &'static str, clock: Clock) -> Self {
        Node { name, address: format!("h:{index}"), clock, process: None }
    }

    pub(super) fn start(&mut self, id: u64, partitions: u16) {
        let settings = Settings {
            name: self.name.to_owned(),
            address: self.address.clone(),
            partitions,
            lease: LEASE,
            incarnation: id << 20,
        };
        self.process = Some(Process {
            id,
            machine: Machine::new(settings),
            served: BTreeSet::new(),
            open: Vec::new(),
            paused_until: None,
            last_wake: 0,
            pending: [None; 2],
        });
    }

    /// Returns the time of the own clock.
    pub(super) fn local(&self, now: Duration) -> Time {
        self.clock.offset + now * self.clock.rate / 1_000_000
    }

    /// Returns the time of the world when the own clock has this time, or a little later.
    pub(super) fn global(&self, local: Time) -> Duration {
        let since = local.saturating_sub(self.clock.offset);
        since * 1_000_000 / self.clock.rate + Duration::from_micros(1)
    }

    /// Returns the partitions that the process believes to own alone.
    pub(super) fn serves(&self, now: Duration) -> BTreeSet<u16> {
        match &self.process {
            // A paused process does not notice the end of its lease. So the state of its partitions needs fences.
            Some(process) if process.paused_until.is_some() => process.machine.serves_at(self.local(now)),
            Some(process) => process.served.clone(),
            None => BTreeSet::new(),
        }
    }
}

impl Process {
    pub(super) fn begin(&mut self, kind: CallKind, call: u64) {
        let pending = &mut self.pending[kind as usize];
        assert_eq!(*pending, None, "there is one call of a kind at a time");
        *pending = Some(call);
    }

    /// Returns whether this call of a kind still waits for its answer.
    pub(super) fn finish(&mut self, kind: CallKind, call: u64) -> bool {
        self.pending[kind as usize].take_if(|pending| *pending == call).is_some()
    }
}
