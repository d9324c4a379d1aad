//! Keys and values in memory.

use std::{mem, sync::Arc};

use bytes::BytesMut;
use thegiant::{Keyspace, now};

use crate::{
    cow::CowBytes,
    databases::{Counts, DATABASES, Databases, Entry, Expiry, Result, Time},
    db::Db,
};

/// Databases in memory.
pub struct Memory {
    databases: [Db; DATABASES],
    counts: Arc<[Counts; DATABASES]>,
    /// Hears of each expired key.
    keyspace: Keyspace,
    /// No key has an earlier deadline.
    first_deadline: Time,
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
        let deadline = self.db(number).deadline(key);
        if let Some(deadline) = deadline.filter(|deadline| *deadline < now()) {
            self.change(number, |db| db.remove(key));
            self.keyspace.expired(number, key, deadline);
        }
    }
}

impl Databases for Memory {
    const USES_GROUP_COMMIT: bool = false;

    fn len(&self, db: u16) -> usize {
        self.db(db).len()
    }

    #[inline(always)]
    fn entry(&self, db: u16, key: &[u8]) -> Result<Option<Entry<CowBytes<'_>>>> {
        Ok(self.db(db).entry(key))
    }

    #[inline]
    fn prefetch<'a>(&self, db: u16, keys: impl Iterator<Item = &'a [u8]>) {
        self.db(db).prefetch(keys);
    }

    #[inline(always)]
    fn set(&mut self, db: u16, key: &[u8], value: CowBytes<'_>, expiry: Expiry) -> Result<()> {
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

    fn remove(&mut self, db: u16, key: &[u8]) -> Result<bool> {
        Ok(self.change_key(db, key, |db| db.remove(key)))
    }

    fn keyspace(&self) -> &Keyspace {
        &self.keyspace
    }

    fn clear(&mut self, db: u16) -> Result<impl Send + 'static + use<>> {
        Ok(self.change(db, mem::take))
    }

    fn keys(&self, db: u16) -> impl Iterator<Item = Result<CowBytes<'_>>> {
        self.db(db).keys().map(|key| Ok(key.into()))
    }

    fn random_key(&self, db: u16) -> Result<Option<CowBytes<'_>>> {
        Ok(self.db(db).random_key().map(CowBytes::from))
    }

    fn scan(&self, db: u16, cursor: u64, count: usize) -> Result<(u64, Vec<CowBytes<'_>>)> {
        let (next, page) = self.db(db).scan(usize::try_from(cursor).unwrap_or(usize::MAX), count);
        Ok((next as u64, page.map(CowBytes::from).collect()))
    }

    #[inline]
    fn first_deadline(&self) -> Option<Time> {
        Some(self.first_deadline).filter(|deadline| *deadline != Time::MAX)
    }

    fn remove_expired(&mut self, limit: usize) -> usize {
        let mut removed = 0;
        for number in 0..DATABASES as u16 {
            while removed < limit
                && let Some((deadline, record)) = self.change(number, Db::pop_expired)
            {
                self.keyspace.expired(number, record.key(), deadline);
                removed += 1;
            }
        }
        let deadlines = self.databases.iter().filter_map(Db::first_deadline);
        self.first_deadline = deadlines.min().unwrap_or(Time::MAX);
        removed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: CowBytes<'_> = CowBytes::Borrowed(b"");

    fn numbered(n: usize) -> String {
        format!("key:{n}")
    }

    #[test]
    fn only_expired_keys_are_removed() -> Result<()> {
        let mut memory = Memory::new(Keyspace::default(), Arc::default());
        for n in 0..10 {
            let expiry = if n < 5 { Expiry::At(now() - 1) } else { Expiry::Never };
            memory.set(1, numbered(n).as_bytes(), EMPTY, expiry)?;
        }
        memory.set(2, b"later", EMPTY, Expiry::At(now() + 60_000))?;
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
            memory.set(0, key, CowBytes::Borrowed(b"old"), past)?;
        }
        memory.update(0, b"a", |value| {
            assert!(value.is_empty());
            Ok(())
        })?;
        memory.set(0, b"b", EMPTY, Expiry::Keep)?;
        memory.set_deadline(0, b"c", None)?;
        assert!(!memory.remove(0, b"d")?);
        let deadline = |key: &[u8]| memory.entry(0, key).map(|entry| entry.map(|entry| entry.deadline));
        assert_eq!((deadline(b"a")?, deadline(b"b")?, deadline(b"c")?), (Some(None), Some(None), None));
        assert_eq!(memory.remove_expired(9), 0);
        Ok(())
    }
}
