//! Run with `cargo run --release -p jobs`, then connect with any Redis client.
//!
//! This is a work queue with request and reply. `README.md` shows how to use it. `jobs top ADDR` shows the
//! queues of a running server.
//!
//! - `server`: the actor, with the commands for producers
//! - `workers`: the commands for workers; `inspection`: the commands for operators; `scheduling`: those for schedules
//! - `queues`: the jobs and their queues, a plain data structure; `job`: one job
//! - `schedules`: the schedules of all threads, and cron expressions
//! - `options`: the options of `ADDJOB`, `CALLJOB` and `SCHEDULE`
//! - `shard`: the queues and ids of one thread
//! - `waiting`: the clients that wait for jobs
//! - `reference`: a test writes `COMMANDS.md` and `jobs_client.py`
//! - `top`: the `jobs top` subcommand

mod inspection;
mod job;
mod options;
mod queues;
#[cfg(test)]
mod reference;
mod schedules;
mod scheduling;
mod server;
mod shard;
mod top;
mod waiting;
mod workers;

use std::{io, sync::Arc, time::Duration};

use clap::{Parser, Subcommand};
use cli::{Password, ServerOptions};
use thegiant::{Timeouts, prelude::*};

use crate::{
    queues::{Queues, Totals},
    schedules::Schedules,
    server::Jobs,
    shard::Shard,
};

/// The time after which a worker counts as disconnected whose machine acknowledges no job. Another one gets its jobs.
const VANISHED_AFTER: Duration = Duration::from_secs(30);

/// Work queue with request and reply
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Options {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    server: ServerOptions,
}

#[derive(Subcommand)]
enum Command {
    /// Show the queues of a running server, once a second
    Top {
        /// Address of the server, HOST:PORT or unix:PATH
        #[arg(value_name = "ADDR")]
        address: String,
        #[command(flatten)]
        password: Password,
    },
}

#[thegiant::main]
async fn main() {
    cli::run(async |options: Options| match options.command {
        Some(Command::Top { address, password }) => top::run(&address, password.read()?.as_deref())
            .map_err(|error| io::Error::other(format!("{address}: {error}"))),
        None => serve(&options.server).await,
    })
    .await;
}

async fn serve(server: &ServerOptions) -> io::Result<()> {
    let server = server.bind(app(server.threads()))?;
    cli::serve(server.timeouts(Timeouts::new().tcp_user(VANISHED_AFTER))).await
}

/// Returns the work queue with this number of shards.
fn app(count: u16) -> App {
    // Ids of no server start with run 0, which stands for an id that could not be parsed.
    let run = fastrand::u32(1..);
    let totals: Vec<Arc<Totals>> = (0..count).map(|_| Arc::default()).collect();
    let schedules = Arc::new(Schedules::default());
    let (all_totals, all_schedules) = (totals.clone(), Arc::clone(&schedules));
    let app = App::new().info("Jobs", move |info| {
        Totals::write_all(&all_totals, info);
        all_schedules.write(info);
    });
    let keyspace = app.keyspace();
    let app = app.mount_shards(count, move |number| {
        let shard = Shard { number: number as u16, count };
        let queues = Queues::new(shard, run);
        Jobs::new(queues, Arc::clone(&totals[number]), Arc::clone(&schedules), keyspace.clone())
    });
    let shards = app.shards::<Jobs>();
    shards.into_iter().fold(app, App::on_disconnect).atomic()
}
