//! `XINFO`: the state of streams, groups and consumers.

use std::collections::HashMap;

use thegiant::{
    FromArg,
    command::{ArgKind, ArgSpec, Arguments},
    prelude::*,
    resp::Encoder,
};

use crate::{
    collector::{Collector, Result, unreadable},
    groups::{no_such_group, wrong_syntax},
    id::{Id, now},
    store::{Consumer, Event, Of, Pending, Range, Stream},
};

#[commands(rows = INFO, group = "stream")]
impl Collector {
    /// Returns the state of a stream.
    #[command("XINFO STREAM", readonly)]
    fn xinfo_stream(&self, request: &Request<'_>, key: Key<&[u8]>, full: Full) -> Result<About> {
        self.check_stream(*key)?;
        let full = full.0.map_err(|OtherArguments| wrong_syntax("XINFO", request))?;
        let stream = self.stream(*key).ok_or(Error::NO_SUCH_KEY)?;
        let some = |count, is_reverse| {
            self.range(stream, Range { first: Id::MIN, last: Id::MAX, count: Some(count), is_reverse })
        };
        let [first, last] = [some(1, false)?, some(1, true)?].map(|events| events.into_iter().next());
        let entries = full.map(|count| some(count, false)).transpose()?;
        let groups = match full {
            Some(count) => Groups::InFull(self.groups_in_full(stream, count)?),
            None => Groups::Count(stream.groups.len()),
        };
        let recorded_first_entry_id = first.as_ref().map_or(Id::MIN, |(id, _)| *id);
        let [first_entry, last_entry] = [first, last].map(|entry| full.is_none().then_some(entry));
        Ok(About {
            length: stream.length,
            // A stream has no radix tree here. These are the numbers that Redis reports for a small stream.
            radix_tree_keys: i64::from(stream.length > 0),
            radix_tree_nodes: if stream.length > 0 { 2 } else { 1 },
            last_generated_id: stream.last,
            max_deleted_entry_id: stream.max_deleted,
            entries_added: stream.added,
            recorded_first_entry_id,
            entries,
            groups,
            first_entry,
            last_entry,
        })
    }
}

#[commands(rows = INFO_GROUPS, group = "stream")]
impl Collector {
    /// Returns the state of the groups of a stream.
    #[command("XINFO GROUPS", readonly)]
    fn xinfo_groups(&self, key: Key<&[u8]>) -> Result<Vec<AboutGroup>> {
        self.check_stream(*key)?;
        let stream = self.stream(*key).ok_or(Error::NO_SUCH_KEY)?;
        let first = self.first_id(stream)?;
        let groups = stream.groups.iter().map(|(name, group)| {
            Ok(AboutGroup {
                name: name.clone(),
                consumers: group.consumers.len(),
                pending: self.count_pending(Of::Group(group.number))?,
                last_delivered_id: group.last,
                entries_read: group.read,
                lag: stream.lag(group, first),
            })
        });
        groups.collect()
    }

    /// Returns the state of the consumers of a group.
    #[command("XINFO CONSUMERS", readonly)]
    fn xinfo_consumers(&self, key: Key<&[u8]>, group: &[u8]) -> Result<Vec<AboutConsumer>> {
        self.check_stream(*key)?;
        let stream = self.stream(*key).ok_or(Error::NO_SUCH_KEY)?;
        let group = stream.groups.get(group).ok_or_else(|| no_such_group(*key, group))?;
        let consumers = group.consumers.iter().map(|(name, consumer)| {
            Ok(AboutConsumer {
                name: name.clone(),
                pending: self.count_pending(Of::Consumer(consumer.number))?,
                idle: (now() - consumer.seen).max(0),
                inactive: consumer.active.map_or(-1, |active| (now() - active).max(0)),
            })
        });
        consumers.collect()
    }
}

impl Collector {
    /// Returns the groups of a stream. Each group and each consumer has at most `count` pending events (-1: all).
    fn groups_in_full(&self, stream: &Stream, count: i64) -> Result<Vec<GroupInFull>> {
        let first = self.first_id(stream)?;
        let pending = |of| self.store.pending(of, Id::MIN, Id::MAX, i64::MAX, count).map_err(unreadable);
        let groups = stream.groups.iter().map(|(name, group)| {
            let consumers = group.consumers.iter().map(|(name, consumer)| {
                let of = Of::Consumer(consumer.number);
                Ok((name.clone(), *consumer, self.count_pending(of)?, pending(of)?))
            });
            Ok(GroupInFull {
                name: name.clone(),
                last: group.last,
                read: group.read,
                lag: stream.lag(group, first),
                count: self.count_pending(Of::Group(group.number))?,
                pending: pending(Of::Group(group.number))?,
                consumers: consumers.collect::<Result<_>>()?,
            })
        });
        groups.collect()
    }
}

/// The option `FULL [COUNT count]`: the maximum number of events to show, -1 for all. `None` without `FULL`.
struct Full(std::result::Result<Option<i64>, OtherArguments>);

/// The error for arguments other than `FULL [COUNT count]`.
struct OtherArguments;

impl<'a> FromArg<'a> for Full {
    const ARG: ArgSpec = ArgSpec::block(&[
        ArgSpec::new(ArgKind::PureToken).token("FULL").named("full"),
        ArgSpec::new(ArgKind::Integer).token("COUNT").named("count").optional(),
    ])
    .named("full-block")
    .optional();

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self> {
        const DEFAULT_COUNT: i64 = 10;
        Ok(Full(match args.len() {
            0 => Ok(None),
            1 if args.accept("FULL") => Ok(Some(DEFAULT_COUNT)),
            3 if args.accept("FULL") && args.accept("COUNT") => Ok(Some(match args.take_integer()? {
                0 => -1,
                count if count < 0 => DEFAULT_COUNT,
                count => count,
            })),
            _ => {
                while !args.is_empty() {
                    args.take()?;
                }
                Err(OtherArguments)
            }
        }))
    }
}

/// The reply of `XINFO STREAM`.
#[derive(Reply)]
#[reply(rename_all = "kebab-case")]
struct About {
    length: i64,
    radix_tree_keys: i64,
    radix_tree_nodes: i64,
    last_generated_id: Id,
    max_deleted_entry_id: Id,
    entries_added: i64,
    recorded_first_entry_id: Id,
    /// Only with `FULL`.
    #[reply(skip_none)]
    entries: Option<Vec<Event>>,
    groups: Groups,
    /// Only without `FULL`, and null if there is none.
    #[reply(skip_none)]
    first_entry: Option<Option<Event>>,
    #[reply(skip_none)]
    last_entry: Option<Option<Event>>,
}

/// The groups in the reply of `XINFO STREAM`.
#[derive(Reply)]
enum Groups {
    Count(usize),
    InFull(Vec<GroupInFull>),
}

/// A group in the reply of `XINFO STREAM … FULL`.
struct GroupInFull {
    name: Bytes,
    last: Id,
    read: Option<i64>,
    lag: Option<i64>,
    count: i64,
    pending: Vec<Pending>,
    consumers: Vec<(Bytes, Consumer, i64, Vec<Pending>)>,
}

/// A group in the reply of `XINFO GROUPS`.
#[derive(Reply)]
#[reply(rename_all = "kebab-case")]
struct AboutGroup {
    name: Bytes,
    consumers: usize,
    pending: i64,
    last_delivered_id: Id,
    entries_read: Option<i64>,
    lag: Option<i64>,
}

/// A consumer in the reply of `XINFO CONSUMERS`.
#[derive(Reply)]
struct AboutConsumer {
    name: Bytes,
    pending: i64,
    idle: i64,
    /// -1 if the consumer never got an event.
    inactive: i64,
}

fn field(out: &mut Encoder, name: &str, value: impl Reply) {
    name.write_to(out);
    value.write_to(out);
}

impl Reply for GroupInFull {
    fn write_to(self, out: &mut Encoder) {
        let names: HashMap<i64, Bytes> =
            self.consumers.iter().map(|(name, consumer, ..)| (consumer.number, name.clone())).collect();
        let name = |number| names.get(&number).cloned().unwrap_or_default();
        out.map(7);
        field(out, "name", self.name);
        field(out, "last-delivered-id", self.last);
        field(out, "entries-read", self.read);
        field(out, "lag", self.lag);
        field(out, "pel-count", self.count);
        let all = self.pending.into_iter();
        let all =
            all.map(|pending| (pending.id, name(pending.consumer), pending.delivered, pending.deliveries));
        field(out, "pending", Array(all));
        "consumers".write_to(out);
        out.array(self.consumers.len());
        for (name, consumer, count, pending) in self.consumers {
            out.map(5);
            field(out, "name", name);
            field(out, "seen-time", consumer.seen);
            field(out, "active-time", consumer.active.unwrap_or(-1));
            field(out, "pel-count", count);
            let all = pending.into_iter().map(|pending| (pending.id, pending.delivered, pending.deliveries));
            field(out, "pending", Array(all));
        }
    }
}
