//! The partitions that this instance has.

use std::collections::BTreeMap;

/// The partitions that are open, or on the way there or back.
#[derive(Debug, Default)]
pub(super) struct Holdings(BTreeMap<u16, Held>);

/// The state of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    /// The application opens it. Without `is_wanted`, it is closed at once after that.
    Opening {
        epoch: u64,
        is_wanted: bool,
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

impl Holdings {
    /// Opens the wanted partitions with these epochs, if `may_open`, and closes all others.
    pub(super) fn want(&mut self, wanted: &BTreeMap<u16, u64>, may_open: bool) -> Vec<Change> {
        let mut changes = Vec::new();
        self.0.retain(|partition, held| held.stays(wanted.get(partition).copied(), *partition, &mut changes));
        if may_open {
            for (&partition, &epoch) in wanted {
                self.0.entry(partition).or_insert_with(|| {
                    changes.push(Change::Open { partition, epoch });
                    Held::Opening { epoch, is_wanted: true }
                });
            }
        }
        changes
    }

    /// Begins to close a partition that is open.
    pub(super) fn close(&mut self, partition: u16) -> Option<Change> {
        match self.0.get_mut(&partition) {
            Some(held @ Held::Open { .. }) => {
                *held = Held::Closing { epoch: held.epoch() };
                Some(Change::Close { partition })
            }
            _ => None,
        }
    }

    /// Notes that a partition is open. Returns the next task if the member no longer wants it.
    pub(super) fn opened(&mut self, partition: u16) -> Option<Change> {
        match self.0.get_mut(&partition) {
            Some(held @ Held::Opening { is_wanted: true, .. }) => {
                *held = Held::Open { epoch: held.epoch() };
                None
            }
            Some(held) => {
                *held = Held::Closing { epoch: held.epoch() };
                Some(Change::Close { partition })
            }
            None => None,
        }
    }

    /// Notes that a partition is closed.
    pub(super) fn closed(&mut self, partition: u16) {
        if let Some(held) = self.0.get_mut(&partition) {
            *held = Held::Closed { epoch: held.epoch() };
        }
    }

    /// Returns whether a partition was closed in this epoch, so that it needs another owner or a greater epoch.
    pub(super) fn is_closed(&self, partition: u16, epoch: u64) -> bool {
        self.0.get(&partition) == Some(&Held::Closed { epoch })
    }

    /// Returns the partitions that are open.
    pub(super) fn open(&self) -> impl Iterator<Item = u16> {
        let is_open = |(_, held): &(&u16, &Held)| matches!(held, Held::Open { .. });
        self.0.iter().filter(is_open).map(|(partition, _)| *partition)
    }

    /// Returns whether all partitions are open.
    pub(super) fn are_open(&self) -> bool {
        self.0.values().all(|held| matches!(held, Held::Open { .. }))
    }

    /// Returns whether all partitions are closed.
    pub(super) fn are_closed(&self) -> bool {
        self.0.values().all(|held| matches!(held, Held::Closed { .. }))
    }

    /// Returns whether the application is closing a partition.
    pub(super) fn is_closing(&self) -> bool {
        self.0.values().any(|held| matches!(held, Held::Closing { .. }))
    }

    /// Forgets the partitions that are closed.
    pub(super) fn clear(&mut self) {
        self.0.retain(|_, held| !matches!(held, Held::Closed { .. }));
    }
}

impl Held {
    fn epoch(self) -> u64 {
        let (Held::Opening { epoch, .. }
        | Held::Open { epoch }
        | Held::Closing { epoch }
        | Held::Closed { epoch }) = self;
        epoch
    }

    /// Returns whether the partition is still held, which is wanted in this epoch.
    fn stays(&mut self, wanted: Option<u64>, partition: u16, changes: &mut Vec<Change>) -> bool {
        let is_same = wanted == Some(self.epoch());
        match self {
            Held::Opening { is_wanted, .. } => *is_wanted &= is_same,
            Held::Open { epoch } if !is_same => {
                *self = Held::Closing { epoch: *epoch };
                changes.push(Change::Close { partition });
            }
            Held::Closed { .. } => return is_same,
            Held::Open { .. } | Held::Closing { .. } => {}
        }
        true
    }
}
