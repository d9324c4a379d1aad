//! Observability for operators: counters, latencies, the slow log and `MONITOR`.
//!
//! The counters are always on, and the server updates them once per batch. Features with a cost per command
//! are off until an operator switches them on ([`Hooks`]).

mod hooks;
mod local_counter;
mod measure;
#[cfg(feature = "metrics")]
mod metrics;
mod monitors;
pub(crate) mod quote;
mod reason;
mod slowlog;
mod stats;
mod warning;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(crate) use hooks::{Hook, Hooks};
pub(crate) use local_counter::LocalCounter;
pub use measure::{Counter, Gauge};
#[cfg(all(feature = "metrics", feature = "tls"))]
pub(crate) use metrics::record_certificate;
pub(crate) use monitors::Monitors;
pub(crate) use reason::reason;
pub(crate) use slowlog::{Slow, Slowlog};
pub(crate) use stats::{CommandCounts, Stats};
pub(crate) use warning::Warning;

/// Returns the time since 1970, or zero if the clock is before 1970.
pub(crate) fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
