//! The proxy: sends requests on to other servers ([`Upstream`]). A [`Router`] chooses among several
//! upstreams.
//!
//! ```no_run
//! use thegiant::{
//!     prelude::*,
//!     upstream::{Request, Route, Router, Servers, Upstream},
//! };
//!
//! /// Sends reads to the second server and everything else to the first.
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

// - `builder`: `Upstream`, the address and the settings of a server
// - `proxy`: the actor that owns the connections; it receives batches, sends their requests on and returns
//   the batches; `in_flight`: the requests that have no reply yet; `destination`: chooses the connection for
//   each request; `handle`: the application's handle to the actor
// - `router`: the trait that chooses an upstream; `servers`: the list of upstreams; `key_table`: their
//   `COMMAND` replies
// - `multiplexed`: a connection that many clients share; `dedicated`: a connection that one client has to
//   itself; `isolated`: a connection that carries a single request
// - `reconnect`: keeps the multiplexed connections open; `dial`: connects and sends the handshake;
//   `commands`: the commands that need special treatment

mod builder;
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

pub use builder::Upstream;
pub(crate) use commands::is_behind_builtins;
pub use handle::UpstreamHandle;
pub(crate) use proxy::Proxy;
pub use router::{Redirect, Refresh, Request, Route, Router, Split};
pub use servers::Servers;
