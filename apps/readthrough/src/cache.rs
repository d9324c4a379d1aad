//! Cached values, and keys that are known not to exist.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use bytes::Bytes;
use foldhash::quality::RandomState;
use quick_cache::{Weighter, unsync};

/// Time for which an answer of the database stays valid.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetimes {
    /// For a value that exists.
    pub(crate) value: Duration,
    /// For a key that does not exist.
    pub(crate) absence: Duration,
    /// Additional time for which the cache serves an expired value while it reads the new one.
    pub(crate) stale: Duration,
}

/// Values in memory, and keys that are known not to exist.
pub(crate) struct Cache {
    entries: unsync::Cache<Bytes, Entry, Size, RandomState>,
    lifetimes: Lifetimes,
    /// Number of writes so far.
    writes: Writes,
    /// Number of the database servers so far.
    server: u64,
    /// Keys with a read in progress, and the number of their last write. A read that began before that write
    /// may have returned an old value.
    being_read: HashMap<Bytes, Reading, RandomState>,
}

/// Counts writes, so that a read can be compared with a write.
pub(crate) type Writes = u64;

#[derive(Clone, Debug)]
struct Entry {
    /// `None` if the key does not exist.
    value: Option<Bytes>,
    fresh_until: Instant,
    /// The server that it was read from.
    server: u64,
}

#[derive(Debug, Default)]
struct Reading {
    readers: usize,
    written: Writes,
}

/// The cached answer for a key.
#[derive(Debug, PartialEq)]
pub(crate) enum Known {
    Fresh(Option<Bytes>),
    /// The value has expired and should be read again.
    Stale(Option<Bytes>),
    Nothing,
}

/// Estimates the memory of an entry: its bytes plus a fixed overhead.
#[derive(Clone, Debug)]
struct Size;

impl Weighter<Bytes, Entry> for Size {
    fn weight(&self, key: &Bytes, entry: &Entry) -> u64 {
        (key.len() + entry.value.as_ref().map_or(0, Bytes::len) + OVERHEAD) as u64
    }
}

const OVERHEAD: usize = 128;

/// Random variation of a lifetime, so that keys that were read together do not expire together.
const JITTER: f64 = 0.1;

impl Cache {
    /// Creates a cache for this number of bytes.
    pub(crate) fn new(bytes: usize, lifetimes: Lifetimes) -> Self {
        let room = bytes as u64;
        let entries =
            unsync::Cache::with(bytes / 512, room, Size, RandomState::default(), Default::default());
        Cache { entries, lifetimes, writes: 0, server: 0, being_read: HashMap::default() }
    }

    pub(crate) fn get(&self, key: &[u8], now: Instant) -> Known {
        let Some(entry) = self.entries.get(key) else { return Known::Nothing };
        let value = entry.value.clone();
        if now < entry.fresh_until && entry.server == self.server {
            Known::Fresh(value)
        } else if now < entry.fresh_until + self.lifetimes.stale {
            Known::Stale(value)
        } else {
            Known::Nothing
        }
    }

    /// Marks keys as being read. Returns the number of writes so far.
    pub(crate) fn begin_read(&mut self, keys: &[Bytes]) -> Writes {
        for key in keys {
            self.being_read.entry(key.clone()).or_default().readers += 1;
        }
        self.writes
    }

    /// Ends the read of a key and caches its result. `read` is `None` if the read failed.
    pub(crate) fn end_read(&mut self, key: &Bytes, since: Writes, read: Option<Option<Bytes>>) {
        let Some(reading) = self.being_read.get_mut(key) else { return };
        reading.readers -= 1;
        let is_outdated = reading.written > since;
        if reading.readers == 0 {
            self.being_read.remove(key);
        }
        if let Some(value) = read.filter(|_| !is_outdated) {
            let life = if value.is_some() { self.lifetimes.value } else { self.lifetimes.absence };
            let fresh_until = Instant::now() + life.mul_f64(1.0 - JITTER + 2.0 * JITTER * fastrand::f64());
            self.entries.insert(key.clone(), Entry { value, fresh_until, server: self.server });
        }
    }

    /// Removes a key that was written, or may have been written.
    pub(crate) fn forget(&mut self, key: &[u8]) {
        self.entries.remove(key);
        self.writes += 1;
        if let Some(reading) = self.being_read.get_mut(key) {
            reading.written = self.writes;
        }
    }

    /// Makes all values stale if the database has another server now, which may lack writes of the one before.
    pub(crate) fn set_server(&mut self, server: u64) {
        if self.server != server {
            self.server = server;
            self.writes += 1;
            // The reads in progress may be those of the server before.
            self.being_read.values_mut().for_each(|reading| reading.written = self.writes);
        }
    }

    /// Returns the number of keys and their size in bytes.
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
    fn a_value_is_fresh_then_stale_then_unknown() {
        let mut cache = cache();
        for (value, fresh) in [(Some(Bytes::from_static(b"value")), 60), (None, 5)] {
            let since = cache.begin_read(&[key()]);
            cache.end_read(&key(), since, Some(value.clone()));
            assert_eq!(cache.get(b"key", in_seconds(fresh * 8 / 10)), Known::Fresh(value.clone()));
            assert_eq!(cache.get(b"key", in_seconds(fresh * 12 / 10)), Known::Stale(value.clone()));
            assert_eq!(cache.get(b"key", in_seconds(fresh * 12 / 10 + 600)), Known::Nothing);
        }
        assert_eq!(cache.get(b"other", Instant::now()), Known::Nothing);
    }

    #[test]
    fn a_read_that_overlaps_a_write_is_not_cached() {
        let mut cache = cache();
        let (first, second) = (cache.begin_read(&[key()]), cache.begin_read(&[key()]));
        cache.forget(b"key");
        let third = cache.begin_read(&[key()]);
        for since in [first, second] {
            cache.end_read(&key(), since, Some(None));
            assert_eq!(cache.get(b"key", Instant::now()), Known::Nothing);
        }
        cache.end_read(&key(), third, Some(None));
        assert_eq!(cache.get(b"key", Instant::now()), Known::Fresh(None));
        assert!(cache.being_read.is_empty());
        // The result of a failed read is not cached.
        cache.forget(b"key");
        let since = cache.begin_read(&[key()]);
        cache.end_read(&key(), since, None);
        assert_eq!(cache.get(b"key", Instant::now()), Known::Nothing);
    }

    #[test]
    fn values_of_another_server_are_stale() {
        let mut cache = cache();
        let since = cache.begin_read(&[key()]);
        cache.end_read(&key(), since, Some(None));
        let (now, since) = (Instant::now(), cache.begin_read(&[key()]));
        cache.set_server(0);
        assert_eq!(cache.get(b"key", now), Known::Fresh(None));
        cache.set_server(1);
        assert_eq!(cache.get(b"key", now), Known::Stale(None));
        // A read of the server before.
        cache.end_read(&key(), since, Some(None));
        assert_eq!(cache.get(b"key", now), Known::Stale(None));
        let since = cache.begin_read(&[key()]);
        cache.end_read(&key(), since, Some(None));
        assert_eq!(cache.get(b"key", now), Known::Fresh(None));
    }

    #[test]
    fn memory_is_bounded() {
        let mut cache = cache();
        for number in 0..10_000 {
            let key = Bytes::from(format!("key:{number}"));
            let since = cache.begin_read(std::slice::from_ref(&key));
            cache.end_read(&key, since, Some(Some(vec![0; 1000].into())));
        }
        let (keys, bytes) = cache.size();
        assert!(keys > 500 && bytes <= 1 << 20, "{keys} keys of {bytes} bytes");
    }
}
