//! What the system says of this process, and of itself.

use std::fs;

/// Bytes of memory; none where the system does not tell.
#[derive(Debug)]
pub(super) struct MemoryUsage {
    /// In use, and at most in use so far.
    pub(super) used: u64,
    pub(super) peak: u64,
    /// What the machine has.
    pub(super) total: u64,
}

impl MemoryUsage {
    pub(super) fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let machine = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        MemoryUsage {
            used: bytes(&status, "VmRSS:"),
            peak: bytes(&status, "VmHWM:"),
            total: bytes(&machine, "MemTotal:"),
        }
    }
}

/// Seconds of processor time; none where the system does not tell.
#[derive(Debug)]
pub(super) struct CpuUsage {
    /// In the kernel and in the program.
    pub(super) system: f64,
    pub(super) user: f64,
    /// The same, of processes that it has started and that have ended.
    pub(super) children_system: f64,
    pub(super) children_user: f64,
}

/// `/proc` counts time in hundredths of a second, whatever the kernel does.
const TICKS: f64 = 100.0;

impl CpuUsage {
    pub(super) fn now() -> Self {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // Behind the name of the program, which may contain anything.
        let fields: Vec<&str> =
            stat.rsplit_once(')').map_or(Vec::new(), |(_, rest)| rest.split_ascii_whitespace().collect());
        let seconds =
            |field: usize| fields.get(field).and_then(|ticks| ticks.parse().ok()).unwrap_or(0.0) / TICKS;
        CpuUsage {
            system: seconds(12),
            user: seconds(11),
            children_system: seconds(14),
            children_user: seconds(13),
        }
    }
}

/// What a line such as `VmRSS:    3536 kB` tells.
fn bytes(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    let kib = line.split_ascii_whitespace().next().and_then(|kib| kib.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
