//! The statistics of upstreams, and the errors that count in them.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use super::CallError;
use crate::{Error, info::InfoFields, observe::LocalCounter, proxy::wire::LossReason};

/// The statistics of all upstreams. Proxies on several threads can share them.
#[derive(Clone, Default)]
pub(crate) struct AllUpstreamStats(Arc<Mutex<Vec<Arc<UpstreamStats>>>>);

/// The statistics of one upstream, for `INFO`.
#[derive(Debug, Default)]
pub(crate) struct UpstreamStats {
    pub(crate) address: String,
    /// Number of open multiplexed connections.
    pub(crate) connections: AtomicUsize,
    /// Number of open dedicated and isolated connections.
    pub(crate) private: AtomicUsize,
    /// Number of commands that the proxy, which has one thread, has sent to the upstream.
    pub(crate) commands: LocalCounter,
    /// Number of commands that were sent and lost their reply.
    pub(crate) lost: AtomicU64,
    /// Number of commands that failed before they were sent.
    pub(crate) unsent: AtomicU64,
}

impl UpstreamStats {
    /// Counts commands whose replies were lost with the connection, and returns the error for their clients.
    pub(crate) fn lost(&self, reason: &LossReason, count: u32) -> CallError {
        self.lost.fetch_add(count.into(), Relaxed);
        let error = Error::new(
            "UPSTREAM",
            format_args!(
                "{} was lost ({reason}) before it replied: the command may have been run",
                self.address
            ),
        );
        match reason {
            LossReason::Silence(_) => CallError::Timeout(error),
            LossReason::NoAnswer | LossReason::Detached | LossReason::Other(_) => CallError::Lost(error),
        }
    }

    /// Counts commands that were not sent, and returns the error for their clients.
    pub(crate) fn unsent(&self, reason: &LossReason, count: u32) -> CallError {
        self.unsent.fetch_add(count.into(), Relaxed);
        CallError::NotSent(Error::new(
            "UPSTREAMDOWN",
            format_args!("{} cannot be reached ({reason}): the command was not sent", self.address),
        ))
    }

    /// Returns the error for a client whose reply exceeds [`Upstream::max_reply_len`](super::Upstream::max_reply_len).
    pub(crate) fn too_long(&self) -> CallError {
        CallError::Lost(Error::new("UPSTREAM", format_args!("the reply of {} is too long", self.address)))
    }
}

impl AllUpstreamStats {
    /// Adds an upstream.
    pub(crate) fn add(&self, address: &str) -> Arc<UpstreamStats> {
        let stats = Arc::new(UpstreamStats { address: address.to_owned(), ..UpstreamStats::default() });
        self.lock().push(Arc::clone(&stats));
        stats
    }

    /// Removes an upstream.
    pub(crate) fn remove(&self, stats: &Arc<UpstreamStats>) {
        self.lock().retain(|other| !Arc::ptr_eq(other, stats));
    }

    /// Returns whether any of the upstreams has an open multiplexed connection.
    pub(crate) fn is_connected(&self) -> bool {
        self.lock().iter().any(|stats| stats.connections.load(Relaxed) > 0)
    }

    /// Adds the statistics to `INFO`: the totals and, if there are several upstreams, one field for each.
    pub(crate) fn add_to(&self, info: &mut InfoFields) {
        let all = self.by_address();
        if let [(address, _)] = &all[..] {
            info.field("upstream_address", address);
        }
        let mut total = Counts::default();
        all.iter().for_each(|(_, counts)| total.add(counts));
        info.field("upstream_connections", total.connections);
        info.field("upstream_private_connections", total.private);
        info.field("upstream_commands", total.commands);
        info.field("upstream_commands_lost", total.lost);
        info.field("upstream_commands_unsent", total.unsent);
        for (index, (address, counts)) in all.iter().enumerate().filter(|_| all.len() > 1) {
            let Counts { connections, private, commands, lost, unsent } = counts;
            info.field(
                &format!("upstream{index}"),
                format_args!(
                    "address={address},connections={connections},private_connections={private},commands={commands},\
                     commands_lost={lost},commands_unsent={unsent}"
                ),
            );
        }
    }

    /// Returns the sums for each address, in the order in which the addresses were added.
    fn by_address(&self) -> Vec<(String, Counts)> {
        let mut all: Vec<(String, Counts)> = Vec::new();
        for stats in self.lock().iter() {
            let counts = Counts::of(stats);
            match all.iter_mut().find(|(address, _)| *address == stats.address) {
                Some((_, sum)) => sum.add(&counts),
                None => all.push((stats.address.clone(), counts)),
            }
        }
        all
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<UpstreamStats>>> {
        // No code panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for AllUpstreamStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.by_address().iter().map(|(address, _)| address)).finish()
    }
}

/// The numbers of [`UpstreamStats`].
#[derive(Debug, Default)]
struct Counts {
    connections: usize,
    private: usize,
    commands: u64,
    lost: u64,
    unsent: u64,
}

impl Counts {
    fn of(stats: &UpstreamStats) -> Self {
        Counts {
            connections: stats.connections.load(Relaxed),
            private: stats.private.load(Relaxed),
            commands: stats.commands.get(),
            lost: stats.lost.load(Relaxed),
            unsent: stats.unsent.load(Relaxed),
        }
    }

    fn add(&mut self, other: &Counts) {
        self.connections += other.connections;
        self.private += other.private;
        self.commands += other.commands;
        self.lost += other.lost;
        self.unsent += other.unsent;
    }
}
