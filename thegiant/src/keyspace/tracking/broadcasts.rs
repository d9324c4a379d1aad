//! Broadcast mode: the clients of each prefix, and the keys that have changed since the last broadcast.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
};

use bytes::Bytes;

use super::Write;
use crate::prefixes;

/// The keys that have changed, each with the ID of the client that changed it.
pub(super) type ChangedKeys = BTreeMap<Bytes, Option<u64>>;

/// The prefixes of all clients in broadcast mode.
///
/// A write costs nothing for prefixes that none of its keys begins with: any client may name many prefixes.
#[derive(Debug, Default)]
pub(super) struct Broadcasts {
    /// The client IDs of each prefix.
    clients: BTreeMap<Bytes, BTreeSet<u64>>,
    /// The changed keys of each prefix that has any.
    changed: BTreeMap<Bytes, ChangedKeys>,
}

impl Broadcasts {
    /// Returns the number of prefixes.
    pub(super) fn len(&self) -> usize {
        self.clients.len()
    }

    pub(super) fn add(&mut self, prefix: Bytes, client: u64) {
        self.clients.entry(prefix).or_default().insert(client);
    }

    /// Removes a client from a prefix, and the prefix and its changed keys with its last client.
    pub(super) fn remove(&mut self, prefix: &Bytes, client: u64) {
        let Some(clients) = self.clients.get_mut(prefix) else { return };
        clients.remove(&client);
        if clients.is_empty() {
            self.clients.remove(prefix);
            self.changed.remove(prefix);
        }
    }

    /// Records that a key has changed.
    pub(super) fn modified(&mut self, write: Write<'_>) {
        if self.clients.is_empty() {
            return;
        }
        let mut copy = None;
        for prefix in prefixes::of(&self.clients, write.key) {
            let key: &Bytes = copy.get_or_insert_with(|| Bytes::copy_from_slice(write.key));
            self.changed.entry(prefix.clone()).or_default().insert(key.clone(), write.by);
        }
    }

    /// Returns the IDs of the clients with a prefix of this key.
    pub(super) fn clients_with(&self, key: &[u8]) -> impl Iterator<Item = u64> {
        prefixes::of(&self.clients, key).filter_map(|prefix| self.clients.get(prefix)).flatten().copied()
    }

    /// Takes the changed keys of each prefix that has any.
    pub(super) fn take_changed(&mut self) -> BTreeMap<Bytes, ChangedKeys> {
        mem::take(&mut self.changed)
    }

    /// Returns the client IDs of a prefix.
    pub(super) fn clients_of(&self, prefix: &Bytes) -> impl Iterator<Item = u64> {
        self.clients.get(prefix).into_iter().flatten().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broadcast_visits_only_prefixes_with_changed_keys() {
        let mut broadcasts = Broadcasts::default();
        for number in 0..10_000u64 {
            broadcasts.add(format!("prefix-{number:04}").into(), number);
        }
        broadcasts.modified(Write { key: b"other", by: None });
        assert_eq!(broadcasts.take_changed(), BTreeMap::new());
        for key in ["prefix-0042", "prefix-0042:a", "prefix-9999:b", "prefix-"] {
            broadcasts.modified(Write { key: key.as_bytes(), by: Some(7) });
        }
        let changed = broadcasts.take_changed();
        let keys = |keys: &ChangedKeys| keys.keys().cloned().collect::<Vec<_>>();
        let visited: Vec<_> =
            changed.iter().map(|(prefix, changed)| (prefix.clone(), keys(changed))).collect();
        let expected: [(Bytes, Vec<Bytes>); 2] = [
            ("prefix-0042".into(), vec!["prefix-0042".into(), "prefix-0042:a".into()]),
            ("prefix-9999".into(), vec!["prefix-9999:b".into()]),
        ];
        assert_eq!(visited, expected);
        assert_eq!(broadcasts.clients_of(&"prefix-0042".into()).collect::<Vec<_>>(), [42]);
        assert_eq!(broadcasts.take_changed(), BTreeMap::new());
    }
}
