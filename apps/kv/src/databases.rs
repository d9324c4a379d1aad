//! The interface between the commands and a store: `memory` here, or the disk in `kv-disk`.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bytes::BytesMut;
use thegiant::{Commit, Keyspace, now, prelude::*};

use crate::cow::CowBytes;

/// Number of databases. Redis has the same default.
pub const DATABASES: usize = 16;

/// The result of a command or of an access to the store.
pub type Result<T> = std::result::Result<T, Error>;

/// Milliseconds since 1970.
pub type Time = i64;

/// Keys and their values in several databases, which are numbered from 0.
///
/// Every method except [`len`](Self::len) treats an expired key as missing. A method that replaces or removes such a key
/// reports it first with [`Keyspace::expired`](thegiant::Keyspace::expired).
pub trait Databases: Unpin + 'static {
    /// Whether changes become durable only when they are [committed](Self::commit).
    const USES_GROUP_COMMIT: bool;

    /// Whether a cleared database leaves garbage behind; see [`drop_garbage`](Self::drop_garbage).
    const HAS_GARBAGE: bool = false;

    /// Returns the handle that hears of changes of keys.
    fn keyspace(&self) -> &Keyspace;

    /// Returns the number of keys in a database.
    fn len(&self, db: u16) -> usize;

    /// Returns the value and the deadline of a key.
    fn entry(&self, db: u16, key: &[u8]) -> Result<Option<Entry<CowBytes<'_>>>>;

    /// Looks up keys of requests that will run next; see [`Prefetch`](thegiant::Prefetch).
    fn prefetch<'a>(&self, _db: u16, _keys: impl Iterator<Item = &'a [u8]>) {}

    /// Sets the value of a key, whether it exists or not.
    fn set(&mut self, db: u16, key: &[u8], value: CowBytes<'_>, expiry: Expiry) -> Result<()>;

    /// Changes the value of a key and keeps its deadline. A missing key starts with an empty value.
    ///
    /// If `change` returns an error, it must leave the value unchanged.
    fn update<T>(
        &mut self,
        db: u16,
        key: &[u8],
        change: impl FnOnce(&mut BytesMut) -> Result<T>,
    ) -> Result<T>;

    /// Sets the deadline of an existing key. A deadline in the past removes the key.
    fn set_deadline(&mut self, db: u16, key: &[u8], deadline: Option<Time>) -> Result<()>;

    /// Removes a key, and returns whether it existed.
    fn remove(&mut self, db: u16, key: &[u8]) -> Result<bool>;

    /// Removes all keys of a database. The returned data may take long to drop.
    fn clear(&mut self, db: u16) -> Result<impl Send + 'static + use<Self>>;

    /// Returns all keys.
    fn keys(&self, db: u16) -> impl Iterator<Item = Result<CowBytes<'_>>>;

    /// Returns a random key.
    fn random_key(&self, db: u16) -> Result<Option<CowBytes<'_>>>;

    /// Returns a page of about `count` keys, and the cursor of the next page.
    ///
    /// The first page has cursor 0. The last page returns cursor 0. A key that exists during the whole scan
    /// appears at least once, even if other keys are added or removed.
    fn scan(&self, db: u16, cursor: u64, count: usize) -> Result<(u64, Vec<CowBytes<'_>>)>;

    /// Returns the first deadline of any key; see [`Expire::first_deadline`](thegiant::Expire::first_deadline).
    fn first_deadline(&self) -> Option<Time>;

    /// Removes and reports at most `limit` expired keys, and returns their number.
    fn remove_expired(&mut self, limit: usize) -> usize;

    /// Removes at most `limit` entries of garbage, and returns their number.
    fn drop_garbage(&mut self, _limit: usize) -> Result<usize> {
        Ok(0)
    }

    /// Commits all changes: see [`GroupCommit::commit`](thegiant::GroupCommit::commit).
    fn commit(&mut self) -> Commit {
        Ok(()).into()
    }

    /// Discards all changes since the last commit.
    ///
    /// # Errors
    /// Returns an error if the store cannot return to the last commit. The store is unusable then.
    fn rollback(&mut self) -> Result<()> {
        Ok(())
    }

    /// Returns the value of a key.
    #[inline(always)]
    fn get(&self, db: u16, key: &[u8]) -> Result<Option<CowBytes<'_>>> {
        Ok(self.entry(db, key)?.map(|entry| entry.value))
    }

    /// Returns whether a key exists.
    fn contains(&self, db: u16, key: &[u8]) -> Result<bool> {
        Ok(self.entry(db, key)?.is_some())
    }
}

/// A value and its deadline.
#[derive(Debug)]
pub struct Entry<V> {
    /// The value.
    pub value: V,
    /// Time at which the key expires, or `None` if it never does.
    pub deadline: Option<Time>,
}

/// Numbers of all keys, and of keys with a deadline, in a database.
///
/// The store updates them when the numbers change, and not on every command.
#[derive(Debug, Default)]
pub struct Counts {
    keys: AtomicUsize,
    deadlines: AtomicUsize,
}

/// Selects the deadline of a key that is being set.
#[derive(Clone, Copy, Debug)]
pub enum Expiry {
    /// The key never expires.
    Never,
    /// The key expires at this time.
    At(Time),
    /// The key keeps its present deadline, if it has one.
    Keep,
}

impl<V> Entry<V> {
    /// Returns whether the entry has not expired. It reads the clock only if there is a deadline.
    #[inline]
    pub fn is_live(&self) -> bool {
        is_live(self.deadline)
    }
}

#[inline]
pub(crate) fn is_live(deadline: Option<Time>) -> bool {
    deadline.is_none_or(|deadline| now() <= deadline)
}

impl Counts {
    /// Returns the number of keys.
    pub fn keys(&self) -> usize {
        self.keys.load(Relaxed)
    }

    /// Returns the number of keys that have a deadline.
    pub fn deadlines(&self) -> usize {
        self.deadlines.load(Relaxed)
    }

    /// Sets both numbers.
    pub fn set(&self, keys: usize, deadlines: usize) {
        self.keys.store(keys, Relaxed);
        self.deadlines.store(deadlines, Relaxed);
    }
}

impl From<Option<Time>> for Expiry {
    fn from(deadline: Option<Time>) -> Self {
        deadline.map_or(Expiry::Never, Expiry::At)
    }
}

impl Expiry {
    /// Returns the deadline that the key gets. `current` returns its present deadline.
    pub fn deadline(self, current: impl FnOnce() -> Option<Time>) -> Option<Time> {
        match self {
            Expiry::Never => None,
            Expiry::At(time) => Some(time),
            Expiry::Keep => current(),
        }
    }
}
