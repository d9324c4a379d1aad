//! Connections to upstreams, and the requests that wait for their replies.
//!
//! - `upstream`: the address and the settings of a server; `stats`: its statistics; `call_error`: why a command got no
//!   reply; `on_loss`: how its client is treated
//! - `dial`: connects and sends the handshake
//! - `follow`: reads the messages that an upstream sends by itself
//! - `multiplexed`: a connection that many clients share; `outgoing`: its unsent bytes
//! - `in_flight`: the requests without a reply; `runs`: those that clients sent; `reply_meter`: the bytes of their
//!   replies
//! - `dedicated`: a connection that one client has to itself; `open_link`: reads and writes it; `dedicated_request`: its
//!   requests; `session`: what its upstream keeps for the client;
//!   `reply_map`: maps the replies to rewritten requests; `channel_listener`: a connection over which another upstream publishes
//!   messages for the client

mod call_error;
mod channel_listener;
mod dedicated;
mod dedicated_request;
mod dial;
mod follow;
mod in_flight;
mod multiplexed;
mod on_loss;
mod open_link;
mod outgoing;
mod reply_map;
mod reply_meter;
mod runs;
mod session;
mod stats;
mod upstream;

pub use call_error::CallError;
pub(crate) use channel_listener::ChannelListener;
pub(crate) use dedicated::{DedicatedConnection, DedicatedEvent};
pub(crate) use dedicated_request::{DedicatedRequest, DedicatedRequester, DedicatedTarget, PendingRequest};
pub(crate) use dial::{Dialled, PoolKey, dial};
pub(crate) use follow::{FeedEvent, follow};
pub(crate) use in_flight::{ApplicationCall, InFlight, InFlightId, InFlightTable, Retry, RetryReason};
pub(crate) use multiplexed::{MultiplexedConnection, Silence};
pub(crate) use on_loss::OnLoss;
pub(crate) use reply_map::{ReplyMap, mapped};
pub(crate) use runs::{BatchRun, CallResult, MAX_RETRIES, MergeFn, Requester, SplitRun};
pub(crate) use session::Session;
pub(crate) use stats::{AllUpstreamStats, UpstreamStats};
pub use upstream::Upstream;
