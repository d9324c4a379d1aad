//! Describes the machine and the versions of the measured programs.

use std::fs;
use std::process::Command;

use crate::Result;

/// Returns the list of the CPUs that this process may use, such as `0-1`.
pub(crate) fn cpus() -> Result<String> {
    let status = fs::read_to_string("/proc/self/status")?;
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    Ok(allowed.ok_or("/proc/self/status lists no CPUs")?.trim().to_owned())
}

/// Returns the last CPU that this process may use, because the first ones serve most interrupts.
pub(crate) fn last_cpu() -> Result<usize> {
    last_of_list(&cpus()?).ok_or_else(|| "/proc/self/status lists no CPUs".into())
}

/// Returns `3` for `0-1,3` or `2-3`.
fn last_of_list(list: &str) -> Option<usize> {
    list.trim().rsplit([',', '-']).next()?.parse().ok()
}

/// Describes the processor and the kernel.
pub(crate) fn description() -> String {
    // Counts all CPUs, including those that this process may not use.
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpus = info.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{}, {cpus} CPUs, Linux {}", cpu_model(), kernel.trim())
}

fn cpu_model() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = info.lines().find(|line| line.starts_with("model name"));
    let model = line.and_then(|line| line.split_once(':')).map_or("unknown CPU", |(_, model)| model.trim());
    model.to_owned()
}

pub(crate) fn date() -> String {
    first_line("date", &["+%F"]).unwrap_or_else(|| "undated".to_owned())
}

pub(crate) fn load_generator_version() -> String {
    first_line("redis-benchmark", &["--version"]).unwrap_or_else(|| "redis-benchmark".to_owned())
}

/// Returns the version of this workspace, with the commit if git reports one.
pub(crate) fn source_version() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let describe = ["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty=, changed"];
    match first_line("git", &describe) {
        Some(commit) => format!("{version} ({commit})"),
        None => version.to_owned(),
    }
}

fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.lines().next().map(str::to_owned))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_cpu_of_a_list() {
        assert_eq!(["0-1\n", " 0-1,3", "5"].map(last_of_list), [Some(1), Some(3), Some(5)]);
        assert_eq!(last_of_list(""), None);
    }
}
