//! Runs processes on some CPUs, and ends them with this process.

use std::process::{self, Command, Stdio};

use crate::Result;

/// Returns a command that runs on the CPUs of a list, such as `1` or `0-1`.
///
/// When the driver ends, for any reason, the kernel sends `death_signal` to the process.
pub(crate) fn command(cpus: &str, death_signal: &str, words: &[String]) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", death_signal, "taskset", "--cpu-list", cpus]);
    command.args(words).stdin(Stdio::null());
    command
}

/// Moves this process to the CPUs of a list.
pub(crate) fn pin_driver(cpus: &str) -> Result<()> {
    let pid = process::id().to_string();
    let moved = Command::new("taskset")
        .args(["--all-tasks", "--cpu-list", "--pid", cpus, &pid])
        .stdout(Stdio::null())
        .status()?;
    if moved.success() { Ok(()) } else { Err("taskset cannot move the driver to the CPUs".into()) }
}
