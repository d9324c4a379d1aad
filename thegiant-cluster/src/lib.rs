//! Several instances of an application divide the keys between them, and take over from each other.
//!
//! An instance is a server that is built with [`thegiant`]. All instances share a [`Store`]: etcd, PostgreSQL, or another one with
//! compare-and-swap. The keys are divided into **partitions**, and each partition has one owner at a time:
//!
//! ```no_run
//! use std::io;
//!
//! use thegiant::{cluster::Cluster, prelude::*};
//! use thegiant_cluster::{Member, MemoryStore, Partitions};
//!
//! /// The state of the application.
//! struct State;
//!
//! impl Partitions for State {
//!     async fn open(&self, partition: u16, epoch: u64) -> io::Result<()> {
//!         println!("loads partition {partition}, and fences all owners before epoch {epoch}");
//!         Ok(())
//!     }
//!
//!     async fn close(&self, partition: u16) {
//!         println!("discards partition {partition}");
//!     }
//! }
//!
//! #[thegiant::main]
//! async fn main() -> io::Result<()> {
//!     let app = App::new().fallback(|_: &Request| Simple("hello"));
//!     let server = Server::new(app).cluster(Cluster::member("a"))?.bind("0.0.0.0:6380")?;
//!     // Instances in several processes need `Etcd` or `Postgres`.
//!     let member = Member::new(MemoryStore::new(), "a", "10.0.0.1:6380");
//!     member.run(server, State).await
//! }
//! ```
//!
//! | when | then |
//! | --- | --- |
//! | an instance starts | it gets its share of the partitions from the others |
//! | an instance stops | it closes its partitions and gives them to the others |
//! | an instance fails, or is paused for longer than its lease | the others take over its partitions after a lease |
//! | an instance cannot reach the store for a lease | it serves no keys until it can; if the others have taken over, it starts anew |
//!
//! While a partition has no owner that serves it, commands for its keys get `-CLUSTERDOWN Hash slot not served`. Commands for keys of
//! another instance get `-MOVED`.
//!
//! # What is guaranteed
//! At any time, at most one instance believes that it owns a partition, provided that clocks of different machines run equally fast, to
//! within a tenth. Nobody compares the time of day. But no lease keeps a process from being paused between its last look at the clock and a write.
//! So the state of a partition has to refuse writes of earlier owners: [`Partitions`] shows how.

mod driver;
#[cfg(feature = "etcd")]
mod etcd;
mod frontend;
mod member;
mod members;
mod members_text;
mod memory;
mod partitions;
#[cfg(feature = "postgres")]
mod postgres;
mod protocol;
#[cfg(test)]
mod simulation;
mod store;
mod watchdog;

#[cfg(feature = "etcd")]
pub use etcd::Etcd;
pub use member::Member;
pub use members::{Instance, Members};
pub use memory::MemoryStore;
pub use partitions::Partitions;
#[cfg(feature = "postgres")]
pub use postgres::Postgres;
pub use store::{Entry, Revision, Store, Swap};
/// The certificates of [`Etcd`]. *Feature `etcd`.*
#[cfg(feature = "etcd")]
pub use thegiant_tls::ClientTls;
