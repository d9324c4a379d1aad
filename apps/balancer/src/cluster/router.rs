//! Chooses a node of a Redis Cluster for each request.

use std::{
    collections::HashMap,
    mem,
    rc::Rc,
    time::{Duration, Instant},
};

use thegiant::{
    Error, SLOTS,
    proxy::{ErrorReply, Redirect, Refresh, Route, Servers, UpstreamRequest},
    slot,
};

use super::{
    answer::{Answer, Range},
    redirect::NamedNode,
    watch::{ClusterState, Watch},
};
use crate::spread::Spread;

/// The router for a Redis Cluster. The nodes of the cluster say which slots they own, and redirected requests are sent again.
///
/// The seeds, and the nodes that they name in `CLUSTER SLOTS` and `CLUSTER NODES`, are the only servers that the balancer
/// connects to. The text of a redirect decides nothing, because a client's script can choose it: a redirect to an unknown
/// address makes the balancer ask the known nodes again.
#[derive(Debug)]
pub struct Cluster {
    /// The server of each slot.
    slots: Vec<Option<usize>>,
    /// The servers that have slots.
    masters: Vec<usize>,
    /// The addresses that known nodes have named, each with the time at which they last did.
    nodes: HashMap<String, Instant>,
    /// Number of the balancer's own commands that any server can answer.
    asked: u64,
    state: Rc<ClusterState>,
}

/// A server is forgotten when no node has named it for this time. New nodes become known to all others by gossip, which takes
/// a few seconds.
const FORGET_AFTER: Duration = Duration::from_secs(5);

const NO_CLUSTER: Error = Error::from_static("ERR This instance has cluster support disabled");

impl Cluster {
    /// Creates a router without slots, and the task that must [run](Watch::run) to learn them.
    pub fn new() -> (Self, Watch) {
        let state = Rc::new(ClusterState::default());
        (
            Cluster {
                slots: vec![None; usize::from(SLOTS)],
                masters: Vec::new(),
                nodes: HashMap::new(),
                asked: 0,
                state: Rc::clone(&state),
            },
            Watch(state),
        )
    }

    /// Applies the last answer of the cluster, if there is a new one.
    fn update(&mut self, servers: &mut Servers) {
        let Some(Answer { ranges, nodes }) = self.state.answer.take() else { return };
        let now = Instant::now();
        self.nodes.extend(nodes.into_iter().map(|address| (address, now)));
        // A range whose master has an unknown address keeps its server.
        let earlier = mem::replace(&mut self.slots, vec![None; usize::from(SLOTS)]);
        for Range { first, last, .. } in ranges.iter().filter(|range| range.address.is_none()) {
            let kept = &earlier[*first..=*last];
            self.slots[*first..=*last].copy_from_slice(kept);
            let mut kept: Vec<usize> = kept.iter().flatten().copied().collect();
            kept.dedup();
            self.nodes.extend(kept.into_iter().map(|server| (servers.address(server).to_owned(), now)));
        }
        self.nodes.retain(|_, named| now.duration_since(*named) < FORGET_AFTER);
        servers.retain(|address| self.nodes.contains_key(address));
        for Range { first, last, address } in ranges {
            let Some(address) = address else { continue };
            let server = servers.find_or_add(&address);
            self.slots[first..=last].fill(Some(server));
        }
        self.masters = self.slots.iter().flatten().copied().collect();
        self.masters.sort_unstable();
        self.masters.dedup();
    }

    /// Returns the server at this address if it is a seed or known nodes have named it.
    fn known(&mut self, address: &str, servers: &mut Servers) -> Option<usize> {
        if self.nodes.contains_key(address) {
            return Some(servers.find_or_add(address));
        }
        (0..servers.len()).find(|server| servers.address(*server) == address)
    }

    /// Returns a master that is up, and the same one for the same number as long as the masters are the same.
    fn master(&self, number: u64, servers: &Servers) -> Option<usize> {
        let up: Vec<usize> = self.masters.iter().copied().filter(|server| servers.is_up(*server)).collect();
        let index = number.checked_rem(up.len() as u64)?;
        up.get(index as usize).copied()
    }

    /// Returns a server for one of the balancer's own commands.
    ///
    /// If no master is up, this is any seed or any other node that known nodes have named.
    fn node_to_ask(&mut self, servers: &mut Servers) -> usize {
        self.asked = self.asked.wrapping_add(1);
        if let Some(master) = self.master(self.asked, servers) {
            return master;
        }
        for address in self.nodes.keys() {
            servers.find_or_add(address);
        }
        let up: Vec<usize> = (0..servers.len()).filter(|server| servers.is_up(*server)).collect();
        let index = self.asked.checked_rem(up.len() as u64).unwrap_or_default();
        up.get(index as usize).copied().unwrap_or_default()
    }
}

impl Spread for Cluster {
    fn server_of(&mut self, key: &[u8], _is_read: bool, servers: &mut Servers) -> usize {
        self.update(servers);
        match self.slots[usize::from(slot(key))] {
            Some(server) => {
                if !servers.is_up(server) {
                    self.state.inquiry.hurry();
                }
                server
            }
            // Any node redirects the request to the right one. A seed may have left the cluster.
            None => self
                .master(0, servers)
                .or_else(|| (0..servers.len()).find(|server| servers.is_up(*server)))
                .unwrap_or(0),
        }
    }

    fn group_of(&self, key: &[u8]) -> u16 {
        slot(key)
    }

    fn all(&mut self, servers: &mut Servers) -> Vec<usize> {
        self.update(servers);
        self.masters.clone()
    }

    /// Chooses a master, because other nodes may have left the cluster.
    ///
    /// One client always gets the same master, so that its published messages stay in order.
    fn any(&mut self, request: &UpstreamRequest<'_>, servers: &mut Servers) -> Route {
        self.update(servers);
        if request.is_in_transaction() {
            return Route::Any;
        }
        let Some(client) = request.client() else {
            let node = self.node_to_ask(servers);
            if request.is("CLUSTER SLOTS") || request.is("CLUSTER NODES") {
                servers.address(node).clone_into(&mut self.state.asked.borrow_mut());
            }
            return Route::To(node);
        };
        self.master(client.id(), servers).map_or(Route::Any, Route::To)
    }

    fn publishers(&mut self, servers: &mut Servers) -> Vec<usize> {
        self.update(servers);
        self.masters.iter().copied().filter(|server| servers.is_up(*server)).collect()
    }

    fn forwards_messages(&self) -> bool {
        true
    }

    /// Rejects `CLUSTER`, because clients must not connect to the nodes directly.
    fn refuse(&self, request: &UpstreamRequest<'_>) -> Option<Error> {
        (request.client().is_some() && request.is("CLUSTER")).then_some(NO_CLUSTER)
    }

    fn redirect(&mut self, error: &ErrorReply<'_>, servers: &mut Servers) -> Option<Redirect> {
        if error.text().starts_with("MOVED ") || error.text().starts_with("CLUSTERDOWN ") {
            self.state.inquiry.hurry();
        }
        let named = NamedNode::parse(error.text())?;
        self.update(servers);
        let server = match named.address(servers.address(error.server())) {
            Some(address) => self.known(&address, servers)?,
            // The node does not know the address, but another one may have told it.
            None if named.is_ask => return None,
            None => self.slots.get(named.slot).copied().flatten().filter(|known| *known != error.server())?,
        };
        Some(Redirect { server, asking: named.is_ask })
    }

    fn refresh(&mut self, error: &ErrorReply<'_>) -> Option<Refresh> {
        NamedNode::parse(error.text())?;
        Some(self.state.inquiry.refresh())
    }
}
