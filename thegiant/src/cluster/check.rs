//! Checks the instances of a topology.

use std::collections::HashMap;

use super::topology::{Draft, Instance, Topology, TopologyError, id_of};
use crate::split::SLOTS;

/// Maximum number of instances, so that their indexes have 16 bits.
const MAX_INSTANCES: usize = u16::MAX as usize;

/// The instances that have been checked so far. The indexes are those of `instances`.
struct Checked {
    instances: Vec<Instance>,
    ids: HashMap<String, usize>,
    addresses: HashMap<String, usize>,
    /// The owner of each slot.
    owners: Vec<Option<u16>>,
}

impl Topology {
    /// Checks the instances.
    pub(super) fn check(version: u64, drafts: Vec<Draft>) -> Result<Topology, TopologyError> {
        if drafts.len() > MAX_INSTANCES {
            return Err(TopologyError::new(format!("a topology has at most {MAX_INSTANCES} instances")));
        }
        let mut checked = Checked {
            instances: Vec::with_capacity(drafts.len()),
            ids: HashMap::new(),
            addresses: HashMap::new(),
            owners: vec![None; usize::from(SLOTS)],
        };
        for draft in drafts {
            let line = draft.line;
            checked.add(draft).map_err(|reason| TopologyError { line, reason })?;
        }
        let Checked { instances, owners, .. } = checked;
        if let Some(slot) = owners.iter().position(Option::is_none) {
            return Err(TopologyError::new(format!("the slot {slot} has no instance: all slots need one")));
        }
        let owners: Box<[u16]> = owners.into_iter().flatten().collect();
        let mut topology = Topology { version, instances, owners };
        topology.join_ranges();
        Ok(topology)
    }

    /// Gives each instance its slots in as few ranges as possible, in ascending order.
    fn join_ranges(&mut self) {
        self.instances.iter_mut().for_each(|instance| instance.slots.clear());
        let mut start = 0;
        for range in self.owners.chunk_by(|one, next| one == next) {
            let next = start + range.len() as u16;
            self.instances[usize::from(range[0])].slots.push(start..=next - 1);
            start = next;
        }
    }
}

impl Checked {
    /// Adds an instance.
    ///
    /// # Errors
    /// The reason why the instance cannot be one.
    fn add(&mut self, draft: Draft) -> Result<(), String> {
        let instance = Instance::check(draft)?;
        let (index, name, address) = (self.instances.len(), &instance.name, instance.address());
        if let Some(other) = self.ids.insert(instance.id.clone(), index) {
            let other = &self.instances[other].name;
            return Err(format!("the instances {other} and {name} have the same ID"));
        }
        if let Some(other) = self.addresses.insert(address.clone(), index) {
            let other = &self.instances[other].name;
            return Err(format!("the instances {other} and {name} have the address {address}"));
        }
        instance.slots.iter().cloned().flatten().try_for_each(|slot| self.add_slot(slot, index, name))?;
        self.instances.push(instance);
        Ok(())
    }

    /// Gives a slot to the instance with this index and this name.
    fn add_slot(&mut self, slot: u16, index: usize, name: &str) -> Result<(), String> {
        let Some(owner) = self.owners.get_mut(usize::from(slot)) else {
            return Err(format!("the slot {slot} of {name} is greater than {}", SLOTS - 1));
        };
        match owner.replace(index as u16).map(usize::from) {
            None => Ok(()),
            Some(other) if other == index => Err(format!("{name} has the slot {slot} twice")),
            Some(other) => {
                let other = &self.instances[other].name;
                Err(format!("the slot {slot} belongs to {other} and to {name}"))
            }
        }
    }
}

impl Instance {
    /// Checks the name, the address and the ranges.
    fn check(draft: Draft) -> Result<Instance, String> {
        let Draft { name, address, slots, .. } = draft;
        let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_valid) {
            return Err(format!(
                "the name {name:?} has other characters than letters, digits, '-', '_' and '.'"
            ));
        }
        let Some((host, port)) = host_and_port(&address) else {
            return Err(format!("{name} has the address {address:?}: write HOST:PORT or [IPV6]:PORT"));
        };
        if let Some(range) = slots.iter().find(|range| range.is_empty()) {
            return Err(format!(
                "the slots {}-{} of {name} end before they start",
                range.start(),
                range.end()
            ));
        }
        Ok(Instance { id: id_of(&name), name, host: host.to_owned(), port, slots })
    }
}

/// Splits an address. An IPv6 address has brackets, which are removed.
fn host_and_port(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = match inner {
        Some(host) => Some(host).filter(|host| host.contains(':')),
        None => Some(host).filter(|host| !host.contains(':')),
    }?;
    // These have a meaning in `CLUSTER NODES`.
    let is_valid = |byte: u8| byte.is_ascii_graphic() && !b"@,#[]".contains(&byte);
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit());
    (host.bytes().all(is_valid) && is_port).then_some((host, port.parse().ok()?))
}
