//! The application's handle to a running proxy.

use std::fmt;

use actix::Addr;
use bytes::Bytes;

use super::actor::{ProxyActor, SendCommand, UpdateServers};
use crate::{
    Error, Value,
    info::InfoFields,
    proxy::{
        conn::{AllUpstreamStats, CallError},
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

    /// Calls [`Router::update`](crate::proxy::Router::update), which can add and remove servers.
    pub async fn update(&self) {
        // A proxy that has stopped needs no servers.
        let _ = self.proxy.send(UpdateServers).await;
    }

    /// Returns whether any of the upstreams has an open multiplexed connection.
    pub fn is_connected(&self) -> bool {
        self.stats.is_connected()
    }

    pub(crate) fn proxy(&self) -> Addr<ProxyActor> {
        self.proxy.clone()
    }

    /// Adds the statistics to `INFO`.
    pub(crate) fn add_to(&self, info: &mut InfoFields) {
        self.stats.add_to(info);
    }
}

const NO_WORDS: Error = Error::from_static("ERR a command needs a name");

const STOPPED: Error = Error::from_static("UPSTREAMDOWN the proxy has stopped");

impl fmt::Debug for UpstreamHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamHandle").field("upstreams", &self.stats).finish_non_exhaustive()
    }
}
