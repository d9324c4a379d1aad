//! The router: the application's code that chooses an upstream for each request.

use std::{future::Future, pin::Pin};

use super::{ErrorReply, Rewrite, Split, UpstreamRequest};
use crate::{
    Error, Value,
    proxy::{conn::DedicatedTarget, pool::Servers},
};

/// Chooses an upstream for each request.
///
/// Pass it to [`Proxy::new`](crate::proxy::Proxy::new).
///
/// ```
/// use thegiant::proxy::{UpstreamRequest, Route, Router, Servers};
///
/// /// Chooses the server by the sum of the bytes of the first key.
/// struct Sum;
///
/// impl Router for Sum {
///     fn route(&mut self, request: &UpstreamRequest<'_>, servers: &mut Servers) -> Route {
///         match request.keys().next() {
///             Some(key) => Route::To(key.iter().map(|byte| usize::from(*byte)).sum::<usize>() % servers.len()),
///             None => Route::Any,
///         }
///     }
/// }
/// ```
pub trait Router: 'static {
    /// Returns the route of a request.
    ///
    /// The proxy calls this method for every request, so it should be fast. It calls the method more than
    /// once for some requests, for example for a request that has to wait.
    fn route(&mut self, request: &UpstreamRequest<'_>, servers: &mut Servers) -> Route;

    /// Returns the servers at which [`Route::Listen`] subscribes clients: those that publish messages of their own.
    ///
    /// The first one confirms the subscriptions of new subscribers. While a client listens, the proxy calls this method
    /// once a second, and when a server is up again. Clients are subscribed at servers that join the list, and
    /// no longer at those that leave it.
    fn publishers(&mut self, servers: &mut Servers) -> Vec<usize> {
        let _ = servers;
        Vec::new()
    }

    /// Adds and removes servers, when the application has called [`UpstreamHandle::update`](crate::proxy::UpstreamHandle::update).
    ///
    /// The other methods can do so, too, but the proxy does not call them while all servers are down.
    fn update(&mut self, servers: &mut Servers) {
        let _ = servers;
    }

    /// Returns the server that a request has to be sent to after an error reply such as `MOVED 866
    /// 10.0.0.7:6379`. The error says which server sent it.
    ///
    /// The error must say that the upstream did not run the request. `None`, the default, passes the error to
    /// the client.
    ///
    /// A client's script can reply with any error text. So the router must only follow an address that it
    /// knows from a source that it trusts. [`refresh`](Self::refresh) can ask that source again.
    ///
    /// The proxy does not send the requests of a transaction again. If this method returns a redirect for one
    /// of them, the client receives `TRYAGAIN`.
    fn redirect(&mut self, error: &ErrorReply<'_>, servers: &mut Servers) -> Option<Redirect> {
        let _ = (error, servers);
        None
    }

    /// Returns a future that updates the router's data, if the update could turn this error into a redirect.
    ///
    /// The proxy calls this method when [`redirect`](Self::redirect) returns `None`. It waits for the future
    /// and calls [`redirect`](Self::redirect) again. It repeats both steps a few times before it passes the
    /// error to the client.
    fn refresh(&mut self, error: &ErrorReply<'_>) -> Option<Refresh> {
        let _ = error;
        None
    }
}

/// The future that [`Router::refresh`] returns.
pub type Refresh = Pin<Box<dyn Future<Output = ()>>>;

/// The route of a request: one upstream, any, several, or none.
///
/// An [`Error`] converts to a route that replies with it.
///
/// ```
/// use thegiant::{Error, proxy::{UpstreamRequest, Route}};
///
/// fn route(request: &UpstreamRequest<'_>) -> Route {
///     if request.is("FLUSHALL") { Error::new("NOPERM", "not here").into() } else { Route::Any }
/// }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Route {
    /// Sends the request to the server with this number in [`Servers`].
    To(usize),
    /// Sends the request to any server that is up.
    Any,
    /// Sends several requests and merges their replies.
    Split(Split),
    /// Sends a request with other words.
    Rewrite(Rewrite),
    /// Subscribes the client at all [publishers](Router::publishers). It receives the messages of all, and the confirmations
    /// of one when all have subscribed it.
    ///
    /// For `SUBSCRIBE` and `PSUBSCRIBE` if several servers publish messages that the others do not forward. If the connection
    /// to one of them is lost, the client is disconnected.
    Listen {
        /// Names with this prefix are subscribed at all publishers, and other names at one server.
        ///
        /// It is `__key` for keyspace events, which each server publishes for its own keys, and empty for all names.
        prefix: &'static str,
    },
    /// Sends no request. The client receives this reply.
    Reply(Value),
}

impl Route {
    /// Returns the number of the upstream, or `None` for any.
    ///
    /// Serves requests that cannot be split, such as those of a transaction: a split or a reply is an error.
    pub(crate) fn into_one(self) -> Result<Option<usize>, Error> {
        match self {
            Route::To(server) => Ok(Some(server)),
            Route::Any => Ok(None),
            Route::Reply(Value::Error(error)) => Err(error),
            Route::Split(_) | Route::Rewrite(_) | Route::Listen { .. } | Route::Reply(_) => {
                Err(Error::CROSS_SLOT)
            }
        }
    }

    /// Returns the upstreams of a request on a dedicated connection.
    pub(crate) fn into_dedicated(self) -> Result<DedicatedTarget, Error> {
        match self {
            Route::Listen { prefix } => {
                Ok(DedicatedTarget { listen: Some(prefix), ..DedicatedTarget::default() })
            }
            Route::Rewrite(Rewrite { words, server, map }) => {
                Ok(DedicatedTarget { server, rewritten: Some((words, map)), ..DedicatedTarget::default() })
            }
            route => route.into_one().map(DedicatedTarget::from),
        }
    }
}

/// Replies with the error.
impl From<Error> for Route {
    fn from(error: Error) -> Self {
        Route::Reply(Value::Error(error))
    }
}

/// The server that a request has to be sent to instead; see [`Router::redirect`].
///
/// It is exhaustive by design: a router creates it.
///
/// ```
/// use thegiant::proxy::{ErrorReply, Redirect, Servers};
///
/// /// Follows the `MOVED SLOT ADDRESS` error of Redis Cluster, but only to known servers.
/// fn moved(error: &ErrorReply<'_>, servers: &mut Servers) -> Option<Redirect> {
///     let (_, address) = error.text().strip_prefix("MOVED ")?.split_once(' ')?;
///     let server = (0..servers.len()).find(|server| servers.address(*server) == address)?;
///     Some(Redirect { server, asking: false })
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The number of the server in [`Servers`].
    pub server: usize,
    /// Sends `ASKING` before the request, as Redis Cluster requires during the migration of a hash slot.
    pub asking: bool,
}
