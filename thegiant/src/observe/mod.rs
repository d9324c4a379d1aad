//! What operators see of a server: counters, latencies, slow commands, and all commands as they come.
//!
//! What is always counted is counted per batch. What costs something per command is looked at only
//! while somebody asks for it ([`Hooks`]).

mod batch_stats;
mod counter;
mod hooks;
#[cfg(feature = "metrics")]
mod metrics;
mod monitors;
mod quote;
mod slowlog;
mod stats;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(crate) use batch_stats::{BatchStats, Failure};
pub(crate) use counter::Counter;
pub(crate) use hooks::{Hook, Hooks};
pub(crate) use monitors::Monitors;
pub(crate) use slowlog::{Slow, Slowlog};
pub(crate) use stats::{CommandStats, Stats};

/// The time since 1970. A clock that is before it is shown as there.
pub(crate) fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
