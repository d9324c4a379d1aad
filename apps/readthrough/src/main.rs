//! Run with `cargo run --release -p readthrough`. `README.md` describes the server.
//!
//! This is a cache in front of an SQL database, for any Redis client.
//!
//! - `reader`: the commands; `cache`: the cached values; `database`: the queries
//! - `servers`: the servers of the database, and their connections; `hosts`: a URL with several hosts
//! - `options`: the command line

mod cache;
mod database;
mod failure;
mod hosts;
mod options;
mod reader;
mod servers;

use std::{io, sync::Arc};

use thegiant::prelude::*;

use crate::{
    cache::Cache,
    database::Database,
    options::Options,
    reader::{Reader, Stats},
};

#[thegiant::main]
async fn main() {
    cli::run(serve).await;
}

async fn serve(options: Options) -> io::Result<()> {
    let (connections, timeout) = (options.connections.get(), options.query_timeout);
    let prepares = !options.no_prepared_statements;
    let database = Database::open(&options.database()?, connections, timeout, prepares).await;
    let database =
        database.map_err(|failure| io::Error::other(format!("the database cannot be opened: {failure}")))?;
    let shards = options.server.threads();
    let stats: Vec<Arc<Stats>> = (0..shards).map(|_| Arc::default()).collect();
    let all_stats = stats.clone();
    let servers = Arc::clone(&database.servers);
    let app = App::new().info("Readthrough", move |info| {
        Stats::write_all(&all_stats, info);
        servers.write(info);
    });
    let (memory, lifetimes) = (options.memory() / usize::from(shards), options.lifetimes());
    let app = app.mount_shards(shards, move |shard| {
        Reader::new(database.clone(), Cache::new(memory, lifetimes), Arc::clone(&stats[shard]))
    });
    let server = options.server.bind(app.atomic())?;
    cli::serve(options.cluster.join(server, &options.server)?).await
}
