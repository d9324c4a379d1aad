//! The commands that a proxy sends on to its upstreams.

use super::Categories;
use crate::{client::UpstreamKeys, command::KeyAccess};

/// Describes commands as the upstreams of a proxy describe them.
pub(crate) trait UpstreamCommands: UpstreamKeys {
    /// Describes the request with these words.
    fn describe(&self, words: &[&[u8]]) -> UpstreamCommand;

    /// Returns whether the upstreams have described their commands, and none has the command of these words.
    fn is_unknown(&self, words: &[&[u8]]) -> bool;
}

/// A request to an upstream.
#[derive(Debug)]
pub(crate) struct UpstreamCommand {
    /// `None` if no upstream has described its commands yet.
    pub(crate) categories: Option<Categories>,
    /// The positions and the uses of the keys. `None` if the upstreams do not know all keys.
    pub(crate) keys: Option<Vec<(usize, KeyAccess)>>,
}
