//! The string and the generic key commands of Redis 7.0, for keys that are kept in memory or elsewhere.
//!
//! - [`Store`]: the actor, and the commands for whole databases; `strings`, `keys`, `expiry`: the commands for strings,
//!   for keys whatever their values are, and for when they expire
//! - [`Databases`]: what these need of whatever keeps the keys; `memory`: that in memory
//! - `numbers`: numbers as Redis reads and writes them

mod databases;
mod expiry;
mod keys;
mod memory;
mod numbers;
mod store;
mod strings;

pub use databases::{Counts, DATABASES, Databases, Entry, Expiry, Result, Time, now};
pub use memory::Memory;
pub use store::Store;
