//! The actor: keeps the state of all streams in memory and commits it to disk.

use std::{
    cell::RefCell,
    collections::{BTreeSet, HashMap},
    fmt, mem,
    sync::Arc,
};

use thegiant::{Commit, Connected, Disconnected, GroupCommit, Keyspace, prelude::*};

use crate::{
    fields::Fields,
    id::{Id, NewId},
    options::Retention,
    stats::Stats,
    store::{self, Event, Limit, Range, ReadError, Store, Stream},
    string_table::Strings,
    waiting::Waiting,
    warehouse::Status,
};

/// Maximum number of damaged events that are logged.
const MAX_DAMAGED: usize = 1000;

pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Streams of events.
pub(crate) struct Collector {
    pub(crate) store: Store,
    pub(crate) streams: HashMap<Bytes, Stream>,
    pub(crate) strings: Strings,
    /// Names of the streams with unwritten changes.
    changed: BTreeSet<Bytes>,
    /// Names of the streams with new events since the last [`feed`](Self::feed).
    pub(crate) fed: BTreeSet<Bytes>,
    next_number: i64,
    pub(crate) waiting: Waiting,
    pub(crate) retention: Retention,
    /// The warehouse that gets the events, too.
    pub(crate) warehouse: Option<Arc<Status>>,
    pub(crate) is_unwritable: bool,
    /// Damaged events that were found: stream and id.
    damaged: RefCell<BTreeSet<(i64, Id)>>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) keyspace: Keyspace,
}

impl Collector {
    pub(crate) fn new(
        store: Store,
        retention: Retention,
        stats: Arc<Stats>,
        keyspace: Keyspace,
        warehouse: Option<Arc<Status>>,
    ) -> store::Result<Self> {
        let (streams, next_number) = store.streams()?;
        let strings = Strings::read(&store)?;
        let mut collector = Collector {
            store,
            streams,
            strings,
            changed: BTreeSet::new(),
            fed: BTreeSet::new(),
            next_number,
            waiting: Waiting::default(),
            retention,
            warehouse,
            is_unwritable: false,
            damaged: RefCell::default(),
            stats,
            keyspace,
        };
        collector.update_totals();
        collector.note_oldest_unshipped()?;
        Ok(collector)
    }

    pub(crate) fn stream(&self, name: &[u8]) -> Option<&Stream> {
        self.streams.get(name)
    }

    /// Returns the names of all streams and strings.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Bytes> {
        self.streams.keys().chain(self.strings.keys())
    }

    /// Returns the stream with this name and marks it as changed. A missing stream is created.
    pub(crate) fn stream_to_change(&mut self, name: &[u8]) -> &mut Stream {
        let name = match self.streams.get_key_value(name) {
            Some((name, _)) => name.clone(),
            None => Bytes::copy_from_slice(name),
        };
        self.changed.insert(name.clone());
        self.streams.entry(name).or_insert_with(|| {
            let number = self.next_number;
            self.next_number += 1;
            Stream::new(number)
        })
    }

    /// Adds an event to a stream, and returns its id.
    pub(crate) fn add(&mut self, name: &[u8], id: NewId, fields: &Fields) -> Result<Id> {
        self.check_stream(name)?;
        let last = self.stream(name).map_or(Id::MIN, |stream| stream.last);
        let id = id.after(last)?;
        let stream = self.stream_to_change(name);
        stream.last = id;
        stream.length += 1;
        stream.added += 1;
        let number = stream.number;
        self.store.add(number, id, fields).map_err(unwritable)?;
        self.stats.added(fields);
        self.fed.insert(Bytes::copy_from_slice(name));
        Ok(id)
    }

    pub(crate) fn range(&self, stream: &Stream, range: Range) -> Result<Vec<Event>> {
        self.store.range(stream.number, range).map_err(|error| match error {
            ReadError::Sqlite(error) => unreadable(error),
            ReadError::Damaged(id) => self.on_damaged(stream.number, id),
        })
    }

    /// Returns the id of the first event of a stream, or [`Id::MIN`] if it has no events.
    pub(crate) fn first_id(&self, stream: &Stream) -> Result<Id> {
        Ok(self.store.end(stream.number, false).map_err(unreadable)?.unwrap_or(Id::MIN))
    }

    /// Logs a damaged event when it is found, and returns the error for its reader.
    fn on_damaged(&self, stream: i64, id: Id) -> Error {
        let name = self.streams.iter().find(|(_, known)| known.number == stream).map(|(name, _)| name);
        let name = String::from_utf8_lossy(name.map_or(&[], |name| name));
        let mut damaged = self.damaged.borrow_mut();
        if damaged.len() < MAX_DAMAGED && damaged.insert((stream, id)) {
            tracing::error!(stream = %name, %id, "an event is damaged: its readers get an error until it is removed");
            self.stats.set_damaged(damaged.len());
        }
        Error::err(format_args!(
            "event {id} of the stream {name} is damaged: remove it with XDEL, or read the events after it"
        ))
    }

    /// Removes events, and returns how many existed.
    pub(crate) fn remove(&mut self, name: &[u8], ids: &[Id]) -> Result<i64> {
        let Some(number) = self.stream(name).map(|stream| stream.number) else { return Ok(0) };
        let mut removed = 0;
        for id in ids {
            if self.store.remove(number, *id).map_err(unwritable)? {
                let stream = self.stream_to_change(name);
                stream.length -= 1;
                stream.max_deleted = stream.max_deleted.max(*id);
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Removes the oldest events of a stream, and returns how many it removed.
    pub(crate) fn trim(&mut self, name: &[u8], limit: Limit, at_most: Option<i64>) -> Result<i64> {
        self.check_stream(name)?;
        let Some(stream) = self.stream(name) else { return Ok(0) };
        let (last, excess) = match limit {
            Limit::MaxLen(len) => (Some(Id::MAX), (stream.length - len).max(0)),
            Limit::MinId(id) => (id.previous(), stream.length),
        };
        let (Some(last), number) = (last, stream.number) else { return Ok(0) };
        let count = at_most.map_or(excess, |max| excess.min(max));
        self.remove_oldest(name, number, last, count)
    }

    /// Removes at most `count` of the oldest events of a stream up to an id, and returns how many it removed.
    pub(crate) fn remove_oldest(&mut self, name: &[u8], number: i64, last: Id, count: i64) -> Result<i64> {
        if count == 0 {
            return Ok(0);
        }
        let removed = self.store.remove_oldest(number, last, count).map_err(unwritable)?;
        if removed > 0 {
            self.stream_to_change(name).length -= removed;
        }
        Ok(removed)
    }

    /// Removes a stream. Returns whether it existed.
    pub(crate) fn remove_stream(&mut self, name: &[u8]) -> Result<bool> {
        let Some(stream) = self.streams.remove(name) else { return Ok(false) };
        self.changed.remove(name);
        // The readers of its groups must get an error.
        self.fed.insert(Bytes::copy_from_slice(name));
        for group in stream.groups.values() {
            self.store.remove_group(group.number).map_err(unwritable)?;
        }
        self.store.remove_stream(stream.number).map_err(unwritable)?;
        Ok(true)
    }

    pub(crate) fn write_changed(&mut self) -> Result<()> {
        self.store.check_writable().map_err(unwritable)?;
        for name in mem::take(&mut self.changed) {
            if let Some(stream) = self.streams.get(&name) {
                self.store.set_stream(&name, stream).map_err(unwritable)?;
            }
        }
        self.store.commit().map_err(unwritable)
    }

    /// Returns to the state on disk.
    pub(crate) fn roll_back(&mut self, context: &mut Context<Self>) {
        self.changed.clear();
        self.fed.clear();
        match self.store.roll_back().and_then(|()| Ok((self.store.streams()?, Strings::read(&self.store)?))) {
            Ok(((streams, _), strings)) => (self.streams, self.strings) = (streams, strings),
            Err(error) => {
                tracing::error!(%error, "the rollback failed, so the collector stops");
                context.stop();
            }
        }
    }

    pub(crate) fn update_totals(&mut self) {
        let events = self.streams.values().map(|stream| stream.length).sum();
        self.stats.set_totals(self.streams.len(), events, self.store.file_size());
    }
}

#[commands(
    include(EVENTS, STREAMS, READING, GROUPS, PENDING, INFO, INFO_GROUPS, STRINGS),
    group_commit,
    expire
)]
impl Collector {}

impl Actor for Collector {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.sweep(context);
    }
}

impl GroupCommit for Collector {
    fn commit(&mut self, _: &mut Context<Self>) -> Commit {
        // This answers blocked readers with the events of this group. Their replies wait for the commit too.
        self.feed();
        self.stats.group_written();
        self.write_changed().into()
    }

    fn rollback(&mut self, _: &Error, context: &mut Context<Self>) {
        self.roll_back(context);
    }
}

impl Handler<Connected> for Collector {
    type Result = ();

    fn handle(&mut self, _: Connected, _: &mut Context<Self>) {
        self.stats.clients(1);
    }
}

impl Handler<Disconnected> for Collector {
    type Result = ();

    fn handle(&mut self, _: Disconnected, _: &mut Context<Self>) {
        self.stats.clients(-1);
    }
}

/// Uses the error texts of Redis, which clients know.
pub(crate) fn unwritable(error: impl fmt::Display) -> Error {
    Error::new("MISCONF", format_args!("Errors writing to the disk: {error}"))
}

pub(crate) fn unreadable(error: rusqlite::Error) -> Error {
    Error::err(format_args!("Error reading from the disk: {error}"))
}
