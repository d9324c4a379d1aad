//! The table of keys that clients have read.

use std::collections::HashMap;

use bytes::Bytes;
use foldhash::quality::RandomState;

/// Keys, and the IDs of the clients that have read them.
#[derive(Debug, Default)]
pub(super) struct TrackingTable {
    entries: HashMap<Bytes, TrackedKey, RandomState>,
    /// All keys, from which eviction picks in turn.
    keys: Vec<Bytes>,
    /// Index of the next key to evict.
    next_evicted: usize,
    items: usize,
}

#[derive(Debug)]
struct TrackedKey {
    /// Client IDs in ascending order.
    readers: Vec<u64>,
    /// Index in [`TrackingTable::keys`].
    index: usize,
}

impl TrackingTable {
    /// Returns the number of keys.
    pub(super) fn keys(&self) -> usize {
        self.keys.len()
    }

    /// Returns the number of pairs of a key and a reader.
    pub(super) fn items(&self) -> usize {
        self.items
    }

    pub(super) fn add(&mut self, key: &[u8], reader: u64) {
        let Some(entry) = self.entries.get_mut(key) else {
            let key = Bytes::copy_from_slice(key);
            self.entries.insert(key.clone(), TrackedKey { readers: vec![reader], index: self.keys.len() });
            self.keys.push(key);
            self.items += 1;
            return;
        };
        if let Err(position) = entry.readers.binary_search(&reader) {
            entry.readers.insert(position, reader);
            self.items += 1;
        }
    }

    /// Removes all keys that begin with `prefix`.
    pub(super) fn remove_with(&mut self, prefix: &[u8]) {
        let removed: Vec<Bytes> = self.keys.iter().filter(|key| key.starts_with(prefix)).cloned().collect();
        removed.iter().for_each(|key| drop(self.take(key)));
    }

    /// Removes a key and returns its readers.
    pub(super) fn take(&mut self, key: &[u8]) -> Option<Vec<u64>> {
        let TrackedKey { readers, index } = self.entries.remove(key)?;
        self.items -= readers.len();
        self.keys.swap_remove(index);
        if let Some(moved) = self.keys.get(index).and_then(|moved| self.entries.get_mut(moved)) {
            moved.index = index;
        }
        Some(readers)
    }

    /// Removes any key, and returns it with its readers.
    pub(super) fn evict(&mut self) -> Option<(Bytes, Vec<u64>)> {
        self.next_evicted = if self.next_evicted < self.keys.len() { self.next_evicted } else { 0 };
        let key = self.keys.get(self.next_evicted)?.clone();
        // `take` moves the last key to this index, so the next eviction starts behind it.
        self.next_evicted += 1;
        let readers = self.take(&key)?;
        Some((key, readers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_removed_once_with_all_its_readers() {
        let mut table = TrackingTable::default();
        for number in 0..100u64 {
            let key = (number % 10).to_string();
            table.add(key.as_bytes(), number);
            table.add(key.as_bytes(), number);
        }
        assert_eq!((table.keys(), table.items()), (10, 100));
        assert_eq!(table.take(b"7").map(|readers| readers.len()), Some(10));
        assert_eq!(table.take(b"7"), None);
        let mut taken: Vec<_> = std::iter::from_fn(|| table.evict()).collect();
        taken.sort();
        assert_eq!(taken.len(), 9);
        for (key, readers) in taken {
            let first: u64 = String::from_utf8_lossy(&key).parse().expect("a number");
            assert_eq!(readers, (0..10).map(|round| round * 10 + first).collect::<Vec<_>>());
        }
        assert_eq!((table.keys(), table.items()), (0, 0));
    }
}
