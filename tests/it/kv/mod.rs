//! The app `kv`, where redis-server offers no comparison.

mod cli;
mod conditions;
mod keyspace;
mod life;
