//! Flags and requests that other threads leave for a connection.

/// The bits of `signals`: the `CloseRequest`; pushes are pending; the replies that are being written contain
/// pushes; the client is disconnected.
pub(super) const CLOSE_REQUEST: u8 = 0b0_0011;
pub(super) const PUSHES_PENDING: u8 = 0b0_0100;
pub(super) const SENDING_PUSHES: u8 = 0b0_1000;
pub(super) const CLOSED: u8 = 0b1_0000;

/// Flags of a client, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientFlag {
    /// `CLIENT NO-EVICT`: the server does not close the client when all clients together use too much memory.
    NoEvict = 1,
    /// `MONITOR`: the client receives all commands.
    Monitor = 1 << 1,
    /// The client waits for the end of a `CLIENT PAUSE`.
    Paused = 1 << 2,
    /// `CLIENT NO-TOUCH`: the commands of the client do not count as uses of their keys.
    NoTouch = 1 << 3,
    /// The connection wakes when the client sends something or disconnects.
    Watched = 1 << 4,
    /// `WATCH`: a key that the client watches has changed.
    Dirty = 1 << 5,
    /// `CLIENT TRACKING`: the client receives invalidations of the keys that it has read.
    Tracking = 1 << 6,
    /// `RESET`: the state that upstreams keep for the client is out of date.
    WasReset = 1 << 7,
    /// The client has a transaction on an upstream.
    InProxiedTransaction = 1 << 8,
    /// The server has refused a command of that transaction, so its `EXEC` must fail.
    ProxiedTransactionAborted = 1 << 9,
    /// The server is a replica, so the `EXEC` of that transaction must fail if something is queued.
    ProxiedQueueRefused = 1 << 10,
    /// The keys and channels of the client have a prefix.
    Tenant = 1 << 11,
    /// The client has subscribed at an upstream.
    UpstreamSubscriber = 1 << 12,
}

/// Asks a connection to close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseRequest {
    None = 0,
    /// Answer the requests that have been read, then close.
    AfterReplies = 1,
    /// Answer the requests that have been read, let no command wait for its reply, then close.
    Graceful = 2,
    /// Close at once.
    Now = 3,
}
