//! Processes that stay on one processor, and end when this one does.

use std::process::{self, Command, Stdio};

use crate::Result;

/// A command line kept to one processor. Should the driver die, however it dies, the kernel sends the process
/// `death_signal`: no exit path leaves it behind.
pub(crate) fn command(cpu: usize, death_signal: &str, words: &[String]) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", death_signal, "taskset", "--cpu-list", &cpu.to_string()]);
    command.args(words).stdin(Stdio::null());
    command
}

/// Keeps this process to one processor, too.
pub(crate) fn stay(cpu: usize) -> Result<()> {
    let pid = process::id().to_string();
    let moved = Command::new("taskset")
        .args(["--all-tasks", "--cpu-list", "--pid", &cpu.to_string(), &pid])
        .stdout(Stdio::null())
        .status()?;
    if moved.success() { Ok(()) } else { Err("taskset cannot keep the driver to one processor".into()) }
}
