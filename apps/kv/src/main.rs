//! Run with `cargo run --release -p kv`, then connect with any Redis client: `redis-cli -p 6380`.
//!
//! This is an in-memory key-value server with the string and generic key commands of Redis 7.0.

use std::io;

use clap::Parser;
use cli::ServerOptions;
use kv::{DATABASES, Memory, Store};
use thegiant::prelude::*;

/// In-memory key-value server with the string and generic key commands of Redis 7.0
#[derive(Parser)]
#[command(version)]
struct Options {
    #[command(flatten)]
    server: ServerOptions,
}

#[actix::main]
async fn main() {
    cli::run(serve).await;
}

async fn serve(options: Options) -> io::Result<()> {
    let app = App::new().databases(DATABASES as u16);
    let store = Store::new(Memory::default(), app.keyspace());
    options.server.serve(app.info("Keyspace", store.info()).mount(store.start())).await
}
