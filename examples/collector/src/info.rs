//! `XINFO`: what there is to know of a stream.

use thegiant::{
    command::{ArgKind, ArgSpec, Arguments, FromArg},
    prelude::*,
    resp::Encoder,
};

use crate::{
    collector::{Collector, Result},
    id::Id,
    store::{Event, Range},
};

#[commands(rows = INFO, group = "stream")]
impl Collector {
    /// Returns what is known of a stream.
    #[command("XINFO STREAM", readonly)]
    fn xinfo_stream(&self, call: &Call<'_>, key: Key<&[u8]>, full: Full) -> Result<About> {
        let full = full.0.map_err(|NotThat| wrong_syntax(call))?;
        let stream = self.stream(*key).ok_or(Error::NO_SUCH_KEY)?;
        let some = |count, is_reverse| {
            self.range(stream, Range { first: Id::MIN, last: Id::MAX, count: Some(count), is_reverse })
        };
        let [first, last] = [some(1, false)?, some(1, true)?].map(|events| events.into_iter().next());
        let entries = full.map(|count| some(count, false)).transpose()?;
        Ok(About {
            length: stream.length,
            last_id: stream.last,
            max_deleted: stream.max_deleted,
            added: stream.added,
            first_id: first.as_ref().map_or(Id::MIN, |(id, _)| *id),
            entries,
            first,
            last,
        })
    }
}

/// `FULL [COUNT count]`, if it is there: how many events are to be shown, -1 for all.
struct Full(std::result::Result<Option<i64>, NotThat>);

/// Something else stands there.
struct NotThat;

impl<'a> FromArg<'a> for Full {
    const ARG: ArgSpec = ArgSpec::block(&[
        ArgSpec::new(ArgKind::PureToken).token("FULL").named("full"),
        ArgSpec::new(ArgKind::Integer).token("COUNT").named("count").optional(),
    ])
    .named("full-block")
    .optional();

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self> {
        const USUAL: i64 = 10;
        Ok(Full(match args.len() {
            0 => Ok(None),
            1 if args.accept("FULL") => Ok(Some(USUAL)),
            3 if args.accept("FULL") && args.accept("COUNT") => Ok(Some(match args.take_integer()? {
                0 => -1,
                count if count < 0 => USUAL,
                count => count,
            })),
            _ => {
                while !args.is_empty() {
                    args.take()?;
                }
                Err(NotThat)
            }
        }))
    }
}

fn wrong_syntax(call: &Call<'_>) -> Error {
    let word = String::from_utf8_lossy(call.get(1).unwrap_or_default());
    Error::err(format_args!("unknown subcommand or wrong number of arguments for '{word}'. Try XINFO HELP."))
}

/// What `XINFO STREAM` says.
struct About {
    length: i64,
    last_id: Id,
    max_deleted: Id,
    added: i64,
    first_id: Id,
    /// In full.
    entries: Option<Vec<Event>>,
    first: Option<Event>,
    last: Option<Event>,
}

impl IntoReply for About {
    fn into_reply(self, out: &mut Encoder) {
        fn field(out: &mut Encoder, name: &str, value: impl IntoReply) {
            name.into_reply(out);
            value.into_reply(out);
        }
        out.map(if self.entries.is_some() { 9 } else { 10 });
        field(out, "length", self.length);
        // There is no radix tree: what Redis says of a small one.
        field(out, "radix-tree-keys", i64::from(self.length > 0));
        field(out, "radix-tree-nodes", if self.length > 0 { 2 } else { 1 });
        field(out, "last-generated-id", self.last_id);
        field(out, "max-deleted-entry-id", self.max_deleted);
        field(out, "entries-added", self.added);
        field(out, "recorded-first-entry-id", self.first_id);
        match self.entries {
            Some(entries) => {
                field(out, "entries", entries);
                field(out, "groups", Vec::<Id>::new());
            }
            None => {
                field(out, "groups", 0);
                field(out, "first-entry", self.first);
                field(out, "last-entry", self.last);
            }
        }
    }
}
