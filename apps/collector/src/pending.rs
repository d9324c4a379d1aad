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
    store::{Event, Group, Of, Pending, Range},
};

/// Number of pending events that `XAUTOCLAIM` checks for each one that it may return.
const ATTEMPTS: i64 = 10;

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
        match options {
            None => self.pending_summary(found),
            Some(options) => self.pending_events(found, &options),
        }
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
        let taker = self.consumer(*key, group, consumer)?.number;
        let mut claimed = Vec::new();
        for id in &claim.ids {
            claimed.extend(self.claim(*key, number, taker, *id, &claim, time)?);
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
        let min_idle = parse_integer::<i64>(min_idle_time).ok_or(NO_TIME)?.max(0);
        let count = options.count()?;
        let number = self.group(*key, group).ok_or_else(|| no_such_key_or_group(*key, group))?.number;
        let taker = self.consumer(*key, group, consumer)?.number;
        let max = count.saturating_mul(ATTEMPTS).saturating_add(1);
        let candidates = self.store.pending(Of::Group(number), start.first?, Id::MAX, i64::MAX, max);
        let (mut events, mut deleted, mut next, time) = (Vec::new(), Vec::new(), Id::MIN, now());
        for (pending, attempt) in candidates.map_err(unreadable)?.into_iter().zip(1..) {
            if (events.len() + deleted.len()) as i64 == count || attempt == max {
                next = pending.id;
                break;
            }
            match self.event_to_claim(*key, number, pending.id)? {
                None => deleted.push(pending.id),
                Some(_) if time - pending.delivered < min_idle => {}
                Some(event) => {
                    let deliveries = pending.deliveries + i64::from(!options.justid);
                    let taken = Pending { consumer: taker, delivered: time, deliveries, ..pending };
                    self.store.set_pending(number, taken).map_err(unwritable)?;
                    events.push(event);
                }
            }
        }
        if !events.is_empty() {
            self.set_active(*key, group, consumer)?;
        }
        Ok((next, Claimed { events, is_id_only: options.justid }, deleted))
    }
}

impl Collector {
    /// Counts the pending events of a group, and of each of its consumers.
    fn pending_summary(&self, group: &Group) -> Result<PendingReply> {
        let mut consumers = Vec::new();
        for (name, consumer) in &group.consumers {
            let count = self.count_pending(Of::Consumer(consumer.number))?;
            if count > 0 {
                consumers.push((name.clone(), count.to_string()));
            }
        }
        let ends = [false, true].map(|is_last| self.store.end_of_pending(group.number, is_last));
        let [first, last] = ends.map(|end| end.map_err(unreadable));
        Ok(PendingReply::Summary(self.count_pending(Of::Group(group.number))?, first?, last?, consumers))
    }

    /// Lists the pending events of a group, or of one of its consumers.
    fn pending_events(&self, group: &Group, options: &PendingOptions<'_>) -> Result<PendingReply> {
        let now = now();
        let of = match options.consumer.map(|name| group.consumers.get(name)) {
            None => Of::Group(group.number),
            Some(Some(consumer)) => Of::Consumer(consumer.number),
            Some(None) => return Ok(PendingReply::All(Vec::new())),
        };
        let names: HashMap<i64, &Bytes> =
            group.consumers.iter().map(|(name, consumer)| (consumer.number, name)).collect();
        let delivered_until = now.saturating_sub(options.idle);
        let pending = self.store.pending(of, options.first, options.last, delivered_until, options.count);
        let all = pending.map_err(unreadable)?.into_iter().map(|pending| {
            let name = names.get(&pending.consumer).map(|name| (*name).clone()).unwrap_or_default();
            (pending.id, name, (now - pending.delivered).max(0), pending.deliveries)
        });
        Ok(PendingReply::All(all.collect()))
    }

    /// Transfers an event to the consumer `taker`, if it exists and may be claimed.
    fn claim(
        &mut self,
        stream: &[u8],
        group: i64,
        taker: i64,
        id: Id,
        claim: &ClaimOptions,
        now: i64,
    ) -> Result<Option<Event>> {
        let pending = self.store.pending(Of::Group(group), id, id, i64::MAX, 1).map_err(unreadable)?;
        let Some(event) = self.event_to_claim(stream, group, id)? else { return Ok(None) };
        let before = match pending.first() {
            Some(pending) if now - pending.delivered < claim.min_idle => return Ok(None),
            Some(pending) => pending.deliveries,
            None if claim.is_forced => 1,
            None => return Ok(None),
        };
        let delivered = claim.delivered.filter(|time| (0..=now).contains(time)).unwrap_or(now);
        let deliveries = claim.deliveries.unwrap_or(before + i64::from(!claim.is_id_only));
        let taken = Pending { id, consumer: taker, delivered, deliveries };
        self.store.set_pending(group, taken).map_err(unwritable)?;
        Ok(Some(event))
    }

    /// Returns a pending event. An event that does not exist is not pending from then on.
    fn event_to_claim(&mut self, stream: &[u8], group: i64, id: Id) -> Result<Option<Event>> {
        let event = self.event(stream, id)?;
        if event.is_none() {
            self.store.remove_pending(group, id).map_err(unwritable)?;
        }
        Ok(event)
    }

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

#[derive(Default)]
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
        let min_idle = parse_integer::<i64>(args.take()?).ok_or_else(|| invalid("min-idle-time"))?.max(0);
        let mut options = ClaimOptions { min_idle, ..ClaimOptions::default() };
        while let Some(Ok(id)) = args.peek().map(|word| Id::parse(word, 0)) {
            args.take()?;
            options.ids.push(id);
        }
        while !args.is_empty() {
            options.read(args)?;
        }
        Ok(options)
    }

    /// Reads the next option.
    fn read(&mut self, args: &mut Arguments<'_>) -> Result<()> {
        let has_value = args.len() > 1;
        if args.accept("FORCE") {
            self.is_forced = true;
        } else if args.accept("JUSTID") {
            self.is_id_only = true;
        } else if has_value && args.accept("IDLE") {
            let idle: i64 = parse_integer(args.take()?).ok_or_else(|| invalid("IDLE option"))?;
            self.delivered = Some(now().saturating_sub(idle));
        } else if has_value && args.accept("TIME") {
            self.delivered = Some(parse_integer(args.take()?).ok_or_else(|| invalid("TIME option"))?);
        } else if has_value && args.accept("RETRYCOUNT") {
            let count: i64 = parse_integer(args.take()?).ok_or_else(|| invalid("RETRYCOUNT option"))?;
            self.deliveries = Some(count).filter(|count| *count >= 0);
        } else if has_value && args.accept("LASTID") {
            self.last = Some(Id::parse(args.take()?, 0)?);
        } else {
            let word = String::from_utf8_lossy(args.take()?);
            return Err(Error::err(format_args!("Unrecognized XCLAIM option '{word}'")));
        }
        Ok(())
    }
}

/// Returns the error of an argument of `XCLAIM`.
fn invalid(argument: &str) -> Error {
    Error::err(format_args!("Invalid {argument} argument for XCLAIM"))
}

/// The options of `XAUTOCLAIM`.
#[derive(Args)]
struct AutoClaimOptions<'a> {
    #[arg("COUNT")]
    count: Option<&'a [u8]>,
    justid: bool,
}

impl AutoClaimOptions<'_> {
    /// Returns the maximum number of events.
    fn count(&self) -> Result<i64> {
        /// The limit of Redis, whose ids take 16 bytes each.
        const MAX: i64 = i64::MAX / 16;
        let count = self.count.map_or(Some(100), parse_integer).filter(|count| (1..=MAX).contains(count));
        count.ok_or(Error::from_static("ERR COUNT must be > 0"))
    }
}
