//! The address and the settings of an upstream.

#[cfg(feature = "tls")]
use std::io;
use std::{fmt, time::Duration};

#[cfg(feature = "tls")]
use thegiant_tls::{ClientTls, Connector};

/// Address and settings of another RESP server, to which a proxy sends requests.
///
/// The requests of many clients share a few connections. [`start`](Self::start) starts the actor that owns
/// these connections, on the calling thread, and returns a handle. Pass the handle to
/// [`App::proxy`](crate::App::proxy), or [send commands](crate::proxy::UpstreamHandle::call) with it in handlers.
///
/// ```no_run
/// use thegiant::{prelude::*, proxy::Upstream};
///
/// #[thegiant::main]
/// async fn main() -> std::io::Result<()> {
///     let redis = Upstream::new("127.0.0.1:6379").start();
///     Server::new(App::new().proxy(redis)).bind("127.0.0.1:6380")?.run().await
/// }
/// ```
///
/// # Replies and errors
/// The client receives the upstream's replies unchanged, in the order of its requests. The proxy has separate
/// connections for each protocol (`HELLO 3`) and for each database (`SELECT`), and opens them on demand. If
/// an upstream does not know `HELLO`, the proxy converts its replies to RESP3 for clients that use RESP3.
///
/// | error | when |
/// | --- | --- |
/// | `UPSTREAMDOWN …` | the proxy cannot reach the upstream: the command was not sent |
/// | `UPSTREAM …` | the connection was lost before the reply came: the command may have been run |
///
/// The proxy reopens a lost connection at once, at most ten times a second. Commands that were not sent wait
/// for the new connection. If the attempt fails, the upstream is [down](Self::down_after), and commands fail at once. The proxy
/// then tries again with a delay that grows from 100 ms to 5 s. A random part of up to half is subtracted
/// from each delay. An upstream that is loading its data (`LOADING`) counts as down.
///
/// # Isolation of clients
/// An upstream closes a connection when a request or a reply exceeds one of its limits. All clients of that
/// connection then lose their replies. So the proxy sends some requests on a connection without other
/// clients' requests:
/// - requests larger than [`max_request_len`](Self::max_request_len);
/// - all requests of a client that was blamed for three lost connections. The proxy blames the client with
///   the oldest unanswered request. It forgives the client after a minute without another loss.
///
/// `INFO` counts these connections in `upstream_private_connections`.
#[derive(Clone)]
#[must_use]
pub struct Upstream {
    pub(crate) address: String,
    pub(crate) connections: usize,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) connect_timeout: Duration,
    pub(crate) reply_timeout: Duration,
    pub(crate) slow_reply_timeout: Duration,
    pub(crate) down_after: Duration,
    pub(crate) max_reply_len: usize,
    pub(crate) max_request_len: usize,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<Connector>,
}

/// Redis reads up to 16 KiB behind a request into the same query buffer, so this stays below the minimum
/// limit of 1 MiB.
const MAX_REQUEST_LEN: usize = (1024 - 64) * 1024;

impl Upstream {
    /// Creates the settings for the server at this address.
    ///
    /// The address is a host and a port (`10.0.0.7:6379`, `redis.internal:6379`) or the path of a unix socket
    /// (`unix:/run/redis.sock`). The proxy resolves a host name for each new connection.
    pub fn new(address: impl Into<String>) -> Self {
        Upstream {
            address: address.into(),
            connections: 1,
            user: None,
            password: None,
            connect_timeout: Duration::from_secs(3),
            reply_timeout: Duration::from_secs(30),
            slow_reply_timeout: Duration::from_secs(300),
            down_after: Duration::ZERO,
            max_reply_len: 512 * 1024 * 1024,
            max_request_len: MAX_REQUEST_LEN,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Sets the number of connections that clients share, for each protocol and database (default 1).
    ///
    /// More connections help when large replies delay the replies behind them.
    ///
    /// # Panics
    /// If `connections` is 0.
    #[track_caller]
    pub fn connections(mut self, connections: usize) -> Self {
        assert!(connections > 0, "an upstream needs at least one connection");
        self.connections = connections;
        self
    }

    /// Sets the password for `AUTH`.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Sets the user name for `AUTH`. It needs a [`password`](Self::password), too.
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// Connects with TLS. If the proxy rejects the upstream's certificate, commands fail with `UPSTREAMDOWN`.
    ///
    /// ```no_run
    /// # fn main() -> std::io::Result<()> {
    /// use thegiant::{ClientTls, proxy::Upstream};
    ///
    /// let redis = Upstream::new("redis.internal:6379").tls(ClientTls::new().ca("/etc/app/ca.crt"))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If a certificate or key file is not usable: the error names the file and the reason. If the address
    /// has no name that a certificate could contain, for example the path of a unix socket.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: ClientTls) -> io::Result<Self> {
        self.tls = Some(tls.connector(&self.address)?);
        Ok(self)
    }

    /// Sets the timeout for connecting, including the handshake (default 3 s).
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets the reply timeout (default 30 s).
    ///
    /// The proxy closes a connection that has outstanding requests and stays silent this long. It checks
    /// multiplexed connections once a second, so it rounds their timeout up to whole seconds. It sends `PING`
    /// on a connection that is idle this long.
    ///
    /// Blocking commands such as `BLPOP` have no reply timeout. Commands that are slow by nature have a timeout of their
    /// own: see [`slow_reply_timeout`](Self::slow_reply_timeout).
    pub fn reply_timeout(mut self, timeout: Duration) -> Self {
        self.reply_timeout = timeout;
        self
    }

    /// Sets the reply timeout of commands that are slow by nature (default 5 minutes).
    ///
    /// These are scripts and functions, `KEYS`, `FLUSHALL`, `FLUSHDB`, `SORT`, `MIGRATE`, `SAVE` and `DEBUG`. If such a
    /// command gets no reply for one to two seconds, it keeps its connection, and the proxy opens another one for the
    /// later requests of all clients. So a slow command delays the others only as far as the upstream itself does.
    pub fn slow_reply_timeout(mut self, timeout: Duration) -> Self {
        self.slow_reply_timeout = timeout;
        self
    }

    /// Sets the time for which attempts to connect have to fail before the upstream is down (default 0: the first).
    ///
    /// Meanwhile, requests wait, except for clients whose transaction or watched keys were lost. The proxy tries again ten times
    /// a second, and a router may send the requests to another server.
    pub fn down_after(mut self, time: Duration) -> Self {
        self.down_after = time;
        self
    }

    /// Sets the maximum size of a reply, in bytes (default 512 MiB).
    ///
    /// The client receives an error instead of a larger reply.
    pub fn max_reply_len(mut self, bytes: usize) -> Self {
        self.max_reply_len = bytes;
        self
    }

    /// Sets the maximum size of a request on a multiplexed connection, in bytes (default 960 KiB).
    ///
    /// A larger request gets a connection without other clients' requests, because an upstream closes the
    /// connection of a request that exceeds its limits. The limits of Redis, `proto-max-bulk-len` and
    /// `client-query-buffer-limit`, are at least 1 MiB. The default is smaller, so it fits all configurations
    /// of Redis. With several upstreams, the smallest value applies to all of them.
    pub fn max_request_len(mut self, bytes: usize) -> Self {
        self.max_request_len = bytes;
        self
    }

    /// Returns the same settings for another address.
    pub(crate) fn at(&self, address: &str) -> Self {
        Upstream {
            address: address.to_owned(),
            #[cfg(feature = "tls")]
            tls: self.tls.clone().map(|tls| tls.at(address)),
            ..self.clone()
        }
    }

    /// Returns the reply timeout in whole seconds, rounded up. The proxy checks its connections once a
    /// second.
    pub(crate) fn reply_timeout_seconds(&self) -> u32 {
        whole_seconds(self.reply_timeout)
    }

    /// Returns the reply timeout of slow commands in whole seconds, rounded up.
    pub(crate) fn slow_reply_timeout_seconds(&self) -> u32 {
        whole_seconds(self.slow_reply_timeout)
    }
}

fn whole_seconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis().div_ceil(1000).max(1)).unwrap_or(u32::MAX)
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The output must not contain the password.
        f.debug_struct("Upstream").field("address", &self.address).finish_non_exhaustive()
    }
}
