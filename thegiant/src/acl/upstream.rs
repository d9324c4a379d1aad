//! The commands that a proxy sends on to its upstreams.

use super::Categories;
use crate::{Client, client::UpstreamKeys, command::KeyAccess};

/// Describes commands as the upstreams of a proxy describe them.
pub(crate) trait UpstreamCommands: UpstreamKeys {
    /// Describes the request with these words.
    fn describe(&self, words: &[&[u8]]) -> UpstreamCommand;

    /// Returns whether the upstreams have described their commands, and none has the command of these words.
    fn is_unknown(&self, words: &[&[u8]]) -> bool;

    /// Returns whether an upstream has described a subcommand that these words call.
    fn is_subcommand(&self, words: &[&[u8]]) -> bool;

    /// Returns whether the upstreams have described their commands. If they will [soon](Described::Soon), this client is woken
    /// when they have, or when it turns out that none does.
    fn await_description(&self, client: &Client) -> Described;
}

/// Whether the upstreams have described their commands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Described {
    /// They have, or have refused it.
    Yes,
    /// No upstream has replied yet.
    #[default]
    Soon,
    /// No upstream can be reached, or a connection was lost before the upstream had described them.
    No,
}

/// A request to an upstream.
#[derive(Debug)]
pub(crate) struct UpstreamCommand {
    /// `None` if no upstream has described its commands yet.
    pub(crate) categories: Option<Categories>,
    /// The positions and the uses of the keys. `None` if the upstreams do not know all keys.
    pub(crate) keys: Option<Vec<(usize, KeyAccess)>>,
}
