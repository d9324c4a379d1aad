//! The application's handle to a running proxy.

use std::{
    fmt,
    sync::{
        Arc, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use actix::Addr;
use bytes::Bytes;

use super::actor::{ProxyActor, SendCommand};
use crate::{
    Error, Value,
    info::InfoFields,
    proxy::{
        conn::{AllUpstreamStats, CallError, UpstreamStats},
        wire::{CommandKind, Words, kind_of_words},
    },
};

/// A handle to a running proxy, for one [`Upstream`](crate::Upstream) or several. It is cheap to clone.
#[derive(Clone)]
pub struct UpstreamHandle {
    proxy: Addr<ProxyActor>,
    stats: AllUpstreamStats,
}

impl UpstreamHandle {
    pub(super) fn new(proxy: Addr<ProxyActor>, stats: AllUpstreamStats) -> Self {
        UpstreamHandle { proxy, stats }
    }

    /// Sends a command to database 0, and waits for its reply in RESP2.
    ///
    /// ```no_run
    /// use thegiant::{Upstream, UpstreamHandle, prelude::*, proxy::CallError};
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
    ///     fn visit(&self, page: String) -> actix::ResponseFuture<Result<Value, CallError>> {
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
    /// If the upstream replies with an error, or no reply comes. The variants of [`CallError`] say whether the upstream
    /// may have run the command.
    pub async fn call<W: AsRef<[u8]>>(&self, words: impl IntoIterator<Item = W>) -> Result<Value, CallError> {
        let words = words.into_iter().map(|word| Bytes::copy_from_slice(word.as_ref()));
        let words: Vec<Bytes> = words.collect();
        let Some(name) = words.first() else { return Err(CallError::NotSent(NO_WORDS)) };
        if kind_of_words(Words::Own(&words)) != CommandKind::Plain {
            let name = String::from_utf8_lossy(name).to_uppercase();
            let refused = format_args!("{name} cannot be sent on a connection that clients share");
            return Err(CallError::NotSent(Error::err(refused)));
        }
        match self.proxy.send(SendCommand(words)).await.map_err(|_| CallError::NotSent(STOPPED))?? {
            Value::Error(error) => Err(CallError::Reply(error)),
            value => Ok(value),
        }
    }

    /// Returns whether any of the upstreams has an open multiplexed connection.
    pub fn is_connected(&self) -> bool {
        self.stats().iter().any(|stats| stats.connections.load(Relaxed) > 0)
    }

    pub(crate) fn proxy(&self) -> Addr<ProxyActor> {
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

impl fmt::Debug for UpstreamHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses: Vec<String> = self.stats().iter().map(|stats| stats.address.clone()).collect();
        f.debug_struct("UpstreamHandle").field("addresses", &addresses).finish_non_exhaustive()
    }
}
