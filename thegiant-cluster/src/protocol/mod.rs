//! The protocol of a member, without I/O and without a clock.
//!
//! A [`Machine`] gets the time, the results of store calls, and reports of the application. It returns store calls, and tasks of the
//! server and the application. So [the simulation](crate::simulation) can test it with any order and delay of events.
//!
//! | rule | reason |
//! | --- | --- |
//! | A member changes its own heartbeat three times per lease, and serves only until its lease ends. | It can be gone, paused or cut off at any time. |
//! | A member that has seen no change of another heartbeat for a whole lease evicts the other one: it deletes the heartbeat, by a swap that expects the revision it has seen. | From then on, the other one cannot renew its lease, which has ended. |
//! | Partitions whose owner has no heartbeat get new owners, in the next version of the topology. | Only a deleted heartbeat proves that the lease has ended. |
//! | The version in which a partition got its owner is its epoch. A closed partition opens only with a greater epoch. | The epoch tells the states of an owner apart, also two of the same instance. |
//! | A member ignores what it owned before its heartbeat was created. | An earlier process with the same name, or itself before it was evicted, may have had it. |

mod failure_detector;
mod heartbeat;
mod lease;
mod owned;
mod plan;
mod snapshot;
mod steps;

use std::{
    collections::{BTreeMap, BTreeSet},
    io, mem,
    time::Duration,
};

use self::{
    failure_detector::FailureDetector,
    heartbeat::Heartbeat,
    lease::{Lease, retry_after},
    owned::{Change, OwnedPartitions},
    snapshot::Snapshot,
};
use crate::{Entry, Members, Revision, Swap};

/// A time of the own monotonic clock.
pub(crate) type Time = Duration;

/// The settings of a member.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) partitions: u16,
    pub(crate) lease: Duration,
    /// A random number, which distinguishes processes with the same name.
    pub(crate) incarnation: u64,
}

/// The kind of a store call.
///
/// There is at most one call of each kind at a time, so a heartbeat never waits for other calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallKind {
    Heartbeat,
    Work,
}

/// A call of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    List,
    Swap { key: String, expected: Option<Revision>, value: Option<String> },
}

/// The result of a call.
#[derive(Debug)]
pub(crate) enum Answer {
    Listed(Vec<Entry>),
    Swapped(Swap),
    /// An error, or no answer in time. A swap may have taken effect, or take effect later.
    Failed(io::Error),
}

/// An event for the machine.
#[derive(Debug)]
pub(crate) enum Input {
    /// The time that [`Machine::wake_at`] has returned.
    Wake,
    Answered(CallKind, Answer),
    /// The application has opened a partition, or cannot.
    Opened(u16, io::Result<()>),
    Closed(u16),
    /// An entry of the store may have changed.
    Changed,
    /// The request to give the partitions to the others, and to end.
    Leave,
}

/// A task for the driver.
#[derive(Debug)]
pub(crate) enum Output {
    Call(CallKind, Call),
    /// Serve exactly these partitions from now on.
    Serve(BTreeSet<u16>),
    Open {
        partition: u16,
        epoch: u64,
    },
    Close {
        partition: u16,
    },
    /// Redirect clients to these owners.
    Members(Members),
    /// The member has ended.
    Ended(io::Result<()>),
}

/// A member of a cluster.
#[derive(Debug)]
pub(crate) struct Machine {
    settings: Settings,
    phase: Phase,
    /// The current [incarnation](Heartbeat::incarnation), as a number.
    incarnation: u64,
    lease: Lease,
    failure_detector: FailureDetector,
    members: Members,
    owned: OwnedPartitions,
    work: Work,
    served: BTreeSet<u16>,
    failure: Option<io::Error>,
    outputs: Vec<Output>,
}

/// The state of a member.
#[derive(Debug)]
enum Phase {
    /// Waits until its name is free, and creates its heartbeat.
    Joining,
    /// Has a heartbeat. Ignores the partitions that it got in the version `after` of the topology, or in earlier ones.
    Joined {
        after: Option<u64>,
    },
    /// Another member has deleted its heartbeat. It joins again when all partitions are closed.
    Evicted,
    /// Closes its partitions.
    Closing,
    /// Deletes its heartbeat, but not after this time.
    Deleting {
        until: Time,
    },
    /// Gives its partitions to the others, but not after this time.
    HandingOver {
        until: Time,
    },
    Ended,
}

/// The calls of the kind [`Work`](CallKind::Work).
#[derive(Clone, Copy, Debug)]
enum Work {
    Idle {
        next: Time,
    },
    /// `again`: an entry may have changed after the call has begun.
    Listing {
        again: bool,
    },
    Creating,
    /// A swap after which the member looks again.
    Changing,
    Deleting,
    HandingOver,
}

impl Machine {
    pub(crate) fn new(settings: Settings) -> Self {
        Machine {
            incarnation: settings.incarnation,
            lease: Lease::new(settings.lease),
            phase: Phase::Joining,
            failure_detector: FailureDetector::default(),
            members: Members::default(),
            owned: OwnedPartitions::default(),
            work: Work::Idle { next: Time::ZERO },
            served: BTreeSet::new(),
            failure: None,
            outputs: Vec::new(),
            settings,
        }
    }

    /// Takes an event. Returns the tasks that follow from it, in this order.
    pub(crate) fn step(&mut self, now: Time, input: Input) -> Vec<Output> {
        match input {
            Input::Wake => {}
            Input::Answered(CallKind::Heartbeat, answer) => {
                self.lease.finish(now, answer.swap());
                if self.lease.revision().is_none() {
                    self.list_again(now);
                }
                self.reconcile(now);
            }
            Input::Answered(CallKind::Work, answer) => self.answered(now, answer),
            Input::Opened(partition, Ok(())) => {
                let change = self.owned.opened(partition);
                self.change(change);
            }
            Input::Opened(partition, Err(error)) => {
                self.owned.closed(partition);
                self.fail(error);
            }
            Input::Closed(partition) => {
                self.owned.closed(partition);
                if !self.owned.is_closing() {
                    self.list_again(now);
                }
                self.reconcile(now);
            }
            Input::Changed => self.list_again(now),
            Input::Leave => self.leave(),
        }
        self.proceed(now);
        self.serve(now);
        mem::take(&mut self.outputs)
    }

    /// Returns the time at which the machine needs a [`Wake`](Input::Wake), if nothing else happens before.
    pub(crate) fn wake_at(&self) -> Option<Time> {
        let until = match self.phase {
            Phase::Deleting { until } | Phase::HandingOver { until } => Some(until),
            _ => None,
        };
        let lease_end = self.service().map(|(_, end)| end);
        [until, lease_end, self.next_heartbeat(), self.next_work()].into_iter().flatten().min()
    }

    /// Returns the partitions that the member serves, and the time when it has to stop.
    ///
    /// Returns `None` if it serves none.
    pub(crate) fn service(&self) -> Option<(&BTreeSet<u16>, Time)> {
        (!self.served.is_empty()).then(|| (&self.served, self.lease.end()))
    }

    /// Returns the partitions that the member believes to own alone at this time.
    #[cfg(test)]
    pub(crate) fn serves_at(&self, now: Time) -> BTreeSet<u16> {
        if self.lease.is_valid(now) { self.owned.open().collect() } else { BTreeSet::new() }
    }

    fn next_heartbeat(&self) -> Option<Time> {
        matches!(self.phase, Phase::Joined { .. } | Phase::Closing).then(|| self.lease.next()).flatten()
    }

    fn next_work(&self) -> Option<Time> {
        match (self.work, &self.phase) {
            (_, Phase::Evicted | Phase::Closing | Phase::Ended) => None,
            (Work::Idle { next }, _) => Some(next),
            _ => None,
        }
    }

    /// Goes on to the next phase, and begins the calls that are due.
    fn proceed(&mut self, now: Time) {
        match self.phase {
            Phase::Evicted
                if self.owned.are_closed()
                    && !self.lease.is_in_flight()
                    && matches!(self.work, Work::Idle { .. }) =>
            {
                self.join_again(now);
            }
            Phase::Closing if self.owned.are_closed() => {
                self.phase = Phase::Deleting { until: now + self.settings.lease };
                self.list_again(now);
            }
            Phase::Deleting { until } | Phase::HandingOver { until } if now >= until => self.end(),
            _ => {}
        }
        if self.next_heartbeat().is_some_and(|next| next <= now) {
            let expected = self.lease.revision();
            let value = self.renew(now);
            self.call(CallKind::Heartbeat, self.swap_own(expected, Some(value)));
        }
        if self.next_work().is_some_and(|next| next <= now) {
            match (&self.phase, self.lease.revision()) {
                (Phase::Deleting { .. }, Some(revision)) => {
                    self.work = Work::Deleting;
                    self.call(CallKind::Work, self.swap_own(Some(revision), None));
                }
                _ => {
                    self.work = Work::Listing { again: false };
                    self.call(CallKind::Work, Call::List);
                }
            }
        }
    }

    /// Tells the server which partitions to serve, before all other tasks, if they have changed.
    fn serve(&mut self, now: Time) {
        let served = if self.lease.is_valid(now) { self.owned.open().collect() } else { BTreeSet::new() };
        if served != self.served {
            if !self.lease.is_valid(now) {
                tracing::warn!(
                    "the lease has ended without an answer of the store: serves no keys until it is renewed"
                );
            }
            self.served.clone_from(&served);
            self.outputs.insert(0, Output::Serve(served));
        }
    }

    /// Opens and closes partitions, so that they become those of the topology.
    fn reconcile(&mut self, now: Time) {
        let assigned: BTreeMap<u16, u64> = match self.phase {
            Phase::Joined { after: Some(after) } => {
                let own = |partition: &u16| {
                    self.members.owner(*partition).is_some_and(|owner| owner.name == self.settings.name)
                };
                let own = (0..self.members.partitions()).filter(own);
                let own = own.filter_map(|partition| Some((partition, self.members.epoch(partition)?)));
                own.filter(|(_, epoch)| *epoch > after).collect()
            }
            _ => BTreeMap::new(),
        };
        let changes = self.owned.assign(&assigned, self.lease.is_valid(now));
        changes.into_iter().for_each(|change| self.change(Some(change)));
    }

    fn change(&mut self, change: Option<Change>) {
        self.outputs.extend(change.map(|change| match change {
            Change::Open { partition, epoch } => Output::Open { partition, epoch },
            Change::Close { partition } => Output::Close { partition },
        }));
    }

    fn call(&mut self, kind: CallKind, call: Call) {
        self.outputs.push(Output::Call(kind, call));
    }

    /// Lists the entries as soon as possible.
    fn list_again(&mut self, now: Time) {
        match &mut self.work {
            Work::Idle { next } => *next = now,
            Work::Listing { again } => *again = true,
            _ => {}
        }
    }

    /// Begins an attempt to renew the lease. Returns the next value of the own heartbeat.
    fn renew(&mut self, now: Time) -> String {
        let Settings { address, lease, .. } = &self.settings;
        let (address, lease) = (address.clone(), *lease);
        let sequence = self.lease.begin(now);
        Heartbeat { address, lease, incarnation: self.incarnation(), sequence }.to_string()
    }

    fn swap_own(&self, expected: Option<Revision>, value: Option<String>) -> Call {
        Call::Swap { key: heartbeat::key(&self.settings.name), expected, value }
    }

    fn incarnation(&self) -> String {
        format!("{:016x}", self.incarnation)
    }

    /// Leaves because of an error.
    fn fail(&mut self, error: io::Error) {
        self.failure.get_or_insert(error);
        match self.phase {
            Phase::Joining => self.end(),
            _ => self.leave(),
        }
    }

    fn leave(&mut self) {
        if let Phase::Joining | Phase::Joined { .. } | Phase::Evicted = self.phase {
            self.phase = Phase::Closing;
            self.reconcile(Time::ZERO);
        }
    }

    fn end(&mut self) {
        self.phase = Phase::Ended;
        let result = self.failure.take().map_or(Ok(()), Err);
        self.outputs.push(Output::Ended(result));
    }
}

impl Answer {
    /// Returns the result of a swap, or `None` after an error.
    fn swap(&self) -> Option<Swap> {
        match self {
            Answer::Swapped(swap) => Some(*swap),
            Answer::Listed(_) | Answer::Failed(_) => None,
        }
    }
}
