//! The tests of a server in memory, for one whose jobs are in a database.
#![allow(clippy::duplicate_mod, reason = "the same tests run with another `start`")]

#[path = "../calls.rs"]
mod calls;
#[path = "../leases.rs"]
mod leases;
#[path = "../names.rs"]
mod names;
#[path = "../queue.rs"]
mod queue;
#[path = "../schedules.rs"]
mod schedules;
#[path = "../workers.rs"]
mod workers;

use super::{
    add, add_and_take, bulk, connected, connected_with_resp3, id_in, job, jobs, stat, wait_for_workers,
};
use crate::support::{Folder, Process};

fn start() -> Process {
    let folder = Folder::new();
    let url = format!("sqlite:{}", folder.path().join("jobs.db").display());
    Process::program_with_folder("jobs", &["--database", &url], folder)
}
