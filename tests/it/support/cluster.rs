//! A Redis Cluster: three masters with a third of the slots each, and a replica of each of them.

use std::collections::HashSet;

use thegiant::Bytes;

use super::{Process, RawClient, Reply, eventually, info, line, report, request};

const MASTERS: usize = 3;
const NODES: usize = 2 * MASTERS;
const SLOTS: usize = 16_384;

/// After so many milliseconds of silence a node is taken for dead. Usually none is: nobody shall be taken for
/// dead who has not been killed, however busy the machine is.
const USUALLY: &str = "30000";
/// While they find together, and when one has been killed.
const ALERT: &str = "1500";

/// Six nodes, which are killed when it is dropped.
pub(crate) struct Cluster {
    /// The masters first, then their replicas, in the same order.
    nodes: Vec<Node>,
}

struct Node {
    address: String,
    bus: String,
    id: String,
    /// Nothing, when it has been killed.
    process: Option<Process>,
}

impl Cluster {
    /// Returns when all of its nodes agree, and the replicas have what their masters have.
    pub(crate) fn start() -> Self {
        let cluster = Cluster { nodes: (0..NODES).map(|_| Node::start()).collect() };
        for (index, node) in cluster.nodes.iter().enumerate() {
            node.expect_ok(&format!("CLUSTER SET-CONFIG-EPOCH {}", index + 1));
            if index < MASTERS {
                let [start, end] = [index, index + 1].map(|third| third * SLOTS / MASTERS);
                node.expect_ok(&format!("CLUSTER ADDSLOTSRANGE {start} {}", end - 1));
            }
            for other in &cluster.nodes[..index] {
                let (host, port) = other.address.split_once(':').expect("a port");
                node.expect_ok(&format!("CLUSTER MEET {host} {port} {}", other.bus));
            }
        }
        eventually(|| cluster.nodes.iter().all(|node| node.knows(NODES)).then_some(()));
        let (masters, replicas) = cluster.nodes.split_at(MASTERS);
        for (master, replica) in masters.iter().zip(replicas) {
            replica.expect_ok(&format!("CLUSTER REPLICATE {}", master.id));
        }
        eventually(|| cluster.is_whole().then_some(()));
        cluster.take_for_dead_after(USUALLY);
        cluster
    }

    /// Returns a cluster of one node, which has all slots.
    pub(crate) fn of_one() -> Self {
        let node = Node::start();
        node.expect_ok(&format!("CLUSTER ADDSLOTSRANGE 0 {}", SLOTS - 1));
        eventually(|| node.is_ok().then_some(()));
        Cluster { nodes: vec![node] }
    }

    /// Adds a master without slots, and returns its address as soon as all nodes know each other.
    pub(crate) fn join(&mut self) -> String {
        let node = Node::start();
        let (host, port) = node.address.split_once(':').expect("a port");
        node.expect_ok(&format!("CLUSTER SET-CONFIG-EPOCH {}", self.nodes.len() + 1));
        self.nodes[0].expect_ok(&format!("CLUSTER MEET {host} {port} {}", node.bus));
        self.nodes.push(node);
        let count = self.nodes.len();
        eventually(|| self.nodes.iter().all(|node| node.knows(count) && node.is_ok()).then_some(()));
        self.take_for_dead_after(USUALLY);
        self.nodes[count - 1].address.clone()
    }

    /// Has all other nodes forget a node, which goes on without them.
    pub(crate) fn forget(&self, address: &str) {
        let id = &self.node(address).id;
        for other in self.living().filter(|node| node.address != address) {
            other.expect_ok(&format!("CLUSTER FORGET {id}"));
        }
    }

    /// Of all that there were at first.
    pub(crate) fn addresses(&self) -> Vec<&str> {
        self.nodes.iter().map(|node| &node.address[..]).collect()
    }

    pub(crate) fn slot_of(&self, key: &str) -> u16 {
        let node = self.living().next().expect("one is alive");
        match Reply::only(&node.ask(&format!("CLUSTER KEYSLOT {key}"))) {
            Some(Reply::Integer(slot)) => slot.try_into().expect("a slot"),
            reply => panic!("{reply:?} is no slot"),
        }
    }

    /// The address of the master that has a slot, when all that live agree on it.
    pub(crate) fn master_of(&self, slot: u16) -> String {
        eventually(|| {
            let mut masters = self.living().map(|node| node.view().master_of(slot));
            let first = masters.next().expect("one is alive")?;
            masters.all(|master| master.as_ref() == Some(&first)).then_some(first)
        })
    }

    /// The slots of a master.
    pub(crate) fn slots_of(&self, address: &str) -> HashSet<u16> {
        let View(known) = self.node(address).view();
        let master = known.into_iter().find(|known| known.address == address).expect("it knows itself");
        master.ranges.into_iter().flat_map(|(start, end)| start..=end).collect()
    }

    /// A master that is not this one.
    pub(crate) fn another_master(&self, address: &str) -> String {
        let mut slots = (0..MASTERS).map(|third| ((third * SLOTS + SLOTS / 2) / MASTERS) as u16);
        let other = slots.find_map(|slot| Some(self.master_of(slot)).filter(|master| master != address));
        other.expect("there are three")
    }

    /// Has a slot moved to another master, as the first of several steps: from now on either of the two has some
    /// of its keys.
    pub(crate) fn begin_to_move(&self, slot: u16, to: &str) -> Move<'_> {
        let source = self.node(&self.master_of(slot));
        let target = self.node(to);
        target.expect_ok(&format!("CLUSTER SETSLOT {slot} IMPORTING {}", source.id));
        source.expect_ok(&format!("CLUSTER SETSLOT {slot} MIGRATING {}", target.id));
        Move { cluster: self, slot, source, target }
    }

    /// Kills a node, which has no time to say anything.
    pub(crate) fn kill(&mut self, address: &str) {
        self.take_for_dead_after(ALERT);
        let node = self.nodes.iter_mut().find(|node| node.address == address).expect("one of these");
        drop(node.process.take().expect("it is alive"));
    }

    /// Returns when all slots have masters again that are alive, and all that live agree on it.
    pub(crate) fn is_taken_over(&self) {
        let living: Vec<_> = self.living().map(|node| &node.address).collect();
        let has_masters = |view: &View| {
            let slots = view.0.iter().filter(|known| living.contains(&&known.address));
            slots.map(Known::slots).sum::<usize>() == SLOTS
        };
        eventually(|| self.living().all(|node| node.is_ok() && has_masters(&node.view())).then_some(()));
        self.take_for_dead_after(USUALLY);
    }

    /// What the cluster itself says to a request, which is sent to where it says that it belongs.
    pub(crate) fn ask(&self, request: impl AsRef<[u8]>) -> Bytes {
        let mut address = self.living().next().expect("one is alive").address.clone();
        loop {
            let reply = RawClient::connect(&address).ask(&request);
            let Some(moved) = reply.strip_prefix(b"-MOVED ") else { return reply };
            let moved = String::from_utf8_lossy(moved);
            moved.trim_end().rsplit(' ').next().expect("an address").clone_into(&mut address);
        }
    }

    fn node(&self, address: &str) -> &Node {
        self.nodes.iter().find(|node| node.address == address).expect("one of these")
    }

    fn living(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.process.is_some())
    }

    fn is_whole(&self) -> bool {
        let (masters, replicas) = self.nodes.split_at(MASTERS);
        let is_known =
            |view: View| view.0.iter().filter(|known| known.is_replica()).count() == replicas.len();
        masters.iter().all(Node::has_a_replica)
            && self.nodes.iter().all(|node| node.is_ok() && is_known(node.view()))
    }

    fn take_for_dead_after(&self, milliseconds: &str) {
        for node in self.living() {
            node.expect_ok(&format!("CONFIG SET cluster-node-timeout {milliseconds}"));
        }
    }
}

/// A slot that is on its way from one master to another.
pub(crate) struct Move<'c> {
    cluster: &'c Cluster,
    slot: u16,
    source: &'c Node,
    target: &'c Node,
}

impl Move<'_> {
    /// Moves at most so many keys; returns whether there were any.
    pub(crate) fn step(&self, keys: usize) -> bool {
        let (host, port) = self.target.address.split_once(':').expect("a port");
        let keys = self.keys(keys);
        if !keys.is_empty() {
            let words = ["MIGRATE", host, port, "", "0", "60000", "KEYS"].map(str::as_bytes);
            let words = words.into_iter().chain(keys.iter().map(Vec::as_slice));
            let reply = self.source.client().ask(request(words));
            // Somebody may have deleted them meanwhile.
            assert!(reply == "+OK\r\n" || reply == "+NOKEY\r\n", "{reply:?}");
        }
        !keys.is_empty()
    }

    /// Moves what is left, and tells the masters. It returns when all nodes agree.
    pub(crate) fn finish(self) {
        while self.step(10) {}
        let masters = self
            .cluster
            .living()
            .filter(|node| ![&self.source.id, &self.target.id].contains(&&node.id) && node.is_master());
        for node in [self.target, self.source].into_iter().chain(masters) {
            node.expect_ok(&format!("CLUSTER SETSLOT {} NODE {}", self.slot, self.target.id));
        }
        assert_eq!(self.cluster.master_of(self.slot), self.target.address);
    }

    /// Some keys that have not been moved.
    fn keys(&self, count: usize) -> Vec<Vec<u8>> {
        let reply = self.source.ask(&format!("CLUSTER GETKEYSINSLOT {} {count}", self.slot));
        let Some(Reply::Array(keys)) = Reply::only(&reply) else { panic!("{reply:?} are no keys") };
        let bytes = |key| match key {
            Reply::Bulk(key) => key,
            other => panic!("{other:?} is no key"),
        };
        keys.into_iter().map(bytes).collect()
    }
}

impl Node {
    fn start() -> Self {
        let of_a_cluster = ["--cluster-enabled", "yes", "--cluster-node-timeout", ALERT];
        // Who has a dead master goes on, and others do so meanwhile. Nobody goes to another master by himself.
        let at_once = ["--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0"];
        let others = ["--cluster-require-full-coverage", "no", "--cluster-allow-replica-migration", "no"];
        let (process, [port, bus]) = Process::redis_on_ports(|[port, bus]| {
            let listening = ["--bind", "127.0.0.1", "--port", port, "--cluster-port", bus];
            let options = [&listening[..], &of_a_cluster, &at_once, &others].concat();
            options.into_iter().map(str::to_owned).collect()
        });
        let address = format!("127.0.0.1:{port}");
        let id = report(&mut RawClient::connect(&address), "CLUSTER MYID");
        Node { address, bus, id, process: Some(process) }
    }

    fn client(&self) -> RawClient {
        RawClient::connect(&self.address)
    }

    fn ask(&self, request: &str) -> Bytes {
        self.client().ask(line(request))
    }

    #[track_caller]
    fn expect_ok(&self, request: &str) {
        assert_eq!(self.ask(request), "+OK\r\n", "{request}");
    }

    fn view(&self) -> View {
        View::parse(&report(&mut self.client(), "CLUSTER NODES"))
    }

    fn is_ok(&self) -> bool {
        report(&mut self.client(), "CLUSTER INFO").starts_with("cluster_state:ok\r\n")
    }

    /// Whether it is connected to all nodes, which are this many.
    fn knows(&self, nodes: usize) -> bool {
        let View(known) = self.view();
        known.len() == nodes && known.iter().all(Known::is_connected)
    }

    fn is_master(&self) -> bool {
        info(&mut self.client(), "replication").text("role") == "master"
    }

    fn has_a_replica(&self) -> bool {
        let told = info(&mut self.client(), "replication");
        told.get("slave0").is_some_and(|replica| replica.contains("state=online"))
    }
}

/// What a node knows of all of them.
struct View(Vec<Known>);

/// A node, as another one knows it.
struct Known {
    address: String,
    flags: String,
    is_linked: bool,
    /// Ranges of slots, with their ends.
    ranges: Vec<(u16, u16)>,
}

impl View {
    /// Lines of ID, ADDRESS@BUS, flags, master, ping, pong, epoch, state of the link, slots.
    fn parse(text: &str) -> Self {
        View(text.lines().map(|line| Known::parse(line).unwrap_or_else(|| panic!("{line}"))).collect())
    }

    fn master_of(&self, slot: u16) -> Option<String> {
        let has_it = |known: &&Known| known.ranges.iter().any(|(start, end)| (*start..=*end).contains(&slot));
        self.0.iter().find(has_it).map(|known| known.address.clone())
    }
}

impl Known {
    fn parse(line: &str) -> Option<Self> {
        let words: Vec<_> = line.split(' ').collect();
        let [_, address, flags, _, _, _, _, link, slots @ ..] = &words[..] else { return None };
        let (address, _bus) = address.split_once('@')?;
        // Those in brackets are on their way.
        let ranges = slots.iter().filter(|range| !range.starts_with('[')).map(|range| {
            let (start, end) = range.split_once('-').unwrap_or((range, range));
            Some((start.parse().ok()?, end.parse().ok()?))
        });
        Some(Known {
            address: address.to_owned(),
            flags: (*flags).to_owned(),
            is_linked: *link == "connected",
            ranges: ranges.collect::<Option<_>>()?,
        })
    }

    fn is_connected(&self) -> bool {
        self.is_linked && !self.flags.contains("handshake")
    }

    fn is_replica(&self) -> bool {
        self.flags.contains("slave")
    }

    fn slots(&self) -> usize {
        self.ranges.iter().map(|(start, end)| usize::from(end - start) + 1).sum()
    }
}
