//! `#[commands(client)]` and the connection of its client, over sockets.

mod faults;
mod kinds;
mod sharing;
mod types;

use std::future::Future;

use tokio::runtime::{Builder, Runtime};

/// Runs a test as a program does with `#[tokio::main]`: without actix, on several threads.
fn run<T>(test: impl Future<Output = T>) -> T {
    runtime().block_on(test)
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}
