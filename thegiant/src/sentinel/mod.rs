//! Tells clients which server is the master, as Redis Sentinel does.
//!
//! Several servers can take over from each other: one of them is the master. Clients that know Sentinel ask for its address by a name, connect
//! to it, and connect to the next master when that changes: most Redis clients, job frameworks and balancers can do this. [`Sentinel`] answers the
//! commands that they send, in any application, and is a handle with which your program names the master:
//!
//! ```
//! use thegiant::{prelude::*, sentinel::{Master, Sentinel}};
//!
//! # #[thegiant::main]
//! # async fn main() {
//! let sentinel = Sentinel::new("10.0.0.1", 6380);
//! let app = sentinel.mount(App::new());
//!
//! let master = Master::new("orders", "10.0.0.1", 6380).replicas([("10.0.0.2", 6380)]);
//! sentinel.update(master);
//! // When the other server takes over:
//! let master = Master::new("orders", "10.0.0.2", 6380).replicas([("10.0.0.1", 6380)]);
//! sentinel.update(master); // Publishes `+switch-master orders 10.0.0.1 6380 10.0.0.2 6380`.
//! # }
//! ```
//!
//! The facade decides nothing. An operator decides who is the master, or a lease in a database or in etcd. Your program then calls `update` and
//! [`ServerHandle::set_role`](crate::ServerHandle::set_role) in each server.
//!
//! | a client wants | it sends |
//! | --- | --- |
//! | the master | `SENTINEL GET-MASTER-ADDR-BY-NAME`, `MASTER`, `MASTERS` |
//! | its replicas | `SENTINEL REPLICAS`, `SLAVES` |
//! | the other facades | `SENTINEL SENTINELS` |
//! | to know the state of the facade | `SENTINEL CKQUORUM`, `MYID`, `IS-MASTER-DOWN-BY-ADDR`, `HELP` |
//! | to hear of changes | `SUBSCRIBE +switch-master`, or `+slave` |
//!
//! Its commands have the flag `stale`, so a replica answers them. [`Sentinel::app`] is a facade on a separate port, which some clients demand. `SENTINEL FAILOVER` and the commands that configure a real Sentinel do not exist.

mod actors;
mod facade;
mod handle;
mod listing;
mod master;

pub use handle::Sentinel;
pub use master::Master;
