//! `XREAD` and `XREADGROUP`: return events after an id, and can wait for new ones.

use std::{mem, time::Duration};

use thegiant::{
    FromArg, KeyEvents,
    command::{ArgKind, ArgSpec, Arguments},
    prelude::*,
};

use crate::{
    collector::{Collector, Result, unreadable, unwritable},
    groups::no_such_key_or_group,
    id::{Id, now},
    store::{Event, Of, Pending, Range},
    waiting::{Delivered, Membership, Reader, Streams, Wanted, with_fields},
};

#[commands(rows = READING, group = "stream")]
impl Collector {
    /// Returns the events after these ids, and can wait for new ones.
    #[command("XREAD", readonly, blocking)]
    fn xread(&mut self, options: ReadOptions, responder: Responder<Streams>) {
        let wanted = options.streams.into_iter().map(|(name, from)| match from {
            Wanted::Last => {
                let last = self.stream(&name).map_or(Id::MIN, |stream| stream.last);
                Ok((name, Wanted::After(last)))
            }
            Wanted::Newest => {
                let before = self.before_newest(&name)?;
                Ok((name, Wanted::After(before)))
            }
            wanted => Ok((name, wanted)),
        });
        let wanted = match wanted.collect::<Result<_>>() {
            Ok(wanted) => wanted,
            Err(error) => return responder.fail(error),
        };
        self.read_or_wait(Reader { wanted, count: options.count, group: None, responder }, options.block);
    }

    /// Returns events for a consumer of a group, and can wait for new ones.
    #[command("XREADGROUP", write, blocking)]
    fn xreadgroup(
        &mut self,
        #[key(RO, access)] options: GroupReadOptions,
        responder: Responder<Streams>,
        // The command changes a group, and no key.
        _events: &mut KeyEvents,
    ) {
        let GroupReadOptions { group, read: ReadOptions { count, block, streams } } = options;
        // Only new events can be waited for, so `BLOCK` has no effect without `>`.
        let block = block.filter(|_| streams.iter().any(|(_, wanted)| *wanted == Wanted::New));
        self.read_or_wait(Reader { wanted: streams, count, group: Some(group), responder }, block);
    }
}

impl Collector {
    fn read_or_wait(&mut self, reader: Reader, block: Option<Duration>) {
        match (self.read(&reader), block) {
            (Ok(streams), Some(time)) if streams.0.is_empty() => self.waiting.add(reader, time),
            (Ok(streams), _) => drop(reader.responder.send(streams)),
            (Err(error), _) => reader.responder.fail(error),
        }
    }

    /// Returns the greatest id before the last event of a stream. Without events, it is that of the last event there
    /// was.
    fn before_newest(&self, name: &[u8]) -> Result<Id> {
        let Some(stream) = self.stream(name) else { return Ok(Id::MIN) };
        let newest = self.store.end(stream.number, true).map_err(unreadable)?;
        Ok(newest.map_or(stream.last, |id| id.previous().unwrap_or(Id::MIN)))
    }

    /// Returns the events that a reader can get now.
    fn read(&mut self, reader: &Reader) -> Result<Streams> {
        reader.wanted.iter().try_for_each(|(name, _)| self.check_stream(name))?;
        if let Some(group) = &reader.group {
            for (name, _) in &reader.wanted {
                self.group(name, &group.name).ok_or_else(|| no_such_group(name, &group.name))?;
            }
        }
        let mut streams = Vec::new();
        for (name, wanted) in &reader.wanted {
            let events = match (&reader.group, wanted) {
                (Some(group), Wanted::After(id)) => Some(self.history(name, group, *id, reader.count)?),
                (Some(group), _) => self.deliver(name, group, reader.count)?,
                (None, wanted) => self.events_after(name, wanted.id(), reader.count)?.map(with_fields),
            };
            streams.extend(events.map(|events| (name.clone(), events)));
        }
        Ok(Streams(streams))
    }

    /// Returns the events of a stream after an id, or `None` if there are none.
    fn events_after(&self, name: &[u8], id: Id, count: Option<i64>) -> Result<Option<Vec<Event>>> {
        let (Some(stream), Some(first)) = (self.stream(name), id.next()) else { return Ok(None) };
        if stream.last < first {
            return Ok(None);
        }
        let events = self.range(stream, Range { first, last: Id::MAX, count, is_reverse: false })?;
        Ok(Some(events).filter(|events| !events.is_empty()))
    }

    /// Delivers new events of a group to a consumer. Returns `None` if there are none.
    fn deliver(
        &mut self,
        name: &[u8],
        to: &Membership,
        count: Option<i64>,
    ) -> Result<Option<Vec<Delivered>>> {
        let group = self.group(name, &to.name).ok_or_else(|| no_such_group(name, &to.name))?;
        let (number, mut last, mut read) = (group.number, group.last, group.read);
        let consumer = self.consumer(name, &to.name, &to.consumer)?.number;
        let Some(stream) = self.stream(name).filter(|stream| stream.last > last) else { return Ok(None) };
        let first = self.first_id(stream)?;
        let Some(events) = self.events_after(name, last, count)? else { return Ok(None) };
        for (id, _) in &events {
            read = stream.read_up_to(*id, last, read, first);
            last = *id;
        }
        let group = self.group_to_change(name, &to.name)?;
        (group.last, group.read) = (last, read);
        self.store.set_group(number, last, read).map_err(unwritable)?;
        if !to.is_acknowledged {
            let delivered = now();
            for (id, _) in &events {
                let pending = Pending { id: *id, consumer, delivered, deliveries: 1 };
                self.store.set_pending(number, pending).map_err(unwritable)?;
            }
            self.set_active(name, &to.name, &to.consumer)?;
        }
        Ok(Some(with_fields(events)))
    }

    /// Returns the unacknowledged events of a consumer after an id. A removed event has no fields.
    fn history(
        &mut self,
        name: &[u8],
        to: &Membership,
        id: Id,
        count: Option<i64>,
    ) -> Result<Vec<Delivered>> {
        let number = self.group(name, &to.name).ok_or_else(|| no_such_group(name, &to.name))?.number;
        let consumer = self.consumer(name, &to.name, &to.consumer)?.number;
        let Some(first) = id.next() else { return Ok(Vec::new()) };
        let pending =
            self.store.pending(Of::Consumer(consumer), first, Id::MAX, i64::MAX, count.unwrap_or(-1));
        let mut events = Vec::new();
        for pending in pending.map_err(unreadable)? {
            let event = self.event(name, pending.id)?;
            if event.is_some() {
                let again = Pending { delivered: now(), deliveries: pending.deliveries + 1, ..pending };
                self.store.set_pending(number, again).map_err(unwritable)?;
            }
            events.push(Delivered(pending.id, event.map(|(_, fields)| fields)));
        }
        Ok(events)
    }

    /// Answers blocked readers of the streams that have new events.
    pub(crate) fn feed(&mut self) {
        for name in mem::take(&mut self.fed) {
            for number in self.waiting.by_stream.remove(&name).unwrap_or_default() {
                let Some(reader) = self.waiting.readers.remove(&number) else { continue };
                if reader.responder.is_closed() {
                    continue;
                }
                match self.read(&reader) {
                    Ok(streams) if streams.0.is_empty() => self.waiting.put_back(number, &name, reader),
                    Ok(streams) => drop(reader.responder.send(streams)),
                    // As in Redis, it waits for a stream of this name, also if a string has the name now.
                    Err(error) if error.code() == "WRONGTYPE" && reader.group.is_none() => {
                        self.waiting.put_back(number, &name, reader);
                    }
                    Err(error) if error.code() == "NOGROUP" => reader.responder.fail(GROUP_IS_GONE),
                    Err(error) => reader.responder.fail(error),
                }
            }
        }
    }
}

/// `[COUNT count] [BLOCK milliseconds] STREAMS key [key …] id [id …]`.
struct ReadOptions {
    count: Option<i64>,
    block: Option<Duration>,
    streams: Vec<(Bytes, Wanted)>,
}

/// `GROUP group consumer [COUNT count] [BLOCK milliseconds] [NOACK] STREAMS key [key …] id [id …]`.
struct GroupReadOptions {
    group: Membership,
    read: ReadOptions,
}

const COUNT: ArgSpec = ArgSpec::new(ArgKind::Integer).token("COUNT").named("count").optional();
const BLOCK: ArgSpec = ArgSpec::new(ArgKind::Integer).token("BLOCK").named("milliseconds").optional();
const STREAMS: ArgSpec = ArgSpec::block(&[
    ArgSpec::new(ArgKind::Key).named("key").multiple(),
    ArgSpec::new(ArgKind::String).named("id").multiple(),
])
.token("STREAMS")
.named("streams");

impl<'a> FromArg<'a> for ReadOptions {
    const ARG: ArgSpec = ArgSpec::options(&[COUNT, BLOCK, STREAMS]);

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self> {
        let (mut count, mut block) = (None, None);
        loop {
            if args.len() > 1 && args.accept("COUNT") {
                count = Some(args.take_integer::<i64>()?).filter(|count| *count > 0);
            } else if args.len() > 1 && args.accept("BLOCK") {
                block = Some(timeout(args)?);
            } else if args.len() > 1 && args.accept("STREAMS") {
                break;
            } else {
                return Err(if args.is_any_of(&["GROUP", "NOACK"]) {
                    option_of_groups(args)
                } else {
                    Error::SYNTAX
                });
            }
        }
        let streams = streams(args, |id| match id {
            b"$" => Ok(Wanted::Last),
            b"+" => Ok(Wanted::Newest),
            b">" => Err(FOR_GROUPS),
            id => Id::parse(id, 0).map(Wanted::After),
        })?;
        Ok(ReadOptions { count, block, streams })
    }
}

impl<'a> FromArg<'a> for GroupReadOptions {
    const ARG: ArgSpec = ArgSpec::options(&[
        ArgSpec::block(&[
            ArgSpec::new(ArgKind::String).named("group"),
            ArgSpec::new(ArgKind::String).named("consumer"),
        ])
        .token("GROUP")
        .named("group-block"),
        COUNT,
        BLOCK,
        ArgSpec::new(ArgKind::PureToken).token("NOACK").named("noack").optional(),
        STREAMS,
    ]);

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self> {
        let (mut count, mut block, mut group, mut is_acknowledged) = (None, None, None, false);
        loop {
            if args.len() > 1 && args.accept("COUNT") {
                count = Some(args.take_integer::<i64>()?).filter(|count| *count > 0);
            } else if args.len() > 1 && args.accept("BLOCK") {
                block = Some(timeout(args)?);
            } else if args.len() > 2 && args.accept("GROUP") {
                group = Some((args.take_bytes()?, args.take_bytes()?));
            } else if args.accept("NOACK") {
                is_acknowledged = true;
            } else if args.len() > 1 && args.accept("STREAMS") {
                break;
            } else {
                return Err(Error::SYNTAX);
            }
        }
        let streams = streams(args, |id| match id {
            b"$" => Err(MEANINGLESS),
            b"+" => Err(PLUS_IS_MEANINGLESS),
            b">" => Ok(Wanted::New),
            id => Id::parse(id, 0).map(Wanted::After),
        })?;
        let (name, consumer) = group.ok_or(NO_GROUP)?;
        let group = Membership { name, consumer, is_acknowledged };
        Ok(GroupReadOptions { group, read: ReadOptions { count, block, streams } })
    }
}

/// Reads the stream names and the same number of ids.
fn streams(
    args: &mut Arguments<'_>,
    wanted: impl Fn(&[u8]) -> Result<Wanted>,
) -> Result<Vec<(Bytes, Wanted)>> {
    let words = args.len();
    if !words.is_multiple_of(2) {
        return Err(UNBALANCED);
    }
    let names: Vec<Bytes> = (0..words / 2).map(|_| args.take_bytes()).collect::<Result<_>>()?;
    names.into_iter().map(|name| Ok((name, wanted(args.take()?)?))).collect()
}

/// Reads a timeout in milliseconds. 0 means no timeout.
fn timeout(args: &mut Arguments<'_>) -> Result<Duration> {
    const NOT_AN_INTEGER: Error = Error::from_static("ERR timeout is not an integer or out of range");
    const NEGATIVE: Error = Error::from_static("ERR timeout is negative");
    let milliseconds: i64 = args.take_integer().map_err(|_| NOT_AN_INTEGER)?;
    u64::try_from(milliseconds).map(Duration::from_millis).map_err(|_| NEGATIVE)
}

fn option_of_groups(args: &Arguments<'_>) -> Error {
    match args.is_any_of(&["GROUP"]) {
        true if args.len() > 2 => GROUP_OF_XREAD,
        true => Error::SYNTAX,
        false => NOACK_OF_XREAD,
    }
}

fn no_such_group(key: &[u8], group: &[u8]) -> Error {
    Error::from_bytes(
        [no_such_key_or_group(key, group).as_bytes(), b" in XREADGROUP with GROUP option"].concat(),
    )
}

const UNBALANCED: Error = Error::from_static(
    "ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.",
);
const FOR_GROUPS: Error = Error::from_static(
    "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
);
const MEANINGLESS: Error = Error::from_static(
    "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying \
     a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set.",
);
const PLUS_IS_MEANINGLESS: Error = Error::from_static(
    "ERR The + ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying \
     a proper ID, or use the > ID to get new messages. The + ID would just return an empty result set.",
);
const NO_GROUP: Error = Error::from_static("ERR Missing GROUP option for XREADGROUP");
const GROUP_OF_XREAD: Error =
    Error::from_static("ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.");
const NOACK_OF_XREAD: Error =
    Error::from_static("ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.");
const GROUP_IS_GONE: Error =
    Error::from_static("NOGROUP the consumer group this client was blocked on no longer exists");
