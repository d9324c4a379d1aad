//! Which instance owns which slots.

use std::{error, fmt, io, ops::RangeInclusive};

use sha2::{Digest, Sha256};

use crate::split::SLOTS;

/// The index of the owner of a slot that has none. No instance has it.
const NO_OWNER: u16 = u16::MAX;

/// The owner of each slot among the instances of an application, with a version.
///
/// Each of the 16384 slots has one owner. An instance can have several ranges of slots, or none.
///
/// ```
/// use thegiant::cluster::Topology;
///
/// let topology = Topology::builder(1)
///     .instance("a", "10.0.0.1:6380", [0..=8191])
///     .instance("b", "10.0.0.2:6380", [8192..=16383])
///     .build()?;
/// assert_eq!(topology.owner(thegiant::slot(b"user")).name(), "a");
/// # Ok::<(), thegiant::cluster::TopologyError>(())
/// ```
///
/// # As text
/// [`parse`](Self::parse) reads the text that `Display` writes. `#` begins a comment.
///
/// ```
/// use thegiant::cluster::Topology;
///
/// let text = "
/// ## name address slots
/// version 1
/// a 10.0.0.1:6380 0-8191
/// b 10.0.0.2:6380 8192-16383 # on the new machine
/// ";
/// let topology = Topology::parse(text)?;
/// assert_eq!(topology.to_string(), "version 1\na 10.0.0.1:6380 0-8191\nb 10.0.0.2:6380 8192-16383\n");
/// # Ok::<(), thegiant::cluster::TopologyError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Topology {
    pub(super) version: u64,
    pub(super) instances: Vec<Instance>,
    /// The index of the instance that owns each slot.
    pub(super) owners: Box<[u16]>,
}

/// An instance of an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) slots: Vec<RangeInclusive<u16>>,
}

/// Builds a [`Topology`].
#[derive(Clone, Debug)]
#[must_use]
pub struct TopologyBuilder {
    version: u64,
    drafts: Vec<Draft>,
}

/// An instance that is not checked yet.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    /// The line of the text, if the topology comes from a text.
    pub(super) line: Option<usize>,
    pub(super) name: String,
    pub(super) address: String,
    pub(super) slots: Vec<RangeInclusive<u16>>,
}

/// A mistake in a topology, or the reason why a server does not take it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopologyError {
    pub(super) line: Option<usize>,
    pub(super) reason: String,
}

impl Topology {
    /// Begins a topology of this version.
    ///
    /// A server takes a new topology only if its version is greater.
    pub fn builder(version: u64) -> TopologyBuilder {
        TopologyBuilder { version, drafts: Vec::new() }
    }

    /// Returns the topology of one instance, which has all slots and no address.
    pub(super) fn of_one(name: &str) -> Self {
        let slots = vec![0..=SLOTS - 1];
        let instance =
            Instance { id: id_of(name), name: name.to_owned(), host: String::new(), port: 0, slots };
        Topology { version: 1, instances: vec![instance], owners: vec![0; usize::from(SLOTS)].into() }
    }

    /// Returns the topology before the first one, in which no slot has an owner.
    pub(super) fn none() -> Self {
        Topology { version: 0, instances: Vec::new(), owners: vec![NO_OWNER; usize::from(SLOTS)].into() }
    }

    /// Returns the version.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Returns all instances.
    #[must_use]
    pub fn instances(&self) -> &[Instance] {
        &self.instances
    }

    /// Returns the instance that owns a slot.
    ///
    /// # Panics
    /// Panics if the slot is not less than [`SLOTS`](crate::SLOTS).
    #[must_use]
    #[track_caller]
    pub fn owner(&self, slot: u16) -> &Instance {
        &self.instances[usize::from(self.owners[usize::from(slot)])]
    }

    /// Returns the index of the instance that owns a slot.
    pub(super) fn owner_index(&self, slot: u16) -> Option<u16> {
        Some(self.owners[usize::from(slot)]).filter(|owner| *owner != NO_OWNER)
    }

    /// Returns the index of the instance with this name, ID or address.
    pub(super) fn find(&self, instance: &str) -> Option<u16> {
        let is_it = |one: &Instance| {
            one.name == instance || one.id.eq_ignore_ascii_case(instance) || one.address() == instance
        };
        self.instances.iter().position(is_it).map(|index| index as u16)
    }
}

impl TopologyBuilder {
    /// Adds an instance: its name, its address for clients and its slots.
    ///
    /// The name has letters, digits, `-`, `_` and `.`. The address is `HOST:PORT`, with an IPv6 address in brackets. Without a host, as in
    /// `:6380`, clients use the host that they asked.
    ///
    /// The ID of the instance is its name, if that is 40 hexadecimal digits, or derived from its name.
    pub fn instance(
        mut self,
        name: impl Into<String>,
        address: impl Into<String>,
        slots: impl IntoIterator<Item = RangeInclusive<u16>>,
    ) -> Self {
        let slots = slots.into_iter().collect();
        self.drafts.push(Draft { line: None, name: name.into(), address: address.into(), slots });
        self
    }

    /// Returns the topology.
    ///
    /// # Errors
    /// If a name or an address is invalid or occurs twice, or if a slot has no owner or two.
    pub fn build(self) -> Result<Topology, TopologyError> {
        Topology::check(self.version, self.drafts)
    }
}

impl Instance {
    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the ID, which `CLUSTER NODES` shows: 40 hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the host for clients, without brackets.
    ///
    /// It is empty if clients use the host that they asked.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the port for clients.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns `HOST:PORT`, with an IPv6 address in brackets.
    #[must_use]
    pub fn address(&self) -> String {
        let Instance { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    /// Returns the slots in ascending order.
    #[must_use]
    pub fn slots(&self) -> &[RangeInclusive<u16>] {
        &self.slots
    }
}

/// Returns the ID of the instance with this name.
pub(crate) fn id_of(name: &str) -> String {
    const DIGITS: usize = 40;
    if name.len() == DIGITS && name.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return name.to_ascii_lowercase();
    }
    let hash = Sha256::digest(name.as_bytes());
    hash.iter().take(DIGITS / 2).map(|byte| format!("{byte:02x}")).collect()
}

impl TopologyError {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        TopologyError { line: None, reason: reason.into() }
    }

    /// Returns the error of a server that takes no topology.
    pub(crate) fn no_cluster() -> Self {
        Self::new("the server is no instance of a cluster: give it a topology with Server::cluster first")
    }

    pub(super) fn at(line: usize, reason: impl Into<String>) -> Self {
        TopologyError { line: Some(line), reason: reason.into() }
    }
}

impl fmt::Display for TopologyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        f.write_str(&self.reason)
    }
}

impl error::Error for TopologyError {}

impl From<TopologyError> for io::Error {
    fn from(error: TopologyError) -> Self {
        io::Error::new(io::ErrorKind::InvalidInput, error)
    }
}

impl fmt::Debug for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topology")
            .field("version", &self.version)
            .field("instances", &self.instances)
            .finish_non_exhaustive()
    }
}
