//! The partitions that this instance owns.

use std::collections::BTreeMap;

/// The partitions that are open, or on the way there or back.
#[derive(Debug, Default)]
pub(super) struct OwnedPartitions(BTreeMap<u16, State>);

/// The state of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The application opens it. Without `is_assigned`, it is closed at once after that.
    Opening {
        epoch: u64,
        is_assigned: bool,
    },
    Open {
        epoch: u64,
    },
    Closing {
        epoch: u64,
    },
    /// Closed to give it away. Another instance becomes its owner, or this one with a greater epoch.
    Closed {
        epoch: u64,
    },
}

/// A task of the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Open { partition: u16, epoch: u64 },
    Close { partition: u16 },
}

impl OwnedPartitions {
    /// Opens the assigned partitions with these epochs, if `may_open`, and closes all others.
    pub(super) fn assign(&mut self, assigned: &BTreeMap<u16, u64>, may_open: bool) -> Vec<Change> {
        let mut changes = Vec::new();
        self.0.retain(|partition, state| {
            state.stays(assigned.get(partition).copied(), *partition, &mut changes)
        });
        if may_open {
            for (&partition, &epoch) in assigned {
                self.0.entry(partition).or_insert_with(|| {
                    changes.push(Change::Open { partition, epoch });
                    State::Opening { epoch, is_assigned: true }
                });
            }
        }
        changes
    }

    /// Begins to close a partition that is open.
    pub(super) fn close(&mut self, partition: u16) -> Option<Change> {
        match self.0.get_mut(&partition) {
            Some(state @ State::Open { .. }) => {
                *state = State::Closing { epoch: state.epoch() };
                Some(Change::Close { partition })
            }
            _ => None,
        }
    }

    /// Notes that a partition is open. Returns the next task if the member no longer wants it.
    pub(super) fn opened(&mut self, partition: u16) -> Option<Change> {
        match self.0.get_mut(&partition) {
            Some(state @ State::Opening { is_assigned: true, .. }) => {
                *state = State::Open { epoch: state.epoch() };
                None
            }
            Some(state) => {
                *state = State::Closing { epoch: state.epoch() };
                Some(Change::Close { partition })
            }
            None => None,
        }
    }

    /// Notes that a partition is closed.
    pub(super) fn closed(&mut self, partition: u16) {
        if let Some(state) = self.0.get_mut(&partition) {
            *state = State::Closed { epoch: state.epoch() };
        }
    }

    /// Returns whether a partition was closed in this epoch.
    ///
    /// It needs another owner then, or a greater epoch.
    pub(super) fn is_closed(&self, partition: u16, epoch: u64) -> bool {
        self.0.get(&partition) == Some(&State::Closed { epoch })
    }

    /// Returns the partitions that are open.
    pub(super) fn open(&self) -> impl Iterator<Item = u16> {
        let is_open = |(_, state): &(&u16, &State)| matches!(state, State::Open { .. });
        self.0.iter().filter(is_open).map(|(partition, _)| *partition)
    }

    /// Returns whether all partitions are open.
    pub(super) fn are_open(&self) -> bool {
        self.0.values().all(|state| matches!(state, State::Open { .. }))
    }

    /// Returns whether all partitions are closed.
    pub(super) fn are_closed(&self) -> bool {
        self.0.values().all(|state| matches!(state, State::Closed { .. }))
    }

    /// Returns whether the application is closing a partition.
    pub(super) fn is_closing(&self) -> bool {
        self.0.values().any(|state| matches!(state, State::Closing { .. }))
    }

    /// Forgets the partitions that are closed.
    pub(super) fn clear(&mut self) {
        self.0.retain(|_, state| !matches!(state, State::Closed { .. }));
    }
}

impl State {
    fn epoch(self) -> u64 {
        let (State::Opening { epoch, .. }
        | State::Open { epoch }
        | State::Closing { epoch }
        | State::Closed { epoch }) = self;
        epoch
    }

    /// Returns whether the partition is still owned, which is assigned in this epoch.
    fn stays(&mut self, assigned: Option<u64>, partition: u16, changes: &mut Vec<Change>) -> bool {
        let is_same = assigned == Some(self.epoch());
        match self {
            State::Opening { is_assigned, .. } => *is_assigned &= is_same,
            State::Open { epoch } if !is_same => {
                *self = State::Closing { epoch: *epoch };
                changes.push(Change::Close { partition });
            }
            State::Closed { .. } => return is_same,
            State::Open { .. } | State::Closing { .. } => {}
        }
        true
    }
}
