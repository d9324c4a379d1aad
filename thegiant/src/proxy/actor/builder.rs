//! Starts a proxy.

use std::{fmt, future::Future, pin::Pin};

use actix::{
    Addr, Context,
    dev::channel::{AddressReceiver, channel},
};

use bytes::Bytes;

use super::{ProxyActor, UpstreamHandle};
use crate::proxy::{
    conn::{AllUpstreamStats, OnLoss, Upstream},
    pool::Servers,
    routing::{Prefix, Router},
};

/// A proxy for several upstreams, among which a [`Router`] chooses.
///
/// A client receives its replies in the order of its requests, also if they come from different upstreams. If a
/// request was not sent because its upstream is down, the proxy calls the router again and sends the request to another
/// upstream.
///
/// ```no_run
/// use thegiant::{prelude::*, proxy::{Proxy, UpstreamRequest, Route, Router, Servers, Upstream}};
///
/// /// Sends all requests to the first server that is up.
/// struct Failover;
///
/// impl Router for Failover {
///     fn route(&mut self, _: &UpstreamRequest<'_>, servers: &mut Servers) -> Route {
///         Route::To((0..servers.len()).find(|server| servers.is_up(*server)).unwrap_or(0))
///     }
/// }
///
/// #[thegiant::main]
/// async fn main() -> std::io::Result<()> {
///     let redis = Proxy::new(Failover)
///         .upstream(Upstream::new("10.0.0.1:6379"))
///         .upstream(Upstream::new("10.0.0.2:6379"))
///         .start();
///     Server::new(App::new().proxy(redis)).bind("127.0.0.1:6380")?.run().await
/// }
/// ```
///
/// An [`Upstream`] converts to a proxy for this upstream alone.
#[must_use]
pub struct Proxy {
    /// `None` with a single upstream.
    router: Option<Box<dyn Router>>,
    upstreams: Vec<Upstream>,
    template: Option<Upstream>,
    prefix: Option<Prefix>,
    on_start: Option<OnStart>,
    on_loss: OnLoss,
}

type OnStart = Box<dyn FnOnce(UpstreamHandle) -> Pin<Box<dyn Future<Output = ()>>>>;

impl Proxy {
    fn empty() -> Self {
        Proxy {
            router: None,
            upstreams: Vec::new(),
            template: None,
            prefix: None,
            on_start: None,
            on_loss: OnLoss::default(),
        }
    }

    /// Creates a proxy without upstreams.
    pub fn new(router: impl Router) -> Self {
        Proxy { router: Some(Box::new(router)), ..Self::empty() }
    }

    /// Adds an upstream. The first has the number 0 in [`Servers`](crate::proxy::Servers).
    pub fn upstream(mut self, upstream: Upstream) -> Self {
        self.upstreams.push(upstream);
        self
    }

    /// Adds several upstreams.
    pub fn upstreams(mut self, upstreams: impl IntoIterator<Item = Upstream>) -> Self {
        self.upstreams.extend(upstreams);
        self
    }

    /// Sets the settings of the servers that the router adds with [`Servers::find_or_add`], for all addresses.
    ///
    /// Without a template, they have the settings of the first upstream. With a template, a proxy needs no upstream at the start:
    /// [`Router::update`] adds the first one.
    pub fn template(mut self, settings: Upstream) -> Self {
        self.template = Some(settings);
        self
    }

    /// Closes the connection of a client in place of the errors `UPSTREAM` and `UPSTREAMDOWN`.
    ///
    /// For clients that connect and send their request again after a lost connection, as Redis has them, but end at an
    /// error that they do not know. The client gets no replies to its other outstanding requests.
    ///
    /// ```no_run
    /// use thegiant::{prelude::*, proxy::{Proxy, Upstream}};
    ///
    /// #[thegiant::main]
    /// async fn main() -> std::io::Result<()> {
    ///     let redis = Proxy::from(Upstream::new("10.0.0.1:6379")).close_on_loss().start();
    ///     Server::new(App::new().proxy(redis)).bind("127.0.0.1:6380")?.run().await
    /// }
    /// ```
    pub fn close_on_loss(mut self) -> Self {
        self.on_loss = OnLoss::Close;
        self
    }

    /// Puts a prefix before all keys of clients, so that several servers can share a Redis and do not see each other's keys.
    ///
    /// A client does not know the prefix: keys in replies and invalidations come without it. The router sees the keys with it. The
    /// prefix does not apply to what the application itself sends and receives ([`UpstreamHandle`]). The keys of a client with a
    /// [key prefix](crate::Server::key_prefix) get both, first the prefix of the proxy.
    ///
    /// ```no_run
    /// use thegiant::{prelude::*, proxy::{Proxy, Upstream}};
    ///
    /// let shop = || Proxy::from(Upstream::new("127.0.0.1:6379")).prefix("shop:");
    /// let app = App::new().proxy_per_worker(shop);
    /// ```
    ///
    /// | commands | effect |
    /// | --- | --- |
    /// | with keys, according to the upstreams' `COMMAND` | the keys get the prefix, also the patterns of `SORT` |
    /// | `KEYS`, `SCAN` | the pattern gets the prefix |
    /// | `DBSIZE`, `RANDOMKEY` | the proxy asks for all keys with the prefix (`KEYS`), which takes the upstream a while if it has many keys |
    /// | `PING`, `ECHO`, `TIME`, `LOLWUT`, `COMMAND` | unchanged |
    /// | scripts and functions, `MIGRATE`, `FT.…`; all others without keys, such as `FLUSHALL`, `FLUSHDB`, `SWAPDB`, `PUBLISH`, `SUBSCRIBE` | `-NOPERM`: they can reach the keys and channels of others |
    ///
    /// An error of the upstream may contain a key with the prefix. A module whose commands reach keys that `COMMAND` does not list is not
    /// isolated.
    pub fn prefix(mut self, prefix: impl Into<Bytes>) -> Self {
        self.prefix = Some(Prefix(prefix.into()));
        self
    }

    /// Sets an asynchronous function that runs when the proxy starts, on the thread of the proxy.
    ///
    /// The requests of clients wait until it has ended. A router that has to ask the upstreams something can do so here.
    ///
    /// ```no_run
    /// # use thegiant::proxy::{Proxy, UpstreamRequest, Route, Router, Servers, Upstream};
    /// # struct Failover;
    /// # impl Router for Failover {
    /// #     fn route(&mut self, _: &UpstreamRequest<'_>, _: &mut Servers) -> Route { Route::To(0) }
    /// # }
    /// let proxy = Proxy::new(Failover).upstream(Upstream::new("10.0.0.1:6379")).on_start(async |redis| {
    ///     println!("{:?}", redis.call(["INFO", "replication"]).await);
    /// });
    /// ```
    pub fn on_start(mut self, function: impl AsyncFnOnce(UpstreamHandle) + 'static) -> Self {
        self.on_start = Some(Box::new(|handle| Box::pin(function(handle))));
        self
    }

    /// Starts the proxy on the current thread, and opens the first connection to each upstream.
    ///
    /// # Panics
    /// If there is neither an upstream nor a template, or no actix system is running.
    #[track_caller]
    pub fn start(self) -> UpstreamHandle {
        let (sender, mailbox) = channel(0);
        self.start_at(Addr::new(sender), mailbox, AllUpstreamStats::default())
    }

    /// Starts the proxy with an address that exists already.
    #[track_caller]
    pub(crate) fn start_at(
        self,
        address: Addr<ProxyActor>,
        mailbox: AddressReceiver<ProxyActor>,
        stats: AllUpstreamStats,
    ) -> UpstreamHandle {
        let template = self.template.or_else(|| self.upstreams.first().cloned());
        let template = template.expect("a proxy needs at least one upstream, or a template");
        let handle = UpstreamHandle::new(address, stats.clone());
        let servers = Servers::new(self.upstreams, template, stats);
        let actor = ProxyActor::new(servers, self.router, self.prefix, self.on_loss);
        if let Some(on_start) = self.on_start {
            actor.wait_for(on_start(handle.clone()));
        }
        Context::with_receiver(mailbox).run(actor);
        handle
    }
}

impl From<Upstream> for Proxy {
    fn from(upstream: Upstream) -> Self {
        Proxy { upstreams: vec![upstream], ..Self::empty() }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("upstreams", &self.upstreams).finish_non_exhaustive()
    }
}

impl Upstream {
    /// Starts a proxy for this upstream alone on the current thread, and opens the first connection.
    ///
    /// # Panics
    /// If no actix system is running.
    pub fn start(self) -> UpstreamHandle {
        Proxy::from(self).start()
    }
}
