//! Other servers, to which requests are sent on: [`Upstream`], and what decides among several, a [`Router`].
//!
//! ```no_run
//! use thegiant::{
//!     prelude::*,
//!     upstream::{Request, Route, Router, Servers, Upstream},
//! };
//!
//! /// What is read goes to the second, all else to the first.
//! struct Reads;
//!
//! impl Router for Reads {
//!     fn route(&mut self, request: &Request<'_>, servers: &mut Servers) -> Route {
//!         Route::To(if request.is_readonly() && servers.is_up(1) { 1 } else { 0 })
//!     }
//! }
//!
//! #[actix::main]
//! async fn main() -> std::io::Result<()> {
//!     let upstreams = ["10.0.0.1:6379", "10.0.0.2:6379"].map(Upstream::new);
//!     let app = App::new().proxy(Upstream::start_all(upstreams, Reads));
//!     Server::new(app).bind("127.0.0.1:6380")?.run().await
//! }
//! ```

// - `proxy`: the actor that has the connections; batches of clients go there and come back answered; `flights`: those that
//   are under way; `way`: where each request goes; `handle`: what the program has of it
// - `router`: what decides among several upstreams; `servers`: these; `table`: what they say of their commands
// - `link`: a connection that the requests of many clients share; `private`: one that a single client has for a while;
//   `isolated`: one that carries a single request
// - `upkeep`: connections are opened, lost and opened again; `dial`: connecting, and what is said first; `commands`: which commands are not like others

mod commands;
mod dedicated;
mod destination;
mod dial;
mod handle;
mod in_flight;
mod isolated;
mod key_table;
mod multiplexed;
mod proxy;
mod reconnect;
mod router;
mod servers;

#[cfg(feature = "tls")]
use std::io;
use std::{fmt, time::Duration};

use actix::Actor;

pub(crate) use commands::is_behind_builtins;
pub use handle::UpstreamHandle;
pub(crate) use proxy::Proxy;
pub use router::{Redirect, Refresh, Request, Route, Router, Split};
pub use servers::Servers;

#[cfg(feature = "tls")]
use crate::tls::{ClientTls, Connector};

/// Another server that speaks RESP, and how it is reached: the requests of many clients are sent on over few connections.
///
/// [`start`](Self::start) starts the actor that holds these, on the thread that calls it. What it returns is given to
/// [`App::proxy`](crate::App::proxy), or is [asked](UpstreamHandle::call) by handlers.
///
/// ```no_run
/// use thegiant::{Upstream, prelude::*};
///
/// #[actix::main]
/// async fn main() -> std::io::Result<()> {
///     let redis = Upstream::new("127.0.0.1:6379").start();
///     Server::new(App::new().proxy(redis)).bind("127.0.0.1:6380")?.run().await
/// }
/// ```
///
/// # What becomes of requests
/// Replies come back as the upstream has sent them, in the order of the requests. A client that has said `HELLO 3` gets
/// those of RESP3, and one that has chosen a database with `SELECT` those of that database: the upstream has connections
/// for each of these, which are opened when they are needed. Of a server that does not know `HELLO`, replies are put in the
/// words of RESP3.
///
/// | error | when |
/// | --- | --- |
/// | `UPSTREAMDOWN …` | the upstream cannot be reached: the command was not sent |
/// | `UPSTREAM …` | the connection was lost before the reply came: the command may have been run, or not |
///
/// A connection that is lost is opened again at once, at most ten times a second, and commands that were not sent wait for
/// it. If that fails, the upstream is down, and commands fail at once. Further attempts follow after times that grow from a
/// tenth of a second to five seconds, each of them up to a half shorter by chance. A server that is loading its data is not
/// there yet.
///
/// # How clients are kept from each other
/// The upstream closes a connection over a request or a reply that exceeds one of its limits, and the other clients of that
/// connection lose their replies. So a request of more than [`max_request_len`](Self::max_request_len) gets a connection
/// without other clients' requests. So does each request of a client whose requests have been the oldest unanswered ones at
/// three losses of a connection, until a minute has passed without another loss. `INFO` counts these connections as private
/// ones.
#[derive(Clone)]
#[must_use]
pub struct Upstream {
    address: String,
    connections: usize,
    user: Option<String>,
    password: Option<String>,
    connect_timeout: Duration,
    reply_timeout: Duration,
    max_reply_len: usize,
    max_request_len: usize,
    #[cfg(feature = "tls")]
    tls: Option<Connector>,
}

/// Redis reads up to 16 KiB behind a request, which count for its query buffer as well.
const MAX_REQUEST_LEN: usize = (1024 - 64) * 1024;

impl Upstream {
    /// The server at an address and a port, `10.0.0.7:6379` or `redis.internal:6379`, or at the path of a unix socket,
    /// `unix:/run/redis.sock`. A name is looked up whenever a connection is opened.
    pub fn new(address: impl Into<String>) -> Self {
        Upstream {
            address: address.into(),
            connections: 1,
            user: None,
            password: None,
            connect_timeout: Duration::from_secs(3),
            reply_timeout: Duration::from_secs(30),
            max_reply_len: 512 * 1024 * 1024,
            max_request_len: MAX_REQUEST_LEN,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Has the clients share so many connections; one, unless this is called. More are of use where one reply is large
    /// and others have to wait behind it.
    ///
    /// # Panics
    /// If it is 0.
    #[track_caller]
    pub fn connections(mut self, connections: usize) -> Self {
        assert!(connections > 0, "an upstream has at least one connection");
        self.connections = connections;
        self
    }

    /// Says who it is with this password (`AUTH`).
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Says that it is this user, whose password is that of [`password`](Self::password).
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// Speaks TLS with it. A certificate that is not as it should be is the reason of an `UPSTREAMDOWN`.
    ///
    /// ```no_run
    /// # fn main() -> std::io::Result<()> {
    /// use thegiant::{ClientTls, Upstream};
    ///
    /// let redis = Upstream::new("redis.internal:6379").tls(ClientTls::new().ca("/etc/app/ca.crt"))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If a file cannot be used: which, and why. If the address has no name that a certificate could be for, as that of a unix
    /// socket.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: ClientTls) -> io::Result<Self> {
        self.tls = Some(tls.connector(&self.address)?);
        Ok(self)
    }

    /// Gives up connecting after this time: three seconds, unless this is called.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Takes a connection for lost on which replies are waited for and nothing has come for this time: half a minute,
    /// unless this is called. A shared connection is looked at once a second, so its time is rounded up to whole seconds.
    /// The toolkit sends `PING` on a connection that is idle this long.
    ///
    /// Commands that wait on purpose, such as `BLPOP`, may wait for longer.
    pub fn reply_timeout(mut self, timeout: Duration) -> Self {
        self.reply_timeout = timeout;
        self
    }

    /// Answers an error in place of a reply of more bytes: 512 MiB, unless this is called.
    pub fn max_reply_len(mut self, bytes: usize) -> Self {
        self.max_reply_len = bytes;
        self
    }

    /// Sets the maximum size of a request on a shared connection, in bytes (default 960 KiB).
    ///
    /// A larger request gets a connection without other clients' requests, because the upstream closes a connection over a
    /// request that it considers too large. The default is below all values that Redis accepts for its limits
    /// `proto-max-bulk-len` and `client-query-buffer-limit`, which start at 1 MiB. So a change of these limits needs no change
    /// here. With several upstreams, the smallest value counts for all of them.
    pub fn max_request_len(mut self, bytes: usize) -> Self {
        self.max_request_len = bytes;
        self
    }

    /// The same at another address.
    fn at(&self, address: &str) -> Self {
        Upstream {
            address: address.to_owned(),
            #[cfg(feature = "tls")]
            tls: self.tls.clone().map(|tls| tls.at(address)),
            ..self.clone()
        }
    }

    /// Starts the actor that holds the connections, and opens the first.
    ///
    /// # Panics
    /// If there is no actix system running.
    pub fn start(self) -> UpstreamHandle {
        let (proxy, stats) = Proxy::new(vec![self], None);
        UpstreamHandle::new(proxy.start(), stats)
    }

    /// Starts one actor that holds the connections to several upstreams, and asks `router` where each request goes.
    ///
    /// Replies come in the order of the requests, whichever upstream they are from. What could not be sent to one that is
    /// lost is sent to another, if `router` names one.
    ///
    /// ```no_run
    /// use thegiant::{prelude::*, upstream::{Request, Route, Router, Servers, Upstream}};
    ///
    /// /// The first that is up has everything.
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
    ///     let redis = Upstream::start_all(["10.0.0.1:6379", "10.0.0.2:6379"].map(Upstream::new), Failover);
    ///     Server::new(App::new().proxy(redis)).bind("127.0.0.1:6380")?.run().await
    /// }
    /// ```
    ///
    /// # Panics
    /// If there are no upstreams, or there is no actix system running.
    #[track_caller]
    pub fn start_all(upstreams: impl IntoIterator<Item = Upstream>, router: impl Router) -> UpstreamHandle {
        let upstreams: Vec<Upstream> = upstreams.into_iter().collect();
        assert!(!upstreams.is_empty(), "there is at least one upstream");
        let (proxy, stats) = Proxy::new(upstreams, Some(Box::new(router)));
        UpstreamHandle::new(proxy.start(), stats)
    }

    /// Returns the reply timeout in whole seconds, rounded up. The proxy checks its connections once a second.
    fn reply_timeout_seconds(&self) -> u32 {
        u32::try_from(self.reply_timeout.as_millis().div_ceil(1000).max(1)).unwrap_or(u32::MAX)
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the password.
        f.debug_struct("Upstream").field("address", &self.address).finish_non_exhaustive()
    }
}
