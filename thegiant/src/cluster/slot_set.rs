//! Sets of slots.

use std::{fmt, ops::RangeInclusive};

use crate::split::SLOTS;

const WORDS: usize = SLOTS as usize / 64;

/// Some of the 16384 slots, with a bit for each.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SlotSet(Box<[u64; WORDS]>);

impl SlotSet {
    pub(super) fn none() -> Self {
        SlotSet(Box::new([0; WORDS]))
    }

    pub(super) fn all() -> Self {
        SlotSet(Box::new([u64::MAX; WORDS]))
    }

    /// Returns the slots in these ranges.
    ///
    /// # Panics
    /// Panics if a range has a number that is no slot.
    #[track_caller]
    pub(crate) fn of(ranges: impl IntoIterator<Item = RangeInclusive<u16>>) -> Self {
        let mut set = Self::none();
        for range in ranges {
            assert!(range.is_empty() || *range.end() < SLOTS, "there is no slot {}", range.end());
            range.for_each(|slot| set.0[usize::from(slot / 64)] |= 1 << (slot % 64));
        }
        set
    }

    #[inline]
    pub(super) fn contains(&self, slot: u16) -> bool {
        self.0[usize::from(slot / 64)] & (1 << (slot % 64)) != 0
    }

    /// Returns the slots that both sets have.
    pub(super) fn and(mut self, other: &Self) -> Self {
        self.0.iter_mut().zip(other.0.iter()).for_each(|(word, other)| *word &= other);
        self
    }

    /// Returns whether the other set has all slots of this one.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0.iter()).all(|(word, other)| word & !other == 0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }
}

impl fmt::Debug for SlotSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count: u32 = self.0.iter().map(|word| word.count_ones()).sum();
        f.debug_tuple("SlotSet").field(&format_args!("{count} slots")).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_the_slots_of_its_ranges() {
        let set = SlotSet::of([0..=0, 63..=64, 16383..=16383]);
        let has: Vec<u16> = (0..SLOTS).filter(|slot| set.contains(*slot)).collect();
        assert_eq!(has, [0, 63, 64, 16383]);
        assert!(set.is_within(&SlotSet::all()) && !SlotSet::all().is_within(&set));
        assert_eq!(SlotSet::all().and(&set), set);
        assert!(SlotSet::none().is_empty() && !set.is_empty());
    }
}
