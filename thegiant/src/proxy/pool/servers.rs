//! The list of a proxy's upstreams.

use std::{fmt, rc::Rc, sync::Arc, time::Instant};

use tokio::sync::Notify;

use crate::proxy::conn::{AllUpstreamStats, PoolKey, Upstream, UpstreamStats};

/// The upstreams from which a [`Router`](crate::proxy::Router) chooses.
///
/// Each server has a number. The servers that were passed at the start are numbered from 0, in their order.
pub struct Servers {
    list: Vec<UpstreamServer>,
    /// The settings of the servers that the router adds.
    template: Upstream,
    stats: AllUpstreamStats,
    /// Maximum size of a request on a multiplexed connection, in bytes.
    pub(crate) max_request_len: usize,
}

/// One upstream of the list.
pub(crate) struct UpstreamServer {
    pub(crate) upstream: Rc<Upstream>,
    pub(crate) stats: Arc<UpstreamStats>,
    /// The index of the first multiplexed connection of each connection pool.
    pub(crate) pools: Vec<(PoolKey, usize)>,
    /// The proxy failed to open the upstream's first connection, or the upstream is forgotten.
    pub(crate) is_down: bool,
    /// Wakes the reconnecting tasks when the server is up again, or another server has taken its number.
    pub(crate) wakeup: Rc<Notify>,
    pub(crate) membership: Membership,
    /// The router does not [retain](Servers::retain) the server, which was passed at the start.
    is_spare: bool,
    /// Notifies the dedicated connections that the server is forgotten.
    pub(crate) forgotten: Rc<Notify>,
    /// The last time at which a slow command took a connection.
    pub(crate) detached: Option<Instant>,
}

/// Whether requests may go to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Membership {
    /// The application passed the server at the start.
    Fixed,
    /// The router added the server.
    Added,
    /// The router removed the server, but its connections may still be open.
    Leaving,
    /// The server has no open connections. Another server may take its number and its connection indexes.
    Vacant,
}

impl Servers {
    /// Creates the list. The servers that the router adds have the settings of `template`.
    pub(crate) fn new(upstreams: Vec<Upstream>, template: Upstream, stats: AllUpstreamStats) -> Self {
        let all = upstreams.iter().chain([&template]);
        let max_request_len = all.map(|upstream| upstream.max_request_len).min().unwrap_or(0);
        let mut servers = Servers { list: Vec::new(), template, stats, max_request_len };
        upstreams.into_iter().for_each(|upstream| servers.push(upstream, Membership::Fixed));
        if servers.list.is_empty() {
            // The first server that the router adds takes this number.
            servers.push(servers.template.clone(), Membership::Vacant);
        }
        servers
    }

    fn push(&mut self, upstream: Upstream, membership: Membership) {
        let stats = match membership {
            Membership::Vacant => Arc::default(),
            _ => self.stats.add(&upstream.address),
        };
        self.list.push(UpstreamServer {
            upstream: Rc::new(upstream),
            stats,
            pools: Vec::new(),
            is_down: false,
            wakeup: Rc::default(),
            membership,
            is_spare: false,
            forgotten: Rc::default(),
            detached: None,
        });
    }

    /// Returns the number of servers, including [forgotten](Self::retain) servers.
    #[expect(clippy::len_without_is_empty, reason = "the list is never empty")]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Returns whether the server is up, as far as the proxy knows.
    ///
    /// A server counts as up until the first attempt to connect fails.
    pub fn is_up(&self, server: usize) -> bool {
        self.list.get(server).is_some_and(|server| server.is_member() && !server.is_down)
    }

    /// Returns whether no server is up.
    pub(crate) fn are_all_down(&self) -> bool {
        (0..self.len()).all(|server| !self.is_up(server))
    }

    /// Returns the address of the server, or an empty string if no server has this number.
    pub fn address(&self, server: usize) -> &str {
        let server = self.list.get(server).filter(|server| server.is_member());
        server.map_or("", |server| &server.upstream.address)
    }

    /// Returns the number of the server at this address, and adds it if it is not known.
    ///
    /// The connection has the settings of the first server, or of [`Proxy::template`](crate::proxy::Proxy::template). They include
    /// the password. So the address must come from a source that the application trusts. The text of an error reply
    /// is not one: a client's script chooses it.
    pub fn find_or_add(&mut self, address: &str) -> usize {
        let has_address = |server: &UpstreamServer| server.is_member() && server.upstream.address == address;
        if let Some(known) = self.list.iter().position(has_address) {
            return known;
        }
        let upstream = self.template.at(address);
        match self.list.iter().position(|server| server.membership == Membership::Vacant) {
            Some(vacant) => self.fill(vacant, upstream),
            None => {
                self.push(upstream, Membership::Added);
                self.list.len() - 1
            }
        }
    }

    /// Gives a vacant number and its connection indexes to another server.
    fn fill(&mut self, vacant: usize, upstream: Upstream) -> usize {
        let stats = self.stats.add(&upstream.address);
        let server = &mut self.list[vacant];
        server.upstream = Rc::new(upstream);
        server.stats = stats;
        server.membership = Membership::Added;
        server.is_down = false;
        server.detached = None;
        server.wakeup.notify_waiters();
        vacant
    }

    /// Forgets the servers that [`find_or_add`](Self::find_or_add) added and `keep` rejects.
    ///
    /// The proxy closes their connections within a second, and `INFO` no longer lists them. A later server
    /// may get the number of a forgotten one. The servers that were passed at the start always stay, but
    /// [`Route::Any`](crate::proxy::Route::Any) chooses those that `keep` rejects only if no other server is up.
    pub fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        for server in &mut self.list {
            match server.membership {
                Membership::Fixed => server.is_spare = !keep(&server.upstream.address),
                Membership::Added if !keep(&server.upstream.address) => {
                    server.membership = Membership::Leaving;
                    server.is_down = true;
                    self.stats.remove(&server.stats);
                }
                _ => {}
            }
        }
    }

    /// Returns whether a server has this number and is not forgotten.
    pub(crate) fn has(&self, server: usize) -> bool {
        self.list.get(server).is_some_and(UpstreamServer::is_member)
    }

    /// Returns the numbers of the removed servers whose connections may still be open.
    pub(crate) fn leaving(&self) -> Vec<usize> {
        let is_leaving = |server: &usize| self.list[*server].membership == Membership::Leaving;
        (0..self.list.len()).filter(is_leaving).collect()
    }

    pub(crate) fn get(&self, server: usize) -> &UpstreamServer {
        &self.list[server]
    }

    pub(crate) fn get_mut(&mut self, server: usize) -> &mut UpstreamServer {
        &mut self.list[server]
    }

    /// Returns a server that is up, or any member if all are down.
    ///
    /// The same `number` gets the same server for as long as that server is up.
    pub(crate) fn any(&self, number: u64) -> usize {
        let len = self.list.len();
        let first = (number % len as u64) as usize;
        let mut all = (first..len).chain(0..first);
        let mut up = all.clone().filter(|server| self.is_up(*server));
        let wanted = up.clone().find(|server| !self.list[*server].is_spare);
        wanted
            .or_else(|| up.next())
            .or_else(|| all.find(|server| self.list[*server].is_member()))
            .unwrap_or(0)
    }
}

impl Drop for Servers {
    /// Wakes the reconnecting tasks, so that they end.
    fn drop(&mut self) {
        self.list.iter().for_each(|server| server.wakeup.notify_waiters());
    }
}

impl UpstreamServer {
    /// Returns whether the server may be busy with a slow command. Then a handshake without a reply does not mean that
    /// it is down.
    pub(crate) fn may_be_busy(&self) -> bool {
        self.detached.is_some_and(|detached| detached.elapsed() < self.upstream.reply_timeout)
    }

    pub(crate) fn is_member(&self) -> bool {
        matches!(self.membership, Membership::Fixed | Membership::Added)
    }
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members = self.list.iter().filter(|server| server.is_member());
        let addresses = members.map(|server| (&server.upstream.address, !server.is_down));
        f.debug_map().entries(addresses).finish()
    }
}
