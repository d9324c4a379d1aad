//! Run with `cargo run --release -p jobs`, then connect with any Redis client.
//!
//! This is a work queue with request and reply. `README.md` shows how to use it. `jobs top ADDR` shows the
//! queues of a running server.
//!
//! - `server`: the actor, with the commands for producers
//! - `workers`: the commands for workers; `inspection`: the commands for operators
//! - `queues`: the jobs and their queues, a plain data structure; `job`: one job
//! - `waiting`: the clients that wait for jobs
//! - `top`: the `jobs top` subcommand

mod inspection;
mod job;
mod queues;
mod server;
mod top;
mod waiting;
mod workers;

use std::{io, sync::Arc};

use clap::{Parser, Subcommand};
use cli::{Password, ServerOptions};
use thegiant::prelude::*;

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

#[actix::main]
async fn main() {
    cli::run(async |options: Options| match options.command {
        Some(Command::Top { address, password }) => top::run(&address, password.read()?.as_deref())
            .map_err(|error| io::Error::other(format!("{address}: {error}"))),
        None => serve(&options.server).await,
    })
    .await;
}

async fn serve(server: &ServerOptions) -> io::Result<()> {
    let totals = Arc::new(queues::Totals::default());
    let jobs = server::Jobs::new(Arc::clone(&totals)).start();
    let app =
        App::new().mount(jobs.clone()).disconnected(jobs).info("Jobs", move |info| totals.write_to(info));
    server.serve(app).await
}
