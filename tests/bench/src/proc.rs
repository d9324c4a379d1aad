//! Reads the CPU time and memory of a process from `/proc`.

use std::fs;

use crate::Result;

/// Returns the CPU time of all threads, user and system.
///
/// `schedstat` counts nanoseconds, whereas `stat` counts ticks of 10 ms.
pub(crate) fn cpu_nanoseconds(pid: u32) -> Result<u64> {
    let threads = fs::read_dir(format!("/proc/{pid}/task"))?.filter_map(|entry| entry.ok());
    // Skips a thread that ends between the listing and the reading.
    let texts = threads.filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok());
    match texts.filter_map(|text| first_number(&text)).sum() {
        0 => Err(format!("/proc/{pid}/task/*/schedstat reports no CPU time").into()),
        nanoseconds => Ok(nanoseconds),
    }
}

/// Returns the resident memory.
pub(crate) fn resident_kib(pid: u32) -> Result<u64> {
    field(&format!("/proc/{pid}/status"), "VmRSS:")
}

/// Returns the descriptor limit of this process, which the servers inherit.
pub(crate) fn descriptor_limit() -> u64 {
    // Without a limit, the field is the word "unlimited".
    field("/proc/self/limits", "Max open files").unwrap_or(u64::MAX)
}

fn field(path: &str, name: &str) -> Result<u64> {
    let text = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(first_number).ok_or_else(|| format!("{path}: no number in the field '{name}'").into())
}

fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;
    use std::process;
    use std::time::{Duration, Instant};

    #[test]
    fn processor_time_grows_while_a_process_works() -> Result<()> {
        let before = cpu_nanoseconds(process::id()).unwrap_or(0);
        let started = Instant::now();
        while started.elapsed() < Duration::from_millis(100) {
            black_box(started);
        }
        assert!(cpu_nanoseconds(process::id())? > before);
        Ok(())
    }

    #[test]
    fn memory_and_limit_are_read() -> Result<()> {
        assert!(resident_kib(process::id())? > 0);
        assert!(descriptor_limit() > 0);
        Ok(())
    }
}
