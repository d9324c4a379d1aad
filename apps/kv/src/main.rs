//! Run with `cargo run --release -p kv`, then talk to it with any Redis client: `redis-cli -p 6380`.
//!
//! An in-memory key-value server with the string and the generic key commands of Redis 7.0.

use kv::{Memory, Store};
use thegiant::prelude::*;

#[actix::main]
async fn main() {
    let app = App::new();
    let store = Store::new(Memory::default(), app.keyspace());
    cli::serve(app.info("Keyspace", store.info()).mount(store.start())).await;
}
