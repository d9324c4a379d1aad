//! The master that Redis Sentinel names.
//!
//! - `watch`: the task that asks the sentinels for the master
//! - `router`: sends all requests to the master

mod router;
mod watch;

pub use router::Master;
pub use watch::SentinelWatch;
