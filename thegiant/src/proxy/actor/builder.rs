//! Starts a proxy.

use std::fmt;

use actix::Actor;

use super::{ProxyActor, UpstreamHandle};
use crate::proxy::{conn::Upstream, routing::Router};

/// A proxy for several upstreams, among which a [`Router`] chooses.
///
/// A client receives its replies in the order of its requests, also if they come from different upstreams. If a
/// request was not sent because its upstream is down, the proxy calls the router again and sends the request to another
/// upstream.
///
/// ```no_run
/// use thegiant::{prelude::*, proxy::{Proxy, Request, Route, Router, Servers, Upstream}};
///
/// /// Sends all requests to the first server that is up.
/// struct Failover;
///
/// impl Router for Failover {
///     fn route(&mut self, _: &Request<'_>, servers: &mut Servers) -> Route {
///         Route::To((0..servers.len()).find(|server| servers.is_up(*server)).unwrap_or(0))
///     }
/// }
///
/// #[actix::main]
/// async fn main() -> std::io::Result<()> {
///     let redis = Proxy::new(Failover)
///         .upstream(Upstream::new("10.0.0.1:6379"))
///         .upstream(Upstream::new("10.0.0.2:6379"))
///         .start();
///     Server::new(App::new().proxy(redis)).bind("127.0.0.1:6380")?.run().await
/// }
/// ```
#[must_use]
pub struct Proxy {
    router: Box<dyn Router>,
    upstreams: Vec<Upstream>,
}

impl Proxy {
    /// Creates a proxy without upstreams.
    pub fn new(router: impl Router) -> Self {
        Proxy { router: Box::new(router), upstreams: Vec::new() }
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

    /// Starts the proxy on the current thread, and opens the first connection to each upstream.
    ///
    /// # Panics
    /// If there is no upstream, or no actix system is running.
    #[track_caller]
    pub fn start(self) -> UpstreamHandle {
        assert!(!self.upstreams.is_empty(), "a proxy needs at least one upstream");
        let (proxy, stats) = ProxyActor::new(self.upstreams, Some(self.router));
        UpstreamHandle::new(proxy.start(), stats)
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
        let (proxy, stats) = ProxyActor::new(vec![self], None);
        UpstreamHandle::new(proxy.start(), stats)
    }
}
