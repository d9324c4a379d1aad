//! Several instances of an application that answer as a Redis Cluster.
//!
//! Each instance owns some of the 16384 [slots](crate::slot). A [`Topology`] says which, and
//! [`Server::cluster`](crate::Server::cluster) makes a server one of its instances:
//!
//! ```no_run
//! use thegiant::{cluster::Cluster, prelude::*};
//!
//! #[thegiant::main]
//! async fn main() -> std::io::Result<()> {
//!     let app = App::new().fallback(|_: &Request| Simple("hello"));
//!     let cluster = Cluster::file("/etc/shop/topology", "a");
//!     Server::new(app).cluster(cluster)?.bind("0.0.0.0:6380")?.run().await
//! }
//! ```
//!
//! Cluster clients ask one instance for the topology (`CLUSTER SLOTS`), and send each command to the instance that owns the slot of its
//! keys. The [`Key`](crate::Key) parameters of a command name its keys, so this works for every command of an application.
//!
//! | request | reply |
//! | --- | --- |
//! | its slot belongs to another instance; an instance that is not in the topology owns none | `-MOVED 866 10.0.0.2:6380` |
//! | its keys have different slots | `-CROSSSLOT Keys in request don't hash to the same slot` |
//! | its slot belongs to this instance, which [does not serve](crate::ServerHandle::set_serving) | `-CLUSTERDOWN Hash slot not served` |
//! | `SELECT 1` | `-ERR SELECT is not allowed in cluster mode` |
//!
//! Each instance reads the same topology: from a file, from the command `CLUSTER SETTOPOLOGY`, or from
//! [`ServerHandle::set_topology`](crate::ServerHandle::set_topology). With the crate `thegiant-cluster`, the instances agree on it by themselves, and take
//! over from each other. A new topology needs a greater version. It changes which instance
//! owns a slot, and moves no data: the application does that, or its instances share a database.
//!
//! The instances speak to each other only for `PUBLISH`: an instance that gets a message sends it on to all others, as in Redis Cluster. A message is
//! lost for the subscribers of an instance that cannot be reached. [`Cluster::upstream`] says how they connect. `SPUBLISH` needs no
//! such thing, because its channel belongs to the instance that owns its slot.
//!
//! When an instance loses a slot, its clients that wait in a command with the flag `blocking` get `-MOVED`, subscribers of shard channels
//! get `sunsubscribe`, transactions that watch a key of the slot fail, and client-side caches are invalidated.

mod check;
mod config;
mod file;
mod forwarding;
mod slot_set;
mod state;
mod text;
mod topology;
mod view;

pub use config::Cluster;
pub(crate) use file::{TopologyFile, watch};
pub(crate) use forwarding::forward;
pub(crate) use slot_set::SlotSet;
pub(crate) use state::{ClusterState, SlotUsers};
pub(crate) use text::Slots;
pub(crate) use topology::id_of;
pub use topology::{Instance, Topology, TopologyBuilder, TopologyError};
pub(crate) use view::{Misdirected, Node, View};
