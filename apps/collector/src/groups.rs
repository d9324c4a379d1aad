//! Consumer groups: `XGROUP` and `XACK`.

use thegiant::{
    FromArg,
    command::{ArgKind, ArgSpec, Arguments},
    prelude::*,
};

use crate::{
    collector::{Collector, Result, unreadable, unwritable},
    id::{Id, now},
    store::{Consumer, Group, Of, Stream},
};

#[commands(rows = GROUPS, group = "stream")]
impl Collector {
    /// Creates a consumer group.
    #[command("XGROUP CREATE", write, denyoom)]
    fn xgroup_create(
        &mut self,
        request: &Request<'_>,
        #[key(RW, insert)] key: Key<&[u8]>,
        group: Bytes,
        id: &[u8],
        options: GroupOptions,
    ) -> Result<()> {
        self.check_stream(*key)?;
        let makes_stream = options.check(request, true)?;
        let stream = self.stream(*key);
        if stream.is_none() && !makes_stream {
            return Err(NO_STREAM);
        }
        let last = from(id, stream)?;
        if stream.is_some_and(|stream| stream.groups.contains_key(&group)) {
            return Err(BUSY);
        }
        let number = self.stream_to_change(*key).number;
        let made = self.store.add_group(number, &group, last, options.read).map_err(unwritable)?;
        self.stream_to_change(*key).groups.insert(group, made);
        Ok(())
    }

    /// Sets the last delivered id of a group.
    #[command("XGROUP SETID", write)]
    fn xgroup_setid(
        &mut self,
        request: &Request<'_>,
        #[key(RW, update)] key: Key<&[u8]>,
        group: &[u8],
        id: &[u8],
        options: GroupOptions,
    ) -> Result<()> {
        self.check_stream(*key)?;
        options.check(request, false)?;
        let stream = self.stream(*key).ok_or(NO_STREAM)?;
        stream.groups.get(group).ok_or_else(|| no_such_group(*key, group))?;
        let last = match id {
            b"-" => Id::MIN,
            b"+" => Id::MAX,
            id => from(id, Some(stream))?,
        };
        let group = self.group_to_change(*key, group)?;
        (group.last, group.read) = (last, options.read);
        let number = group.number;
        self.store.set_group(number, last, options.read).map_err(unwritable)
    }

    /// Removes a consumer group.
    #[command("XGROUP DESTROY", write)]
    fn xgroup_destroy(&mut self, #[key(RW, delete)] key: Key<&[u8]>, group: &[u8]) -> Result<i64> {
        self.check_stream(*key)?;
        self.stream(*key).ok_or(NO_STREAM)?;
        let Some(group) = self.streams.get_mut(*key).and_then(|stream| stream.groups.remove(group)) else {
            return Ok(0);
        };
        // Blocked readers of the group must get an error.
        self.fed.insert(Bytes::copy_from_slice(*key));
        self.store.remove_group(group.number).map_err(unwritable)?;
        Ok(1)
    }

    /// Creates a consumer in a group.
    #[command("XGROUP CREATECONSUMER", write, denyoom)]
    fn xgroup_createconsumer(
        &mut self,
        #[key(RW, insert)] key: Key<&[u8]>,
        group: &[u8],
        consumer: &[u8],
    ) -> Result<i64> {
        self.check_stream(*key)?;
        self.stream(*key).ok_or(NO_STREAM)?;
        let found = self.group(*key, group).ok_or_else(|| no_such_group(*key, group))?;
        let is_new = !found.consumers.contains_key(consumer);
        if is_new {
            self.consumer(*key, group, consumer)?;
        }
        Ok(i64::from(is_new))
    }

    /// Removes a consumer from a group, and returns how many events it had not acknowledged.
    #[command("XGROUP DELCONSUMER", write)]
    fn xgroup_delconsumer(
        &mut self,
        #[key(RW, delete)] key: Key<&[u8]>,
        group: &[u8],
        consumer: &[u8],
    ) -> Result<usize> {
        self.check_stream(*key)?;
        self.stream(*key).ok_or(NO_STREAM)?;
        self.group(*key, group).ok_or_else(|| no_such_group(*key, group))?;
        let removed = self.group_to_change(*key, group)?.consumers.remove(consumer);
        removed.map_or(Ok(0), |consumer| self.store.remove_consumer(consumer.number).map_err(unwritable))
    }

    /// Acknowledges events, and returns how many were pending.
    #[command("XACK", write, fast)]
    fn xack(&mut self, #[key(RW, update)] key: Key<&[u8]>, group: &[u8], ids: Vec<&[u8]>) -> Result<i64> {
        self.check_stream(*key)?;
        let Some(number) = self.group(*key, group).map(|group| group.number) else { return Ok(0) };
        let ids: Vec<Id> = ids.into_iter().map(|id| Id::parse(id, 0)).collect::<Result<_>>()?;
        let mut acknowledged = 0;
        for id in ids {
            acknowledged += i64::from(self.store.remove_pending(number, id).map_err(unwritable)?);
        }
        Ok(acknowledged)
    }
}

impl Collector {
    pub(crate) fn group(&self, stream: &[u8], group: &[u8]) -> Option<&Group> {
        self.stream(stream)?.groups.get(group)
    }

    pub(crate) fn group_to_change(&mut self, stream: &[u8], group: &[u8]) -> Result<&mut Group> {
        let found = self.streams.get_mut(stream).and_then(|stream| stream.groups.get_mut(group));
        found.ok_or_else(|| no_such_key_or_group(stream, group))
    }

    /// Returns the consumer with this name and updates the time of its last command. A missing consumer is created.
    ///
    /// The time is written to disk only when the consumer gets an event, so that polling writes nothing.
    pub(crate) fn consumer(&mut self, stream: &[u8], group: &[u8], consumer: &[u8]) -> Result<Consumer> {
        let seen = now();
        let found = self.group_to_change(stream, group)?;
        let number = found.number;
        if let Some(known) = found.consumers.get_mut(consumer) {
            known.seen = seen;
            return Ok(*known);
        }
        let made = self.store.add_consumer(number, consumer, seen).map_err(unwritable)?;
        let name = Bytes::copy_from_slice(consumer);
        self.group_to_change(stream, group)?.consumers.insert(name, made);
        Ok(made)
    }

    /// Records that a consumer has got events.
    pub(crate) fn set_active(&mut self, stream: &[u8], group: &[u8], consumer: &[u8]) -> Result<()> {
        let active = now();
        let Some(known) = self.group_to_change(stream, group)?.consumers.get_mut(consumer) else {
            return Ok(());
        };
        (known.seen, known.active) = (active, Some(active));
        let number = known.number;
        self.store.set_active(number, active).map_err(unwritable)
    }

    pub(crate) fn count_pending(&self, of: Of) -> Result<i64> {
        self.store.count_pending(of).map_err(unreadable)
    }
}

impl Stream {
    /// Returns whether an event after this id may have been removed while older events remain.
    pub(crate) fn has_gaps_from(&self, id: Id) -> bool {
        self.length > 0 && self.max_deleted != Id::MIN && id <= self.max_deleted
    }

    /// Returns the number of events that a group has read after the delivery of the event `id`, if it is known.
    ///
    /// The group had read `read` events up to the id `last` before. A trimmed stream has lost events that nobody has
    /// read, so the count starts again at its `first` event.
    pub(crate) fn read_up_to(&self, id: Id, last: Id, read: Option<i64>, first: Id) -> Option<i64> {
        match read {
            Some(read) if last >= first && !self.has_gaps_from(last) => Some(read + 1),
            read if self.added == 0 => read,
            _ => self.added_up_to(id, first),
        }
    }

    /// Returns the number of events that a group has not read yet, if it is known. `first` is the id of the first
    /// event.
    pub(crate) fn lag(&self, group: &Group, first: Id) -> Option<i64> {
        if self.added == 0 || self.length == 0 {
            return Some(0);
        }
        // Events may have been removed, but the group has read none of those that remain.
        if group.last < first && self.max_deleted < first {
            return Some(self.length);
        }
        let read = group.read.filter(|_| !self.has_gaps_from(group.last));
        read.or_else(|| self.added_up_to(group.last, first)).map(|read| self.added - read)
    }

    /// Returns the number of events up to this id, if it is known. `first` is the id of the first event.
    pub(crate) fn added_up_to(&self, id: Id, first: Id) -> Option<i64> {
        if self.added == 0 {
            return Some(0);
        }
        if self.length == 0 && id <= self.last {
            return Some(self.added);
        }
        // After this id, an event was removed.
        if id != Id::MIN && id < self.max_deleted {
            return None;
        }
        if id == self.last {
            return Some(self.added);
        }
        if id > self.last {
            return None;
        }
        let is_whole = self.max_deleted == Id::MIN || self.max_deleted < first;
        match id.cmp(&first) {
            std::cmp::Ordering::Less if is_whole => Some(self.added - self.length),
            std::cmp::Ordering::Equal if is_whole => Some(self.added - self.length + 1),
            _ => None,
        }
    }
}

/// Parses an id. `$` is the id of the last event.
fn from(id: &[u8], stream: Option<&Stream>) -> Result<Id> {
    match id {
        b"$" => Ok(stream.map_or(Id::MIN, |stream| stream.last)),
        id => Id::parse(id, 0),
    }
}

/// `[MKSTREAM] [ENTRIESREAD entries-read]`.
struct GroupOptions {
    makes_stream: bool,
    read: Option<i64>,
    is_wrong: bool,
}

impl GroupOptions {
    /// Checks the options, and returns whether the command creates a missing stream.
    fn check(&self, request: &Request<'_>, may_make_stream: bool) -> Result<bool> {
        if self.is_wrong || (self.makes_stream && !may_make_stream) {
            return Err(wrong_syntax("XGROUP", request));
        }
        Ok(self.makes_stream)
    }
}

impl<'a> FromArg<'a> for GroupOptions {
    const ARG: ArgSpec = ArgSpec::options(&[
        ArgSpec::new(ArgKind::PureToken).token("MKSTREAM").named("mkstream").optional(),
        ArgSpec::new(ArgKind::Integer).token("ENTRIESREAD").named("entries-read").optional(),
    ]);

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self> {
        const NOT_POSITIVE: Error = Error::from_static("ERR value for ENTRIESREAD must be positive or -1");
        let mut options = GroupOptions { makes_stream: false, read: None, is_wrong: false };
        while !args.is_empty() {
            if args.accept("MKSTREAM") {
                options.makes_stream = true;
            } else if args.len() > 1 && args.accept("ENTRIESREAD") {
                options.read = match args.take_integer::<i64>()? {
                    -1 => None,
                    read if read < 0 => return Err(NOT_POSITIVE),
                    read => Some(read),
                };
            } else {
                args.take()?;
                options.is_wrong = true;
            }
        }
        Ok(options)
    }
}

/// Returns the error of Redis for wrong options of a subcommand.
pub(crate) fn wrong_syntax(command: &str, request: &Request<'_>) -> Error {
    let word = String::from_utf8_lossy(request.get(1).unwrap_or_default());
    Error::err(format_args!(
        "unknown subcommand or wrong number of arguments for '{word}'. Try {command} HELP."
    ))
}

pub(crate) fn no_such_key_or_group(key: &[u8], group: &[u8]) -> Error {
    let [key, group] = [key, group].map(String::from_utf8_lossy);
    Error::new("NOGROUP", format_args!("No such key '{key}' or consumer group '{group}'"))
}

pub(crate) fn no_such_group(key: &[u8], group: &[u8]) -> Error {
    let [key, group] = [key, group].map(String::from_utf8_lossy);
    Error::new("NOGROUP", format_args!("No such consumer group '{group}' for key name '{key}'"))
}

const NO_STREAM: Error = Error::from_static(
    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to \
     create an empty stream automatically.",
);
const BUSY: Error = Error::from_static("BUSYGROUP Consumer Group name already exists");
