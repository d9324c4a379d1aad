//! Who has read which key.

use std::collections::HashMap;

use bytes::Bytes;
use foldhash::quality::RandomState;

/// Keys, and the numbers of the clients that have read them.
#[derive(Debug, Default)]
pub(super) struct TrackingTable {
    entries: HashMap<Bytes, TrackedKey, RandomState>,
    /// All keys, for one to be taken when there are too many: a hand goes round among them.
    keys: Vec<Bytes>,
    hand: usize,
    items: usize,
}

#[derive(Debug)]
struct TrackedKey {
    /// In order.
    readers: Vec<u64>,
    /// Its place among the keys.
    place: usize,
}

impl TrackingTable {
    /// How many keys there are.
    pub(super) fn keys(&self) -> usize {
        self.keys.len()
    }

    /// How many readers they have, each counted for itself.
    pub(super) fn items(&self) -> usize {
        self.items
    }

    pub(super) fn add(&mut self, key: &[u8], reader: u64) {
        let Some(entry) = self.entries.get_mut(key) else {
            let key = Bytes::copy_from_slice(key);
            self.entries.insert(key.clone(), TrackedKey { readers: vec![reader], place: self.keys.len() });
            self.keys.push(key);
            self.items += 1;
            return;
        };
        if let Err(place) = entry.readers.binary_search(&reader) {
            entry.readers.insert(place, reader);
            self.items += 1;
        }
    }

    /// Removes a key. Returns its readers.
    pub(super) fn take(&mut self, key: &[u8]) -> Option<Vec<u64>> {
        let TrackedKey { readers, place } = self.entries.remove(key)?;
        self.items -= readers.len();
        self.keys.swap_remove(place);
        if let Some(moved) = self.keys.get(place).and_then(|moved| self.entries.get_mut(moved)) {
            moved.place = place;
        }
        Some(readers)
    }

    /// Removes a key, whichever it is.
    pub(super) fn take_any(&mut self) -> Option<(Bytes, Vec<u64>)> {
        self.hand = if self.hand < self.keys.len() { self.hand } else { 0 };
        let key = self.keys.get(self.hand)?.clone();
        // The last one comes to its place, and is left alone for a round.
        self.hand += 1;
        let readers = self.take(&key)?;
        Some((key, readers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_taken_once_with_all_its_readers() {
        let mut table = TrackingTable::default();
        for number in 0..100u64 {
            let key = (number % 10).to_string();
            table.add(key.as_bytes(), number);
            table.add(key.as_bytes(), number);
        }
        assert_eq!((table.keys(), table.items()), (10, 100));
        assert_eq!(table.take(b"7").map(|readers| readers.len()), Some(10));
        assert_eq!(table.take(b"7"), None);
        let mut taken: Vec<_> = std::iter::from_fn(|| table.take_any()).collect();
        taken.sort();
        assert_eq!(taken.len(), 9);
        for (key, readers) in taken {
            let first: u64 = String::from_utf8_lossy(&key).parse().expect("a number");
            assert_eq!(readers, (0..10).map(|round| round * 10 + first).collect::<Vec<_>>());
        }
        assert_eq!((table.keys(), table.items()), (0, 0));
    }
}
