//! The nodes of a Redis Cluster.
//!
//! - `address`: the addresses that nodes name; `answer`: their replies to `CLUSTER SLOTS` and `CLUSTER NODES`
//! - `watch`: the task that asks the cluster for its slots
//! - `router`: chooses a node for each request

mod address;
mod answer;
mod router;
mod watch;

pub use router::Cluster;
pub use watch::Watch;
