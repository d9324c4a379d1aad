//! Run with `cargo run --release -p collector`; `README.md` says what it does.
//!
//! Collects events from many servers on disk, by the stream commands that every Redis client has methods for.
//!
//! - `collector`: the actor, and when what it has done is on disk; `store`: all that is said to SQLite
//! - `events`: the commands for events; `reading`: reading them, and waiting for them; `groups`, `pending`: consumers who
//!   share what comes, and what they have not acknowledged; `info`: what there is to know
//! - `id`: the ids of events; `fields`: their fields
//! - `options`: the command line; `stats`: figures for operators

mod collector;
mod events;
mod fields;
mod groups;
mod id;
mod info;
mod options;
mod pending;
mod reading;
mod stats;
mod store;

use std::{sync::Arc, time::Duration};

use actix_rt::time::interval;
use cli::CommandLine;
use collector::Collector;
use options::Options;
use stats::{Seen, Stats};
use thegiant::prelude::*;

#[actix::main]
async fn main() {
    let mut options = Options::default();
    let command_line = CommandLine::read(options::HELP, |name, values| options.set(name, values));
    let store = options.open().unwrap_or_else(|error| cli::fail(1, &error));
    let stats = Arc::new(Stats::default());
    let collector = Collector::new(store, options.retention, Arc::clone(&stats));
    let collector = collector.unwrap_or_else(|error| cli::fail(1, &error)).start();
    if options.prints_stats {
        print_stats(Arc::clone(&stats));
    }
    let app = App::new()
        // There is one database.
        .without("SELECT")
        .mount(collector.clone())
        .connected(collector.clone())
        .disconnected(collector)
        .info("Collector", move |info| stats.info(info));
    command_line.serve(app).await;
}

/// Prints a line a second.
fn print_stats(stats: Arc<Stats>) {
    actix_rt::spawn(async move {
        let (mut seconds, mut seen) = (interval(Duration::from_secs(1)), Seen::default());
        loop {
            seconds.tick().await;
            cli::say(stats.line(&mut seen));
        }
    });
}
