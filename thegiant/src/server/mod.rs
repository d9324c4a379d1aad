//! The server: it listens, accepts, and stops gracefully.

mod accept;
mod bound;
mod builder;
mod handle;
mod limits;

pub(crate) use bound::BoundServer;
pub use builder::Server;
pub use handle::ServerHandle;
pub use limits::{ClientClass, Limits, SlowConsumers, Timeouts};
