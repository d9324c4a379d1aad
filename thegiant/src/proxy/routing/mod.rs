//! Chooses an upstream for each request.
//!
//! - `router`: the trait that an application implements, and its results; `request`, `error_reply`: its arguments; `split`: requests in
//!   parts; `rewrite`: requests with other words
//! - `key_table`: the commands of an upstream; `variable_access`: what depends on the options of a request; `tables`: the commands of all
//!   upstreams; `published`: for connections
//! - `prefix`: the prefix of all keys
//! - `choice`: the router, the prefix and the tables together

mod choice;
mod error_reply;
mod key_table;
mod prefix;
mod published;
mod request;
mod rewrite;
mod router;
mod split;
mod tables;
mod variable_access;

pub(crate) use choice::{Follow, Readiness, Routing, no_server};
pub use error_reply::ErrorReply;
pub(crate) use prefix::Prefix;
pub(crate) use published::PublishedCommands;
pub use request::UpstreamRequest;
pub use rewrite::Rewrite;
pub use router::{Redirect, Refresh, Route, Router};
pub use split::Split;
