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
//! - `cluster`: several instances, which share a database; `cluster_store`: the store in which they agree
//! - `storage`: where the jobs are; `durability`: when replies and pushes may leave; `database`: the access to SQLite and
//!   PostgreSQL
//! - `wall_clock`: times that mean the same after a restart
//! - `shard`: the queues and ids of one thread
//! - `waiting`: the clients that wait for jobs
//! - `reference`: a test writes `COMMANDS.md` and `jobs_client.py`
//! - `top`: the `jobs top` subcommand

mod cluster;
mod cluster_store;
mod database;
mod durability;
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
mod storage;
mod top;
mod waiting;
mod wall_clock;
mod workers;

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use clap::{Parser, Subcommand};
use cli::{Password, Secret, ServerOptions};
use thegiant::{Timeouts, prelude::*};

use crate::{
    cluster::ClusterOptions,
    database::Scope,
    queues::{Queues, Totals},
    schedules::Schedules,
    server::Jobs,
    shard::Shard,
    storage::{Memory, Storage, Stored},
};

/// The time after which a worker counts as disconnected whose machine acknowledges no job. Another one gets its jobs.
const VANISHED_AFTER: Duration = Duration::from_secs(30);

/// Work queue with request and reply
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Options {
    #[command(subcommand)]
    command: Option<Command>,
    /// URL of a database for the jobs, sqlite:FILE or postgres://USER@HOST/NAME [default: in memory only]. The server ends if
    /// PostgreSQL does not answer for 90 seconds, or for those of ?answer_timeout=SECONDS
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// File with the URL of the database, for a URL with a password (the environment variable JOBS_DATABASE_URL can hold
    /// the URL instead)
    #[arg(long, value_name = "FILE")]
    database_file: Option<PathBuf>,
    #[command(flatten)]
    server: ServerOptions,
    #[command(flatten)]
    cluster: ClusterOptions,
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
        None => serve(&options).await,
    })
    .await;
}

impl Options {
    /// Returns the URL of the database.
    fn database(&self) -> io::Result<Option<String>> {
        Secret {
            option: "--database",
            value: self.database.as_deref(),
            file: self.database_file.as_deref(),
            variable: "JOBS_DATABASE_URL",
        }
        .read()
    }
}

async fn serve(options: &Options) -> io::Result<()> {
    let (server, database) = (&options.server, options.database()?);
    if let Some(outcome) = options.cluster.serve(server, database.as_deref()).await {
        return outcome;
    }
    let app = match database {
        Some(url) => durable_app(&url).await?,
        None => app(server.threads()),
    };
    cli::serve(server.bind(app)?.timeouts(timeouts())).await
}

fn timeouts() -> Timeouts {
    Timeouts::new().tcp_user(VANISHED_AFTER)
}

/// Returns the work queue with this number of shards, in memory.
fn app(count: u16) -> App {
    // Ids of no server start with run 0, which stands for an id that could not be parsed.
    let run = fastrand::u32(1..);
    let (app, _) = sharded(count, move |shard| (Queues::new(shard, run), Memory));
    app.atomic()
}

/// Returns the work queue with this number of shards, and its shards. `open` returns the jobs of a shard, and where they are stored.
fn sharded<S: Storage>(
    count: u16,
    open: impl Fn(Shard) -> (Queues, S) + Send + Sync + 'static,
) -> (App, Vec<Addr<Jobs<S>>>) {
    let totals: Vec<Arc<Totals>> = (0..count).map(|_| Arc::default()).collect();
    let schedules = Arc::new(Schedules::default());
    let app = with_info(totals.clone(), Arc::clone(&schedules));
    let keyspace = app.keyspace();
    let app = app.mount_shards(count, move |number| {
        let (queues, storage) = open(Shard { number: number as u16, count });
        Jobs::new(queues, Arc::clone(&totals[number]), Arc::clone(&schedules), keyspace.clone(), storage)
    });
    let shards: Vec<_> = app.shards::<Jobs<S>>().into_iter().collect();
    (shards.iter().cloned().fold(app, App::on_disconnect), shards)
}

/// Returns the work queue whose jobs are in a database. It has one shard: its commits, not its commands, take the time.
///
/// # Errors
/// Returns the errors of [`Stored::open`].
async fn durable_app(url: &str) -> io::Result<App> {
    let Stored { storage, queues, schedules: rows } = Stored::open(url, Scope::All).await?;
    let (totals, schedules) = (Arc::default(), Arc::new(Schedules::default()));
    schedules.restore(queues.shard().number, rows)?;
    let app = with_info(vec![Arc::clone(&totals)], Arc::clone(&schedules));
    let jobs = Jobs::new(queues, totals, schedules, app.keyspace(), storage).start();
    Ok(app.mount(jobs.clone()).on_disconnect(jobs))
}

/// Returns an application whose `INFO` has the totals.
fn with_info(totals: Vec<Arc<Totals>>, schedules: Arc<Schedules>) -> App {
    App::new().info("Jobs", move |info| {
        Totals::write_all(&totals, info);
        schedules.write(info);
    })
}
