//! Servers that know nothing of each other.

use thegiant::upstream::{Request, Route, Servers};

use crate::{
    hash::{Hash, HashKind},
    spread::Spread,
};

/// Keys are spread over servers that know nothing of each other, each with replicas or without.
#[derive(Debug)]
pub struct Nodes {
    hash: Hash,
    nodes: Vec<Node>,
    /// Keys keep their server while that is down.
    keep: bool,
    /// The node that has the channels.
    channels: usize,
}

#[derive(Debug)]
struct Node {
    server: usize,
    replicas: Vec<usize>,
    /// How often it has been read from.
    reads: usize,
}

impl Nodes {
    /// For groups of addresses, of which the first is the one that is written to and others have what it has; they have
    /// numbers in a row. Unless `keep` says so, keys of one that is down belong to others meanwhile.
    pub fn new<A: AsRef<str>>(kind: HashKind, groups: &[Vec<A>], keep: bool) -> Self {
        let names: Vec<&str> = groups.iter().filter_map(|group| group.first()).map(AsRef::as_ref).collect();
        let mut numbers = 0..;
        let mut take = |count: usize| numbers.by_ref().take(count).collect::<Vec<usize>>();
        let nodes = groups.iter().map(|group| {
            let numbers = take(group.len());
            Node { server: numbers[0], replicas: numbers[1..].to_vec(), reads: 0 }
        });
        Nodes { hash: Hash::new(kind, &names), nodes: nodes.collect(), keep, channels: 0 }
    }
}

impl Node {
    fn is_up(&self, servers: &Servers) -> bool {
        servers.is_up(self.server)
    }

    /// One of the replicas, one after the other.
    fn replica(&mut self, servers: &Servers) -> Option<usize> {
        self.reads = self.reads.wrapping_add(1);
        let len = self.replicas.len();
        let mut order = (0..len).map(|index| self.replicas[(self.reads % len + index) % len]);
        order.find(|replica| servers.is_up(*replica))
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

    /// Who publishes has to meet who listens: all channels are on one server, until that is down and listeners are told so by
    /// the end of their connections.
    fn channels(&mut self, _: &Request<'_>, servers: &mut Servers) -> Route {
        let len = self.nodes.len();
        let mut next = (self.channels..len).chain(0..self.channels);
        if let Some(up) = next.find(|node| self.nodes[*node].is_up(servers)) {
            self.channels = up;
        }
        Route::To(self.nodes[self.channels].server)
    }
}
