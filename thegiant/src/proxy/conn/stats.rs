//! The statistics of upstreams, and the errors that count in them.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

use super::CallError;
use crate::{Error, proxy::wire::LossReason};

/// The statistics of all upstreams.
pub(crate) type AllUpstreamStats = Arc<Mutex<Vec<Arc<UpstreamStats>>>>;

/// The statistics of one upstream, for `INFO`.
#[derive(Debug, Default)]
pub(crate) struct UpstreamStats {
    pub(crate) address: String,
    /// Number of open multiplexed connections.
    pub(crate) connections: AtomicUsize,
    /// Number of open dedicated and isolated connections.
    pub(crate) private: AtomicUsize,
    /// Number of commands that were sent to the upstream.
    pub(crate) commands: AtomicU64,
    /// Number of commands that were sent and lost their reply.
    pub(crate) lost: AtomicU64,
    /// Number of commands that failed before they were sent.
    pub(crate) unsent: AtomicU64,
}

impl UpstreamStats {
    /// Counts commands whose replies were lost with the connection, and returns the error for their clients.
    pub(crate) fn lost(&self, reason: &LossReason, count: u32) -> CallError {
        self.lost.fetch_add(count.into(), Relaxed);
        let error = Error::new(
            "UPSTREAM",
            format_args!(
                "{} was lost ({reason}) before it replied: the command may have been run",
                self.address
            ),
        );
        match reason {
            LossReason::Silence(_) => CallError::Timeout(error),
            LossReason::Other(_) => CallError::Lost(error),
        }
    }

    /// Counts commands that were not sent, and returns the error for their clients.
    pub(crate) fn unsent(&self, reason: &LossReason, count: u32) -> CallError {
        self.unsent.fetch_add(count.into(), Relaxed);
        CallError::NotSent(Error::new(
            "UPSTREAMDOWN",
            format_args!("{} cannot be reached ({reason}): the command was not sent", self.address),
        ))
    }

    /// Returns the error for a client whose reply exceeds [`Upstream::max_reply_len`](super::Upstream::max_reply_len).
    pub(crate) fn too_long(&self) -> CallError {
        CallError::Lost(Error::new("UPSTREAM", format_args!("the reply of {} is too long", self.address)))
    }
}
