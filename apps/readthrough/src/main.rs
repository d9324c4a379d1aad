//! Run with `cargo run --release -p readthrough`. `README.md` describes the server.
//!
//! This is a cache in front of an SQL database, for any Redis client.
//!
//! - `reader`: the commands; `cache`: the cached values; `database`: the queries
//! - `options`: the command line

mod cache;
mod database;
mod options;
mod reader;

use std::io;

use thegiant::prelude::*;

use crate::{cache::Cache, database::Database, options::Options, reader::Reader};

#[actix::main]
async fn main() {
    cli::run(serve).await;
}

async fn serve(options: Options) -> io::Result<()> {
    let database =
        Database::open(&options.database()?, options.connections.get(), options.query_timeout).await;
    let database =
        database.map_err(|failure| io::Error::other(format!("the database cannot be opened: {failure}")))?;
    let reader = Reader::new(database, Cache::new(options.memory(), options.lifetimes()));
    let app = App::new().info("Readthrough", reader.info());
    options.server.serve(app.mount(reader.start())).await
}
