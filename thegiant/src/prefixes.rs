//! Finds the prefixes of a key in an ordered map.
//!
//! The search does not visit every prefix, because a client may have named many.

use std::{
    collections::BTreeMap,
    iter,
    ops::Bound::{Excluded, Included, Unbounded},
};

use bytes::Bytes;

/// Returns the prefixes that the key begins with, longest first.
pub(crate) fn of<'p, V>(prefixes: &'p BTreeMap<Bytes, V>, key: &[u8]) -> impl Iterator<Item = &'p Bytes> {
    // The remaining prefixes are at most `len` bytes of the key long; `is_included` says whether one of
    // exactly `len` bytes remains.
    let (mut len, mut is_included) = (key.len(), true);
    iter::from_fn(move || {
        loop {
            let end = if is_included { Included(&key[..len]) } else { Excluded(&key[..len]) };
            let (nearest, _) = prefixes.range::<[u8], _>((Unbounded, end)).next_back()?;
            let common =
                nearest.iter().zip(key).take_while(|(prefix_byte, key_byte)| prefix_byte == key_byte).count();
            let is_prefix = common == nearest.len();
            (len, is_included) = (common, !is_prefix);
            if is_prefix {
                return Some(nearest);
            }
        }
    })
}

/// Returns the first known prefix that overlaps with `prefix`: one of them begins with the other.
pub(crate) fn overlapping<'p, V>(prefixes: &'p BTreeMap<Bytes, V>, prefix: &[u8]) -> Option<&'p Bytes> {
    let successor = || prefixes.range::<[u8], _>((Included(prefix), Unbounded)).next().map(|(next, _)| next);
    of(prefixes, prefix).last().or_else(|| successor().filter(|next| next.starts_with(prefix)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_same_prefixes_as_a_linear_search() {
        let mut random = 7u32;
        let mut word = move |max_len: u32| -> Vec<u8> {
            let mut next = || {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                random >> 16
            };
            (0..next() % (max_len + 1)).map(|_| b"ab"[(next() % 2) as usize]).collect()
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
