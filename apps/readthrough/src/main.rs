//! Run with `cargo run --release -p readthrough`; `README.md` says what it does.
//!
//! A cache in front of an SQL database, for any Redis client.
//!
//! - `reader`: the commands; `cache`: what is known without asking; `database`: who is asked
//! - `options`: the command line

mod cache;
mod database;
mod options;
mod reader;

use cli::CommandLine;
use thegiant::prelude::*;

use crate::{cache::Cache, database::Database, options::Options, reader::Reader};

#[actix::main]
async fn main() {
    let mut options = Options::default();
    let command_line = CommandLine::read(options::HELP, |name, values| options.set(name, values));
    let database = Database::open(&options.database, options.connections, options.patience).await;
    let database = database.unwrap_or_else(|failure| {
        cli::fail(1, &std::io::Error::other(format!("the database cannot be opened: {failure}")))
    });
    let reader = Reader::new(database, Cache::new(options.memory, options.lifetimes));
    let app = App::new().info("Readthrough", reader.info());
    command_line.serve(app.mount(reader.start())).await;
}
