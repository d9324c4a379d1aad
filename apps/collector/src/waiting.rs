//! Clients that wait for events, and the replies that they get.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use thegiant::{
    prelude::*,
    resp::{Encoder, Protocol},
};

use crate::{fields::Fields, id::Id, store::Event};

/// A hundred years.
const NO_TIMEOUT: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Blocked readers in the order in which they arrived, and their numbers by stream.
#[derive(Default)]
pub(crate) struct Waiting {
    pub(crate) readers: BTreeMap<u64, Reader>,
    pub(crate) by_stream: HashMap<Bytes, Vec<u64>>,
    next: u64,
}

/// A client that waits for events.
pub(crate) struct Reader {
    pub(crate) wanted: Vec<(Bytes, Wanted)>,
    pub(crate) count: Option<i64>,
    pub(crate) group: Option<Membership>,
    pub(crate) responder: Responder<Streams>,
}

/// A consumer of a group.
pub(crate) struct Membership {
    pub(crate) name: Bytes,
    pub(crate) consumer: Bytes,
    /// Whether delivered events count as acknowledged (`NOACK`).
    pub(crate) is_acknowledged: bool,
}

/// Selects events of a stream.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Events after an id.
    After(Id),
    /// `$`: events after the present last event.
    Last,
    /// `+`: the last event there is.
    Newest,
    /// `>`: events that were not delivered to the group yet.
    New,
}

impl Wanted {
    pub(crate) fn id(self) -> Id {
        match self {
            Wanted::After(id) => id,
            Wanted::Last | Wanted::Newest | Wanted::New => Id::MAX,
        }
    }
}

impl Waiting {
    /// Adds a blocked reader. A time of zero means no timeout.
    pub(crate) fn add(&mut self, mut reader: Reader, time: Duration) {
        // Every end of the wait without events sends the same reply: no events.
        let time = if time.is_zero() { NO_TIMEOUT } else { time };
        reader.responder = reader.responder.timeout(time, Streams(Vec::new()));
        let number = self.next;
        self.next += 1;
        for (name, _) in &reader.wanted {
            self.by_stream.entry(name.clone()).or_default().push(number);
        }
        self.readers.insert(number, reader);
    }

    pub(crate) fn put_back(&mut self, number: u64, name: &Bytes, reader: Reader) {
        self.by_stream.entry(name.clone()).or_default().push(number);
        self.readers.insert(number, reader);
    }

    /// Removes readers that have stopped waiting.
    pub(crate) fn remove_closed(&mut self) {
        self.readers.retain(|_, reader| !reader.responder.is_closed());
        self.by_stream.retain(|_, numbers| {
            numbers.retain(|number| self.readers.contains_key(number));
            !numbers.is_empty()
        });
    }
}

/// A delivered event. The fields of a removed event are `None`.
pub(crate) struct Delivered(pub(crate) Id, pub(crate) Option<Fields>);

pub(crate) fn with_fields(events: Vec<Event>) -> Vec<Delivered> {
    events.into_iter().map(|(id, fields)| Delivered(id, Some(fields))).collect()
}

impl Reply for Delivered {
    fn write_to(self, out: &mut Encoder) {
        out.array(2);
        self.0.write_to(out);
        match self.1 {
            Some(fields) => fields.write_to(out),
            None => out.null_array(),
        }
    }
}

/// Events by stream: a map in RESP3, an array of pairs in RESP2. Without events, the reply is a null array.
pub(crate) struct Streams(pub(crate) Vec<(Bytes, Vec<Delivered>)>);

impl Reply for Streams {
    fn write_to(self, out: &mut Encoder) {
        match out.protocol() {
            _ if self.0.is_empty() => out.null_array(),
            Protocol::Resp2 => self.0.write_to(out),
            Protocol::Resp3 => {
                out.map(self.0.len());
                for (name, events) in self.0 {
                    name.write_to(out);
                    events.write_to(out);
                }
            }
        }
    }
}
