//! Servers that do not know each other.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use thegiant::proxy::{ErrorReply, Redirect, Servers};

use crate::{
    hash::{Hash, HashKind},
    spread::Spread,
};

/// Spreads keys over servers that do not know each other, each with or without replicas.
///
/// A clone sends the messages of `PUBLISH` to the same server, also on another thread.
#[derive(Clone, Debug)]
pub struct Nodes {
    hash: Hash,
    nodes: Vec<Node>,
    /// Whether keys keep their server while it is down.
    keep: bool,
    /// Index of the node that gets the messages of `PUBLISH`.
    channels: Arc<AtomicUsize>,
}

#[derive(Clone, Debug)]
struct Node {
    server: usize,
    replicas: Vec<Replica>,
    /// Number of reads so far.
    reads: usize,
}

#[derive(Clone, Debug)]
struct Replica {
    server: usize,
    /// The replica gets no reads before this time, because it could not serve one.
    rests_until: Option<Instant>,
}

/// The time for which a replica that cannot serve a read gets no others.
const REST: Duration = Duration::from_secs(1);

/// The codes of the errors with which a replica replies to a read that it cannot serve, and does not run.
const UNSERVED: [&str; 2] = ["MASTERDOWN", "LOADING"];

impl Nodes {
    /// Creates the nodes from groups of addresses: a server, followed by its replicas.
    ///
    /// The upstreams must have consecutive numbers in the same order. If `keep` is false, the keys of a
    /// server that is down belong to other servers meanwhile.
    pub fn new<A: AsRef<str>>(kind: HashKind, groups: &[Vec<A>], keep: bool) -> Self {
        let names: Vec<&str> = groups.iter().filter_map(|group| group.first()).map(AsRef::as_ref).collect();
        let mut numbers = 0..;
        let mut take = |count: usize| numbers.by_ref().take(count).collect::<Vec<usize>>();
        let nodes = groups.iter().map(|group| {
            let numbers = take(group.len());
            let replicas = numbers[1..].iter().map(|server| Replica { server: *server, rests_until: None });
            Node { server: numbers[0], replicas: replicas.collect(), reads: 0 }
        });
        Nodes { hash: Hash::new(kind, &names), nodes: nodes.collect(), keep, channels: Arc::default() }
    }
}

impl Node {
    fn is_up(&self, servers: &Servers) -> bool {
        servers.is_up(self.server)
    }

    /// Returns the next replica that can serve a read, in rotation.
    fn replica(&mut self, servers: &Servers) -> Option<usize> {
        self.reads = self.reads.wrapping_add(1);
        let len = self.replicas.len();
        let mut order = (0..len).map(|index| &self.replicas[(self.reads % len + index) % len]);
        order.find(|replica| replica.is_ready(servers)).map(|replica| replica.server)
    }
}

impl Replica {
    fn is_ready(&self, servers: &Servers) -> bool {
        servers.is_up(self.server) && self.rests_until.is_none_or(|time| time <= Instant::now())
    }
}

impl Spread for Nodes {
    fn server_of(&mut self, key: &[u8], is_read: bool, servers: &mut Servers) -> usize {
        let is_up = |node: usize| self.keep || self.nodes[node].is_up(servers);
        let index = self.hash.server_of(key, is_up);
        let node = &mut self.nodes[index];
        let replica = if is_read { node.replica(servers) } else { None };
        replica.unwrap_or(node.server)
    }

    fn all(&mut self, servers: &mut Servers) -> Vec<usize> {
        let is_wanted = |node: &&Node| self.keep || node.is_up(servers);
        self.nodes.iter().filter(is_wanted).map(|node| node.server).collect()
    }

    /// Begins with the server that gets all messages of `PUBLISH`, so that all subscribers see them in one order.
    ///
    /// When that server goes down, the next one takes over.
    fn publishers(&mut self, servers: &mut Servers) -> Vec<usize> {
        let len = self.nodes.len();
        let current = self.channels.load(Relaxed);
        let mut next = (current..len).chain(0..current);
        let up = next.find(|node| self.nodes[*node].is_up(servers)).unwrap_or(current);
        if up != current {
            // If another thread has chosen a server meanwhile, this thread uses it, too.
            let _ = self.channels.compare_exchange(current, up, Relaxed, Relaxed);
        }
        let first = self.channels.load(Relaxed);
        let others = (0..len).filter(|node| *node != first && self.nodes[*node].is_up(servers));
        [first].into_iter().chain(others).map(|node| self.nodes[node].server).collect()
    }

    /// Sends a read that a replica cannot serve to another replica, or to the server itself.
    fn redirect(&mut self, error: &ErrorReply<'_>, servers: &mut Servers) -> Option<Redirect> {
        let (code, _) = error.text().split_once(' ')?;
        if !UNSERVED.contains(&code) {
            return None;
        }
        let (node, replica) = self.nodes.iter_mut().find_map(|node| {
            let replica = node.replicas.iter().position(|replica| replica.server == error.server())?;
            Some((node, replica))
        })?;
        node.replicas[replica].rests_until = Some(Instant::now() + REST);
        let server = node.replica(servers).or_else(|| node.is_up(servers).then_some(node.server))?;
        Some(Redirect { server, asking: false })
    }
}
