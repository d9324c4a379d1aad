//! The upstreams that a proxy has.

use std::{
    fmt,
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Notify;

use super::{Upstream, dial::PoolKey, handle::UpstreamStats};

/// The upstreams among which a [`Router`](super::Router) has to choose: they have numbers, from 0 on, in the order in which they were given.
pub struct Servers {
    list: Vec<Server>,
    stats: AllUpstreamStats,
}

/// What is told of all of them.
pub(super) type AllUpstreamStats = Arc<Mutex<Vec<Arc<UpstreamStats>>>>;

/// One of them.
pub(super) struct Server {
    pub(super) upstream: Rc<Upstream>,
    pub(super) stats: Arc<UpstreamStats>,
    /// Where the links of a lane begin.
    pub(super) lanes: Vec<(PoolKey, usize)>,
    /// The connection by which that is known has been lost, or could not be opened.
    pub(super) is_down: bool,
    /// It is there again, though it was not.
    pub(super) back: Rc<Notify>,
}

impl Servers {
    pub(super) fn new(upstreams: Vec<Upstream>) -> (Self, AllUpstreamStats) {
        let stats = AllUpstreamStats::default();
        let mut servers = Servers { list: Vec::new(), stats: Arc::clone(&stats) };
        upstreams.into_iter().for_each(|upstream| servers.push(upstream));
        (servers, stats)
    }

    fn push(&mut self, upstream: Upstream) {
        let stats = Arc::new(UpstreamStats { address: upstream.address.clone(), ..UpstreamStats::default() });
        self.stats.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&stats));
        self.list.push(Server {
            upstream: Rc::new(upstream),
            stats,
            lanes: Vec::new(),
            is_down: false,
            back: Rc::default(),
        });
    }

    /// How many there are.
    #[expect(clippy::len_without_is_empty, reason = "there is at least one")]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether this one is there, as far as is known. One that nothing is known of yet is taken to be.
    pub fn is_up(&self, server: usize) -> bool {
        self.list.get(server).is_some_and(|server| !server.is_down)
    }

    /// The address of this one; it is empty if there is none of that number.
    pub fn address(&self, server: usize) -> &str {
        self.list.get(server).map_or("", |server| &server.upstream.address)
    }

    /// The number of the one at this address, which is one more if it was not known. It is reached as the first one is, with
    /// the same password.
    pub fn find_or_add(&mut self, address: &str) -> usize {
        let known = self.list.iter().position(|server| server.upstream.address == address);
        known.unwrap_or_else(|| {
            let upstream = self.list[0].upstream.at(address);
            self.push(upstream);
            self.list.len() - 1
        })
    }

    pub(super) fn get(&self, server: usize) -> &Server {
        &self.list[server]
    }

    pub(super) fn get_mut(&mut self, server: usize) -> &mut Server {
        &mut self.list[server]
    }

    /// One that is there, if any is; the same for the same number, as long as it is there.
    pub(super) fn any(&self, number: u64) -> usize {
        let len = self.list.len();
        let first = (number % len as u64) as usize;
        (first..len).chain(0..first).find(|server| self.is_up(*server)).unwrap_or(first)
    }
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses = self.list.iter().map(|server| (&server.upstream.address, !server.is_down));
        f.debug_map().entries(addresses).finish()
    }
}
