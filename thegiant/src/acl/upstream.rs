//! The commands that a proxy sends on to its upstreams.

use super::Categories;
use crate::{client::UpstreamKeys, command::KeyAccess};

/// Describes commands as the upstreams of a proxy describe them.
pub(crate) trait UpstreamCommands: UpstreamKeys {
    /// Describes the request with these words. Returns `None` if no upstream knows the command, or all of its keys.
    fn describe(&self, words: &[&[u8]]) -> Option<UpstreamCommand>;
}

/// A request to an upstream.
#[derive(Debug)]
pub(crate) struct UpstreamCommand {
    pub(crate) categories: Categories,
    /// The positions and the uses of the keys.
    pub(crate) keys: Vec<(usize, KeyAccess)>,
}
