//! Run with `cargo run --release -p collector`. `README.md` describes the server.
//!
//! It collects events from many servers on disk, with the stream commands that every Redis client supports.
//!
//! - `collector`: the actor, and when it commits; `store`: the access to SQLite; `wal`: its
//!   write-ahead log; `checksum`: finds damaged events
//! - `events`: the commands for events; `reading`: `XREAD` and `XREADGROUP`
//! - `groups`, `pending`: consumer groups, and the events that they have not acknowledged; `info`: `XINFO`
//! - `strings`: `SET`, `GET` and `GETDEL`; `string_table`: the strings in memory
//! - `id`: the ids of events; `fields`: their fields
//! - `retention`: the removal of old events; `warehouse`: the database that gets the events of many collectors
//! - `options`: the command line; `stats`: counters for operators

mod checksum;
mod collector;
mod events;
mod fields;
mod groups;
mod id;
mod info;
mod options;
mod pending;
mod reading;
mod retention;
mod stats;
mod store;
mod string_table;
mod strings;
mod waiting;
mod wal;
mod warehouse;

use std::{io, sync::Arc, time::Duration};

use actix_rt::time::interval;
use collector::Collector;
use options::Options;
use stats::{Seen, Stats};
use thegiant::prelude::*;

#[thegiant::main]
async fn main() {
    cli::run(serve).await;
}

async fn serve(options: Options) -> io::Result<()> {
    let stats = Arc::new(Stats::default());
    let app = App::new();
    let store = options.open()?;
    let warehouse = options.warehouse.start(&store)?;
    let app = warehouse.iter().fold(app, |app, warehouse| warehouse.show(app));
    let collector = Collector::new(store, options.retention, Arc::clone(&stats), app.keyspace(), warehouse);
    let mut collector = collector.map_err(io::Error::other)?;
    if let Some(is_moved) = options.moved_keys.moved_keys(&options.cluster)? {
        let removed = collector.remove_keys(is_moved).map_err(io::Error::other)?;
        tracing::info!(removed, "streams and strings of other instances are removed");
    }
    let collector = collector.start();
    if options.stats {
        print_stats(Arc::clone(&stats));
    }
    let app = app
        .mount(collector.clone())
        .on_connect(collector.clone())
        .on_disconnect(collector)
        .info("Collector", move |info| stats.info(info));
    cli::serve(options.cluster.join(options.server.bind(app)?, &options.server)?).await
}

/// Prints a line of statistics every second.
fn print_stats(stats: Arc<Stats>) {
    actix_rt::spawn(async move {
        let (mut seconds, mut seen) = (interval(Duration::from_secs(1)), Seen::default());
        loop {
            seconds.tick().await;
            cli::say(stats.line(&mut seen));
        }
    });
}
