//! Keys and values in memory.

use std::{collections::BTreeSet, mem, sync::Arc};

use bytes::BytesMut;
use foldhash::quality::RandomState;
use indexmap::IndexMap;
use thegiant::{Bytes, Keyspace, now};

use crate::databases::{Counts, DATABASES, Databases, Expiry, Result, Time};

type Entry = crate::databases::Entry<Bytes>;
type Found<'a> = crate::databases::Entry<&'a Bytes>;

/// Databases in memory.
pub struct Memory {
    databases: [Db; DATABASES],
    counts: Arc<[Counts; DATABASES]>,
    /// Hears of each expired key.
    keyspace: Keyspace,
    /// No key has an earlier deadline.
    first_deadline: Time,
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
    /// Returns empty databases, which keep these counts and report expired keys to `keyspace`.
    pub fn new(keyspace: Keyspace, counts: Arc<[Counts; DATABASES]>) -> Self {
        Memory { databases: Default::default(), counts, keyspace, first_deadline: Time::MAX }
    }

    #[inline]
    fn db(&self, number: u16) -> &Db {
        &self.databases[usize::from(number)]
    }

    /// Changes a database and updates its counts if they differ.
    #[inline(always)]
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

    /// Changes a key of a database, which is removed and reported first if it has expired.
    #[inline(always)]
    fn change_key<T>(&mut self, number: u16, key: &[u8], change: impl FnOnce(&mut Db) -> T) -> T {
        if self.has_expired_keys() {
            self.expire(number, key);
        }
        self.change(number, change)
    }

    /// Returns whether any key may have expired. Most of the time, all expired keys have been removed.
    #[inline]
    fn has_expired_keys(&self) -> bool {
        self.first_deadline != Time::MAX && self.first_deadline < now()
    }

    /// Removes and reports a key, if it has expired.
    #[cold]
    fn expire(&mut self, number: u16, key: &[u8]) {
        let entry = self.db(number).entries.get(key);
        if let Some(deadline) = entry.and_then(|entry| entry.deadline).filter(|deadline| *deadline < now()) {
            self.change(number, |db| db.remove(key));
            self.keyspace.expired(number, key, deadline);
        }
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

    #[inline(always)]
    fn set(&mut self, db: u16, key: &[u8], value: Bytes, expiry: Expiry) -> Result<()> {
        if let Expiry::At(deadline) = expiry {
            self.first_deadline = self.first_deadline.min(deadline);
        }
        self.change_key(db, key, |db| db.set(key, value, expiry));
        Ok(())
    }

    fn update<T>(
        &mut self,
        db: u16,
        key: &[u8],
        change: impl FnOnce(&mut BytesMut) -> Result<T>,
    ) -> Result<T> {
        self.change_key(db, key, |db| db.update(key, change))
    }

    fn set_deadline(&mut self, db: u16, key: &[u8], deadline: Option<Time>) -> Result<()> {
        self.first_deadline = self.first_deadline.min(deadline.unwrap_or(Time::MAX));
        self.change_key(db, key, |db| db.set_deadline(key, deadline));
        Ok(())
    }

    fn remove(&mut self, db: u16, key: &[u8]) -> Result<Option<Entry>> {
        Ok(self.change_key(db, key, |db| db.remove(key)))
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

    #[inline]
    fn first_deadline(&self) -> Option<Time> {
        Some(self.first_deadline).filter(|deadline| *deadline != Time::MAX)
    }

    fn remove_expired(&mut self, limit: usize) -> usize {
        let mut removed = 0;
        for number in 0..DATABASES as u16 {
            while removed < limit
                && let Some((deadline, key)) = self.change(number, Db::pop_expired)
            {
                self.keyspace.expired(number, &key, deadline);
                removed += 1;
            }
        }
        let deadlines = self.databases.iter().filter_map(|db| db.deadlines.first());
        self.first_deadline = deadlines.min().unwrap_or(Time::MAX);
        removed
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
            let deadline = expiry.deadline(|| entry.deadline);
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
        let Some(entry) = self.entries.get_mut(key) else {
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
        Some(entry)
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

    /// Removes the key with the first deadline, if it has expired.
    fn pop_expired(&mut self) -> Option<(Time, Bytes)> {
        let (deadline, key) = self.deadlines.pop_before(now())?;
        self.entries.swap_remove(&key);
        Some((deadline, key))
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

    fn first(&self) -> Option<Time> {
        self.0.first().map(|(deadline, _)| *deadline)
    }

    fn pop_before(&mut self, now: Time) -> Option<(Time, Bytes)> {
        if self.first()? < now { self.0.pop_first() } else { None }
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
    fn only_expired_keys_are_removed() -> Result<()> {
        let mut memory = Memory::new(Keyspace::default(), Arc::default());
        for n in 0..10 {
            let expiry = if n < 5 { Expiry::At(now() - 1) } else { Expiry::Never };
            memory.set(1, numbered(n).as_bytes(), Bytes::new(), expiry)?;
        }
        memory.set(2, b"later", Bytes::new(), Expiry::At(now() + 60_000))?;
        assert!(memory.get(1, b"key:0")?.is_none());
        assert_eq!((memory.len(1), memory.keys(1).count()), (10, 5));
        assert_eq!([(); 3].map(|()| memory.remove_expired(3)), [3, 2, 0]);
        assert_eq!((memory.len(1), memory.len(2)), (5, 1));
        assert!(memory.first_deadline().is_some_and(|deadline| deadline > now()));
        Ok(())
    }

    #[test]
    fn a_key_that_has_expired_but_was_not_removed_is_missing_for_writers() -> Result<()> {
        let mut memory = Memory::new(Keyspace::default(), Arc::default());
        let past = Expiry::At(now() - 1);
        for key in [b"a", b"b", b"c", b"d"] {
            memory.set(0, key, Bytes::from_static(b"old"), past)?;
        }
        memory.update(0, b"a", |value| {
            assert!(value.is_empty());
            Ok(())
        })?;
        memory.set(0, b"b", Bytes::new(), Expiry::Keep)?;
        memory.set_deadline(0, b"c", None)?;
        assert!(memory.remove(0, b"d")?.is_none());
        let deadline = |key: &[u8]| memory.entry(0, key).map(|entry| entry.map(|entry| entry.deadline));
        assert_eq!((deadline(b"a")?, deadline(b"b")?, deadline(b"c")?), (Some(None), Some(None), None));
        assert_eq!(memory.remove_expired(9), 0);
        Ok(())
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
    }

    #[test]
    fn random_key_returns_each_key_eventually() {
        assert_eq!(Db::default().random_key(), None);
        let db = filled(3);
        let seen: BTreeSet<_> = (0..1000).map(|_| db.random_key()).collect();
        assert_eq!(seen.len(), 3);
    }
}
