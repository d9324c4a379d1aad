//! Work that is divided among several owners of keys: the slot of a key, and how a command is split and its replies are
//! merged.

mod policy;
mod slot;

pub use policy::{RequestPolicy, ResponsePolicy};
pub use slot::{SLOTS, hash_tag, shard, slot};
