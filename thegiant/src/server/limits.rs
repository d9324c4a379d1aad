//! Groups of settings of a server: limits and timeouts.

use std::time::Duration;

use crate::settings::{OutputLimit, Setting, whole_millis};

/// The limits of a server, for [`Server::limits`](crate::Server::limits).
///
/// A limit that is not set keeps its default. In parentheses stands the name for `CONFIG SET`, which changes a limit at
/// run time.
///
/// ```
/// use thegiant::{ClientClass, Limits, OutputLimit, prelude::*};
///
/// let limits = Limits::new()
///     .max_clients(50_000)
///     .client_memory(1 << 30)
///     .output_buffer(ClientClass::PubSub, OutputLimit::hard(16 << 20));
/// let server = Server::new(App::new).limits(limits);
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Limits(Vec<(Setting, u64)>);

impl Limits {
    /// Returns a group in which no limit is set.
    pub fn new() -> Self {
        Limits::default()
    }

    /// Sets the maximum number of clients (`maxclients`, default 10,000).
    ///
    /// Further clients get an error and are closed.
    pub fn max_clients(self, clients: usize) -> Self {
        self.set(Setting::MaxClients, clients as u64)
    }

    /// Sets the maximum size of an argument in bytes (`proto-max-bulk-len`, default 512 MiB).
    ///
    /// A larger argument is a protocol error.
    pub fn max_bulk_len(self, bytes: usize) -> Self {
        self.set(Setting::MaxBulkLen, bytes as u64)
    }

    /// Sets the maximum size in bytes of the requests of a client that do not run yet
    /// (`client-query-buffer-limit`, default 1 GiB, at most 2 GiB).
    ///
    /// These are an incomplete request, and the requests that the client sends while its command is blocked or
    /// while it does not read its replies.
    ///
    /// A client that exceeds it is closed.
    pub fn query_buffer(self, bytes: usize) -> Self {
        self.set(Setting::QueryBufferLimit, bytes as u64)
    }

    /// Limits the unsent bytes of one client (`client-output-buffer-limit`).
    ///
    /// A client that exceeds the limit is closed.
    ///
    /// By default, replies have no limit. The limit for pushes is 32 MiB, or 8 MiB for 60 s.
    pub fn output_buffer(mut self, class: ClientClass, limit: OutputLimit) -> Self {
        self.0.extend(limit.parts(class.setting()));
        self
    }

    /// Chooses how the server treats a client whose unsent [pushes](crate::Client::push) exceed their
    /// [limit](Self::output_buffer) (`drop-oldest-push`, default [`SlowConsumers::Disconnect`]).
    pub fn slow_consumers(self, action: SlowConsumers) -> Self {
        self.set(Setting::DropOldestPush, (action == SlowConsumers::DropOldest).into())
    }

    /// Limits the memory in bytes of all clients together (`maxmemory-clients`, default `None`: no limit).
    ///
    /// It is the memory of incomplete requests, unsent data, queued commands, names, subscriptions, watched keys
    /// and tracking prefixes. When it exceeds the limit, the server closes the clients with most memory. Clients
    /// with `CLIENT NO-EVICT on` are neither closed nor counted. As in Redis, 0 means no limit, too.
    pub fn client_memory(self, bytes: impl Into<Option<usize>>) -> Self {
        self.set(Setting::MaxMemoryClients, bytes.into().unwrap_or(0) as u64)
    }

    /// Sets the maximum number of keys in the client-side caching table (`tracking-table-max-keys`, default
    /// 1,000,000; `None`: no limit).
    ///
    /// When the table is full, the server evicts keys and sends an invalidation to their readers. Keys of
    /// more than 1 KiB are not stored: their readers get an invalidation at once. As in Redis, 0 means no limit, too.
    pub fn tracking_table_keys(self, keys: impl Into<Option<usize>>) -> Self {
        self.set(Setting::TrackingTableMaxKeys, keys.into().unwrap_or(0) as u64)
    }

    fn set(mut self, setting: Setting, value: u64) -> Self {
        self.0.push((setting, value));
        self
    }

    pub(super) fn into_changes(self) -> Vec<(Setting, u64)> {
        self.0
    }
}

/// The timeouts of a server, for [`Server::timeouts`](crate::Server::timeouts).
///
/// A timeout that is not set keeps its default. In parentheses stands the name for `CONFIG SET`, which changes a timeout
/// at run time.
///
/// The server checks its clients once a second, so it closes a client up to two seconds after the time has passed. The
/// same holds for [`OutputLimit::soft`]. `CONFIG GET` shows times in seconds, rounded up.
///
/// ```
/// use std::time::Duration;
/// use thegiant::{Timeouts, prelude::*};
///
/// let timeouts = Timeouts::new()
///     .idle(Duration::from_secs(300))
///     .tcp_user(Duration::from_secs(30))
///     .auth(None);
/// let server = Server::new(App::new).timeouts(timeouts);
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Timeouts(Vec<(Setting, u64)>);

impl Timeouts {
    /// Returns a group in which no timeout is set.
    pub fn new() -> Self {
        Timeouts::default()
    }

    /// Closes clients that are idle for this time (`timeout`, default `None`: never).
    ///
    /// A client is not idle while it waits for a reply. A client that has subscribed, or was sent a
    /// [push](crate::Client::push), is never idle.
    pub fn idle(self, time: impl Into<Option<Duration>>) -> Self {
        self.set(Setting::Timeout, time.into())
    }

    /// Closes clients that take longer than this to send one request (`request-timeout`, default `None`: never).
    pub fn request(self, time: impl Into<Option<Duration>>) -> Self {
        self.set(Setting::RequestTimeout, time.into())
    }

    /// Limits the time that a command is blocked (`reply-timeout`, default `None`: no limit).
    ///
    /// The client then gets `-TIMEOUT …`. The limit applies to commands with a later reply (see
    /// [`Responder`](crate::Responder)) that have no timeout of their own.
    pub fn reply(self, time: impl Into<Option<Duration>>) -> Self {
        self.set(Setting::ReplyTimeout, time.into())
    }

    /// Limits the time for [authentication](crate::Server::password) (`auth-timeout`, default 60 s; `None`: no limit).
    ///
    /// A client that does not authenticate in time is closed. The limit also applies to a TLS handshake, even
    /// without a password.
    pub fn auth(self, time: impl Into<Option<Duration>>) -> Self {
        self.set(Setting::AuthTimeout, time.into())
    }

    /// Limits the delay of logins from an address whose logins have failed (`auth-delay`, default 2 s; `None`: no delay).
    ///
    /// Five failures delay nothing. After those, each login from the address waits before its password is checked: 100 ms,
    /// doubled by each further failure. At most 32 logins from an address wait; further ones get an error. A minute without a
    /// failure ends it. Other addresses are not affected. An IPv6 network of 64 bits is one address, and so are all
    /// unix sockets.
    ///
    /// Switch the delay off if all clients have one address, for example that of a load balancer, and the network keeps strangers
    /// away.
    pub fn auth_delay(self, max: impl Into<Option<Duration>>) -> Self {
        self.set(Setting::AuthDelay, max.into())
    }

    /// Limits the time that a stop waits for clients to read their last replies (`shutdown-timeout`, default 10 s).
    pub fn shutdown(self, time: Duration) -> Self {
        self.set(Setting::ShutdownTimeout, Some(time))
    }

    /// Enables TCP keepalive probes after this idle time (`tcp-keepalive`, default 300 s; `None`: no probes).
    ///
    /// The kernel takes whole seconds, so the time is rounded up.
    ///
    /// They end a connection whose peer has vanished.
    pub fn tcp_keepalive(self, idle: impl Into<Option<Duration>>) -> Self {
        self.set(Setting::TcpKeepalive, idle.into())
    }

    /// Limits the time that sent data may remain unacknowledged (`tcp-user-timeout`, default `None`; Linux only).
    ///
    /// The kernel then ends the connection, and the server handles it as a disconnect. Without the limit, the kernel
    /// retransmits data to a peer that has vanished for about 15 minutes. Keepalive probes start only when no
    /// data is unacknowledged.
    ///
    /// The limit also ends the connection of a client that does not read for this time while its receive buffer is
    /// full, so servers whose clients may stop reading for a while leave it off. A change at run time applies to new
    /// connections. It does not apply to unix sockets.
    pub fn tcp_user(self, time: impl Into<Option<Duration>>) -> Self {
        self.set(Setting::TcpUserTimeout, time.into())
    }

    fn set(mut self, setting: Setting, time: Option<Duration>) -> Self {
        self.0.push((setting, time.map_or(0, whole_millis)));
        self
    }

    pub(super) fn into_changes(self) -> Vec<(Setting, u64)> {
        self.0
    }
}

/// The classes of unsent data that `client-output-buffer-limit` distinguishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientClass {
    /// `normal`: replies. While a client has more than a megabyte of unsent replies, its next requests do not
    /// run.
    Normal,
    /// `pubsub`: pushes.
    PubSub,
}

impl ClientClass {
    fn setting(self) -> Setting {
        match self {
            ClientClass::Normal => Setting::NormalOutputLimit,
            ClientClass::PubSub => Setting::PushOutputLimit,
        }
    }
}

/// The treatment of a client that does not read its pushes; see [`Limits::slow_consumers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlowConsumers {
    /// The server closes a client whose unsent pushes exceed the limit.
    Disconnect,
    /// The server drops the oldest unsent pushes until the rest is within the hard limit. The soft limit is
    /// ignored.
    DropOldest,
}
