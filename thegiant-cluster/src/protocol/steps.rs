//! The reactions of a member to the answers of the store, in each phase.

use std::io;

use super::{
    Answer, Call, CallKind, Lease, Machine, Output, Phase, Snapshot, Time, Work, heartbeat, plan,
    retry_after, snapshot::TOPOLOGY,
};
use crate::{Members, Revision, Swap};

impl Machine {
    /// Takes the result of the call of the kind [`Work`](CallKind::Work).
    pub(super) fn answered(&mut self, now: Time, answer: Answer) {
        let is_known = !matches!(answer, Answer::Failed(_));
        let next = if is_known { now } else { now + retry_after(self.settings.lease) };
        let work = std::mem::replace(&mut self.work, Work::Idle { next });
        match (work, answer) {
            (Work::Listing { again }, Answer::Listed(entries)) => {
                if !again {
                    self.work = Work::Idle { next: now + self.settings.lease / 3 };
                }
                match Snapshot::parse(entries) {
                    Ok(snapshot) => self.listed(now, &snapshot),
                    Err(error) => self.fail(error),
                }
            }
            (Work::Creating, answer) => {
                self.lease.finish(now, answer.swap());
                if matches!((&self.phase, self.lease.revision()), (Phase::Joining, Some(_))) {
                    self.phase = Phase::Joined { after: None };
                }
            }
            (Work::Deleting, Answer::Swapped(swap)) => {
                self.lease.forget();
                if let (Swap::Done(_), Phase::Deleting { until }) = (swap, &self.phase) {
                    self.phase = Phase::HandingOver { until: *until };
                }
            }
            (Work::HandingOver, Answer::Swapped(Swap::Done(_))) => self.end(),
            _ => {}
        }
    }

    /// Takes the entries of the store.
    fn listed(&mut self, now: Time, snapshot: &Snapshot) {
        match self.phase {
            Phase::Joining => self.join(now, snapshot),
            Phase::Joined { after } => {
                self.phase = Phase::Joined { after: after.or(Some(snapshot.members.version)) };
                self.maintain(now, snapshot);
            }
            Phase::Deleting { until } => match snapshot.heartbeats.get(&self.settings.name) {
                Some((own, revision)) if own.incarnation == self.incarnation() => {
                    self.lease.learn(*revision, own.sequence);
                    self.list_again(now);
                }
                _ => {
                    self.phase = Phase::HandingOver { until };
                    self.list_again(now);
                }
            },
            Phase::HandingOver { .. } => self.hand_over(snapshot),
            Phase::Evicted | Phase::Closing | Phase::Ended => {}
        }
    }

    /// Creates the heartbeat, when no other instance has the name or the address.
    fn join(&mut self, now: Time, snapshot: &Snapshot) {
        if let Err(error) = self.check_partitions(&snapshot.members) {
            return self.fail(error);
        }
        self.observe(now, snapshot);
        let (name, incarnation) = (self.settings.name.clone(), self.incarnation());
        if snapshot.has(&name, &incarnation) {
            // A request has taken effect although its answer was lost.
            let (own, revision) = &snapshot.heartbeats[&name];
            self.lease.learn(*revision, own.sequence);
            self.phase = Phase::Joined { after: None };
            return self.list_again(now);
        }
        let is_in_the_way = |other: &&String| **other == name || self.has_own_address(snapshot, other);
        let in_the_way = snapshot.heartbeats.keys().find(is_in_the_way);
        match in_the_way {
            Some(other) if self.failure_detector.is_alive(other) => {
                let error = in_use(other, &self.settings.address, *other == name);
                self.fail(error);
            }
            Some(other) => self.evict_if_dead(now, snapshot, other),
            None => {
                let value = self.renew(now);
                self.work = Work::Creating;
                self.call(CallKind::Work, self.swap_own(None, Some(value)));
            }
        }
    }

    /// Takes the current topology, and changes it if it should be another one.
    fn maintain(&mut self, now: Time, snapshot: &Snapshot) {
        let name = &self.settings.name;
        if !snapshot.has(name, &self.incarnation()) {
            tracing::warn!(
                name,
                "another instance has taken over: this one closes its partitions and joins again"
            );
            self.phase = Phase::Evicted;
            return self.reconcile(now);
        }
        let (own, revision) = &snapshot.heartbeats[name];
        self.lease.learn(*revision, own.sequence);
        self.observe(now, snapshot);
        let checked = self.check_partitions(&snapshot.members).and_then(|()| self.check_address(snapshot));
        if let Err(error) = checked {
            return self.fail(error);
        }
        if self.members != snapshot.members {
            self.members = snapshot.members.clone();
            self.outputs.push(Output::Members(self.members.clone()));
        }
        self.reconcile(now);
        let dead = self.others(snapshot).find(|other| self.is_dead(now, snapshot, other));
        match dead {
            Some(dead) => self.evict_if_dead(now, snapshot, dead),
            None => self.rebalance(now, snapshot),
        }
    }

    /// Gives partitions without an owner to members, and closes the own ones that another member should have.
    fn rebalance(&mut self, now: Time, snapshot: &Snapshot) {
        let Phase::Joined { after: Some(after) } = self.phase else { return };
        let name = &self.settings.name;
        let is_kept = |partition, owner: &str| {
            let epoch = self.members.epoch(partition).unwrap_or_default();
            owner != name || (epoch > after && !self.owned.is_closed(partition, epoch))
        };
        if let Some(next) = plan::next(&self.members, self.settings.partitions, &snapshot.live(), is_kept) {
            self.work = Work::Changing;
            return self.swap_topology(snapshot.revision, &next);
        }
        if self.owned.are_open() && self.lease.is_valid(now) {
            for partition in plan::surplus(&self.members, name) {
                let change = self.owned.close(partition);
                self.change(change);
            }
        }
    }

    /// Gives the partitions to the others, after the own heartbeat is deleted.
    fn hand_over(&mut self, snapshot: &Snapshot) {
        let partitions = snapshot.members.partitions();
        match plan::next(&snapshot.members, partitions, &snapshot.live(), |_, _| true) {
            Some(next) => {
                self.work = Work::HandingOver;
                self.swap_topology(snapshot.revision, &next);
            }
            None => self.end(),
        }
    }

    /// Joins as a new incarnation, which knows nothing of the last one.
    pub(super) fn join_again(&mut self, now: Time) {
        self.owned.clear();
        self.failure_detector.clear();
        self.lease = Lease::new(self.settings.lease);
        self.incarnation = self.incarnation.wrapping_add(1);
        self.phase = Phase::Joining;
        self.list_again(now);
    }

    fn observe(&mut self, now: Time, snapshot: &Snapshot) {
        let all = snapshot.heartbeats.iter().map(|(name, (_, revision))| (&**name, *revision));
        self.failure_detector.observe(now, self.settings.lease * 2 / 3, all);
    }

    fn is_dead(&self, now: Time, snapshot: &Snapshot, name: &str) -> bool {
        let (heartbeat, _) = &snapshot.heartbeats[name];
        self.failure_detector.is_dead(name, now, heartbeat.lease)
    }

    /// Deletes a heartbeat that has been unchanged for its lease, so that it cannot be renewed.
    fn evict_if_dead(&mut self, now: Time, snapshot: &Snapshot, name: &str) {
        if self.is_dead(now, snapshot, name) {
            let (_, revision) = &snapshot.heartbeats[name];
            tracing::warn!(name, "an instance has sent no heartbeat for its lease: the others take over");
            let call = Call::Swap { key: heartbeat::key(name), expected: Some(*revision), value: None };
            self.work = Work::Changing;
            self.call(CallKind::Work, call);
        }
    }

    fn has_own_address(&self, snapshot: &Snapshot, other: &str) -> bool {
        snapshot.heartbeats[other].0.address == self.settings.address
    }

    fn swap_topology(&mut self, expected: Option<Revision>, next: &Members) {
        let value = Some(next.to_string());
        self.call(CallKind::Work, Call::Swap { key: TOPOLOGY.to_owned(), expected, value });
    }

    /// Returns the names of the other members.
    fn others<'s>(&self, snapshot: &'s Snapshot) -> impl Iterator<Item = &'s String> {
        snapshot.heartbeats.keys().filter(|other| **other != self.settings.name)
    }

    /// Checks that no other member has the address of this one.
    fn check_address(&self, snapshot: &Snapshot) -> io::Result<()> {
        let other = self.others(snapshot).find(|other| self.has_own_address(snapshot, other));
        other.map_or(Ok(()), |other| Err(in_use(other, &self.settings.address, false)))
    }

    fn check_partitions(&self, members: &Members) -> io::Result<()> {
        let (stored, own) = (members.partitions(), self.settings.partitions);
        if stored == 0 || stored == own {
            return Ok(());
        }
        let reason = format!(
            "the members of the cluster have {stored} partitions, and this one has {own}: \
             give it the same number, which cannot be changed"
        );
        Err(io::Error::new(io::ErrorKind::InvalidInput, reason))
    }
}

/// Returns the error of a process that cannot join because of another one.
fn in_use(other: &str, address: &str, is_name: bool) -> io::Error {
    let reason = if is_name {
        format!("another process is a member with the name {other:?}: give each process its own name")
    } else {
        format!("the member {other:?} has the address {address} too: give each member its own address")
    };
    io::Error::new(io::ErrorKind::AlreadyExists, reason)
}
