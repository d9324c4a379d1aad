//! The application's handle to a running proxy, and the statistics of upstreams.

use std::{
    fmt,
    sync::{
        Arc, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use actix::Addr;
use bytes::Bytes;

use super::{
    Proxy,
    commands::{CommandKind, kind_of_words},
    dial::LossReason,
    proxy::SendCommand,
    router::Words,
    servers::AllUpstreamStats,
};
use crate::{Error, Value, info::InfoFields};

/// A handle to a running proxy, for one [`Upstream`](super::Upstream) or several. It is cheap to clone.
#[derive(Clone)]
pub struct UpstreamHandle {
    proxy: Addr<Proxy>,
    stats: AllUpstreamStats,
}

/// The statistics of one upstream, for `INFO`.
#[derive(Debug, Default)]
pub(super) struct UpstreamStats {
    pub(super) address: String,
    /// Number of open multiplexed connections.
    pub(super) connections: AtomicUsize,
    /// Number of open dedicated and isolated connections.
    pub(super) private: AtomicUsize,
    /// Number of commands that were sent to the upstream.
    pub(super) commands: AtomicU64,
    /// Number of commands that were sent and lost their reply.
    pub(super) lost: AtomicU64,
    /// Number of commands that failed before they were sent.
    pub(super) unsent: AtomicU64,
}

impl UpstreamStats {
    /// Counts commands whose replies were lost with the connection, and returns the error for their clients.
    pub(super) fn lost(&self, reason: &LossReason, count: u32) -> Error {
        self.lost.fetch_add(count.into(), Relaxed);
        Error::new(
            "UPSTREAM",
            format_args!(
                "{} was lost ({reason}) before it replied: the command may have been run",
                self.address
            ),
        )
    }

    /// Counts commands that were not sent, and returns the error for their clients.
    pub(super) fn unsent(&self, reason: &LossReason, count: u32) -> Error {
        self.unsent.fetch_add(count.into(), Relaxed);
        Error::new(
            "UPSTREAMDOWN",
            format_args!("{} cannot be reached ({reason}): the command was not sent", self.address),
        )
    }
}

impl UpstreamHandle {
    pub(super) fn new(proxy: Addr<Proxy>, stats: AllUpstreamStats) -> Self {
        UpstreamHandle { proxy, stats }
    }

    /// Sends a command to database 0, and waits for its reply in RESP2.
    ///
    /// ```no_run
    /// use thegiant::{Upstream, UpstreamHandle, prelude::*};
    ///
    /// struct Visits {
    ///     redis: UpstreamHandle,
    /// }
    ///
    /// impl Actor for Visits {
    ///     type Context = Context<Self>;
    /// }
    ///
    /// #[commands]
    /// impl Visits {
    ///     /// Counts a visit.
    ///     #[command("VISIT", write)]
    ///     fn visit(&self, page: String) -> actix::ResponseFuture<Result<Value, Error>> {
    ///         let redis = self.redis.clone();
    ///         Box::pin(async move { redis.call(["HINCRBY", "visits", &page, "1"]).await })
    ///     }
    /// }
    /// ```
    ///
    /// Other clients share the connection. So this method refuses commands that change the state of a
    /// connection, such as `SELECT` and `MULTI`, and blocking commands, such as `BLPOP`.
    ///
    /// # Errors
    /// If the upstream replies with an error. If the command is refused, or no reply comes: the error
    /// contains the reason.
    pub async fn call<W: AsRef<[u8]>>(&self, words: impl IntoIterator<Item = W>) -> Result<Value, Error> {
        let words = words.into_iter().map(|word| Bytes::copy_from_slice(word.as_ref()));
        let words: Vec<Bytes> = words.collect();
        let Some(name) = words.first() else { return Err(NO_WORDS) };
        if kind_of_words(Words::Own(&words)) != CommandKind::Plain {
            let name = String::from_utf8_lossy(name).to_uppercase();
            return Err(Error::err(format_args!("{name} cannot be sent on a connection that clients share")));
        }
        match self.proxy.send(SendCommand(words)).await.map_err(|_| STOPPED)?? {
            Value::Error(error) => Err(error),
            value => Ok(value),
        }
    }

    /// Returns whether any of the upstreams has an open multiplexed connection.
    pub fn is_connected(&self) -> bool {
        self.stats().iter().any(|stats| stats.connections.load(Relaxed) > 0)
    }

    pub(crate) fn proxy(&self) -> Addr<Proxy> {
        self.proxy.clone()
    }

    fn stats(&self) -> MutexGuard<'_, Vec<Arc<UpstreamStats>>> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the statistics to `INFO`: the totals and, if there are several upstreams, one field for each.
    pub(crate) fn add_to(&self, info: &mut InfoFields) {
        let all = self.stats();
        if let [only] = &all[..] {
            info.field("upstream_address", &only.address);
        }
        let connections = |count: fn(&UpstreamStats) -> &AtomicUsize| -> usize {
            all.iter().map(|stats| count(stats).load(Relaxed)).sum()
        };
        let commands = |count: fn(&UpstreamStats) -> &AtomicU64| -> u64 {
            all.iter().map(|stats| count(stats).load(Relaxed)).sum()
        };
        info.field("upstream_connections", connections(|stats| &stats.connections));
        info.field("upstream_private_connections", connections(|stats| &stats.private));
        info.field("upstream_commands", commands(|stats| &stats.commands));
        info.field("upstream_commands_lost", commands(|stats| &stats.lost));
        info.field("upstream_commands_unsent", commands(|stats| &stats.unsent));
        for (index, stats) in all.iter().enumerate().filter(|_| all.len() > 1) {
            info.field(
                &format!("upstream{index}"),
                format_args!(
                    "address={},connections={},private_connections={},commands={},commands_lost={},commands_unsent={}",
                    stats.address,
                    stats.connections.load(Relaxed),
                    stats.private.load(Relaxed),
                    stats.commands.load(Relaxed),
                    stats.lost.load(Relaxed),
                    stats.unsent.load(Relaxed),
                ),
            );
        }
    }
}

const NO_WORDS: Error = Error::from_static("ERR a command needs a name");

const STOPPED: Error = Error::from_static("UPSTREAMDOWN the proxy has stopped");

/// The reply of an upstream, which may be an error value, or the reason for the lack of one.
pub(super) type Reply = Result<Value, Error>;

impl fmt::Debug for UpstreamHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses: Vec<String> = self.stats().iter().map(|stats| stats.address.clone()).collect();
        f.debug_struct("UpstreamHandle").field("addresses", &addresses).finish_non_exhaustive()
    }
}
