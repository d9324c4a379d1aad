//! The commands for events and for whole streams.

use std::mem;

use thegiant::{
    FromArg,
    command::{ArgKind, ArgSpec, Arguments},
    prelude::*,
    resp::{Encoder, glob},
};

use crate::{
    collector::{Collector, Result},
    fields::Fields,
    id::{Bound, Id, NewId},
    store::{Event, Limit, Range},
};

#[commands(rows = EVENTS, group = "stream")]
impl Collector {
    /// Adds an event to a stream, and returns its id.
    #[command("XADD", write, denyoom, fast)]
    fn xadd(&mut self, #[key(RW, update)] key: Key<&[u8]>, event: NewEvent) -> Result<Option<Id>> {
        self.check_stream(*key)?;
        if event.is_for_existing && self.stream(*key).is_none() {
            return Ok(None);
        }
        let id = self.add(*key, event.id, &event.fields)?;
        if let Some(trim) = event.trim {
            self.trim(*key, trim.limit, trim.at_most)?;
        }
        Ok(Some(id))
    }

    /// Returns the number of events in a stream.
    #[command("XLEN", readonly, fast)]
    fn xlen(&self, #[key(RO)] key: Key<&[u8]>) -> Result<i64> {
        self.check_stream(*key)?;
        Ok(self.stream(*key).map_or(0, |stream| stream.length))
    }

    /// Returns events in ascending order of their ids.
    #[command("XRANGE", readonly)]
    fn xrange(&self, key: Key<&[u8]>, start: Bound, end: Bound, options: RangeOptions) -> Result<Listed> {
        self.events(*key, start.first?, end.last?, &options, false)
    }

    /// Returns events in descending order of their ids.
    #[command("XREVRANGE", readonly)]
    fn xrevrange(&self, key: Key<&[u8]>, end: Bound, start: Bound, options: RangeOptions) -> Result<Listed> {
        self.events(*key, start.first?, end.last?, &options, true)
    }

    /// Removes events, and returns how many existed.
    #[command("XDEL", write, fast)]
    fn xdel(&mut self, #[key(RW, delete)] key: Key<&[u8]>, ids: Vec<&[u8]>) -> Result<i64> {
        self.check_stream(*key)?;
        if self.stream(*key).is_none() {
            return Ok(0);
        }
        let ids: Vec<Id> = ids.into_iter().map(|id| Id::parse(id, 0)).collect::<Result<_>>()?;
        self.remove(*key, &ids)
    }

    /// Removes the oldest events, and returns how many it removed.
    #[command("XTRIM", write)]
    fn xtrim(&mut self, #[key(RW, delete)] key: Key<&[u8]>, trim: Trim) -> Result<i64> {
        self.trim(*key, trim.limit, trim.at_most)
    }
}

#[commands(rows = STREAMS, group = "generic")]
impl Collector {
    /// Removes streams and strings, and returns how many existed.
    #[command("DEL", write)]
    fn del(&mut self, #[key(RM, delete)] keys: Vec<Key<&[u8]>>) -> Result<usize> {
        let mut removed = 0;
        for key in keys {
            removed += usize::from(self.remove_key(*key)?);
        }
        Ok(removed)
    }

    /// Removes streams and strings, and returns how many existed.
    #[command("UNLINK", write, fast, event = "del")]
    fn unlink(&mut self, #[key(RM, delete)] keys: Vec<Key<&[u8]>>) -> Result<usize> {
        self.del(keys)
    }

    /// Returns the number of existing streams and strings among these keys.
    #[command("EXISTS", readonly, fast)]
    fn exists(&self, #[key(RO)] keys: Vec<Key<&[u8]>>) -> usize {
        keys.iter().filter(|key| self.stream(key).is_some() || self.strings.get(key).is_some()).count()
    }

    /// Returns the type of a key: a stream, a string, or none.
    #[command("TYPE", readonly, fast)]
    fn r#type(&self, #[key(RO)] key: Key<&[u8]>) -> Simple {
        match (self.stream(*key), self.strings.get(*key)) {
            (Some(_), _) => Simple("stream"),
            (_, Some(_)) => Simple("string"),
            _ => Simple("none"),
        }
    }

    /// Returns the names of streams and strings that match a pattern.
    #[command("KEYS", readonly, categories("dangerous"))]
    fn keys_like(&self, pattern: &[u8]) -> Vec<&Bytes> {
        self.keys().filter(|name| glob::matches(pattern, name)).collect()
    }

    /// Returns the number of streams and strings.
    #[command("DBSIZE", readonly, fast, categories("keyspace"))]
    fn dbsize(&self) -> usize {
        self.keys().count()
    }

    /// Removes all streams and strings.
    #[command("FLUSHALL", write, alias = "FLUSHDB", categories("dangerous", "keyspace"))]
    fn flushall(&mut self) -> Result<()> {
        let names: Vec<Bytes> = self.keys().cloned().collect();
        names.iter().try_for_each(|name| self.remove_key(name).map(drop))
    }
}

impl Collector {
    fn events(
        &self,
        name: &[u8],
        first: Id,
        last: Id,
        options: &RangeOptions,
        is_reverse: bool,
    ) -> Result<Listed> {
        self.check_stream(name)?;
        let Some(stream) = self.stream(name) else { return Ok(Listed(Some(Vec::new()))) };
        let count = options.count.map(|count| count.max(0));
        if count == Some(0) {
            return Ok(Listed(None));
        }
        let events = self.range(stream, Range { first, last, count, is_reverse })?;
        Ok(Listed(Some(events)))
    }
}

/// A list of events. With a count of 0, the reply is a null array.
struct Listed(Option<Vec<Event>>);

impl Reply for Listed {
    fn write_to(self, out: &mut Encoder) {
        match self.0 {
            Some(events) => events.write_to(out),
            None => out.null_array(),
        }
    }
}

/// The options of `XRANGE`.
#[derive(Args)]
struct RangeOptions {
    #[arg("COUNT")]
    count: Option<i64>,
}

/// The arguments of `XADD` after the name of the stream.
struct NewEvent {
    is_for_existing: bool,
    trim: Option<Trim>,
    id: NewId,
    fields: Fields,
}

/// `[NOMKSTREAM] [MAXLEN|MINID …] *|id field value …`.
///
/// Implemented by hand, because the id is the first argument that is not an option.
impl<'a> FromArg<'a> for NewEvent {
    const ARG: ArgSpec = ArgSpec::block(&[
        ArgSpec::new(ArgKind::PureToken).token("NOMKSTREAM").optional(),
        Trim::ARG.optional(),
        ArgSpec::new(ArgKind::String).named("id-selector"),
        ArgSpec::block(&[
            ArgSpec::new(ArgKind::String).named("field"),
            ArgSpec::new(ArgKind::String).named("value"),
        ])
        .multiple()
        .named("data"),
    ]);

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self> {
        let (mut is_for_existing, mut trim) = (false, Unchecked::default());
        loop {
            if args.accept("NOMKSTREAM") {
                is_for_existing = true;
            } else if !trim.read(args)? {
                break;
            }
        }
        let id = NewId::parse(args.take()?)?;
        let mut fields = Vec::with_capacity(args.len());
        while !args.is_empty() {
            fields.push(args.take_bytes()?);
        }
        if fields.is_empty() || !fields.len().is_multiple_of(2) {
            return Err(Error::from_static("ERR wrong number of arguments for 'xadd' command"));
        }
        Ok(NewEvent { is_for_existing, trim: trim.check()?, id, fields: Fields(fields) })
    }
}

/// `MAXLEN|MINID [=|~] threshold [LIMIT count]`.
pub(crate) struct Trim {
    limit: Limit,
    at_most: Option<i64>,
}

/// The parts of a [`Trim`] while they are parsed. They can come in any order.
#[derive(Default)]
struct Unchecked {
    limit: Option<Limit>,
    is_approximate: bool,
    at_most: Option<i64>,
}

impl Unchecked {
    /// Reads one part. Returns `false` if the next argument belongs to something else.
    fn read(&mut self, args: &mut Arguments<'_>) -> Result<bool> {
        const NEGATIVE: Error = Error::from_static("ERR The MAXLEN argument must be >= 0.");
        const NEGATIVE_LIMIT: Error = Error::from_static("ERR The LIMIT argument must be >= 0.");
        if args.len() < 2 {
            return Ok(false);
        }
        if args.accept("LIMIT") {
            self.at_most = Some(take_at_least_0(args, NEGATIVE_LIMIT)?);
        } else if args.accept("MAXLEN") {
            self.read_operator(args);
            self.set(Limit::MaxLen(take_at_least_0(args, NEGATIVE)?))?;
        } else if args.accept("MINID") {
            self.read_operator(args);
            self.set(Limit::MinId(Id::parse(args.take()?, 0)?))?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// Reads `=` or `~`, if the threshold follows.
    fn read_operator(&mut self, args: &mut Arguments<'_>) {
        let has_threshold = args.len() > 1;
        self.is_approximate = has_threshold && args.accept("~");
        if has_threshold && !self.is_approximate {
            args.accept("=");
        }
    }

    /// Sets the limit, which replaces another one of the same kind.
    fn set(&mut self, limit: Limit) -> Result<()> {
        const BOTH: Error = Error::from_static(
            "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
        );
        if self.limit.is_some_and(|other| mem::discriminant(&other) != mem::discriminant(&limit)) {
            return Err(BOTH);
        }
        self.limit = Some(limit);
        Ok(())
    }

    fn check(self) -> Result<Option<Trim>> {
        const NO_STRATEGY: Error = Error::from_static(
            "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
        );
        const NOT_EXACT: Error =
            Error::from_static("ERR syntax error, LIMIT cannot be used without the special ~ option");
        match self.limit {
            None if self.at_most.is_some() => Err(NO_STRATEGY),
            Some(_) if self.at_most.is_some() && !self.is_approximate => Err(NOT_EXACT),
            // A limit of 0 means no limit. `~` trims exactly, which is cheap here.
            limit => Ok(limit.map(|limit| Trim { limit, at_most: self.at_most.filter(|max| *max > 0) })),
        }
    }
}

/// Takes an integer, or returns this error if it is negative.
fn take_at_least_0(args: &mut Arguments<'_>, negative: Error) -> Result<i64> {
    let number: i64 = args.take_integer()?;
    if number < 0 { Err(negative) } else { Ok(number) }
}

impl<'a> FromArg<'a> for Trim {
    const ARG: ArgSpec = ArgSpec::block(&[
        ArgSpec::one_of(&[
            ArgSpec::new(ArgKind::PureToken).token("MAXLEN"),
            ArgSpec::new(ArgKind::PureToken).token("MINID"),
        ])
        .named("strategy"),
        ArgSpec::one_of(&[
            ArgSpec::new(ArgKind::PureToken).token("="),
            ArgSpec::new(ArgKind::PureToken).token("~"),
        ])
        .named("operator")
        .optional(),
        ArgSpec::new(ArgKind::String).named("threshold"),
        ArgSpec::new(ArgKind::Integer).token("LIMIT").named("count").optional(),
    ])
    .named("trim");

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self> {
        let mut trim = Unchecked::default();
        while trim.read(args)? {}
        args.finish()?;
        trim.check()?.ok_or(Error::SYNTAX)
    }
}
