//! Tells clients which server is the master, as Redis Sentinel does.
//!
//! Of several servers that take over from each other, one is the master. Clients that know Sentinel ask for its address by a name, connect
//! to it, and connect to the next master when that changes: most Redis clients, job frameworks and balancers can do this. [`Sentinel`] is an actor with
//! the commands that they send, and a handle by which your program says who the master is:
//!
//! ```
//! use thegiant::{prelude::*, sentinel::{Master, Sentinel}};
//!
//! # #[thegiant::main]
//! # async fn main() {
//! let app = App::new();
//! let sentinel = Sentinel::new(app.pubsub(), "10.0.0.1", 6380);
//! let app = app.mount(sentinel.clone().start());
//!
//! let master = Master::new("orders", "10.0.0.1", 6380).replicas([("10.0.0.2", 6380)]);
//! sentinel.update(master);
//! // When the other server takes over:
//! let master = Master::new("orders", "10.0.0.2", 6380).replicas([("10.0.0.1", 6380)]);
//! sentinel.update(master); // Publishes `+switch-master orders 10.0.0.1 6380 10.0.0.2 6380`.
//! # }
//! ```
//!
//! It decides nothing. Something else decides who is the master: an operator, or a lease in a database or in etcd. Each server is told, by `update` and by
//! [`ServerHandle::set_role`](crate::ServerHandle::set_role).
//!
//! | client | asks |
//! | --- | --- |
//! | where the master is | `SENTINEL GET-MASTER-ADDR-BY-NAME`, `MASTER`, `MASTERS` |
//! | where its replicas are | `SENTINEL REPLICAS`, `SLAVES` |
//! | where it can ask, too | `SENTINEL SENTINELS` |
//! | about the facade itself | `SENTINEL CKQUORUM`, `MYID`, `IS-MASTER-DOWN-BY-ADDR`, `HELP` |
//! | to hear of changes | `SUBSCRIBE +switch-master`, or `+slave` |
//!
//! Its commands have the flag `stale`, so a replica answers them. `SENTINEL FAILOVER` and the commands that configure a real Sentinel do not exist.

mod facade;
mod listing;
mod master;

pub use facade::Sentinel;
pub use master::Master;
