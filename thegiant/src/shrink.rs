//! Frees the memory of maps after a peak.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash},
};

/// Capacity that a map keeps, in entries.
const MIN_CAPACITY: usize = 64;

/// Frees unused capacity of a map if most of its entries were removed.
///
/// A map calls it after each removal. A removal still takes constant time on average, because half of the
/// entries are removed between two reductions.
pub(crate) fn shrink_sparse<K: Eq + Hash, V, S: BuildHasher>(map: &mut HashMap<K, V, S>) {
    // This compares two numbers unless it halves the table. `capacity` could not decide it: removed entries may
    // still count there.
    map.shrink_to((4 * map.len()).max(MIN_CAPACITY));
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, hash::DefaultHasher};

    use super::*;

    /// Counts the hashes, so also the moves of entries to another table.
    #[derive(Default)]
    struct CountingState(Cell<usize>);

    impl BuildHasher for CountingState {
        type Hasher = DefaultHasher;

        fn build_hasher(&self) -> DefaultHasher {
            self.0.set(self.0.get() + 1);
            DefaultHasher::new()
        }
    }

    #[test]
    fn a_map_shrinks_with_its_entries_but_not_at_each_removal() {
        const LEN: usize = 110_000;
        let mut map: HashMap<usize, (), _> = HashMap::with_hasher(CountingState::default());
        map.extend((0..LEN).map(|key| (key, ())));
        map.hasher().0.set(0);
        for key in 0..LEN {
            map.remove(&key);
            shrink_sparse(&mut map);
            assert!(map.capacity() <= (8 * map.len()).max(2 * MIN_CAPACITY));
        }
        assert!(map.hasher().0.get() < 2 * LEN, "{} hashes", map.hasher().0.get());
    }
}
