//! The upstreams of a proxy, and the connections to them.

mod blame;
mod connections;
mod servers;

pub(crate) use blame::Blamed;
pub(crate) use connections::{FORGOTTEN, Pool};
pub(crate) use servers::Membership;
pub use servers::Servers;
