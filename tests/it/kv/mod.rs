//! The example `kv`, where there is nothing to compare with.

mod cli;
mod keyspace;
mod life;
