//! The application's handle to a running proxy.

use std::fmt;

use actix::Addr;
use bytes::Bytes;

use super::{
    actor::{ProxyActor, SendCommand, StartFeed, UpdateServers},
    feed_consumer::Consumer,
    feed_queue::feed_queue,
    subscription::Subscription,
    tracking::Tracking,
};
use crate::{
    Error, Value,
    info::InfoFields,
    proxy::{
        conn::{AllUpstreamStats, CallError},
        wire::{CommandKind, Words, kind_of_words},
    },
    resp::{RequestBuilder, ToArgs},
};

/// A handle to a running proxy, for one [`Upstream`](crate::proxy::Upstream) or several. It is cheap to clone.
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
    /// use thegiant::{prelude::*, proxy::{CallError, Upstream, UpstreamHandle}};
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
    ///         Box::pin(async move { redis.call(("HINCRBY", "visits", page, 1)).await })
    ///     }
    /// }
    /// ```
    ///
    /// The words are those of a [`ToArgs`]: an array, or a tuple of strings and numbers. Other clients share the connection. So this method refuses commands that change the state of a
    /// connection, such as `SELECT` and `MULTI`, and blocking commands, such as `BLPOP`.
    ///
    /// # Errors
    /// If the upstream replies with an error, or no reply comes. The variants of [`CallError`] say whether the upstream
    /// may have run the command.
    pub async fn call(&self, words: impl ToArgs) -> Result<Value, CallError> {
        let mut request = RequestBuilder::default();
        request.arg(&words);
        let words = request.into_words().map_err(|reason| {
            CallError::NotSent(Error::err(format_args!("the request cannot be sent: {reason}")))
        })?;
        let Some(name) = words.first() else { return Err(CallError::NotSent(NO_WORDS)) };
        if kind_of_words(Words::Own(&words)) != CommandKind::Plain {
            let name = String::from_utf8_lossy(name).to_uppercase();
            let refused =
                Error::err(format_args!("{name} cannot be sent on a connection that clients share"));
            return Err(CallError::NotSent(refused));
        }
        match self.proxy.send(SendCommand(words)).await.map_err(|_| CallError::NotSent(STOPPED))?? {
            Value::Error(error) => Err(CallError::Reply(error)),
            value => Ok(value),
        }
    }

    /// Subscribes to channels of the upstream, and returns the stream of their messages.
    ///
    /// The stream has its own connection, which the proxy opens again after a loss. With several upstreams, the router
    /// chooses one as for a client's `SUBSCRIBE`. Keyspace events (`__keyspace@0__:*`) come from all of them, if the router
    /// returns [`Route::Listen`](crate::proxy::Route::Listen).
    ///
    /// An actor adds the stream to its context, or a task calls [`next`](Subscription::next). A consumer that is slow
    /// misses messages, and [`ChannelEvent::Gap`](crate::proxy::ChannelEvent::Gap) tells it so.
    ///
    /// ```no_run
    /// use actix::StreamHandler;
    /// use thegiant::{prelude::*, proxy::{ChannelEvent, UpstreamHandle}};
    ///
    /// struct Prices {
    ///     redis: UpstreamHandle,
    /// }
    ///
    /// impl Actor for Prices {
    ///     type Context = Context<Self>;
    ///
    ///     fn started(&mut self, context: &mut Context<Self>) {
    ///         context.add_stream(self.redis.subscribe(["prices"]));
    ///     }
    /// }
    ///
    /// impl StreamHandler<ChannelEvent> for Prices {
    ///     fn handle(&mut self, event: ChannelEvent, _: &mut Context<Self>) {
    ///         match event {
    ///             ChannelEvent::Published(published) => println!("{:?}", published.message),
    ///             _ => println!("prices may be missing: read them again"),
    ///         }
    ///     }
    /// }
    /// ```
    pub fn subscribe(&self, channels: impl IntoIterator<Item = impl Into<Bytes>>) -> Subscription {
        self.subscription("SUBSCRIBE", channels.into_iter().map(Into::into).collect())
    }

    /// Subscribes to all channels that match [glob](crate::resp::glob) patterns (`PSUBSCRIBE`).
    ///
    /// See [`subscribe`](Self::subscribe).
    pub fn psubscribe(&self, patterns: impl IntoIterator<Item = impl Into<Bytes>>) -> Subscription {
        self.subscription("PSUBSCRIBE", patterns.into_iter().map(Into::into).collect())
    }

    fn subscription(&self, command: &'static str, names: Vec<Bytes>) -> Subscription {
        let (sender, receiver) = feed_queue();
        // If the proxy has stopped, the stream ends.
        self.proxy.do_send(StartFeed::Subscribe(command, names, Consumer::Channels(sender)));
        Subscription(receiver)
    }

    /// Returns the stream of the keys that change on all upstreams, for an application that keeps values of them.
    ///
    /// Each upstream gets a connection with `CLIENT TRACKING ON BCAST`, which needs Redis 6 or another server with RESP3. Without
    /// prefixes, the stream has all keys. Otherwise it has the keys that begin with one of them.
    ///
    /// ```no_run
    /// use std::collections::HashMap;
    ///
    /// use actix::StreamHandler;
    /// use thegiant::{prelude::*, proxy::{Invalidation, UpstreamHandle}};
    ///
    /// /// Keeps values of keys that begin with `user:`.
    /// struct Cache {
    ///     redis: UpstreamHandle,
    ///     values: HashMap<Bytes, Value>,
    ///     /// Whether the stream reports all changes.
    ///     is_tracking: bool,
    /// }
    ///
    /// impl Actor for Cache {
    ///     type Context = Context<Self>;
    ///
    ///     fn started(&mut self, context: &mut Context<Self>) {
    ///         context.add_stream(self.redis.tracking(&["user:"]));
    ///     }
    /// }
    ///
    /// impl StreamHandler<Invalidation> for Cache {
    ///     fn handle(&mut self, invalidation: Invalidation, _: &mut Context<Self>) {
    ///         if let Invalidation::Key(key) = &invalidation {
    ///             self.values.remove(key);
    ///         } else {
    ///             self.values.clear();
    ///             self.is_tracking = invalidation == Invalidation::All;
    ///         }
    ///     }
    /// }
    /// ```
    ///
    /// # Values that are out of date for ever
    /// The invalidation of a key may arrive before the reply to a [`call`](Self::call) that has read the old value, because they
    /// use different connections. So a cache must keep a value only if no invalidation of its key has arrived since the cache sent
    /// the command. It must keep none between [`Invalidation::Lost`](crate::proxy::Invalidation::Lost) and
    /// [`Invalidation::All`](crate::proxy::Invalidation::All), nor before the first `All`. The example `cache` does both.
    pub fn tracking(&self, prefixes: &[&str]) -> Tracking {
        let (sender, receiver) = feed_queue();
        self.proxy.do_send(StartFeed::Track(tracking_request(prefixes), Consumer::Keys(sender)));
        Tracking(receiver)
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

/// Returns the request for the invalidations of all keys with these prefixes.
///
/// Redis refuses prefixes that begin with each other, so only the shorter ones are sent.
fn tracking_request(prefixes: &[&str]) -> Vec<Bytes> {
    let mut words = vec!["CLIENT", "TRACKING", "ON", "BCAST"];
    for (index, prefix) in prefixes.iter().enumerate() {
        let is_covered = |(other, shorter): (usize, &&str)| {
            prefix.starts_with(*shorter) && (prefix != shorter || other < index)
        };
        if !prefixes.iter().enumerate().any(is_covered) {
            words.extend(["PREFIX", prefix]);
        }
    }
    words.into_iter().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect()
}

const NO_WORDS: Error = Error::from_static("ERR a command needs a name");

const STOPPED: Error = Error::from_static("UPSTREAMDOWN the proxy has stopped");

impl fmt::Debug for UpstreamHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamHandle").field("upstreams", &self.stats).finish_non_exhaustive()
    }
}
