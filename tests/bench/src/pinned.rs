//! Runs processes on one CPU, and ends them with this process.

use std::process::{self, Command, Stdio};

use crate::Result;

/// Returns a command that runs on one CPU.
///
/// When the driver ends, for any reason, the kernel sends `death_signal` to the process.
pub(crate) fn command(cpu: usize, death_signal: &str, words: &[String]) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", death_signal, "taskset", "--cpu-list", &cpu.to_string()]);
    command.args(words).stdin(Stdio::null());
    command
}

/// Moves this process to one CPU.
pub(crate) fn pin_driver(cpu: usize) -> Result<()> {
    let pid = process::id().to_string();
    let moved = Command::new("taskset")
        .args(["--all-tasks", "--cpu-list", "--pid", &cpu.to_string(), &pid])
        .stdout(Stdio::null())
        .status()?;
    if moved.success() { Ok(()) } else { Err("taskset cannot move the driver to one CPU".into()) }
}
