//! Runs `kv` for minutes or hours under load and trouble, or `balancer` while its servers fail, and checks every reply.
//!
//! Run with `tests/soak/run`; `--help` lists the options.
//!
//! - `load`: valid commands from many connections; a `model` of what each has stored knows every reply
//! - `trouble`: misbehaving clients and faults that a server must survive
//! - `soak`: the state that they share; `watch`: measurements, and the checks at the end
//! - `chaos`: `balancer` and its servers
//! - `server`, `connection`, `batch`: the process, a client, requests with their expected replies

mod batch;
mod chaos;
mod connection;
mod load;
mod model;
mod options;
mod server;
mod soak;
mod trouble;
mod watch;

use std::{error::Error, process::ExitCode};

use clap::Parser;
use options::Options;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

fn main() -> ExitCode {
    let options = Options::parse();
    let result = match options.proxy {
        None => watch::run(&options),
        Some(proxied) => chaos::run(&options, proxied),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("soak: {error}");
            eprintln!("soak: failed with --seed {}", options.seed);
            ExitCode::FAILURE
        }
    }
}
