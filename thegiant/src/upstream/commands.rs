//! Commands that are not like others for whoever sends them on.

use super::{Proxy, router::Words};
use crate::{
    Error,
    command::{Commands, Flags, Row, Spec},
};

/// What is to be done with a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CommandKind {
    /// It is sent on by a connection that clients share.
    Plain,
    /// It may wait, and would have others wait.
    Blocks,
    Multi,
    Exec,
    Discard,
    Watch,
    Unwatch,
    /// With the number of what is subscribed to: channels, patterns, channels of shards.
    Subscribe(usize),
    Unsubscribe(usize),
    /// It would change what a connection is that others use, too.
    Refused,
    /// So would this, but the server answers it itself, unless it has been told not to.
    Own,
}

/// The commands that are rows of a proxy, beside the first one, which is for all that has none.
const COMMANDS: &[(&str, CommandKind)] = &[
    // What the server would answer itself if there were no upstream.
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
    ("SUBSCRIBE", CommandKind::Subscribe(0)),
    ("PSUBSCRIBE", CommandKind::Subscribe(1)),
    ("SSUBSCRIBE", CommandKind::Subscribe(2)),
    ("UNSUBSCRIBE", CommandKind::Unsubscribe(0)),
    ("PUNSUBSCRIBE", CommandKind::Unsubscribe(1)),
    ("SUNSUBSCRIBE", CommandKind::Unsubscribe(2)),
    // The connection of the client would be that of the proxy.
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
    // What a connection has written before is waited for, and that was another one.
    ("WAIT", CommandKind::Refused),
    ("WAITAOF", CommandKind::Refused),
    // They would turn the connection into something else.
    ("SCRIPT DEBUG", CommandKind::Refused),
    ("CLUSTER SYNCSLOTS", CommandKind::Refused),
    ("DFLY", CommandKind::Refused),
    // They have to get past what they end.
    ("SCRIPT KILL", CommandKind::Blocks),
    ("FUNCTION KILL", CommandKind::Blocks),
    // The upstream knows more of these than there is here.
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

/// Whether the command of this row comes behind those that the server answers itself.
pub(crate) fn is_behind_builtins(row: usize) -> bool {
    kind_of(row) == CommandKind::Own
}

/// What is to be done with the command of this row.
pub(super) fn kind_of(row: usize) -> CommandKind {
    row.checked_sub(1).map_or(CommandKind::Plain, |index| COMMANDS[index].1)
}

/// The name of the command of this row.
pub(super) fn name_of(row: usize) -> &'static str {
    row.checked_sub(1).map_or("", |index| COMMANDS[index].0)
}

/// What is to be done with the command of these words.
pub(super) fn kind_of_words(words: Words<'_>) -> CommandKind {
    COMMANDS.iter().find(|(known, _)| words.is(known)).map_or(CommandKind::Plain, |(_, kind)| *kind)
}

/// Whether it is known here what is to be done with the command of this name.
pub(super) fn is_known(name: &[u8]) -> bool {
    COMMANDS.iter().any(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name))
}

const ROWS: [Row<Proxy>; COMMANDS.len() + 1] = {
    let mut rows = [const { row(Spec::FALLBACK) }; COMMANDS.len() + 1];
    let mut at = 0;
    while at < COMMANDS.len() {
        rows[at + 1] = row(spec(COMMANDS[at]));
        at += 1;
    }
    rows
};

const fn spec((name, kind): (&'static str, CommandKind)) -> Spec {
    let spec = Spec::new(name, &[]).any_args().group("upstream").summary("Is sent on to the upstream.");
    match kind {
        CommandKind::Blocks => spec.flags(Flags::BLOCKING),
        _ => spec,
    }
}

/// Batches are not run here, but sent on.
const fn row(spec: Spec) -> Row<Proxy> {
    Row::new(spec, |_, _, _, out| out.error(&Error::INTERNAL))
}

impl Commands for Proxy {
    const ROWS: &'static [&'static [Row<Self>]] = &[&ROWS];
}
