//! Runs `kv` for minutes or hours under load and trouble, and checks every reply.
//!
//! Run with `tests/soak/run`; `--help` lists the options.
//!
//! - `load`: valid commands from many connections; a `model` of what each has stored knows every reply
//! - `trouble`: all that a server should bear meanwhile
//! - `soak`: what they share; `watch`: what is measured, and what is asked of it in the end
//! - `server`, `connection`, `batch`: the process, a client of it, requests beside the replies that are due

mod batch;
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
    match watch::run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("soak: {error}");
            eprintln!("soak: failed with --seed {}", options.seed);
            ExitCode::FAILURE
        }
    }
}
