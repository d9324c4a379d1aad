//! The rows of the proxy in the command table.

use super::ProxyActor;
use crate::{
    Error,
    command::{ArgKind, ArgSpec, Commands, Flags, Row, Spec},
    proxy::wire::{COMMANDS, CommandKind, kind_of},
    pubsub::ChannelKind,
};

/// Returns whether a built-in command takes precedence over this row.
pub(crate) fn is_behind_builtins(row: usize) -> bool {
    kind_of(row) == CommandKind::Own
}

const ROWS: [Row<ProxyActor>; COMMANDS.len() + 1] = {
    let mut rows =
        [const { row(Spec::FALLBACK.flags(Flags::FORWARDED.union(Flags::ANY_NAME))) }; COMMANDS.len() + 1];
    let mut index = 0;
    while index < COMMANDS.len() {
        rows[index + 1] = row(spec(COMMANDS[index]));
        index += 1;
    }
    rows
};

const fn spec((name, kind): (&'static str, CommandKind)) -> Spec {
    let (flags, args) = match kind {
        CommandKind::Blocks => (Flags::BLOCKING, NO_ARGS),
        // A replica refuses the commands in between.
        CommandKind::Multi | CommandKind::Discard | CommandKind::Watch | CommandKind::Unwatch => {
            (Flags::STALE, NO_ARGS)
        }
        CommandKind::Exec => (Flags::EXECUTES.union(Flags::STALE), NO_ARGS),
        // As in Redis, a replica serves channels.
        CommandKind::Subscribe(ChannelKind::Pattern) => (Flags::PATTERNS.union(PUBSUB), CHANNELS),
        CommandKind::Subscribe(_) => (Flags::CHANNELS.union(PUBSUB), CHANNELS),
        CommandKind::Unsubscribe(_) => (PUBSUB, NO_ARGS),
        _ => match name.as_bytes() {
            b"PUBLISH" | b"SPUBLISH" => (Flags::CHANNELS.union(Flags::STALE), CHANNEL),
            b"PUBSUB" => (Flags::STALE, NO_ARGS),
            b"PING" => (Flags::PUBSUB_MODE, NO_ARGS),
            _ => (Flags::NONE, NO_ARGS),
        },
    };
    let summary = "Sends the command on to the upstream.";
    let flags = flags.union(Flags::FORWARDED);
    Spec::new(name, args).any_args().group("upstream").summary(summary).flags(flags)
}

const PUBSUB: Flags = Flags::STALE.union(Flags::PUBSUB_MODE);
const NO_ARGS: &[ArgSpec] = &[];
const CHANNEL: &[ArgSpec] = &[ArgSpec::new(ArgKind::String).named("channel")];
const CHANNELS: &[ArgSpec] = &[ArgSpec::new(ArgKind::String).named("channel").multiple()];

/// The function of a row never runs, because the proxy sends requests on.
const fn row(spec: Spec) -> Row<ProxyActor> {
    Row::new(spec, |_, _, _, out| out.error(&Error::INTERNAL))
}

impl Commands for ProxyActor {
    const ROWS: &'static [&'static [Row<Self>]] = &[&ROWS];
}
