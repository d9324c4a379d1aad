//! One database in memory.

use std::{collections::BTreeSet, hash::BuildHasher, hint};

use bytes::BytesMut;
use foldhash::quality::RandomState;
use indexmap::{
    IndexMap,
    map::{MutableKeys, raw_entry_v1::RawEntryApiV1},
};
use thegiant::now;

use crate::{
    cow::CowBytes,
    databases::{Entry, Expiry, Result, Time, is_live},
    record::Record,
};

/// One database.
#[derive(Default)]
pub(crate) struct Db {
    /// [`scan`](Self::scan) depends on the order of the records. Clients choose the keys, so each process
    /// uses a random hash seed. This is a map and not a set, because only a map finds a position
    /// [by a hash](Self::likely_position).
    records: IndexMap<Record, (), RandomState>,
    deadlines: Deadlines,
}

/// Minimum number of keys to [prefetch](Db::prefetch): the records of fewer are in the cache of the processor.
const MIN_PREFETCHED: usize = 10_000;

impl Db {
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// Returns the number of keys, and the number of keys with a deadline.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        (self.records.len(), self.deadlines.0.len())
    }

    #[inline(always)]
    pub(crate) fn entry(&self, key: &[u8]) -> Option<Entry<CowBytes<'_>>> {
        self.records.get_key_value(key).map(|(record, ())| record.entry()).filter(Entry::is_live)
    }

    /// Returns the deadline of a key, even if it is over.
    pub(crate) fn deadline(&self, key: &[u8]) -> Option<Time> {
        self.records.get_key_value(key).and_then(|(record, ())| record.deadline())
    }

    /// Returns the first deadline of any key.
    pub(crate) fn first_deadline(&self) -> Option<Time> {
        self.deadlines.first().map(|(deadline, _)| deadline)
    }

    /// Brings the records of these keys into the cache of the processor, unless they are there already.
    ///
    /// Each step from a key to its record waits for memory, and for the step before. So this takes each step for all keys
    /// before the next one: the processor then waits for many keys at once.
    pub(crate) fn prefetch<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) {
        if self.len() < MIN_PREFETCHED {
            return;
        }
        let keys: Vec<_> = keys.collect();
        let positions: Vec<_> = keys.into_iter().filter_map(|key| self.likely_position(key)).collect();
        let records = positions.iter().filter_map(|position| self.records.get_index(*position));
        let records = records.map(|(record, ())| record);
        hint::black_box(records.clone().map(Record::len).sum::<usize>());
        hint::black_box(records.fold(0, |bytes, record| bytes ^ record.last_byte()));
    }

    /// Returns the position of a key, or of another one with a similar hash: only the key itself could tell.
    #[inline]
    fn likely_position(&self, key: &[u8]) -> Option<usize> {
        self.records.raw_entry_v1().index_from_hash(self.records.hasher().hash_one(key), |_| true)
    }

    #[inline]
    pub(crate) fn set(&mut self, key: &[u8], value: CowBytes<'_>, expiry: Expiry) {
        if let Some((position, record, ())) = self.records.get_full_mut2(key) {
            let before = record.deadline();
            let deadline = expiry.deadline(|| before);
            record.set(value, deadline);
            self.deadlines.change(position, before, deadline);
        } else {
            let deadline = expiry.deadline(|| None);
            let (position, _) = self.records.insert_full(Record::new(key, value, deadline), ());
            self.deadlines.change(position, None, deadline);
        }
    }

    pub(crate) fn update<T>(
        &mut self,
        key: &[u8],
        change: impl FnOnce(&mut BytesMut) -> Result<T>,
    ) -> Result<T> {
        let Some((_, record, ())) = self.records.get_full_mut2(key) else {
            let mut value = BytesMut::new();
            let changed = change(&mut value)?;
            self.set(key, value.freeze().into(), Expiry::Never);
            return Ok(changed);
        };
        let mut value = BytesMut::from(record.take_value());
        let changed = change(&mut value);
        record.set(value.freeze().into(), record.deadline());
        changed
    }

    pub(crate) fn set_deadline(&mut self, key: &[u8], deadline: Option<Time>) {
        if deadline.is_some_and(|deadline| deadline <= now()) {
            self.remove(key);
        } else if let Some((position, record, ())) = self.records.get_full_mut2(key) {
            let before = record.deadline();
            record.set_deadline(deadline);
            self.deadlines.change(position, before, deadline);
        }
    }

    pub(crate) fn remove(&mut self, key: &[u8]) -> bool {
        let position = self.records.get_index_of(key);
        position.and_then(|position| self.remove_at(position)).is_some()
    }

    /// Removes the record at a position. The last record moves to this position.
    fn remove_at(&mut self, position: usize) -> Option<Record> {
        let (removed, ()) = self.records.swap_remove_index(position)?;
        self.deadlines.change(position, removed.deadline(), None);
        let moved = self.records.get_index(position).and_then(|(record, ())| record.deadline());
        self.deadlines.change(self.records.len(), moved, None);
        self.deadlines.change(position, None, moved);
        Some(removed)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &[u8]> {
        live_keys(self.records.keys())
    }

    pub(crate) fn random_key(&self) -> Option<&[u8]> {
        let (before, from) = self.records.as_slice().split_at(fastrand::usize(..=self.records.len()));
        live_keys(from.keys().chain(before.keys())).next()
    }

    /// Returns a page of keys and the next cursor.
    ///
    /// Pages run from the last record to the first, and the cursor is the number of records that the scan has
    /// not visited. A new key is added at the end, and the last key moves to the position of a removed key.
    /// So keys only move towards the front, and the scan cannot miss one. It may return a moved key twice.
    pub(crate) fn scan(&self, cursor: usize, count: usize) -> (usize, impl Iterator<Item = &[u8]>) {
        let len = self.records.len();
        let end = if cursor == 0 { len } else { cursor.min(len) };
        let start = end.saturating_sub(count);
        (start, live_keys(self.records[start..end].keys()))
    }

    /// Removes the key with the first deadline, if it has expired.
    pub(crate) fn pop_expired(&mut self) -> Option<(Time, Record)> {
        let (deadline, position) = self.deadlines.first().filter(|(deadline, _)| *deadline < now())?;
        Some((deadline, self.remove_at(position)?))
    }
}

/// Returns the keys of those records that have not expired.
fn live_keys<'a>(records: impl Iterator<Item = &'a Record>) -> impl Iterator<Item = &'a [u8]> {
    records.filter(|record| is_live(record.deadline())).map(Record::key)
}

/// The positions of the records that have a deadline, in the order of their deadlines.
#[derive(Default)]
struct Deadlines(BTreeSet<(Time, usize)>);

impl Deadlines {
    #[inline]
    fn change(&mut self, position: usize, from: Option<Time>, to: Option<Time>) {
        if from != to {
            self.replace(position, from, to);
        }
    }

    fn replace(&mut self, position: usize, from: Option<Time>, to: Option<Time>) {
        if let Some(from) = from {
            self.0.remove(&(from, position));
        }
        if let Some(to) = to {
            self.0.insert((to, position));
        }
    }

    fn first(&self) -> Option<(Time, usize)> {
        self.0.first().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: CowBytes<'_> = CowBytes::Borrowed(b"");

    fn numbered(n: usize) -> String {
        format!("key:{n}")
    }

    fn filled(len: usize) -> Db {
        let mut db = Db::default();
        for n in 0..len {
            db.set(numbered(n).as_bytes(), EMPTY, Expiry::Never);
        }
        db
    }

    #[test]
    fn a_scan_returns_every_key_that_exists_throughout() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut db = filled(100);
            let mut seen = BTreeSet::new();
            let mut cursor = 0;
            loop {
                let (next, page) = db.scan(cursor, random.usize(1..10));
                seen.extend(page.map(<[u8]>::to_vec));
                // Even numbers stay, while odd numbers are added and removed.
                for _ in 0..random.usize(..20) {
                    db.remove(numbered(random.usize(..150) * 2 + 1).as_bytes());
                    db.set(numbered(random.usize(..150) * 2 + 1).as_bytes(), EMPTY, Expiry::Never);
                }
                cursor = next;
                if cursor == 0 {
                    break;
                }
            }
            for n in (0..100).step_by(2) {
                assert!(seen.contains(numbered(n).as_bytes()), "{n} in round {seed}");
            }
        }
    }

    #[test]
    fn a_deadline_is_kept_changed_and_removed_with_its_key() {
        let later = now() + 60_000;
        let mut db = Db::default();
        db.set(b"k", EMPTY, Expiry::At(later));
        db.set(b"k", EMPTY, Expiry::Keep);
        assert_eq!(db.entry(b"k").and_then(|entry| entry.deadline), Some(later));
        db.set_deadline(b"k", Some(later + 1));
        assert_eq!(db.deadlines.0.len(), 1);
        db.remove(b"k");
        db.set(b"k", EMPTY, Expiry::At(later));
        db.set(b"k", EMPTY, Expiry::Never);
        assert!(db.deadlines.0.is_empty());
    }

    #[test]
    fn random_key_returns_each_key_eventually() {
        assert_eq!(Db::default().random_key(), None);
        let db = filled(3);
        let seen: BTreeSet<_> = (0..1000).map(|_| db.random_key()).collect();
        assert_eq!(seen.len(), 3);
    }

    #[test]
    fn most_likely_positions_are_right() {
        let db = filled(10_000);
        let is_right = |n: &usize| db.likely_position(numbered(*n).as_bytes()) == Some(*n);
        assert!((0..10_000).filter(is_right).count() > 8000);
        let missing = (10_000..20_000).filter(|n| db.likely_position(numbered(*n).as_bytes()).is_none());
        assert!(missing.count() > 8000);
        // The prefetch itself has no result.
        db.prefetch([&b"key:1"[..], b"missing"].into_iter());
    }
}
