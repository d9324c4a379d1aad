//! The connections to all upstreams.

use std::sync::Arc;

use super::{Membership, Servers};
use crate::proxy::{
    conn::{Dialled, MultiplexedConnection, PoolKey, UpstreamStats},
    wire::LossReason,
};

/// The upstreams, their multiplexed connections, and idle connections for reuse.
pub(crate) struct Pool {
    pub(crate) servers: Servers,
    pub(crate) connections: Vec<MultiplexedConnection>,
    /// Dedicated and isolated connections that their clients no longer need.
    idle: Vec<IdleConnection>,
    /// Indexes of the multiplexed connections with written but unsent requests.
    dirty: Vec<usize>,
    keep_up: KeepUp,
}

/// Starts the task that keeps the connection with this index open.
///
/// The flag says whether it is the first connection of its upstream, which decides whether the upstream is up.
pub(crate) type KeepUp = Box<dyn Fn(usize, bool)>;

struct IdleConnection {
    server: usize,
    key: PoolKey,
    dialled: Dialled,
}

/// Maximum number of idle connections that are kept for reuse.
const MAX_IDLE: usize = 16;

/// The reason for closing the connections of a forgotten server.
pub(crate) const FORGOTTEN: &str = "the router has removed it";

impl Pool {
    pub(crate) fn new(servers: Servers, keep_up: KeepUp) -> Self {
        Pool { servers, connections: Vec::new(), idle: Vec::new(), dirty: Vec::new(), keep_up }
    }

    /// Opens the first connection of each server that has none.
    pub(crate) fn open_all(&mut self) {
        for number in 0..self.servers.len() {
            let server = self.servers.get(number);
            if server.is_member() && server.pools.is_empty() {
                self.open(number, PoolKey::FIRST);
            }
        }
    }

    /// Returns the index of a multiplexed connection to an upstream.
    ///
    /// The same `number` gets the same connection, which keeps the order of a client's requests.
    pub(crate) fn connection_for(&mut self, server: usize, key: PoolKey, number: u64) -> usize {
        let pools = &self.servers.get(server).pools;
        let first = match pools.iter().find(|(known, _)| *known == key) {
            Some((_, first)) => *first,
            None => self.open(server, key),
        };
        match self.servers.get(server).upstream.connections {
            // Most upstreams have one, and a division would take longer than all the rest.
            1 => first,
            connections => first + (number % connections as u64) as usize,
        }
    }

    /// Opens the multiplexed connections with this key, and returns the index of the first.
    fn open(&mut self, server: usize, key: PoolKey) -> usize {
        let known = self.servers.get_mut(server);
        // The first connection with the first key decides whether the upstream is up.
        let is_first = known.pools.is_empty();
        if is_first && key != PoolKey::FIRST {
            self.open(server, PoolKey::FIRST);
            return self.open(server, key);
        }
        let first = self.connections.len();
        known.pools.push((key, first));
        for index in first..first + known.upstream.connections {
            let stats = Arc::clone(&known.stats);
            let max_reply_len = known.upstream.max_reply_len;
            self.connections.push(MultiplexedConnection::new(server, key, stats, max_reply_len));
            (self.keep_up)(index, is_first && index == first);
        }
        first
    }

    /// Returns the multiplexed connections to an upstream.
    pub(crate) fn connections_to(
        &mut self,
        server: usize,
    ) -> impl Iterator<Item = &mut MultiplexedConnection> {
        self.connections.iter_mut().filter(move |connection| connection.server == server)
    }

    /// Ends the time in which an upstream is down, because a connection to it could be opened. Returns whether it was down.
    ///
    /// All other connections are opened at once. Otherwise a client could take a job over one connection and find the
    /// upstream down for its next command.
    pub(crate) fn reached(&mut self, server: usize) -> bool {
        let known = self.servers.get_mut(server);
        let was_down = known.is_down && known.is_member();
        if was_down {
            known.is_down = false;
            known.wakeup.notify_waiters();
            self.connections_to(server).for_each(MultiplexedConnection::reconnecting);
        }
        was_down
    }

    /// Marks a connection whose written requests have to be sent.
    pub(crate) fn mark_dirty(&mut self, connection: usize) {
        if self.dirty.last() != Some(&connection) {
            self.dirty.push(connection);
        }
    }

    /// Sends the written requests of all connections.
    pub(crate) fn flush(&mut self) {
        while let Some(index) = self.dirty.pop() {
            self.connections[index].flush();
        }
    }

    /// Takes an idle connection for reuse.
    pub(crate) fn take_idle(&mut self, server: usize, key: PoolKey) -> Option<Dialled> {
        self.idle.retain_mut(|idle| idle.dialled.stream.is_quiet());
        let found = self.idle.iter().rposition(|idle| idle.server == server && idle.key == key)?;
        Some(self.idle.swap_remove(found).dialled)
    }

    /// Keeps a connection for reuse, unless another server has taken the number of its server.
    pub(crate) fn keep_idle(
        &mut self,
        (number, stats): (usize, &Arc<UpstreamStats>),
        key: PoolKey,
        dialled: Dialled,
    ) {
        let server = self.servers.get(number);
        let is_same = server.is_member() && Arc::ptr_eq(&server.stats, stats);
        if is_same && self.idle.len() < MAX_IDLE {
            self.idle.push(IdleConnection { server: number, key, dialled });
        }
    }

    /// Closes the idle connections to an upstream.
    pub(crate) fn close_idle(&mut self, server: usize) {
        self.idle.retain(|idle| idle.server != server);
    }

    /// Closes the connections of forgotten servers.
    ///
    /// The number of a server becomes vacant when its last connection is closed. `has_dedicated` says whether a
    /// dedicated connection to a server is open.
    pub(crate) fn close_forgotten(&mut self, has_dedicated: impl Fn(usize) -> bool) {
        for number in self.servers.leaving() {
            self.servers.get(number).forgotten.notify_waiters();
            self.close_idle(number);
            let mut is_vacant = !has_dedicated(number);
            for connection in self.connections_to(number) {
                connection.give_up(LossReason::from(FORGOTTEN));
                is_vacant &= connection.is_suspended;
            }
            if is_vacant {
                self.servers.get_mut(number).membership = Membership::Vacant;
                self.connections_to(number).for_each(MultiplexedConnection::reconnecting);
            }
        }
    }
}

impl Drop for Pool {
    /// Wakes the tasks of the connections, which end without a proxy.
    fn drop(&mut self) {
        self.connections.iter().for_each(MultiplexedConnection::wake);
    }
}
