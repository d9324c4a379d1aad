//! The keys of requests that a proxy sends on.

use std::fmt::Debug;

/// Finds the keys of a request as the upstreams of a proxy describe its command.
pub(crate) trait UpstreamKeys: Debug + Send + Sync {
    /// Returns the positions of the keys among these words. Returns none if no upstream knows the command.
    fn key_positions(&self, words: &[&[u8]]) -> Vec<usize>;
}
