//! Requests to check, and the reasons for a refusal.

use super::Categories;
use crate::{Error, command::KeyAccess};

/// A request to check: its command, its keys and its channels.
///
/// `keys` yields the position, the word and the use of each key, `channels` the position and the word of each channel,
/// and whether it is a pattern (`PSUBSCRIBE`). Both are cloned once for each selector.
#[derive(Clone, Debug)]
pub(crate) struct Access<'a, K, C> {
    pub(crate) command: AccessedCommand<'a>,
    /// The word behind the name of the command, for rules such as `+select|0`.
    pub(crate) first_argument: Option<&'a [u8]>,
    pub(crate) keys: K,
    pub(crate) channels: C,
}

/// The command of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum AccessedCommand<'a> {
    /// A command that clients may run before they authenticate, and so each user.
    Public,
    /// The number of a command with a row: its `CommandId`.
    Row(u16),
    /// A command without a row, which an upstream describes. Until one does, its categories are unknown.
    ///
    /// Rules for a subcommand compare [`Access::first_argument`].
    Unlisted { name: &'a [u8], categories: Option<Categories> },
}

/// The reason for a refusal. The greater reason is the more relevant one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Denied {
    /// The user may not run the command.
    Command,
    /// The user may not use the key at this position of the request.
    Key(usize),
    /// The user may not use the channel at this position of the request.
    Channel(usize),
}

impl Denied {
    /// Returns the error for a request of the command with this full name.
    pub(crate) fn error(self, name: &str) -> Error {
        let what = match self {
            Denied::Command => format!("run the '{name}' command"),
            Denied::Key(_) => "access one of the keys used as arguments".to_owned(),
            Denied::Channel(_) => "access one of the channels used as arguments".to_owned(),
        };
        Error::new("NOPERM", format_args!("this user has no permissions to {what}"))
    }
}

impl<'a>
    Access<'a, std::iter::Empty<(usize, &'a [u8], KeyAccess)>, std::iter::Empty<(usize, &'a [u8], bool)>>
{
    /// Returns a request without keys and channels.
    pub(crate) fn new(command: AccessedCommand<'a>) -> Self {
        Access { command, first_argument: None, keys: std::iter::empty(), channels: std::iter::empty() }
    }
}

impl<'a, K, C> Access<'a, K, C> {
    /// Sets the word behind the name of the command.
    pub(crate) fn first_argument(self, first_argument: Option<&'a [u8]>) -> Self {
        Access { first_argument, ..self }
    }

    /// Sets the keys.
    pub(crate) fn keys<N>(self, keys: N) -> Access<'a, N, C>
    where
        N: Iterator<Item = (usize, &'a [u8], KeyAccess)> + Clone,
    {
        let Access { command, first_argument, channels, .. } = self;
        Access { command, first_argument, keys, channels }
    }

    /// Sets the channels.
    pub(crate) fn channels<N>(self, channels: N) -> Access<'a, K, N>
    where
        N: Iterator<Item = (usize, &'a [u8], bool)> + Clone,
    {
        let Access { command, first_argument, keys, .. } = self;
        Access { command, first_argument, keys, channels }
    }
}
