//! The string and generic key commands of Redis 7.0, for keys in memory or in another store.
//!
//! - [`Store`]: the actor, and the commands for whole databases
//! - `strings`, `keys`, `expiry`: the commands for strings, for keys with values of any type, and for expiry
//!   times
//! - [`Databases`]: the interface that the commands need from a store
//! - [`CowBytes`]: a key or a value as a command passes it to a store, or a store returns it
//! - [`Memory`]: the store in memory; `db`: one database; `record`: a key with its value
//! - `events`: writes of values, with the events of their keys
//! - `inspection`: the commands that show how a key is stored
//! - `lcs`: finds the longest common subsequence of two values
//! - `numbers`: parses and formats numbers by the rules of Redis

mod cow;
mod databases;
mod db;
mod events;
mod expiry;
mod inspection;
mod keys;
mod lcs;
mod memory;
mod numbers;
mod record;
mod store;
mod strings;

pub use cow::CowBytes;
pub use databases::{Counts, DATABASES, Databases, Entry, Expiry, Result, Time};
pub use memory::Memory;
pub use store::{Store, keyspace_info};
