//! The actor that owns the connections, and the requests on their way through it.
//!
//! - `actor`: the actor; `state`: its state; `rows`: its commands; `builder`: starts it; `handle`: the application's
//!   handle to it
//! - `destination`: chooses the connection for each request; `batches`: sends the requests of clients on; `calls`: sends
//!   those of the application; `retries`: sends single requests, also again
//! - `refreshing`: requests that wait for the router; `reply_sizes`: how many requests are sent at once
//! - `upkeep`: keeps the multiplexed connections open; `opening`: opens others
//! - `isolated`: sends requests over connections without other clients' requests
//! - `dedicated`: the task of a connection that one client has to itself; `binding`: its upstream;
//!   `dedicated_handle`: the handle to it; `dedicated_requests`: sends requests to it; `dedicated_loss`: handles its loss
//! - `listeners`: the connections over which other upstreams publish messages for a client; `publishers`: these upstreams
//! - `feed`: connections over which upstreams send messages for one consumer; `feed_tasks`: opens them; `feed_consumer`,
//!   `feed_queue`: where the messages go; `subscription`, `tracking`: how the application gets them
//! - `client_tracking`: lets clients track keys; `tracked_clients`: those that do

#[expect(clippy::module_inception, reason = "the actor is the main part of this folder")]
mod actor;
mod batches;
mod binding;
mod builder;
mod calls;
mod client_tracking;
mod dedicated;
mod dedicated_handle;
mod dedicated_loss;
mod dedicated_requests;
mod destination;
mod feed;
mod feed_consumer;
mod feed_queue;
mod feed_tasks;
mod handle;
mod isolated;
mod listeners;
mod opening;
mod publishers;
mod refreshing;
mod reply_sizes;
mod retries;
mod rows;
mod state;
mod subscription;
mod tracked_clients;
mod tracking;
mod upkeep;

pub(crate) use actor::{ProxyActor, ServeClients};
pub use builder::Proxy;
pub use handle::UpstreamHandle;
pub(crate) use rows::is_behind_builtins;
pub use subscription::{ChannelEvent, Subscription};
pub use tracking::{Invalidation, Tracking};
