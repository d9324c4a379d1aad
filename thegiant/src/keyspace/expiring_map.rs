//! A map whose keys expire.

use std::{
    borrow::Borrow,
    collections::{BTreeSet, HashMap},
    fmt,
    hash::Hash,
    time::Duration,
};

use foldhash::quality::RandomState;

use super::{Expire, Keyspace};
use crate::{clock::now, shrink::shrink_sparse};

/// A map whose keys expire: the field of an actor that `#[commands(expire(field))]` names.
///
/// All times are in milliseconds since 1970, as [`now`]. A key whose deadline is over is missing, even before it is removed,
/// and the map reports it to the [`Keyspace`] when it goes: `WATCH`, client-side caching and keyspace events see it.
///
/// ```
/// use thegiant::{ExpiringMap, Seconds, prelude::*};
///
/// struct Codes {
///     codes: ExpiringMap<Bytes, Bytes>,
/// }
///
/// impl Actor for Codes {
///     type Context = Context<Self>;
/// }
///
/// #[commands(expire(codes))]
/// impl Codes {
///     /// Keeps the code of a user for some time.
///     #[command("CODE SET", write)]
///     fn set(&mut self, user: Key, code: Bytes, time: Seconds) {
///         self.codes.insert_for(user.into(), code, time.0);
///     }
///
///     /// Removes the code of a user. Returns whether it was this one.
///     #[command("CODE USE", write)]
///     fn take(&mut self, user: Key<&[u8]>, code: &[u8]) -> bool {
///         self.codes.remove(*user).is_some_and(|known| known == code)
///     }
/// }
///
/// fn app() -> App {
///     let app = App::new();
///     let codes = ExpiringMap::new(app.keyspace());
///     app.mount(Codes { codes }.start())
/// }
/// # #[cfg(feature = "test-util")]
/// # actix::System::new().block_on(async {
/// # tokio::time::pause();
/// # let server = thegiant::test::TestServer::start(app());
/// # let mut client = server.connect();
/// # client.send("CODE SET ann 123 60\r\nCODE SET bob 456 60\r\nCODE USE ann 123\r\nCODE USE ann 123\r\n").await;
/// # client.expect("+OK\r\n+OK\r\n:1\r\n:0\r\n").await;
/// # tokio::time::advance(std::time::Duration::from_secs(61)).await;
/// # client.send("CODE USE bob 456\r\n").await;
/// # client.expect(":0\r\n").await;
/// # });
/// ```
///
/// An operation takes constant time, and that of a key with a deadline logarithmic time. The key is cloned for its deadline:
/// [`Bytes`](crate::Bytes) are cheap to clone.
pub struct ExpiringMap<K, V> {
    entries: HashMap<K, Entry<V>, RandomState>,
    /// The keys with a deadline, in the order in which they expire.
    deadlines: BTreeSet<(i64, K)>,
    keyspace: Keyspace,
    db: u16,
}

struct Entry<V> {
    value: V,
    deadline: Option<i64>,
}

impl<V> Entry<V> {
    fn is_live(&self) -> bool {
        self.deadline.is_none_or(|deadline| deadline >= now())
    }
}

impl<K: AsRef<[u8]> + Clone + Ord + Hash, V> ExpiringMap<K, V> {
    /// Returns an empty map, which reports expired keys of database 0 to [`App::keyspace`](crate::App::keyspace).
    pub fn new(keyspace: Keyspace) -> Self {
        Self::of_db(keyspace, 0)
    }

    /// Returns an empty map with the keys of a [database](crate::App::databases).
    pub fn of_db(keyspace: Keyspace, db: u16) -> Self {
        ExpiringMap { entries: HashMap::default(), deadlines: BTreeSet::new(), keyspace, db }
    }

    /// Returns the value of a key.
    pub fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.entries.get(key).filter(|entry| entry.is_live()).map(|entry| &entry.value)
    }

    /// Returns the value of a key, to change it.
    pub fn get_mut<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.entries.get_mut(key).filter(|entry| entry.is_live()).map(|entry| &mut entry.value)
    }

    /// Returns the deadline of a key: the last millisecond in which it exists.
    ///
    /// `None` if the key is missing or has none.
    pub fn deadline<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<i64>
    where
        K: Borrow<Q>,
    {
        self.entries.get(key).filter(|entry| entry.is_live())?.deadline
    }

    /// Sets the value of a key that does not expire. Returns the value before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.put(key, value, None)
    }

    /// Sets the value of a key, which expires after this time. Returns the value before.
    pub fn insert_for(&mut self, key: K, value: V, time: Duration) -> Option<V> {
        let milliseconds = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        self.insert_until(key, value, now().saturating_add(milliseconds))
    }

    /// Sets the value of a key, which expires after this deadline. Returns the value before.
    pub fn insert_until(&mut self, key: K, value: V, deadline: i64) -> Option<V> {
        self.put(key, value, Some(deadline))
    }

    /// Sets or removes the deadline of a key. Returns whether there is such a key.
    pub fn set_deadline<Q: Hash + Eq + ?Sized>(&mut self, key: &Q, deadline: Option<i64>) -> bool
    where
        K: Borrow<Q>,
    {
        let Some((key, value)) = self.take(key) else { return false };
        self.put_new(key, value, deadline);
        true
    }

    /// Removes a key. Returns its value.
    pub fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let removed = self.take(key);
        shrink_sparse(&mut self.entries);
        removed.map(|(_, value)| value)
    }

    /// Returns all keys and values, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().filter(|(_, entry)| entry.is_live()).map(|(key, entry)| (key, &entry.value))
    }

    /// Returns the number of keys, with those that have expired and were not removed yet.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether there are no keys, not even expired ones.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Removes all keys, without a report of those that have expired.
    ///
    /// The other keys are those of a command, which reports them.
    pub fn clear(&mut self) {
        self.entries = HashMap::default();
        self.deadlines.clear();
    }

    fn put(&mut self, key: K, value: V, deadline: Option<i64>) -> Option<V> {
        let before = self.take::<K>(&key);
        self.put_new(key, value, deadline);
        before.map(|(_, value)| value)
    }

    fn put_new(&mut self, key: K, value: V, deadline: Option<i64>) {
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, key.clone()));
        }
        self.entries.insert(key, Entry { value, deadline });
    }

    /// Removes a key, and reports it if it has expired. Returns it otherwise.
    fn take<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<(K, V)>
    where
        K: Borrow<Q>,
    {
        let (key, entry) = self.entries.remove_entry(key)?;
        let is_live = entry.is_live();
        if let Some(deadline) = entry.deadline {
            let place = (deadline, key.clone());
            self.deadlines.remove(&place);
            if !is_live {
                self.keyspace.expired(self.db, &key, deadline);
            }
        }
        is_live.then_some((key, entry.value))
    }
}

impl<K: AsRef<[u8]> + Clone + Ord + Hash, V> Expire for ExpiringMap<K, V> {
    fn first_deadline(&self) -> Option<i64> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    fn remove_expired(&mut self, limit: usize) -> usize {
        let mut removed = 0;
        while removed < limit
            && self.first_deadline().is_some_and(|deadline| deadline < now())
            && let Some((deadline, key)) = self.deadlines.pop_first()
        {
            self.entries.remove::<K>(&key);
            self.keyspace.expired(self.db, &key, deadline);
            removed += 1;
        }
        shrink_sparse(&mut self.entries);
        removed
    }
}

impl<K: fmt::Debug, V> fmt::Debug for ExpiringMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExpiringMap").field("len", &self.entries.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::App;

    fn map() -> ExpiringMap<String, u32> {
        ExpiringMap::new(App::new().keyspace())
    }

    #[test]
    fn a_key_whose_deadline_is_over_is_missing_and_reported_once() {
        let (mut map, past) = (map(), now() - 1);
        for key in ["read", "replaced", "removed", "moved", "swept"] {
            assert_eq!(map.insert_until(key.to_owned(), 1, past), None);
        }
        assert_eq!((map.get("read"), map.deadline("read")), (None, None));
        assert_eq!(map.get_mut("read"), None);
        assert_eq!((map.iter().count(), map.len(), map.first_deadline()), (0, 5, Some(past)));
        assert_eq!(map.insert("replaced".to_owned(), 2), None);
        assert_eq!(map.remove("removed"), None);
        assert!(!map.set_deadline("moved", None));
        assert_eq!(map.keyspace.expired_keys(), 3);
        assert_eq!((map.remove_expired(1), map.remove_expired(5)), (1, 1));
        assert_eq!(map.keyspace.expired_keys(), 5);
        assert_eq!((map.iter().next(), map.len()), (Some((&"replaced".to_owned(), &2)), 1));
        assert_eq!(map.first_deadline(), None);
    }

    #[test]
    fn a_deadline_can_be_moved_and_removed() {
        let (mut map, soon) = (map(), now() + 60_000);
        map.insert_until("a".to_owned(), 1, soon);
        map.insert_for("b".to_owned(), 2, Duration::MAX);
        assert_eq!(map.deadline("b"), Some(i64::MAX));
        assert!(map.set_deadline("a", Some(soon + 1)));
        assert_eq!((map.deadline("a"), map.first_deadline()), (Some(soon + 1), Some(soon + 1)));
        *map.get_mut("a").expect("it exists") += 2;
        assert!(map.set_deadline("a", None));
        assert_eq!((map.deadline("a"), map.get("a")), (None, Some(&3)));
        // The deadline of a value that was replaced is forgotten.
        assert_eq!(map.insert("b".to_owned(), 4), Some(2));
        assert_eq!((map.first_deadline(), map.remove_expired(9)), (None, 0));
        assert_eq!((map.remove("a"), map.remove("b"), map.is_empty()), (Some(3), Some(4), true));
        assert!(!map.set_deadline("a", Some(soon)));
        assert_eq!(map.keyspace.expired_keys(), 0);
    }

    #[test]
    fn a_cleared_map_has_neither_keys_nor_deadlines() {
        let (mut map, past) = (map(), now() - 1);
        map.insert_until("a".to_owned(), 1, past);
        map.insert("b".to_owned(), 2);
        map.clear();
        assert_eq!((map.get("b"), map.is_empty(), map.first_deadline()), (None, true, None));
        assert_eq!((map.remove_expired(9), map.keyspace.expired_keys()), (0, 0));
    }
}
