//! A Redis Cluster of three masters, each with a third of the slots and one replica.

use std::collections::HashSet;

use thegiant::Bytes;

use super::{Process, RawClient, Reply, eventually, info, line, report, request};

const MASTERS: usize = 3;
const NODES: usize = 2 * MASTERS;
const SLOTS: usize = 16_384;

/// Normal `cluster-node-timeout` in milliseconds.
///
/// On a busy machine no node must mark another node as failed that a test has not killed.
const LONG_NODE_TIMEOUT: &str = "30000";
/// The `cluster-node-timeout` in milliseconds while the cluster forms, and after a test has killed a node.
const SHORT_NODE_TIMEOUT: &str = "1500";

/// Six nodes. Dropping the cluster kills them.
pub(crate) struct Cluster {
    /// The masters, then their replicas in the same order.
    nodes: Vec<Node>,
}

struct Node {
    address: String,
    bus: String,
    id: String,
    /// `None` after a test has killed the node.
    process: Option<Process>,
}

impl Cluster {
    /// Starts the nodes. Waits until they agree, and all replicas are in sync.
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
        cluster.set_node_timeout(LONG_NODE_TIMEOUT);
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
        self.set_node_timeout(LONG_NODE_TIMEOUT);
        self.nodes[count - 1].address.clone()
    }

    /// Makes all other nodes forget a node, which keeps running without them.
    pub(crate) fn forget(&self, address: &str) {
        let id = &self.node(address).id;
        for other in self.living().filter(|node| node.address != address) {
            other.expect_ok(&format!("CLUSTER FORGET {id}"));
        }
    }

    /// Returns the addresses of all nodes, including killed ones.
    pub(crate) fn addresses(&self) -> Vec<&str> {
        self.nodes.iter().map(|node| &node.address[..]).collect()
    }

    pub(crate) fn slot_of(&self, key: &str) -> u16 {
        let node = self.living().next().expect("a node is alive");
        match Reply::only(&node.ask(&format!("CLUSTER KEYSLOT {key}"))) {
            Some(Reply::Integer(slot)) => slot.try_into().expect("a slot"),
            reply => panic!("{reply:?} is no slot"),
        }
    }

    /// Waits until all living nodes agree on the master of a slot. Returns its address.
    pub(crate) fn master_of(&self, slot: u16) -> String {
        eventually(|| {
            let mut masters = self.living().map(|node| node.view().master_of(slot));
            let first = masters.next().expect("a node is alive")?;
            masters.all(|master| master.as_ref() == Some(&first)).then_some(first)
        })
    }

    /// Returns the slots of a master.
    pub(crate) fn slots_of(&self, address: &str) -> HashSet<u16> {
        let View(known) = self.node(address).view();
        let master = known.into_iter().find(|known| known.address == address).expect("a node lists itself");
        master.ranges.into_iter().flat_map(|(start, end)| start..=end).collect()
    }

    /// Returns the address of another master.
    pub(crate) fn another_master(&self, address: &str) -> String {
        let mut slots = (0..MASTERS).map(|third| ((third * SLOTS + SLOTS / 2) / MASTERS) as u16);
        let other = slots.find_map(|slot| Some(self.master_of(slot)).filter(|master| master != address));
        other.expect("the cluster has three masters")
    }

    /// Begins to move a slot to another master. Until the end, each of the two masters has some of its keys.
    pub(crate) fn begin_to_move(&self, slot: u16, to: &str) -> Move<'_> {
        let source = self.node(&self.master_of(slot));
        let target = self.node(to);
        target.expect_ok(&format!("CLUSTER SETSLOT {slot} IMPORTING {}", source.id));
        source.expect_ok(&format!("CLUSTER SETSLOT {slot} MIGRATING {}", target.id));
        Move { cluster: self, slot, source, target }
    }

    /// Kills a node with `SIGKILL`.
    pub(crate) fn kill(&mut self, address: &str) {
        self.set_node_timeout(SHORT_NODE_TIMEOUT);
        let node = self.nodes.iter_mut().find(|node| node.address == address).expect("a node of the cluster");
        drop(node.process.take().expect("the node is alive"));
    }

    /// Waits until all living nodes agree that every slot has a living master.
    pub(crate) fn is_taken_over(&self) {
        let living: Vec<_> = self.living().map(|node| &node.address).collect();
        let has_masters = |view: &View| {
            let slots = view.0.iter().filter(|known| living.contains(&&known.address));
            slots.map(Known::slots).sum::<usize>() == SLOTS
        };
        eventually(|| self.living().all(|node| node.is_ok() && has_masters(&node.view())).then_some(()));
        self.set_node_timeout(LONG_NODE_TIMEOUT);
    }

    /// Sends a request to the cluster without the proxy, and follows `MOVED` redirects. Returns the reply.
    pub(crate) fn ask(&self, request: impl AsRef<[u8]>) -> Bytes {
        let mut address = self.living().next().expect("a node is alive").address.clone();
        loop {
            let reply = RawClient::connect(&address).ask(&request);
            let Some(moved) = reply.strip_prefix(b"-MOVED ") else { return reply };
            let moved = String::from_utf8_lossy(moved);
            moved.trim_end().rsplit(' ').next().expect("an address").clone_into(&mut address);
        }
    }

    fn node(&self, address: &str) -> &Node {
        self.nodes.iter().find(|node| node.address == address).expect("a node of the cluster")
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

    fn set_node_timeout(&self, milliseconds: &str) {
        for node in self.living() {
            node.expect_ok(&format!("CONFIG SET cluster-node-timeout {milliseconds}"));
        }
    }
}

/// A slot that moves from one master to another.
pub(crate) struct Move<'c> {
    cluster: &'c Cluster,
    slot: u16,
    source: &'c Node,
    target: &'c Node,
}

impl Move<'_> {
    /// Moves at most `keys` keys. Returns whether there were any.
    pub(crate) fn step(&self, keys: usize) -> bool {
        let (host, port) = self.target.address.split_once(':').expect("a port");
        let keys = self.keys(keys);
        if !keys.is_empty() {
            let words = ["MIGRATE", host, port, "", "0", "60000", "KEYS"].map(str::as_bytes);
            let words = words.into_iter().chain(keys.iter().map(Vec::as_slice));
            let reply = self.source.client().ask(request(words));
            // A client may have deleted the keys meanwhile.
            assert!(reply == "+OK\r\n" || reply == "+NOKEY\r\n", "{reply:?}");
        }
        !keys.is_empty()
    }

    /// Moves the remaining keys, and assigns the slot to its new master. Waits until all nodes agree.
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

    /// Returns some keys that have not been moved.
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
        let cluster = ["--cluster-enabled", "yes", "--cluster-node-timeout", SHORT_NODE_TIMEOUT];
        // A replica replaces its failed master even after a long silence of the master, and synchronizes without delay.
        let replication = ["--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0"];
        // The other masters serve their slots meanwhile. No replica moves to another master.
        let others = ["--cluster-require-full-coverage", "no", "--cluster-allow-replica-migration", "no"];
        let (process, [port, bus]) = Process::redis_on_ports(|[port, bus]| {
            let listening = ["--bind", "127.0.0.1", "--port", port, "--cluster-port", bus];
            let options = [&listening[..], &cluster, &replication, &others].concat();
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

    /// Returns whether it is connected to all nodes, which are this many.
    fn knows(&self, nodes: usize) -> bool {
        let View(known) = self.view();
        known.len() == nodes && known.iter().all(Known::is_connected)
    }

    fn is_master(&self) -> bool {
        info(&mut self.client(), "replication").text("role") == "master"
    }

    fn has_a_replica(&self) -> bool {
        let replication = info(&mut self.client(), "replication");
        replication.get("slave0").is_some_and(|replica| replica.contains("state=online"))
    }
}

/// All nodes, as one node sees them (`CLUSTER NODES`).
struct View(Vec<Known>);

/// A node, as another node sees it.
struct Known {
    address: String,
    flags: String,
    is_linked: bool,
    /// First and last slot of each range.
    ranges: Vec<(u16, u16)>,
}

impl View {
    /// Parses lines of id, `ADDRESS@BUS`, flags, master, ping, pong, epoch, link state and slots.
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
        // Slots in brackets are being moved.
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
