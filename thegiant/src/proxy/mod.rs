//! The proxy: sends requests on to other servers ([`Upstream`]). A [`Router`] chooses among several
//! upstreams.
//!
//! ```no_run
//! use thegiant::{
//!     prelude::*,
//!     proxy::{Proxy, UpstreamRequest, Route, Router, Servers, Upstream},
//! };
//!
//! /// Sends reads to the second server and everything else to the first.
//! struct Reads;
//!
//! impl Router for Reads {
//!     fn route(&mut self, request: &UpstreamRequest<'_>, servers: &mut Servers) -> Route {
//!         Route::To(if request.is_readonly() && servers.is_up(1) { 1 } else { 0 })
//!     }
//! }
//!
//! #[thegiant::main]
//! async fn main() -> std::io::Result<()> {
//!     let upstreams = ["10.0.0.1:6379", "10.0.0.2:6379"].map(Upstream::new);
//!     let app = App::new().proxy(Proxy::new(Reads).upstreams(upstreams).start());
//!     Server::new(app).bind("127.0.0.1:6380")?.run().await
//! }
//! ```

// The layers, from the bottom up. Each imports only those before it:
//
// - `wire`: requests, replies, and the commands that need special treatment
// - `conn`: connections, and the requests that wait for their replies
// - `pool`: the upstreams, and the connections to them
// - `routing`: chooses an upstream for each request
// - `actor`: the actor that owns all of them

mod actor;
mod conn;
mod guarded;
mod pool;
mod routing;
mod wire;

pub use actor::{ChannelEvent, Invalidation, Proxy, Subscription, Tracking, UpstreamHandle};
pub(crate) use actor::{ProxyActor, ServeClients, is_behind_builtins};
pub(crate) use conn::AllUpstreamStats;
pub use conn::{CallError, Upstream};
pub use pool::Servers;
pub(crate) use routing::PublishedCommands;
pub use routing::{ErrorReply, Redirect, Refresh, Rewrite, Route, Router, Split, UpstreamRequest};
pub use wire::cross_slot;
