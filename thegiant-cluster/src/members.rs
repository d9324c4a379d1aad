//! The members of a cluster, and the partitions of each.

use std::ops::RangeInclusive;

use thegiant::{
    SLOTS,
    cluster::{Topology, TopologyError},
};

/// The instances of a cluster and the partitions of each, as of one version.
///
/// [`Member::members`](crate::Member::members) shows the current one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    pub(crate) version: u64,
    pub(crate) instances: Vec<Instance>,
    /// The owner of each partition.
    pub(crate) owners: Vec<Owner>,
}

/// An instance of an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    pub(crate) name: String,
    pub(crate) address: String,
}

/// The owner of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// The index of the instance.
    pub(crate) instance: usize,
    /// The version in which it became the owner.
    pub(crate) epoch: u64,
}

impl Members {
    /// Returns the version, which grows with each change. It is 0 until the member has joined.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Returns all instances, in the order of their names.
    #[must_use]
    pub fn instances(&self) -> &[Instance] {
        &self.instances
    }

    /// Returns the number of partitions. It is 0 until the member has joined.
    #[must_use]
    pub fn partitions(&self) -> u16 {
        self.owners.len() as u16
    }

    /// Returns the instance that owns a partition; `None` if there is no such partition.
    #[must_use]
    pub fn owner(&self, partition: u16) -> Option<&Instance> {
        let owner = self.owners.get(usize::from(partition))?;
        self.instances.get(owner.instance)
    }

    /// Returns the topology for the server.
    ///
    /// # Errors
    /// If two instances have the same address.
    pub(crate) fn topology(&self) -> Result<Topology, TopologyError> {
        let mut topology = Topology::builder(self.version);
        for (index, Instance { name, address }) in self.instances.iter().enumerate() {
            let own = (0..self.partitions())
                .filter(|partition| self.owners[usize::from(*partition)].instance == index);
            let slots: Vec<_> = own.map(|partition| slots(partition, self.partitions())).collect();
            topology = topology.instance(name, address, slots);
        }
        topology.build()
    }

    /// Returns the version in which the owner of a partition became its owner.
    #[must_use]
    pub fn epoch(&self, partition: u16) -> Option<u64> {
        self.owners.get(usize::from(partition)).map(|owner| owner.epoch)
    }
}

impl Instance {
    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the address for clients: `HOST:PORT`, with an IPv6 address in brackets.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }
}

/// Returns the slots of one of this many partitions.
pub(crate) fn slots(partition: u16, partitions: u16) -> RangeInclusive<u16> {
    let first =
        |partition: u16| (u32::from(partition) * u32::from(SLOTS)).div_ceil(u32::from(partitions)) as u16;
    first(partition)..=first(partition + 1) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_have_the_slots_of_shards() {
        for partitions in [1, 2, 3, 7, 16, 100, 16_383, 16_384] {
            let all =
                (0..partitions).flat_map(|partition| slots(partition, partitions).map(move |_| partition));
            let shards =
                (0..SLOTS).map(|slot| (u32::from(slot) * u32::from(partitions) / u32::from(SLOTS)) as u16);
            assert!(all.eq(shards), "{partitions}");
        }
    }

    #[test]
    fn the_topology_has_the_slots_of_the_partitions() {
        let members: Members =
            "version 7\npartitions 4\na h:1 0@5 2-3@7\nb h:2 1@5\nc h:3\n".parse().expect("it is valid");
        let topology = members.topology().expect("it is valid");
        assert_eq!(topology.to_string(), "version 7\na h:1 0-4095 8192-16383\nb h:2 4096-8191\nc h:3\n");
    }
}
