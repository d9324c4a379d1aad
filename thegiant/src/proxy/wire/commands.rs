//! The commands that a proxy cannot simply send on over a multiplexed connection.

use super::Words;
use crate::pubsub::ChannelKind;

/// How the proxy handles a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommandKind {
    /// The proxy sends the command on over a multiplexed connection.
    Plain,
    /// The command may block, so it needs a dedicated connection.
    Blocks,
    Multi,
    /// The command is in a transaction without an upstream, and every upstream would queue it.
    QueuedAnywhere,
    Exec,
    Discard,
    Watch,
    Unwatch,
    Subscribe(ChannelKind),
    Unsubscribe(ChannelKind),
    /// The command says whether the client accepts reads from a replica. The proxy replies itself.
    ReadMode,
    /// The proxy refuses the command because it would change the state of a connection that clients share.
    Refused,
    /// The proxy refuses the command, unless the server's built-in command answers it.
    Own,
}

/// The commands that have rows of their own. The first row of the proxy stands for all other commands.
pub(crate) const COMMANDS: &[(&str, CommandKind)] = &[
    // Without a row, the server's built-in commands would answer these.
    ("PING", CommandKind::Plain),
    ("ECHO", CommandKind::Plain),
    ("TIME", CommandKind::Plain),
    ("LOLWUT", CommandKind::Plain),
    ("COMMAND", CommandKind::Plain),
    ("PUBLISH", CommandKind::Plain),
    ("SPUBLISH", CommandKind::Plain),
    ("PUBSUB", CommandKind::Plain),
    ("MULTI", CommandKind::Multi),
    ("EXEC", CommandKind::Exec),
    ("DISCARD", CommandKind::Discard),
    ("WATCH", CommandKind::Watch),
    ("UNWATCH", CommandKind::Unwatch),
    ("SUBSCRIBE", CommandKind::Subscribe(ChannelKind::Channel)),
    ("PSUBSCRIBE", CommandKind::Subscribe(ChannelKind::Pattern)),
    ("SSUBSCRIBE", CommandKind::Subscribe(ChannelKind::Shard)),
    ("UNSUBSCRIBE", CommandKind::Unsubscribe(ChannelKind::Channel)),
    ("PUNSUBSCRIBE", CommandKind::Unsubscribe(ChannelKind::Pattern)),
    ("SUNSUBSCRIBE", CommandKind::Unsubscribe(ChannelKind::Shard)),
    ("READONLY", CommandKind::ReadMode),
    ("READWRITE", CommandKind::ReadMode),
    // These would change the connection of the proxy, not that of the client.
    ("ASKING", CommandKind::Refused),
    ("SYNC", CommandKind::Refused),
    ("PSYNC", CommandKind::Refused),
    ("REPLCONF", CommandKind::Refused),
    ("BLPOP", CommandKind::Blocks),
    ("BRPOP", CommandKind::Blocks),
    ("BRPOPLPUSH", CommandKind::Blocks),
    ("BLMOVE", CommandKind::Blocks),
    ("BLMPOP", CommandKind::Blocks),
    ("BZPOPMIN", CommandKind::Blocks),
    ("BZPOPMAX", CommandKind::Blocks),
    ("BZMPOP", CommandKind::Blocks),
    ("XREAD", CommandKind::Blocks),
    ("XREADGROUP", CommandKind::Blocks),
    // These refer to earlier writes on the same connection, but the client's writes went over other
    // connections.
    ("WAIT", CommandKind::Refused),
    ("WAITAOF", CommandKind::Refused),
    // These would switch the connection to another protocol.
    ("SCRIPT DEBUG", CommandKind::Refused),
    ("CLUSTER SYNCSLOTS", CommandKind::Refused),
    ("DFLY", CommandKind::Refused),
    // These need a connection of their own, because the script that they end blocks the shared ones.
    ("SCRIPT KILL", CommandKind::Blocks),
    ("FUNCTION KILL", CommandKind::Blocks),
    // The upstream has more subcommands than the server's built-in command.
    ("SCRIPT HELP", CommandKind::Plain),
    ("FUNCTION HELP", CommandKind::Plain),
    ("CLUSTER HELP", CommandKind::Plain),
    ("AUTH", CommandKind::Own),
    ("CLIENT", CommandKind::Own),
    ("HELLO", CommandKind::Own),
    ("MONITOR", CommandKind::Own),
    ("QUIT", CommandKind::Own),
    ("RESET", CommandKind::Own),
    ("SELECT", CommandKind::Own),
];

/// The commands that may take long because of their nature, and not because the upstream has stopped working.
const SLOW: &[&str] = &[
    "DEBUG",
    "EVAL",
    "EVALSHA",
    "EVALSHA_RO",
    "EVAL_RO",
    "FCALL",
    "FCALL_RO",
    "FLUSHALL",
    "FLUSHDB",
    "KEYS",
    "MIGRATE",
    "SAVE",
    "SORT",
    "SORT_RO",
    "SUNIONSTORE",
    "ZUNIONSTORE",
];

/// Returns whether a command may take long because of its nature.
pub(crate) fn is_slow(words: Words<'_>) -> bool {
    SLOW.iter().any(|name| words.is(name))
}

/// Returns the kind of the command of this row.
pub(crate) fn kind_of(row: usize) -> CommandKind {
    row.checked_sub(1).map_or(CommandKind::Plain, |index| COMMANDS[index].1)
}

/// Returns the name of the command of this row, or an empty string for the first row.
pub(crate) fn name_of(row: usize) -> &'static str {
    row.checked_sub(1).map_or("", |index| COMMANDS[index].0)
}

/// Returns the kind of the command that these words call.
pub(crate) fn kind_of_words(words: Words<'_>) -> CommandKind {
    COMMANDS.iter().find(|(known, _)| words.is(known)).map_or(CommandKind::Plain, |(_, kind)| *kind)
}

/// Returns whether a command has a row of its own.
pub(crate) fn is_known(name: &[u8]) -> bool {
    COMMANDS.iter().any(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name))
}
