//! Runs `kv` for minutes or hours under load and trouble, and checks every reply.
//!
//! Run with `tests/soak/run`; `--help` lists the options.
//!
//! - `load`: valid commands from many connections; a `model` of the stored keys predicts every reply
//! - `trouble`: misbehaving clients that the server has to tolerate meanwhile
//! - `soak`: the state that all threads share; `watch`: the measurements and the final checks
//! - `server`, `connection`, `batch`: the server process, a client, requests with their expected replies

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

use options::{Invocation, Options};

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

fn main() -> ExitCode {
    match Options::from_command_line() {
        Ok(Invocation::Help) => {
            print!("{}", options::USAGE);
            ExitCode::SUCCESS
        }
        Ok(Invocation::Soak(options)) => match watch::run(&options) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("soak: {error}");
                eprintln!("soak: failed with --seed {}", options.seed);
                ExitCode::FAILURE
            }
        },
        Err(mistake) => {
            eprintln!("soak: {mistake}");
            ExitCode::from(2)
        }
    }
}
