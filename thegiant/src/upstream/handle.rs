//! What a program has of an upstream that it has started.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use actix::Addr;
use bytes::Bytes;

use super::{
    Relay,
    commands::{Kind, kind_of_words},
    relay::Ask,
};
use crate::{Error, Value, info::InfoFields, resp::Encoder};

/// An [`Upstream`](super::Upstream) that has been started: a handle that is cheap to clone.
#[derive(Clone)]
pub struct UpstreamHandle {
    relay: Addr<Relay>,
    stats: Arc<Stats>,
}

/// What is told of an upstream.
#[derive(Debug, Default)]
pub(super) struct Stats {
    pub(super) address: String,
    /// Connections that clients share, and those that are one client's.
    pub(super) connections: AtomicUsize,
    pub(super) private: AtomicUsize,
    /// Commands that have been sent on, that may have been run without a reply, and that could not be sent.
    pub(super) commands: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) unsent: AtomicU64,
}

impl UpstreamHandle {
    pub(super) fn new(relay: Addr<Relay>, stats: Arc<Stats>) -> Self {
        UpstreamHandle { relay, stats }
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
        let words: Vec<W> = words.into_iter().collect();
        let Some(name) = words.first().map(AsRef::as_ref) else { return Err(NO_WORDS) };
        if kind_of_words(name, words.get(1).map(AsRef::as_ref)) != Kind::Plain {
            let name = String::from_utf8_lossy(name).to_uppercase();
            return Err(Error::err(format_args!("{name} cannot be sent by a connection that others use")));
        }
        let mut request = Encoder::default();
        request.request(&words);
        let reply = self.relay.send(Ask(request.into_bytes())).await.map_err(|_| STOPPED)??;
        match Value::parse(&reply) {
            Some(Value::Error(error)) => Err(error),
            Some(value) => Ok(value),
            None => Err(Error::new("UPSTREAM", "the reply cannot be read")),
        }
    }

    /// Whether there is a connection to it at this moment.
    pub fn is_connected(&self) -> bool {
        self.stats.connections.load(Relaxed) > 0
    }

    /// Its address, as it was given.
    pub fn address(&self) -> &str {
        &self.stats.address
    }

    pub(crate) fn relay(&self) -> Addr<Relay> {
        self.relay.clone()
    }

    /// For `INFO`.
    pub(crate) fn add_to(&self, info: &mut InfoFields) {
        let stats = &self.stats;
        info.field("upstream_address", &stats.address);
        info.field("upstream_connections", stats.connections.load(Relaxed));
        info.field("upstream_private_connections", stats.private.load(Relaxed));
        info.field("upstream_commands", stats.commands.load(Relaxed));
        info.field("upstream_commands_lost", stats.lost.load(Relaxed));
        info.field("upstream_commands_unsent", stats.unsent.load(Relaxed));
    }
}

const NO_WORDS: Error = Error::from_static("ERR a command has a name");

const STOPPED: Error = Error::from_static("UPSTREAMDOWN it has been stopped");

/// A reply as it came.
pub(super) type Reply = Result<Bytes, Error>;

impl fmt::Debug for UpstreamHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamHandle").field("address", &self.address()).finish_non_exhaustive()
    }
}
