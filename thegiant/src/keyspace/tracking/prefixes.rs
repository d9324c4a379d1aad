//! Prefixes in order, and those of them that a key begins with: found without a look at all, since a client may have
//! named many.

use std::{
    collections::BTreeMap,
    iter,
    ops::Bound::{Excluded, Included, Unbounded},
};

use bytes::Bytes;

/// Those that the key begins with, the longest first.
pub(super) fn of<'p, V>(prefixes: &'p BTreeMap<Bytes, V>, key: &[u8]) -> impl Iterator<Item = &'p Bytes> {
    // What is still to be found is at most so much of the key, itself included or not.
    let (mut len, mut is_included) = (key.len(), true);
    iter::from_fn(move || {
        loop {
            let end = if is_included { Included(&key[..len]) } else { Excluded(&key[..len]) };
            let (nearest, _) = prefixes.range::<[u8], _>((Unbounded, end)).next_back()?;
            let common =
                nearest.iter().zip(key).take_while(|(of_prefix, of_key)| of_prefix == of_key).count();
            let is_prefix = common == nearest.len();
            (len, is_included) = (common, !is_prefix);
            if is_prefix {
                return Some(nearest);
            }
        }
    })
}

/// The first that this prefix begins with, or that begins with it.
pub(super) fn overlapping<'p, V>(prefixes: &'p BTreeMap<Bytes, V>, prefix: &[u8]) -> Option<&'p Bytes> {
    let behind = || prefixes.range::<[u8], _>((Included(prefix), Unbounded)).next().map(|(next, _)| next);
    of(prefixes, prefix).last().or_else(|| behind().filter(|next| next.starts_with(prefix)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_those_that_a_look_at_all_would_find() {
        let mut chance = 7u32;
        let mut word = move |most: u32| -> Vec<u8> {
            let mut next = || {
                chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                chance >> 16
            };
            (0..next() % (most + 1)).map(|_| b"ab"[(next() % 2) as usize]).collect()
        };
        for size in 0..200 {
            let prefixes: BTreeMap<Bytes, ()> = (0..size % 20).map(|_| (word(5).into(), ())).collect();
            for _ in 0..20 {
                let key = word(7);
                let found: Vec<_> = of(&prefixes, &key).collect();
                let mut all: Vec<_> = prefixes.keys().filter(|prefix| key.starts_with(prefix)).collect();
                all.reverse();
                assert_eq!(found, all, "{prefixes:?} {key:?}");
                let first = prefixes.keys().find(|known| known.starts_with(&key) || key.starts_with(known));
                assert_eq!(overlapping(&prefixes, &key), first, "{prefixes:?} {key:?}");
            }
        }
    }
}
