//! What a program has of an upstream that it has started.

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

/// An [`Upstream`](super::Upstream) that has been started, or several: a handle that is cheap to clone.
#[derive(Clone)]
pub struct UpstreamHandle {
    proxy: Addr<Proxy>,
    stats: AllUpstreamStats,
}

/// What is told of an upstream.
#[derive(Debug, Default)]
pub(super) struct UpstreamStats {
    pub(super) address: String,
    /// Connections that clients share, and those that are one client's.
    pub(super) connections: AtomicUsize,
    pub(super) private: AtomicUsize,
    /// Commands that have been sent on, that may have been run without a reply, and that could not be sent.
    pub(super) commands: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) unsent: AtomicU64,
}

impl UpstreamStats {
    /// The connection was lost before so many replies came: what is answered.
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

    /// There was none for so many requests: what is answered.
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

    /// Sends a command, and waits for its reply: in RESP2, of the database 0.
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
    /// The connection is one that others use, too: a command that would change it, such as `SELECT` or `MULTI`, or that may
    /// wait, such as `BLPOP`, is not sent.
    ///
    /// # Errors
    /// The error that is replied, or why there is no reply.
    pub async fn call<W: AsRef<[u8]>>(&self, words: impl IntoIterator<Item = W>) -> Result<Value, Error> {
        let words = words.into_iter().map(|word| Bytes::copy_from_slice(word.as_ref()));
        let words: Vec<Bytes> = words.collect();
        let Some(name) = words.first() else { return Err(NO_WORDS) };
        if kind_of_words(Words::Own(&words)) != CommandKind::Plain {
            let name = String::from_utf8_lossy(name).to_uppercase();
            return Err(Error::err(format_args!("{name} cannot be sent by a connection that others use")));
        }
        match self.proxy.send(SendCommand(words)).await.map_err(|_| STOPPED)?? {
            Value::Error(error) => Err(error),
            value => Ok(value),
        }
    }

    /// Whether there is a connection at this moment; of several upstreams, to any of them.
    pub fn is_connected(&self) -> bool {
        self.stats().iter().any(|stats| stats.connections.load(Relaxed) > 0)
    }

    pub(crate) fn proxy(&self) -> Addr<Proxy> {
        self.proxy.clone()
    }

    fn stats(&self) -> MutexGuard<'_, Vec<Arc<UpstreamStats>>> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For `INFO`: all together, and each of several.
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

const NO_WORDS: Error = Error::from_static("ERR a command has a name");

const STOPPED: Error = Error::from_static("UPSTREAMDOWN it has been stopped");

/// What is replied, errors included, or why there is no reply.
pub(super) type Reply = Result<Value, Error>;

impl fmt::Debug for UpstreamHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses: Vec<String> = self.stats().iter().map(|stats| stats.address.clone()).collect();
        f.debug_struct("UpstreamHandle").field("addresses", &addresses).finish_non_exhaustive()
    }
}
