//! The app `kv`, where redis-server offers no comparison.

mod cli;
mod keyspace;
mod life;
