//! Delivered events that are not acknowledged: `XPENDING`, `XCLAIM`, `XAUTOCLAIM`.

use std::collections::HashMap;

use thegiant::{
    FromArg,
    command::{ArgKind, ArgSpec, Arguments},
    prelude::*,
    resp::{Encoder, parse_integer},
};

use crate::{
    collector::{Collector, Result, unreadable, unwritable},
    groups::no_such_key_or_group,
    id::{Bound, Id, now},
    store::{Event, Of, Pending, Range},
};

#[commands(rows = PENDING, group = "stream")]
impl Collector {
    /// Returns the events that were delivered and not acknowledged.
    #[command("XPENDING", readonly)]
    fn xpending(
        &self,
        key: Key<&[u8]>,
        group: &[u8],
        options: Option<PendingOptions<'_>>,
    ) -> Result<PendingReply> {
        self.check_stream(*key)?;
        let found = self.group(*key, group).ok_or_else(|| no_such_key_or_group(*key, group))?;
        let (of_group, until) = (Of::Group(found.number), now());
        let Some(options) = options else {
            let mut consumers = Vec::new();
            for (name, consumer) in &found.consumers {
                let count = self.count_pending(Of::Consumer(consumer.number))?;
                if count > 0 {
                    consumers.push((name.clone(), count.to_string()));
                }
            }
            let ends = [false, true].map(|is_last| self.store.end_of_pending(found.number, is_last));
            let [first, last] = ends.map(|end| end.map_err(unreadable));
            return Ok(PendingReply::Summary(self.count_pending(of_group)?, first?, last?, consumers));
        };
        let of = match options.consumer.map(|name| found.consumers.get(name)) {
            None => of_group,
            Some(Some(consumer)) => Of::Consumer(consumer.number),
            Some(None) => return Ok(PendingReply::All(Vec::new())),
        };
        let names: HashMap<i64, &Bytes> =
            found.consumers.iter().map(|(name, consumer)| (consumer.number, name)).collect();
        let until_idle = until.saturating_sub(options.idle);
        let pending = self.store.pending(of, options.first, options.last, until_idle, options.count);
        let all = pending.map_err(unreadable)?.into_iter().map(|pending| {
            let name = names.get(&pending.consumer).map(|name| (*name).clone()).unwrap_or_default();
            (pending.id, name, (until - pending.delivered).max(0), pending.deliveries)
        });
        Ok(PendingReply::All(all.collect()))
    }

    /// Transfers pending events to another consumer.
    #[command("XCLAIM", write, fast)]
    fn xclaim(
        &mut self,
        #[key(RW, update)] key: Key<&[u8]>,
        group: &[u8],
        consumer: &[u8],
        claim: Claim,
    ) -> Result<Claimed> {
        self.check_stream(*key)?;
        let found = self.group(*key, group).ok_or_else(|| no_such_key_or_group(*key, group))?;
        let claim = claim.0?;
        let (number, time) = (found.number, now());
        if claim.last.is_some_and(|last| last > found.last) {
            let group = self.group_to_change(*key, group)?;
            group.last = claim.last.unwrap_or(group.last);
            let (last, read) = (group.last, group.read);
            self.store.set_group(number, last, read).map_err(unwritable)?;
        }
        let delivered = claim.delivered.unwrap_or(time);
        let delivered = if (0..=time).contains(&delivered) { delivered } else { time };
        let taker = self.consumer(*key, group, consumer)?.number;
        let mut claimed = Vec::new();
        for id in claim.ids {
            let pending = self.store.pending(Of::Group(number), id, id, i64::MAX, 1).map_err(unreadable)?;
            let pending = pending.into_iter().next();
            let Some(event) = self.event(*key, id)? else {
                self.store.remove_pending(number, id).map_err(unwritable)?;
                continue;
            };
            let before = match pending {
                Some(pending) if time - pending.delivered < claim.min_idle => continue,
                Some(pending) => pending.deliveries,
                None if claim.is_forced => 1,
                None => continue,
            };
            let deliveries = claim.deliveries.unwrap_or(before + i64::from(!claim.is_id_only));
            let taken = Pending { id, consumer: taker, delivered, deliveries };
            self.store.set_pending(number, taken).map_err(unwritable)?;
            claimed.push(event);
        }
        if !claimed.is_empty() {
            self.set_active(*key, group, consumer)?;
        }
        Ok(Claimed { events: claimed, is_id_only: claim.is_id_only })
    }

    /// Transfers pending events to another consumer, one page at a time.
    #[command("XAUTOCLAIM", write, fast)]
    fn xautoclaim(
        &mut self,
        #[key(RW, delete)] key: Key<&[u8]>,
        group: &[u8],
        consumer: &[u8],
        min_idle_time: &[u8],
        start: Bound,
        options: AutoClaimOptions<'_>,
    ) -> Result<(Id, Claimed, Vec<Id>)> {
        self.check_stream(*key)?;
        const NO_TIME: Error = Error::from_static("ERR Invalid min-idle-time argument for XAUTOCLAIM");
        const NO_COUNT: Error = Error::from_static("ERR COUNT must be > 0");
        /// Number of pending events to check for each one that may be returned.
        const ATTEMPTS: i64 = 10;
        /// The limit of Redis, whose ids take 16 bytes each.
        const MAX_COUNT: i64 = i64::MAX / 16;
        let min_idle = parse_integer::<i64>(min_idle_time).ok_or(NO_TIME)?.max(0);
        let count: i64 = options
            .count
            .map_or(Some(100), parse_integer)
            .filter(|count| (1..=MAX_COUNT).contains(count))
            .ok_or(NO_COUNT)?;
        let number = self.group(*key, group).ok_or_else(|| no_such_key_or_group(*key, group))?.number;
        let time = now();
        let taker = self.consumer(*key, group, consumer)?.number;
        let attempts = count.saturating_mul(ATTEMPTS);
        let candidates = self.store.pending(
            Of::Group(number),
            start.first?,
            Id::MAX,
            i64::MAX,
            attempts.saturating_add(1),
        );
        let candidates = candidates.map_err(unreadable)?;
        let (mut events, mut deleted, mut left, mut next) = (Vec::new(), Vec::new(), count, Id::MIN);
        for (pending, attempt) in candidates.into_iter().zip(0..) {
            if left == 0 || attempt == attempts {
                next = pending.id;
                break;
            }
            let id = pending.id;
            let Some(event) = self.event(*key, id)? else {
                self.store.remove_pending(number, id).map_err(unwritable)?;
                deleted.push(id);
                left -= 1;
                continue;
            };
            if time - pending.delivered < min_idle {
                continue;
            }
            let deliveries = pending.deliveries + i64::from(!options.justid);
            let taken = Pending { id, consumer: taker, delivered: time, deliveries };
            self.store.set_pending(number, taken).map_err(unwritable)?;
            events.push(event);
            left -= 1;
        }
        if !events.is_empty() {
            self.set_active(*key, group, consumer)?;
        }
        Ok((next, Claimed { events, is_id_only: options.justid }, deleted))
    }
}

impl Collector {
    /// Returns an event, or `None` if it does not exist.
    pub(crate) fn event(&self, stream: &[u8], id: Id) -> Result<Option<Event>> {
        let Some(stream) = self.stream(stream) else { return Ok(None) };
        let range = Range { first: id, last: id, count: Some(1), is_reverse: false };
        Ok(self.range(stream, range)?.into_iter().next())
    }
}

/// `[[IDLE min-idle-time] start end count [consumer]]`.
struct PendingOptions<'a> {
    idle: i64,
    first: Id,
    last: Id,
    count: i64,
    consumer: Option<&'a [u8]>,
}

impl<'a> FromArg<'a> for PendingOptions<'a> {
    const ARG: ArgSpec = ArgSpec::block(&[
        ArgSpec::new(ArgKind::Integer).token("IDLE").named("min-idle-time").optional(),
        ArgSpec::new(ArgKind::String).named("start"),
        ArgSpec::new(ArgKind::String).named("end"),
        ArgSpec::new(ArgKind::Integer).named("count"),
        ArgSpec::new(ArgKind::String).named("consumer").optional(),
    ]);

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self> {
        if !(3..=6).contains(&args.len()) {
            return Err(Error::SYNTAX);
        }
        let mut idle = 0;
        if args.accept("IDLE") {
            idle = args.take_integer()?;
            if args.len() < 3 {
                return Err(Error::SYNTAX);
            }
        }
        let [start, end] = [args.take()?, args.take()?];
        let count: i64 = args.take_integer()?;
        let (start, end) = (Bound::try_from(start)?, Bound::try_from(end)?);
        let consumer = if args.is_empty() { None } else { Some(args.take()?) };
        // Redis ignores further arguments too.
        while !args.is_empty() {
            args.take()?;
        }
        Ok(PendingOptions { idle, first: start.first?, last: end.last?, count: count.max(0), consumer })
    }
}

/// The reply of `XPENDING`.
enum PendingReply {
    /// Count, first id, last id, and count of each consumer.
    Summary(i64, Option<Id>, Option<Id>, Vec<(Bytes, String)>),
    /// Id, consumer, milliseconds since the last delivery, and number of deliveries of each event.
    All(Vec<(Id, Bytes, i64, i64)>),
}

impl Reply for PendingReply {
    fn write_to(self, out: &mut Encoder) {
        match self {
            PendingReply::All(all) => all.write_to(out),
            PendingReply::Summary(count, first, last, consumers) => {
                out.array(4);
                count.write_to(out);
                first.write_to(out);
                last.write_to(out);
                if count == 0 { out.null_array() } else { consumers.write_to(out) }
            }
        }
    }
}

/// Claimed events. With `JUSTID`, the reply contains only their ids.
struct Claimed {
    events: Vec<Event>,
    is_id_only: bool,
}

impl Reply for Claimed {
    fn write_to(self, out: &mut Encoder) {
        match self.is_id_only {
            true => Array(self.events.into_iter().map(|(id, _)| id)).write_to(out),
            false => self.events.write_to(out),
        }
    }
}

/// `min-idle-time id [id …] [IDLE ms] [TIME unix-time-milliseconds] [RETRYCOUNT count] [FORCE] [JUSTID]
/// [LASTID id]`.
///
/// Keeps a parse error, because Redis first checks that the group exists.
struct Claim(Result<ClaimOptions>);

struct ClaimOptions {
    min_idle: i64,
    ids: Vec<Id>,
    delivered: Option<i64>,
    deliveries: Option<i64>,
    is_forced: bool,
    is_id_only: bool,
    last: Option<Id>,
}

impl<'a> FromArg<'a> for Claim {
    const ARG: ArgSpec = ArgSpec::block(&[
        ArgSpec::new(ArgKind::String).named("min-idle-time"),
        ArgSpec::new(ArgKind::String).named("id").multiple(),
        ArgSpec::new(ArgKind::Integer).token("IDLE").named("ms").optional(),
        ArgSpec::new(ArgKind::UnixTime).token("TIME").named("unix-time-milliseconds").optional(),
        ArgSpec::new(ArgKind::Integer).token("RETRYCOUNT").named("count").optional(),
        ArgSpec::new(ArgKind::PureToken).token("FORCE").named("force").optional(),
        ArgSpec::new(ArgKind::PureToken).token("JUSTID").named("justid").optional(),
        ArgSpec::new(ArgKind::String).token("LASTID").named("lastid").optional(),
    ]);

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self> {
        let read = ClaimOptions::parse(args);
        while !args.is_empty() {
            args.take()?;
        }
        Ok(Claim(read))
    }
}

impl ClaimOptions {
    fn parse(args: &mut Arguments<'_>) -> Result<Self> {
        let invalid = |argument: &str| Error::err(format_args!("Invalid {argument} argument for XCLAIM"));
        let min_idle = parse_integer::<i64>(args.take()?).ok_or_else(|| invalid("min-idle-time"))?.max(0);
        let mut options = ClaimOptions {
            min_idle,
            ids: Vec::new(),
            delivered: None,
            deliveries: None,
            is_forced: false,
            is_id_only: false,
            last: None,
        };
        while let Some(Ok(id)) = args.peek().map(|word| Id::parse(word, 0)) {
            args.take()?;
            options.ids.push(id);
        }
        while let Some(word) = args.peek() {
            if args.accept("FORCE") {
                options.is_forced = true;
            } else if args.accept("JUSTID") {
                options.is_id_only = true;
            } else if args.len() > 1 && args.accept("IDLE") {
                let idle: i64 = parse_integer(args.take()?).ok_or_else(|| invalid("IDLE option"))?;
                options.delivered = Some(now().saturating_sub(idle));
            } else if args.len() > 1 && args.accept("TIME") {
                options.delivered = Some(parse_integer(args.take()?).ok_or_else(|| invalid("TIME option"))?);
            } else if args.len() > 1 && args.accept("RETRYCOUNT") {
                let count: i64 = parse_integer(args.take()?).ok_or_else(|| invalid("RETRYCOUNT option"))?;
                options.deliveries = Some(count).filter(|count| *count >= 0);
            } else if args.len() > 1 && args.accept("LASTID") {
                options.last = Some(Id::parse(args.take()?, 0)?);
            } else {
                let word = String::from_utf8_lossy(word);
                return Err(Error::err(format_args!("Unrecognized XCLAIM option '{word}'")));
            }
        }
        Ok(options)
    }
}

/// The options of `XAUTOCLAIM`.
#[derive(Args)]
struct AutoClaimOptions<'a> {
    #[arg("COUNT")]
    count: Option<&'a [u8]>,
    justid: bool,
}
