//! A database: keys, their values, and when they expire.

use std::{
    collections::BTreeSet,
    mem,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use foldhash::quality::RandomState;
use indexmap::IndexMap;
use thegiant::Bytes;

/// Milliseconds since 1970.
pub(crate) type Time = i64;

/// The time of day: what `EXPIREAT` refers to.
pub(crate) fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::try_from(since.as_millis()).unwrap_or(Time::MAX)
}

/// Keys with their values.
///
/// A key whose time has come is as good as gone, for every method but [`len`](Self::len); it is
/// dropped by [`drop_expired`](Self::drop_expired).
#[derive(Default)]
pub(crate) struct Db {
    /// [`scan`](Self::scan) rests on their order. Keys come from outside, so their hash is keyed
    /// anew in each process.
    entries: IndexMap<Bytes, Entry, RandomState>,
    deadlines: Deadlines,
    counts: Arc<Counts>,
}

/// How many keys there are, and how many of them have a deadline, for who is not the actor. They are
/// told when that changes, which is not at each command.
#[derive(Default)]
pub(crate) struct Counts {
    keys: AtomicUsize,
    deadlines: AtomicUsize,
}

pub(crate) struct Entry {
    pub(crate) value: Bytes,
    pub(crate) deadline: Option<Time>,
}

/// What becomes of the deadline of a key that is set.
#[derive(Clone, Copy)]
pub(crate) enum Expiry {
    Never,
    At(Time),
    /// The one it has, if it exists.
    Keep,
}

impl Db {
    /// The number of keys.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Where that can be seen from elsewhere.
    pub(crate) fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    /// Takes everything out of it.
    pub(crate) fn take(&mut self) -> Db {
        let empty = Db { counts: self.counts(), ..Db::default() };
        let full = mem::replace(self, empty);
        self.count();
        full
    }

    pub(crate) fn entry(&self, key: &[u8]) -> Option<&Entry> {
        self.entries.get(key).filter(|entry| entry.is_live())
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<&Bytes> {
        self.entry(key).map(|entry| &entry.value)
    }

    pub(crate) fn get_mut(&mut self, key: &[u8]) -> Option<&mut Bytes> {
        self.entries.get_mut(key).filter(|entry| entry.is_live()).map(|entry| &mut entry.value)
    }

    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        self.entry(key).is_some()
    }

    /// Sets the value of a key, whether it exists or not.
    pub(crate) fn set(&mut self, key: &[u8], value: Bytes, expiry: Expiry) {
        if let Some((_, key, entry)) = self.entries.get_full_mut(key) {
            let kept = || entry.deadline.filter(|_| entry.is_live());
            let deadline = expiry.deadline(kept);
            let before = mem::replace(entry, Entry { value, deadline });
            if before.deadline != deadline {
                self.deadlines.change(key, before.deadline, deadline);
                self.count();
            }
        } else {
            let key = Bytes::copy_from_slice(key);
            let deadline = expiry.deadline(|| None);
            self.deadlines.change(&key, None, deadline);
            self.entries.insert(key, Entry { value, deadline });
            self.count();
        }
    }

    /// Has an existing key go at `deadline`, which is at once if that is past.
    pub(crate) fn set_deadline(&mut self, key: &[u8], deadline: Option<Time>) {
        if deadline.is_some_and(|deadline| deadline <= now()) {
            self.remove(key);
        } else if let Some((_, key, entry)) = self.entries.get_full_mut(key) {
            let before = mem::replace(&mut entry.deadline, deadline);
            self.deadlines.change(key, before, deadline);
            self.count();
        }
    }

    /// Removes a key.
    pub(crate) fn remove(&mut self, key: &[u8]) -> Option<Entry> {
        let (key, entry) = self.entries.swap_remove_entry(key)?;
        self.deadlines.change(&key, entry.deadline, None);
        self.count();
        Some(entry).filter(Entry::is_live)
    }

    /// All keys.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Bytes> {
        self.entries.iter().filter(|(_, entry)| entry.is_live()).map(|(key, _)| key)
    }

    /// Any key.
    pub(crate) fn random_key(&self) -> Option<&Bytes> {
        let (before, from) = self.entries.as_slice().split_at(fastrand::usize(..=self.len()));
        let mut around = from.iter().chain(before);
        around.find(|(_, entry)| entry.is_live()).map(|(key, _)| key)
    }

    /// A page of the keys, and the cursor of the next page. The first page has the cursor 0, and so
    /// has the one behind the last.
    ///
    /// A key that is there from the first page to the last is on one of them, whatever happens to
    /// others in the meantime. That is so because pages go from the last entry to the first, and the
    /// cursor is the number of entries still to be seen: a new key is put behind all others, and the
    /// place of a removed one is taken by the last. So a key only ever moves towards the front, and
    /// none slips past the cursor unseen. One that has moved may be seen again.
    pub(crate) fn scan(&self, cursor: usize, count: usize) -> (usize, impl Iterator<Item = &Bytes>) {
        let end = if cursor == 0 { self.len() } else { cursor.min(self.len()) };
        let start = end.saturating_sub(count);
        let page = self.entries[start..end].iter().filter(|(_, entry)| entry.is_live());
        (start, page.map(|(key, _)| key))
    }

    /// Drops keys whose time has come, at most `limit` of them, and returns how many. Each is told before it goes.
    pub(crate) fn drop_expired(&mut self, limit: usize, mut tell: impl FnMut(&[u8])) -> usize {
        let now = now();
        let expired = (0..limit).map_while(|_| self.deadlines.pop_before(now));
        let dropped =
            expired.inspect(|key| tell(key)).filter_map(|key| self.entries.swap_remove(&key)).count();
        if dropped > 0 {
            self.count();
        }
        dropped
    }

    fn count(&self) {
        self.counts.keys.store(self.entries.len(), Relaxed);
        self.counts.deadlines.store(self.deadlines.0.len(), Relaxed);
    }
}

impl Counts {
    pub(crate) fn keys(&self) -> usize {
        self.keys.load(Relaxed)
    }

    pub(crate) fn deadlines(&self) -> usize {
        self.deadlines.load(Relaxed)
    }
}

impl Entry {
    /// The clock is read only for a key that has a deadline.
    fn is_live(&self) -> bool {
        self.deadline.is_none_or(|deadline| now() <= deadline)
    }
}

impl From<Option<Time>> for Expiry {
    fn from(deadline: Option<Time>) -> Self {
        deadline.map_or(Expiry::Never, Expiry::At)
    }
}

impl Expiry {
    fn deadline(self, kept: impl FnOnce() -> Option<Time>) -> Option<Time> {
        match self {
            Expiry::Never => None,
            Expiry::At(time) => Some(time),
            Expiry::Keep => kept(),
        }
    }
}

/// The keys that have a deadline, the next one first.
#[derive(Default)]
struct Deadlines(BTreeSet<(Time, Bytes)>);

impl Deadlines {
    fn change(&mut self, key: &Bytes, from: Option<Time>, to: Option<Time>) {
        if from == to {
            return;
        }
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
    fn a_scan_sees_what_stays() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut db = filled(100);
            let mut seen = BTreeSet::new();
            let mut cursor = 0;
            loop {
                let (next, page) = db.scan(cursor, random.usize(1..10));
                seen.extend(page.cloned());
                // Even numbers stay; odd and new ones come and go.
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
    fn what_is_due_goes_and_no_more() {
        let mut db = filled(10);
        for n in 0..5 {
            db.set(numbered(n).as_bytes(), Bytes::new(), Expiry::At(now() - 1));
        }
        db.set(b"later", Bytes::new(), Expiry::At(now() + 60_000));
        assert!(!db.contains(b"key:0"));
        assert_eq!((db.len(), db.keys().count()), (11, 6));
        assert_eq!([(); 3].map(|()| db.drop_expired(3, |_| {})), [3, 2, 0]);
        assert_eq!((db.len(), db.keys().count()), (6, 6));
    }

    #[test]
    fn a_deadline_is_kept_changed_and_dropped_with_its_key() {
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
        assert!(db.contains(b"gone"), "what has expired leaves no deadline behind");
    }

    #[test]
    fn any_key_is_any_of_them() {
        assert_eq!(Db::default().random_key(), None);
        let db = filled(3);
        let seen: BTreeSet<_> = (0..1000).map(|_| db.random_key()).collect();
        assert_eq!(seen.len(), 3);
    }
}
