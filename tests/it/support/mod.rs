//! Shared helpers: servers, processes, and a client that sends and receives raw bytes.

mod app;
mod check;
mod client;
mod cluster;
mod etcd;
mod folder;
mod large;
mod log;
mod outside;
mod ports;
mod postgres;
mod process;
mod reader;
mod reply;
mod report;
mod request;
mod sentinel;
mod served;
mod small;

pub(crate) use app::{app, gated};
pub(crate) use check::check;
pub(crate) use client::{PATIENCE, RawClient, exchange, read_reply};
pub(crate) use cluster::Cluster;
pub(crate) use etcd::Etcd;
pub(crate) use folder::Folder;
pub(crate) use large::{large_value, large_value_passes};
pub(crate) use log::Log;
pub(crate) use outside::{OutsideCrate, code_blocks, root};
pub(crate) use ports::on_free_ports;
pub(crate) use postgres::Postgres;
pub(crate) use process::{Process, binary, cpu_time_of_this_thread};
pub(crate) use reader::Reader;
pub(crate) use reply::Reply;
pub(crate) use report::{Fields, client_list, info, listed, report};
pub(crate) use request::{line, lines, request};
pub(crate) use sentinel::{RedisWithPort, Sentinel};
pub(crate) use served::{ANY_PORT, Served};
pub(crate) use small::{SmallDisk, until_refused};

/// Repeats `attempt` until it returns a value.
///
/// For events that the test can only observe by polling.
pub(crate) fn eventually<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(std::time::Instant::now() < deadline, "the condition did not hold within {PATIENCE:?}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// Returns how often a test kills its process: `default`, or the value of the variable `KILLS`.
///
/// `KILLS=2000 cargo test … kills` runs the tests for longer.
pub(crate) fn kills(default: usize) -> usize {
    std::env::var("KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(default)
}

/// Raises the descriptor limit of this process and its children to thousands of connections.
pub(crate) fn allow_many_connections() {
    let allowed = rlimit::increase_nofile_limit(20_000).expect("the descriptor limit can be read");
    assert!(allowed >= 4096, "these tests need 4,096 descriptors, the hard limit is {allowed}");
}
