//! What the commands need of whatever keeps the keys: memory here, a disk in `kv-disk`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::BytesMut;
use thegiant::{Commit, prelude::*};

/// As many as a server has unless it is told otherwise.
pub const DATABASES: usize = 16;

/// What can fail: a command, or what it needs of a disk.
pub type Result<T> = std::result::Result<T, Error>;

/// Milliseconds since 1970.
pub type Time = i64;

/// The time of day: what `EXPIREAT` refers to.
pub fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::try_from(since.as_millis()).unwrap_or(Time::MAX)
}

/// Keys with their values, in several databases, which have numbers from 0 on.
///
/// A key whose time has come is as good as gone, for every method but [`len`](Self::len); it is
/// dropped by [`drop_expired`](Self::drop_expired).
pub trait Databases: Unpin + 'static {
    /// A key or a value, as it is found.
    type Found<'a>: AsRef<[u8]> + IntoReply;

    /// Whether changes hold only when they are [committed](Self::commit).
    const USES_GROUP_COMMIT: bool;

    /// The numbers of keys, which can be seen from elsewhere.
    fn counts(&self) -> Arc<[Counts; DATABASES]>;

    /// The number of keys in a database.
    fn len(&self, db: u16) -> usize;

    /// What was found, to be kept.
    fn kept(found: Self::Found<'_>) -> Bytes;

    /// A key.
    fn entry(&self, db: u16, key: &[u8]) -> Result<Option<Entry<Self::Found<'_>>>>;

    /// Sets the value of a key, whether it exists or not.
    fn set(&mut self, db: u16, key: &[u8], value: Bytes, expiry: Expiry) -> Result<()>;

    /// Changes the value of a key, which is empty if there is none. It keeps its deadline. If the change fails, it is
    /// to have changed nothing.
    fn update<T>(
        &mut self,
        db: u16,
        key: &[u8],
        change: impl FnOnce(&mut BytesMut) -> Result<T>,
    ) -> Result<T>;

    /// Has an existing key go at `deadline`, which is at once if that is past.
    fn set_deadline(&mut self, db: u16, key: &[u8], deadline: Option<Time>) -> Result<()>;

    /// Removes a key.
    fn remove(&mut self, db: u16, key: &[u8]) -> Result<Option<Entry<Bytes>>>;

    /// Takes all keys out of a database: what it returns may take a while to be dropped.
    fn clear(&mut self, db: u16) -> Result<impl Send + 'static + use<Self>>;

    /// All keys.
    fn keys(&self, db: u16) -> impl Iterator<Item = Result<Self::Found<'_>>>;

    /// Any key.
    fn random_key(&self, db: u16) -> Result<Option<Self::Found<'_>>>;

    /// A page of the keys, of about `count`, and the cursor of the next page. The first page has the cursor 0, and so
    /// has the one behind the last.
    ///
    /// A key that is there from the first page to the last is on one of them, whatever happens to
    /// others in the meantime.
    fn scan(&self, db: u16, cursor: u64, count: usize) -> Result<(u64, Vec<Self::Found<'_>>)>;

    /// Drops keys whose time has come, at most `limit` of them, and returns how many. Each is told before it goes.
    fn drop_expired(&mut self, limit: usize, tell: impl FnMut(u16, &[u8])) -> Result<usize>;

    /// Makes all changes hold: [`GroupCommit::commit`](thegiant::GroupCommit::commit).
    fn commit(&mut self) -> Commit {
        Ok::<(), Error>(()).into()
    }

    /// Goes back to what was committed last.
    ///
    /// # Errors
    /// It cannot, nor go on.
    fn rollback(&mut self) -> Result<()> {
        Ok(())
    }

    /// The value of a key.
    #[inline]
    fn get(&self, db: u16, key: &[u8]) -> Result<Option<Self::Found<'_>>> {
        Ok(self.entry(db, key)?.map(|entry| entry.value))
    }

    /// Whether there is a key.
    fn contains(&self, db: u16, key: &[u8]) -> Result<bool> {
        Ok(self.entry(db, key)?.is_some())
    }
}

/// A value, and when it expires.
#[derive(Debug)]
pub struct Entry<V> {
    /// The value.
    pub value: V,
    /// When it expires, if it does.
    pub deadline: Option<Time>,
}

/// How many keys a database has, and how many of them have a deadline. They are told when that changes, which is not at
/// each command.
#[derive(Debug, Default)]
pub struct Counts {
    keys: AtomicUsize,
    deadlines: AtomicUsize,
}

/// What becomes of the deadline of a key that is set.
#[derive(Clone, Copy, Debug)]
pub enum Expiry {
    /// It stays for ever.
    Never,
    /// It goes then.
    At(Time),
    /// The one it has, if it exists.
    Keep,
}

impl<V> Entry<V> {
    /// Whether its time has not come. The clock is read only for a key that has a deadline.
    #[inline]
    pub fn is_live(&self) -> bool {
        self.deadline.is_none_or(|deadline| now() <= deadline)
    }
}

impl Counts {
    /// The number of keys.
    pub fn keys(&self) -> usize {
        self.keys.load(Relaxed)
    }

    /// The number of keys that have a deadline.
    pub fn deadlines(&self) -> usize {
        self.deadlines.load(Relaxed)
    }

    /// Tells both.
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
    /// The deadline that a key gets; `kept` is the one it has.
    pub fn deadline(self, kept: impl FnOnce() -> Option<Time>) -> Option<Time> {
        match self {
            Expiry::Never => None,
            Expiry::At(time) => Some(time),
            Expiry::Keep => kept(),
        }
    }
}
