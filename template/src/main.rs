//! The program: settings, log and server.

use std::{env, io};

use clap::Parser;
use thegiant::prelude::*;

use {{crate_name}}::app;

#[derive(Parser)]
#[command(
    version,
    about,
    after_help = "Environment variables:\n  \
                  PASSWORD  Password that clients send with AUTH; without one, only this machine has access\n  \
                  RUST_LOG  Log level: error, warn, info or debug"
)]
struct Options {
    /// Address to listen on: HOST:PORT or unix:PATH (repeatable)
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:6380")]
    bind: Vec<String>,
    /// Number of threads that serve connections
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: u16,
}

#[thegiant::main]
async fn main() -> io::Result<()> {
    let options = Options::parse();
    tracing_subscriber::fmt::init();

    // Not an option: other users of the machine see the command line.
    let password = env::var_os("PASSWORD")
        .unwrap_or_default()
        .into_encoded_bytes();
    let server = Server::new(app).password(password).workers(options.threads);
    options
        .bind
        .iter()
        .try_fold(server, Server::bind)?
        .run()
        .await
}
