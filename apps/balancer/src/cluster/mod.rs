//! The nodes of a Redis Cluster.
//!
//! - `redirect`: the error replies of nodes; `answer`: their replies to `CLUSTER SLOTS` and `CLUSTER NODES`
//! - `watch`: the task that asks the cluster for its slots
//! - `router`: chooses a node for each request

mod answer;
mod redirect;
mod router;
mod watch;

pub use router::Cluster;
pub use watch::Watch;
