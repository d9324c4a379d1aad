//! What is known of keys without asking the database.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use bytes::Bytes;
use foldhash::quality::RandomState;
use quick_cache::{Weighter, unsync};

/// For how long what the database has said is taken for true.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetimes {
    /// A value, and that there is none.
    pub(crate) value: Duration,
    pub(crate) absence: Duration,
    /// How much longer it is answered while it is asked for again.
    pub(crate) stale: Duration,
}

/// Values in memory, and keys that are known not to exist.
pub(crate) struct Cache {
    entries: unsync::Cache<Bytes, Entry, Size, RandomState>,
    lifetimes: Lifetimes,
    /// How often anything has been written.
    writes: Writes,
    /// Keys that are being read, and when they were last written meanwhile: who began before that may have read what is old.
    being_read: HashMap<Bytes, Reading, RandomState>,
}

/// A number of writes, which tells what was before another.
pub(crate) type Writes = u64;

#[derive(Clone, Debug)]
struct Entry {
    /// None: there is no such key.
    value: Option<Bytes>,
    fresh_until: Instant,
}

#[derive(Debug, Default)]
struct Reading {
    readers: usize,
    written: Writes,
}

/// What is known of a key.
#[derive(Debug, PartialEq)]
pub(crate) enum Known {
    Fresh(Option<Bytes>),
    /// It should be asked for again.
    Stale(Option<Bytes>),
    Nothing,
}

/// What an entry takes: its bytes, and what is around them.
#[derive(Clone, Debug)]
struct Size;

impl Weighter<Bytes, Entry> for Size {
    fn weight(&self, key: &Bytes, entry: &Entry) -> u64 {
        (key.len() + entry.value.as_ref().map_or(0, Bytes::len) + OVERHEAD) as u64
    }
}

const OVERHEAD: usize = 128;

/// Lifetimes are so much shorter or longer by chance: what was read at once is not read again at once.
const JITTER: f64 = 0.1;

impl Cache {
    /// With room for so many bytes.
    pub(crate) fn new(bytes: usize, lifetimes: Lifetimes) -> Self {
        let room = bytes as u64;
        let entries =
            unsync::Cache::with(bytes / 512, room, Size, RandomState::default(), Default::default());
        Cache { entries, lifetimes, writes: 0, being_read: HashMap::default() }
    }

    pub(crate) fn get(&self, key: &[u8], now: Instant) -> Known {
        let Some(entry) = self.entries.get(key) else { return Known::Nothing };
        let value = entry.value.clone();
        if now < entry.fresh_until {
            Known::Fresh(value)
        } else if now < entry.fresh_until + self.lifetimes.stale {
            Known::Stale(value)
        } else {
            Known::Nothing
        }
    }

    /// Keys are going to be read. Returns what has been written before.
    pub(crate) fn begin_to_read(&mut self, keys: &[Bytes]) -> Writes {
        for key in keys {
            self.being_read.entry(key.clone()).or_default().readers += 1;
        }
        self.writes
    }

    /// One of them has been read, or could not be: then there is nothing to keep.
    pub(crate) fn end_to_read(&mut self, key: &Bytes, since: Writes, read: Option<Option<Bytes>>) {
        let Some(reading) = self.being_read.get_mut(key) else { return };
        reading.readers -= 1;
        let is_outdated = reading.written > since;
        if reading.readers == 0 {
            self.being_read.remove(key);
        }
        if let Some(value) = read.filter(|_| !is_outdated) {
            let life = if value.is_some() { self.lifetimes.value } else { self.lifetimes.absence };
            let fresh_until = Instant::now() + life.mul_f64(1.0 - JITTER + 2.0 * JITTER * fastrand::f64());
            self.entries.insert(key.clone(), Entry { value, fresh_until });
        }
    }

    /// A key has been written, or may have been.
    pub(crate) fn forget(&mut self, key: &[u8]) {
        self.entries.remove(key);
        self.writes += 1;
        if let Some(reading) = self.being_read.get_mut(key) {
            reading.written = self.writes;
        }
    }

    /// Keys, and bytes that these take.
    pub(crate) fn size(&self) -> (usize, u64) {
        (self.entries.len(), self.entries.weight())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache() -> Cache {
        let second = Duration::from_secs(1);
        Cache::new(1 << 20, Lifetimes { value: 60 * second, absence: 5 * second, stale: 600 * second })
    }

    fn key() -> Bytes {
        Bytes::from_static(b"key")
    }

    fn in_seconds(seconds: u64) -> Instant {
        Instant::now() + Duration::from_secs(seconds)
    }

    #[test]
    fn what_is_read_is_fresh_then_stale_then_forgotten() {
        let mut cache = cache();
        for (value, fresh) in [(Some(Bytes::from_static(b"value")), 60), (None, 5)] {
            let since = cache.begin_to_read(&[key()]);
            cache.end_to_read(&key(), since, Some(value.clone()));
            assert_eq!(cache.get(b"key", in_seconds(fresh * 8 / 10)), Known::Fresh(value.clone()));
            assert_eq!(cache.get(b"key", in_seconds(fresh * 12 / 10)), Known::Stale(value.clone()));
            assert_eq!(cache.get(b"key", in_seconds(fresh * 12 / 10 + 600)), Known::Nothing);
        }
        assert_eq!(cache.get(b"other", Instant::now()), Known::Nothing);
    }

    #[test]
    fn what_is_written_while_it_is_read_is_not_kept() {
        let mut cache = cache();
        let (first, second) = (cache.begin_to_read(&[key()]), cache.begin_to_read(&[key()]));
        cache.forget(b"key");
        let third = cache.begin_to_read(&[key()]);
        for since in [first, second] {
            cache.end_to_read(&key(), since, Some(None));
            assert_eq!(cache.get(b"key", Instant::now()), Known::Nothing);
        }
        cache.end_to_read(&key(), third, Some(None));
        assert_eq!(cache.get(b"key", Instant::now()), Known::Fresh(None));
        assert!(cache.being_read.is_empty());
        // What could not be read is not kept.
        cache.forget(b"key");
        let since = cache.begin_to_read(&[key()]);
        cache.end_to_read(&key(), since, None);
        assert_eq!(cache.get(b"key", Instant::now()), Known::Nothing);
    }

    #[test]
    fn memory_is_bounded() {
        let mut cache = cache();
        for number in 0..10_000 {
            let key = Bytes::from(format!("key:{number}"));
            let since = cache.begin_to_read(std::slice::from_ref(&key));
            cache.end_to_read(&key, since, Some(Some(vec![0; 1000].into())));
        }
        let (keys, bytes) = cache.size();
        assert!(keys > 500 && bytes <= 1 << 20, "{keys} keys of {bytes} bytes");
    }
}
