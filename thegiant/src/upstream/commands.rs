//! The commands that a proxy cannot simply send on over a multiplexed connection.

use super::{Proxy, router::Words};
use crate::{
    Error,
    command::{Commands, Flags, Row, Spec},
};

/// How the proxy handles a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CommandKind {
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
    /// The number is 0 for channels, 1 for patterns and 2 for shard channels.
    Subscribe(usize),
    /// The number is the same as in `Subscribe`.
    Unsubscribe(usize),
    /// The proxy refuses the command because it would change the state of a connection that clients share.
    Refused,
    /// The proxy refuses the command, unless the server's built-in command answers it.
    Own,
}

/// The commands that have rows of their own. The first row of the proxy stands for all other commands.
const COMMANDS: &[(&str, CommandKind)] = &[
    // Without a row, the server's built-in commands would answer these.
    ("PING", CommandKind::Plain),
    ("ECHO", CommandKind::Plain),
    ("TIME", CommandKind::Plain),
    ("LOLWUT", CommandKind::Plain),
    ("ROLE", CommandKind::Plain),
    ("COMMAND", CommandKind::Plain),
    ("PUBLISH", CommandKind::Plain),
    ("SPUBLISH", CommandKind::Plain),
    ("PUBSUB", CommandKind::Plain),
    ("MULTI", CommandKind::Multi),
    ("EXEC", CommandKind::Exec),
    ("DISCARD", CommandKind::Discard),
    ("WATCH", CommandKind::Watch),
    ("UNWATCH", CommandKind::Unwatch),
    ("SUBSCRIBE", CommandKind::Subscribe(0)),
    ("PSUBSCRIBE", CommandKind::Subscribe(1)),
    ("SSUBSCRIBE", CommandKind::Subscribe(2)),
    ("UNSUBSCRIBE", CommandKind::Unsubscribe(0)),
    ("PUNSUBSCRIBE", CommandKind::Unsubscribe(1)),
    ("SUNSUBSCRIBE", CommandKind::Unsubscribe(2)),
    // These would change or describe the connection of the proxy, not that of the client.
    ("CLIENT TRACKING", CommandKind::Refused),
    ("CLIENT TRACKINGINFO", CommandKind::Refused),
    ("CLIENT CACHING", CommandKind::Refused),
    ("CLIENT GETREDIR", CommandKind::Refused),
    ("ASKING", CommandKind::Refused),
    ("READONLY", CommandKind::Refused),
    ("READWRITE", CommandKind::Refused),
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

/// Returns whether a built-in command takes precedence over this row.
pub(crate) fn is_behind_builtins(row: usize) -> bool {
    kind_of(row) == CommandKind::Own
}

/// Returns the kind of the command of this row.
pub(super) fn kind_of(row: usize) -> CommandKind {
    row.checked_sub(1).map_or(CommandKind::Plain, |index| COMMANDS[index].1)
}

/// Returns the name of the command of this row, or an empty string for the first row.
pub(super) fn name_of(row: usize) -> &'static str {
    row.checked_sub(1).map_or("", |index| COMMANDS[index].0)
}

/// Returns the kind of the command that these words call.
pub(super) fn kind_of_words(words: Words<'_>) -> CommandKind {
    COMMANDS.iter().find(|(known, _)| words.is(known)).map_or(CommandKind::Plain, |(_, kind)| *kind)
}

/// Returns whether a command has a row of its own.
pub(super) fn is_known(name: &[u8]) -> bool {
    COMMANDS.iter().any(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name))
}

const ROWS: [Row<Proxy>; COMMANDS.len() + 1] = {
    let mut rows = [const { row(Spec::FALLBACK) }; COMMANDS.len() + 1];
    let mut index = 0;
    while index < COMMANDS.len() {
        rows[index + 1] = row(spec(COMMANDS[index]));
        index += 1;
    }
    rows
};

const fn spec((name, kind): (&'static str, CommandKind)) -> Spec {
    let spec =
        Spec::new(name, &[]).any_args().group("upstream").summary("Sends the command on to the upstream.");
    match kind {
        CommandKind::Blocks => spec.flags(Flags::BLOCKING),
        CommandKind::Exec => spec.flags(Flags::EXECUTES),
        _ => spec,
    }
}

/// The function of a row never runs, because the proxy sends requests on.
const fn row(spec: Spec) -> Row<Proxy> {
    Row::new(spec, |_, _, _, out| out.error(&Error::INTERNAL))
}

impl Commands for Proxy {
    const ROWS: &'static [&'static [Row<Self>]] = &[&ROWS];
}
