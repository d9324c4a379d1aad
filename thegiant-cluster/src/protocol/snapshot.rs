//! The entries of the store, as of one moment.

use std::{collections::BTreeMap, io};

use super::{
    heartbeat::{Heartbeat, name_of},
    plan::Live,
};
use crate::{Entry, Members, Revision};

/// The key of the topology.
pub(super) const TOPOLOGY: &str = "topology";

/// All heartbeats, and the owners of the partitions.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    pub(super) heartbeats: BTreeMap<String, (Heartbeat, Revision)>,
    /// The members of the topology, or of version 0 if there is none.
    pub(super) members: Members,
    /// The state of the topology, if there is one.
    pub(super) revision: Option<Revision>,
}

impl Snapshot {
    /// Reads the entries.
    ///
    /// # Errors
    /// If a value was not written by this crate.
    pub(super) fn parse(entries: Vec<Entry>) -> io::Result<Self> {
        let mut snapshot = Snapshot::default();
        for Entry { key, value, revision } in entries {
            let mistake = |reason| {
                let text = format!("the value of the key {key:?} in the store is wrong: {reason}");
                io::Error::new(io::ErrorKind::InvalidData, text)
            };
            if let Some(name) = name_of(&key) {
                let heartbeat = value.parse().map_err(mistake)?;
                snapshot.heartbeats.insert(name.to_owned(), (heartbeat, revision));
            } else if key == TOPOLOGY {
                snapshot.members = value.parse().map_err(mistake)?;
                snapshot.revision = Some(revision);
            }
        }
        Ok(snapshot)
    }

    /// Returns whether an instance has a heartbeat of this incarnation.
    pub(super) fn has(&self, name: &str, incarnation: &str) -> bool {
        self.heartbeats.get(name).is_some_and(|(heartbeat, _)| heartbeat.incarnation == incarnation)
    }

    /// Returns the instances with a heartbeat.
    pub(super) fn live(&self) -> Live {
        let live = |(name, (heartbeat, _)): (&String, &(Heartbeat, Revision))| {
            (name.clone(), heartbeat.address.clone())
        };
        self.heartbeats.iter().map(live).collect()
    }
}
