//! Keys and values in memory.

use std::{collections::BTreeSet, mem, sync::Arc};

use bytes::BytesMut;
use foldhash::quality::RandomState;
use indexmap::IndexMap;
use thegiant::Bytes;

use crate::databases::{Counts, DATABASES, Databases, Expiry, Result, Time, now};

type Entry = crate::databases::Entry<Bytes>;
type Found<'a> = crate::databases::Entry<&'a Bytes>;

/// Databases in memory.
#[derive(Default)]
pub struct Memory {
    databases: [Db; DATABASES],
    counts: Arc<[Counts; DATABASES]>,
}

/// One database.
#[derive(Default)]
struct Db {
    /// [`scan`](Self::scan) depends on the order of the entries. Clients choose the keys, so each process
    /// uses a random hash seed.
    entries: IndexMap<Bytes, Entry, RandomState>,
    deadlines: Deadlines,
}

impl Memory {
    /// Returns empty databases that keep these counts.
    pub fn with_counts(counts: Arc<[Counts; DATABASES]>) -> Self {
        Memory { databases: Default::default(), counts }
    }

    #[inline]
    fn db(&self, number: u16) -> &Db {
        &self.databases[usize::from(number)]
    }

    /// Changes a database and updates its counts if they differ.
    #[inline]
    fn change<T>(&mut self, number: u16, change: impl FnOnce(&mut Db) -> T) -> T {
        let index = usize::from(number);
        let db = &mut self.databases[index];
        let before = db.sizes();
        let changed = change(db);
        let sizes = db.sizes();
        if sizes != before {
            self.counts[index].set(sizes.0, sizes.1);
        }
        changed
    }
}

impl Databases for Memory {
    type Found<'a> = &'a Bytes;

    const USES_GROUP_COMMIT: bool = false;

    fn len(&self, db: u16) -> usize {
        self.db(db).entries.len()
    }

    fn kept(found: &Bytes) -> Bytes {
        found.clone()
    }

    #[inline]
    fn entry(&self, db: u16, key: &[u8]) -> Result<Option<Found<'_>>> {
        Ok(self.db(db).entry(key))
    }

    #[inline]
    fn set(&mut self, db: u16, key: &[u8], value: Bytes, expiry: Expiry) -> Result<()> {
        self.change(db, |db| db.set(key, value, expiry));
        Ok(())
    }

    fn update<T>(
        &mut self,
        db: u16,
        key: &[u8],
        change: impl FnOnce(&mut BytesMut) -> Result<T>,
    ) -> Result<T> {
        self.change(db, |db| db.update(key, change))
    }

    fn set_deadline(&mut self, db: u16, key: &[u8], deadline: Option<Time>) -> Result<()> {
        self.change(db, |db| db.set_deadline(key, deadline));
        Ok(())
    }

    fn remove(&mut self, db: u16, key: &[u8]) -> Result<Option<Entry>> {
        Ok(self.change(db, |db| db.remove(key)))
    }

    fn clear(&mut self, db: u16) -> Result<impl Send + 'static + use<>> {
        Ok(self.change(db, mem::take))
    }

    fn keys(&self, db: u16) -> impl Iterator<Item = Result<&Bytes>> {
        self.db(db).keys().map(Ok)
    }

    fn random_key(&self, db: u16) -> Result<Option<&Bytes>> {
        Ok(self.db(db).random_key())
    }

    fn scan(&self, db: u16, cursor: u64, count: usize) -> Result<(u64, Vec<&Bytes>)> {
        let (next, page) = self.db(db).scan(usize::try_from(cursor).unwrap_or(usize::MAX), count);
        Ok((next as u64, page.collect()))
    }

    fn drop_expired(&mut self, limit: usize, mut on_expired: impl FnMut(u16, &[u8])) -> Result<usize> {
        let numbers = 0..DATABASES as u16;
        Ok(numbers
            .map(|number| self.change(number, |db| db.drop_expired(limit, |key| on_expired(number, key))))
            .sum())
    }
}

impl Db {
    /// Returns the number of keys, and the number of keys with a deadline.
    fn sizes(&self) -> (usize, usize) {
        (self.entries.len(), self.deadlines.0.len())
    }

    #[inline]
    fn entry(&self, key: &[u8]) -> Option<Found<'_>> {
        let entry = self.entries.get(key).filter(|entry| entry.is_live())?;
        Some(Found { value: &entry.value, deadline: entry.deadline })
    }

    #[inline]
    fn set(&mut self, key: &[u8], value: Bytes, expiry: Expiry) {
        if let Some((_, key, entry)) = self.entries.get_full_mut(key) {
            let current = || entry.deadline.filter(|_| entry.is_live());
            let deadline = expiry.deadline(current);
            let before = mem::replace(entry, Entry { value, deadline });
            self.deadlines.change(key, before.deadline, deadline);
        } else {
            let key = Bytes::copy_from_slice(key);
            let deadline = expiry.deadline(|| None);
            self.deadlines.change(&key, None, deadline);
            self.entries.insert(key, Entry { value, deadline });
        }
    }

    fn update<T>(&mut self, key: &[u8], change: impl FnOnce(&mut BytesMut) -> Result<T>) -> Result<T> {
        let Some(entry) = self.entries.get_mut(key).filter(|entry| entry.is_live()) else {
            let mut value = BytesMut::new();
            let changed = change(&mut value)?;
            self.set(key, value.freeze(), Expiry::Never);
            return Ok(changed);
        };
        // This copies the value only if a reply still refers to it.
        let mut value = BytesMut::from(mem::take(&mut entry.value));
        let changed = change(&mut value);
        entry.value = value.freeze();
        changed
    }

    fn set_deadline(&mut self, key: &[u8], deadline: Option<Time>) {
        if deadline.is_some_and(|deadline| deadline <= now()) {
            self.remove(key);
        } else if let Some((_, key, entry)) = self.entries.get_full_mut(key) {
            let before = mem::replace(&mut entry.deadline, deadline);
            self.deadlines.change(key, before, deadline);
        }
    }

    fn remove(&mut self, key: &[u8]) -> Option<Entry> {
        let (key, entry) = self.entries.swap_remove_entry(key)?;
        self.deadlines.change(&key, entry.deadline, None);
        Some(entry).filter(Entry::is_live)
    }

    fn keys(&self) -> impl Iterator<Item = &Bytes> {
        self.entries.iter().filter(|(_, entry)| entry.is_live()).map(|(key, _)| key)
    }

    fn random_key(&self) -> Option<&Bytes> {
        let (before, from) = self.entries.as_slice().split_at(fastrand::usize(..=self.entries.len()));
        let mut around = from.iter().chain(before);
        around.find(|(_, entry)| entry.is_live()).map(|(key, _)| key)
    }

    /// Returns a page of keys and the next cursor.
    ///
    /// Pages run from the last entry to the first, and the cursor is the number of entries that the scan has
    /// not visited. A new key is added at the end, and the last key moves to the position of a removed key.
    /// So keys only move towards the front, and the scan cannot miss one. It may return a moved key twice.
    fn scan(&self, cursor: usize, count: usize) -> (usize, impl Iterator<Item = &Bytes>) {
        let len = self.entries.len();
        let end = if cursor == 0 { len } else { cursor.min(len) };
        let start = end.saturating_sub(count);
        let page = self.entries[start..end].iter().filter(|(_, entry)| entry.is_live());
        (start, page.map(|(key, _)| key))
    }

    fn drop_expired(&mut self, limit: usize, mut on_expired: impl FnMut(&[u8])) -> usize {
        let now = now();
        let expired = (0..limit).map_while(|_| self.deadlines.pop_before(now));
        expired.inspect(|key| on_expired(key)).filter_map(|key| self.entries.swap_remove(&key)).count()
    }
}

/// The keys that have a deadline, in the order of their deadlines.
#[derive(Default)]
struct Deadlines(BTreeSet<(Time, Bytes)>);

impl Deadlines {
    #[inline]
    fn change(&mut self, key: &Bytes, from: Option<Time>, to: Option<Time>) {
        if from != to {
            self.replace(key, from, to);
        }
    }

    fn replace(&mut self, key: &Bytes, from: Option<Time>, to: Option<Time>) {
        if let Some(from) = from {
            self.0.remove(&(from, key.clone()));
        }
        if let Some(to) = to {
            self.0.insert((to, key.clone()));
        }
    }

    fn pop_before(&mut self, now: Time) -> Option<Bytes> {
        let (deadline, _) = self.0.first()?;
        if *deadline < now { self.0.pop_first().map(|(_, key)| key) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(n: usize) -> String {
        format!("key:{n}")
    }

    fn filled(len: usize) -> Db {
        let mut db = Db::default();
        for n in 0..len {
            db.set(numbered(n).as_bytes(), Bytes::new(), Expiry::Never);
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
                seen.extend(page.cloned());
                // Even numbers stay, while odd numbers are added and removed.
                for _ in 0..random.usize(..20) {
                    db.remove(numbered(random.usize(..150) * 2 + 1).as_bytes());
                    db.set(numbered(random.usize(..150) * 2 + 1).as_bytes(), Bytes::new(), Expiry::Never);
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
    fn only_expired_keys_are_dropped() {
        let mut db = filled(10);
        for n in 0..5 {
            db.set(numbered(n).as_bytes(), Bytes::new(), Expiry::At(now() - 1));
        }
        db.set(b"later", Bytes::new(), Expiry::At(now() + 60_000));
        assert!(db.entry(b"key:0").is_none());
        assert_eq!((db.sizes().0, db.keys().count()), (11, 6));
        assert_eq!([(); 3].map(|()| db.drop_expired(3, |_| {})), [3, 2, 0]);
        assert_eq!((db.sizes().0, db.keys().count()), (6, 6));
    }

    #[test]
    fn a_deadline_is_kept_changed_and_removed_with_its_key() {
        let later = now() + 60_000;
        let mut db = Db::default();
        db.set(b"k", Bytes::new(), Expiry::At(later));
        db.set(b"k", Bytes::new(), Expiry::Keep);
        assert_eq!(db.entry(b"k").and_then(|entry| entry.deadline), Some(later));
        db.set_deadline(b"k", Some(later + 1));
        assert_eq!(db.deadlines.0.len(), 1);
        db.remove(b"k");
        db.set(b"k", Bytes::new(), Expiry::At(later));
        db.set(b"k", Bytes::new(), Expiry::Never);
        assert!(db.deadlines.0.is_empty());
        db.set(b"gone", Bytes::new(), Expiry::At(now() - 1));
        db.set(b"gone", Bytes::new(), Expiry::Keep);
        assert!(db.entry(b"gone").is_some(), "an expired entry leaves no deadline behind");
    }

    #[test]
    fn random_key_returns_each_key_eventually() {
        assert_eq!(Db::default().random_key(), None);
        let db = filled(3);
        let seen: BTreeSet<_> = (0..1000).map(|_| db.random_key()).collect();
        assert_eq!(seen.len(), 3);
    }
}
