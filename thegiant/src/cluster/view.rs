//! The cluster as one of its instances sees it.

use super::{Instance, SlotSet, Topology, topology::id_of};
use crate::{Error, batch::RequestWords, client::Address, command::Spec, split::slot};

/// A topology, and the place of the own instance in it.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) topology: Topology,
    /// The ID of the own instance.
    own_id: String,
    /// Its index; `None` if the topology does not have it.
    own: Option<u16>,
    /// The slots that the instance would serve if it had them.
    pub(super) ready: SlotSet,
    /// Its own slots that it serves.
    served: SlotSet,
}

/// The reason why an instance does not run a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misdirected {
    /// Keys of different slots.
    CrossSlot,
    /// A slot that this instance owns and does not serve.
    NotServed,
    /// Another instance owns its slot.
    Moved(u16),
}

/// An instance, as a client reaches it.
#[derive(Debug)]
pub(crate) struct Node<'a> {
    pub(crate) id: &'a str,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) is_own: bool,
    /// `None` if the topology does not have the own instance.
    pub(crate) instance: Option<&'a Instance>,
}

impl View {
    /// Returns the topology as the instance with this name, ID or address sees it, which serves those of its slots that are `ready`.
    pub(super) fn new(topology: Topology, own: &str, ready: SlotSet) -> Self {
        let index = topology.find(own);
        let instance = index.map(|index| &topology.instances()[usize::from(index)]);
        let own_id = instance.map_or_else(|| id_of(own), |instance| instance.id().to_owned());
        let slots = instance.map(Instance::slots).unwrap_or_default();
        let served = SlotSet::of(slots.iter().cloned()).and(&ready);
        View { topology, own_id, own: index, ready, served }
    }

    /// Returns whether the topology has the own instance.
    pub(super) fn has_own(&self) -> bool {
        self.own.is_some()
    }

    /// Returns whether this instance serves a slot.
    #[inline]
    pub(crate) fn serves(&self, slot: u16) -> bool {
        self.served.contains(slot)
    }

    /// Returns whether this instance serves a slot that `next` does not serve.
    pub(super) fn loses_to(&self, next: &View) -> bool {
        !self.served.is_within(&next.served)
    }

    /// Checks whether this instance serves the keys of a request.
    #[inline]
    pub(crate) fn check(&self, spec: &Spec, words: RequestWords<'_>) -> Result<(), Misdirected> {
        let Some(keys) = &spec.keys else { return Ok(()) };
        // Most commands have one key.
        if let Some(key) = keys.only().and_then(|position| words.get(position))
            && self.serves(slot(key))
        {
            return Ok(());
        }
        self.check_slots(keys.in_request(words).map(slot))
    }

    /// Checks whether this instance serves all keys with these slots, which must be the same.
    #[inline]
    pub(crate) fn check_slots(&self, mut slots: impl Iterator<Item = u16>) -> Result<(), Misdirected> {
        let Some(first) = slots.next() else { return Ok(()) };
        let serves = self.serves(first);
        if !serves && !self.has_other_owner(first) {
            return Err(Misdirected::NotServed);
        }
        if slots.any(|slot| slot != first) {
            return Err(Misdirected::CrossSlot);
        }
        if serves { Ok(()) } else { Err(Misdirected::Moved(first)) }
    }

    /// Returns whether another instance owns a slot. A topology that comes later names none.
    fn has_other_owner(&self, slot: u16) -> bool {
        self.topology.owner_index(slot).is_some_and(|owner| self.own != Some(owner))
    }

    /// Returns whether this instance serves slots, or has none.
    pub(crate) fn is_ok(&self) -> bool {
        let own = self.own.map(|own| &self.topology.instances()[usize::from(own)]);
        own.is_some_and(|own| own.slots().is_empty() || !self.served.is_empty())
    }

    /// Returns the ID of the own instance.
    pub(crate) fn own_id(&self) -> &str {
        &self.own_id
    }

    /// Returns all instances and the own one, as a client sees them that has connected to this address.
    pub(crate) fn nodes(&self, local: &Address) -> Vec<Node<'_>> {
        let mut nodes: Vec<_> =
            self.topology.instances().iter().map(|instance| self.node(instance, local)).collect();
        if !self.has_own() {
            let (host, port) = host_and_port(local);
            nodes.push(Node { id: &self.own_id, host, port, is_own: true, instance: None });
        }
        nodes
    }

    /// Returns the addresses of all other instances that have one.
    pub(super) fn others(&self) -> impl Iterator<Item = String> {
        let instances = self.topology.instances().iter();
        let others = instances.filter(|instance| instance.id() != self.own_id && !instance.host().is_empty());
        others.map(Instance::address)
    }

    fn node<'a>(&self, instance: &'a Instance, local: &Address) -> Node<'a> {
        let is_own = instance.id() == self.own_id;
        let (mut host, mut port) = (instance.host().to_owned(), instance.port());
        if is_own && host.is_empty() {
            let (local_host, local_port) = host_and_port(local);
            host = local_host;
            port = if port == 0 { local_port } else { port };
        }
        Node { id: instance.id(), host, port, is_own, instance: Some(instance) }
    }
}

/// Returns the host and the port of a listener. Without a host, clients use the address that they asked.
fn host_and_port(local: &Address) -> (String, u16) {
    match local {
        Address::Tcp(local) => (local.ip().to_canonical().to_string(), local.port()),
        Address::Unix(_) => (String::new(), 0),
    }
}

impl Misdirected {
    /// Returns the error for the client.
    pub(crate) fn error(self, view: &View) -> Error {
        match self {
            Misdirected::CrossSlot => Error::CROSS_SLOT,
            Misdirected::NotServed => NOT_SERVED,
            Misdirected::Moved(slot) => {
                let owner = view.topology.owner(slot);
                // As in Redis, an IPv6 address has no brackets.
                Error::new("MOVED", format_args!("{slot} {}:{}", owner.host(), owner.port()))
            }
        }
    }
}

const NOT_SERVED: Error = Error::from_static("CLUSTERDOWN Hash slot not served");
