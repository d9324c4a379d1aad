//! The server: it listens, accepts, and stops gracefully.

mod accept;
mod bound;
mod builder;
mod handle;

pub(crate) use bound::BoundServer;
pub use builder::{ClientClass, Server, SlowConsumers};
pub use handle::ServerHandle;
