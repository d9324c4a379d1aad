//! `XREAD`: what has come behind an id, now or later.

use std::{
    collections::{BTreeMap, HashMap},
    mem,
    time::Duration,
};

use thegiant::{
    command::{ArgKind, ArgSpec, Arguments, FromArg},
    prelude::*,
    resp::{Encoder, Protocol},
};

use crate::{
    collector::{Collector, Result},
    id::Id,
    store::{Event, Range},
};

#[commands(rows = READING, group = "stream")]
impl Collector {
    /// Returns events that lie behind these ids, and waits for them if it is asked to.
    #[command("XREAD", readonly, blocking)]
    fn xread(&mut self, options: ReadOptions, responder: Responder<Streams>) {
        let wanted = options.streams.into_iter().map(|(name, from)| {
            let last = self.stream(&name).map_or(Id::MIN, |stream| stream.last);
            (name, from.unwrap_or(last))
        });
        let reader = Reader { wanted: wanted.collect(), count: options.count, responder };
        match (self.read(&reader), options.block) {
            (Ok(streams), None) => drop(reader.responder.send(streams)),
            (Ok(streams), _) if !streams.0.is_empty() => drop(reader.responder.send(streams)),
            (Ok(_), Some(time)) => self.waiting.add(reader, time),
            (Err(error), _) => reader.responder.fail(error),
        }
    }
}

impl Collector {
    /// What there is for a reader.
    fn read(&self, reader: &Reader) -> Result<Streams> {
        let mut streams = Vec::new();
        for (name, from) in &reader.wanted {
            let (Some(stream), Some(first)) = (self.stream(name), from.next()) else { continue };
            if stream.last < first {
                continue;
            }
            let range = Range { first, last: Id::MAX, count: reader.count, is_reverse: false };
            let events = self.range(stream, range)?;
            if !events.is_empty() {
                streams.push((name.clone(), events));
            }
        }
        Ok(Streams(streams))
    }

    /// Answers those who wait for events that have come.
    pub(crate) fn feed(&mut self) {
        for name in mem::take(&mut self.fed) {
            for number in self.waiting.by_stream.remove(&name).unwrap_or_default() {
                let Some(reader) = self.waiting.readers.remove(&number) else { continue };
                match self.read(&reader) {
                    Ok(streams) if streams.0.is_empty() => self.waiting.put_back(number, &name, reader),
                    Ok(streams) => drop(reader.responder.send(streams)),
                    Err(error) => reader.responder.fail(error),
                }
            }
        }
    }
}

/// Who waits for events, in the order in which they came, and by the streams that these may come to.
#[derive(Default)]
pub(crate) struct Waiting {
    readers: BTreeMap<u64, Reader>,
    by_stream: HashMap<Bytes, Vec<u64>>,
    next: u64,
}

/// Somebody who wants what lies behind these ids.
struct Reader {
    wanted: Vec<(Bytes, Id)>,
    count: Option<i64>,
    responder: Responder<Streams>,
}

impl Waiting {
    /// Has somebody wait, for ever if the time is zero.
    fn add(&mut self, mut reader: Reader, time: Duration) {
        if !time.is_zero() {
            reader.responder = reader.responder.timeout(time, Streams(Vec::new()));
        }
        let number = self.next;
        self.next += 1;
        for (name, _) in &reader.wanted {
            self.by_stream.entry(name.clone()).or_default().push(number);
        }
        self.readers.insert(number, reader);
    }

    fn put_back(&mut self, number: u64, name: &Bytes, reader: Reader) {
        self.by_stream.entry(name.clone()).or_default().push(number);
        self.readers.insert(number, reader);
    }

    /// Forgets those who do not wait any more.
    pub(crate) fn forget_closed(&mut self) {
        self.readers.retain(|_, reader| !reader.responder.is_closed());
        self.by_stream.retain(|_, numbers| {
            numbers.retain(|number| self.readers.contains_key(number));
            !numbers.is_empty()
        });
    }
}

/// Events by their streams: in RESP3 a map, in RESP2 an array of pairs. None are the absent array.
pub(crate) struct Streams(pub(crate) Vec<(Bytes, Vec<Event>)>);

impl IntoReply for Streams {
    fn into_reply(self, out: &mut Encoder) {
        match out.protocol() {
            _ if self.0.is_empty() => out.null_array(),
            Protocol::Resp2 => self.0.into_reply(out),
            Protocol::Resp3 => {
                out.map(self.0.len());
                for (name, events) in self.0 {
                    name.into_reply(out);
                    events.into_reply(out);
                }
            }
        }
    }
}

/// `[COUNT count] [BLOCK milliseconds] STREAMS key [key …] id [id …]`.
struct ReadOptions {
    count: Option<i64>,
    block: Option<Duration>,
    /// The streams, and what is wanted of each: what lies behind an id, or behind the last event.
    streams: Vec<(Bytes, Option<Id>)>,
}

impl<'a> FromArg<'a> for ReadOptions {
    const ARG: ArgSpec = ArgSpec::block(&[
        ArgSpec::new(ArgKind::Integer).token("COUNT").named("count").optional(),
        ArgSpec::new(ArgKind::Integer).token("BLOCK").named("milliseconds").optional(),
        ArgSpec::block(&[
            ArgSpec::new(ArgKind::String).named("key").multiple(),
            ArgSpec::new(ArgKind::String).named("id").multiple(),
        ])
        .token("STREAMS")
        .named("streams"),
    ]);

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self> {
        let (mut count, mut block) = (None, None);
        loop {
            if args.len() > 1 && args.accept("COUNT") {
                count = Some(args.take_integer::<i64>()?).filter(|count| *count > 0);
            } else if args.len() > 1 && args.accept("BLOCK") {
                block = Some(timeout(args)?);
            } else if args.accept("STREAMS") && !args.is_empty() {
                break;
            } else {
                return Err(Error::SYNTAX);
            }
        }
        let words = args.len();
        if !words.is_multiple_of(2) {
            return Err(UNBALANCED);
        }
        let names: Vec<Bytes> = (0..words / 2).map(|_| args.take_bytes()).collect::<Result<_>>()?;
        let streams = names.into_iter().map(|name| match args.take()? {
            b"$" => Ok((name, None)),
            b">" => Err(FOR_GROUPS),
            id => Ok((name, Some(Id::parse(id, 0)?))),
        });
        Ok(ReadOptions { count, block, streams: streams.collect::<Result<_>>()? })
    }
}

/// How long somebody waits; 0 is for ever.
fn timeout(args: &mut Arguments<'_>) -> Result<Duration> {
    const NOT_AN_INTEGER: Error = Error::from_static("ERR timeout is not an integer or out of range");
    const NEGATIVE: Error = Error::from_static("ERR timeout is negative");
    let milliseconds: i64 = args.take_integer().map_err(|_| NOT_AN_INTEGER)?;
    u64::try_from(milliseconds).map(Duration::from_millis).map_err(|_| NEGATIVE)
}

const UNBALANCED: Error = Error::from_static(
    "ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.",
);
const FOR_GROUPS: Error = Error::from_static(
    "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
);
