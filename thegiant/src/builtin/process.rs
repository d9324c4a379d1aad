//! Memory and processor usage of this process, as the operating system reports them.

use std::fs;

/// Memory in bytes. A value is 0 if the operating system does not report it.
#[derive(Debug)]
pub(super) struct MemoryUsage {
    /// Resident memory of the process.
    pub(super) used: u64,
    /// Largest resident memory so far.
    pub(super) peak: u64,
    /// Memory of the machine.
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

/// Processor time in seconds. A value is 0 if the operating system does not report it.
#[derive(Debug)]
pub(super) struct CpuUsage {
    /// Time in the kernel.
    pub(super) system: f64,
    /// Time in the program.
    pub(super) user: f64,
    /// Time in the kernel of child processes that have ended.
    pub(super) children_system: f64,
    /// Time in the program of child processes that have ended.
    pub(super) children_user: f64,
}

/// Ticks per second in `/proc`, independent of the kernel's own tick rate.
const TICKS: f64 = 100.0;

impl CpuUsage {
    pub(super) fn now() -> Self {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // The fields start behind the program name, which may contain spaces and brackets.
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

/// Reads the value of a line such as `VmRSS:    3536 kB`, in bytes.
fn bytes(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    let kib = line.split_ascii_whitespace().next().and_then(|kib| kib.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
