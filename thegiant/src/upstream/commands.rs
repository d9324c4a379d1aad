//! Commands that are not like others for whoever sends them on.

use super::{Relay, router::Words};
use crate::{
    Error,
    command::{Commands, Flags, Row, Spec},
};

/// What is to be done with a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
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

/// The commands that are rows of a relay, beside the first one, which is for all that has none.
const COMMANDS: &[(&str, Kind)] = &[
    // What the server would answer itself if there were no upstream.
    ("PING", Kind::Plain),
    ("ECHO", Kind::Plain),
    ("TIME", Kind::Plain),
    ("LOLWUT", Kind::Plain),
    ("COMMAND", Kind::Plain),
    ("PUBLISH", Kind::Plain),
    ("SPUBLISH", Kind::Plain),
    ("PUBSUB", Kind::Plain),
    ("MULTI", Kind::Multi),
    ("EXEC", Kind::Exec),
    ("DISCARD", Kind::Discard),
    ("WATCH", Kind::Watch),
    ("UNWATCH", Kind::Unwatch),
    ("SUBSCRIBE", Kind::Subscribe(0)),
    ("PSUBSCRIBE", Kind::Subscribe(1)),
    ("SSUBSCRIBE", Kind::Subscribe(2)),
    ("UNSUBSCRIBE", Kind::Unsubscribe(0)),
    ("PUNSUBSCRIBE", Kind::Unsubscribe(1)),
    ("SUNSUBSCRIBE", Kind::Unsubscribe(2)),
    // The connection of the client would be that of the relay.
    ("CLIENT TRACKING", Kind::Refused),
    ("CLIENT TRACKINGINFO", Kind::Refused),
    ("CLIENT CACHING", Kind::Refused),
    ("CLIENT GETREDIR", Kind::Refused),
    ("ASKING", Kind::Refused),
    ("READONLY", Kind::Refused),
    ("READWRITE", Kind::Refused),
    ("SYNC", Kind::Refused),
    ("PSYNC", Kind::Refused),
    ("REPLCONF", Kind::Refused),
    ("BLPOP", Kind::Blocks),
    ("BRPOP", Kind::Blocks),
    ("BRPOPLPUSH", Kind::Blocks),
    ("BLMOVE", Kind::Blocks),
    ("BLMPOP", Kind::Blocks),
    ("BZPOPMIN", Kind::Blocks),
    ("BZPOPMAX", Kind::Blocks),
    ("BZMPOP", Kind::Blocks),
    ("XREAD", Kind::Blocks),
    ("XREADGROUP", Kind::Blocks),
    // What a connection has written before is waited for, and that was another one.
    ("WAIT", Kind::Refused),
    ("WAITAOF", Kind::Refused),
    // They would turn the connection into something else.
    ("SCRIPT DEBUG", Kind::Refused),
    ("CLUSTER SYNCSLOTS", Kind::Refused),
    ("DFLY", Kind::Refused),
    // They have to get past what they end.
    ("SCRIPT KILL", Kind::Blocks),
    ("FUNCTION KILL", Kind::Blocks),
    // The upstream knows more of these than there is here.
    ("SCRIPT HELP", Kind::Plain),
    ("FUNCTION HELP", Kind::Plain),
    ("CLUSTER HELP", Kind::Plain),
    ("AUTH", Kind::Own),
    ("CLIENT", Kind::Own),
    ("HELLO", Kind::Own),
    ("MONITOR", Kind::Own),
    ("QUIT", Kind::Own),
    ("RESET", Kind::Own),
    ("SELECT", Kind::Own),
];

/// Whether the command of this row comes behind those that the server answers itself.
pub(crate) fn is_behind_builtins(row: usize) -> bool {
    kind_of(row) == Kind::Own
}

/// What is to be done with the command of this row.
pub(super) fn kind_of(row: usize) -> Kind {
    row.checked_sub(1).map_or(Kind::Plain, |index| COMMANDS[index].1)
}

/// The name of the command of this row.
pub(super) fn name_of(row: usize) -> &'static str {
    row.checked_sub(1).map_or("", |index| COMMANDS[index].0)
}

/// What is to be done with the command of these words.
pub(super) fn kind_of_words(words: Words<'_>) -> Kind {
    COMMANDS.iter().find(|(known, _)| words.is(known)).map_or(Kind::Plain, |(_, kind)| *kind)
}

/// Whether it is known here what is to be done with the command of this name.
pub(super) fn is_known(name: &[u8]) -> bool {
    COMMANDS.iter().any(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name))
}

const ROWS: [Row<Relay>; COMMANDS.len() + 1] = {
    let mut rows = [const { row(Spec::FALLBACK) }; COMMANDS.len() + 1];
    let mut at = 0;
    while at < COMMANDS.len() {
        rows[at + 1] = row(spec(COMMANDS[at]));
        at += 1;
    }
    rows
};

const fn spec((name, kind): (&'static str, Kind)) -> Spec {
    let spec = Spec::new(name, &[]).any_args().group("upstream").summary("Is sent on to the upstream.");
    match kind {
        Kind::Blocks => spec.flags(Flags::BLOCKING),
        _ => spec,
    }
}

/// Batches are not run here, but sent on.
const fn row(spec: Spec) -> Row<Relay> {
    Row::new(spec, |_, _, _, out| out.error(&Error::INTERNAL))
}

impl Commands for Relay {
    const ROWS: &'static [&'static [Row<Self>]] = &[&ROWS];
}
