//! Run with `cargo run --release -p kv`, then talk to it with any Redis client: `redis-cli -p 6380`.
//!
//! An in-memory key-value server with the string and the generic key commands of Redis 7.0:
//!
//! - `store`: the actor, and the commands for whole databases; `db`: one database
//! - `strings`, `keys`, `expiry`: the commands for strings, for keys whatever their values are, and
//!   for when they expire
//! - `numbers`: numbers as Redis reads and writes them

mod db;
mod expiry;
mod keys;
mod numbers;
mod store;
mod strings;

use store::Store;
use thegiant::prelude::*;

#[actix::main]
async fn main() {
    let app = App::new();
    let store = Store::new(app.keyspace());
    cli::serve(app.info("Keyspace", store.info()).mount(store.start())).await;
}
