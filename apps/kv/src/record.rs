//! A key with its value and its deadline, in as little memory as possible.

use std::{
    borrow::Borrow,
    hash::{Hash, Hasher},
    mem,
};

use thegiant::Bytes;

use crate::{
    cow::CowBytes,
    databases::{Entry, Time},
};

/// A key with its value and its deadline. It compares and hashes like its key.
#[derive(Debug)]
pub(crate) enum Record {
    /// All in one allocation: a [header](Header), the key, the value, and the deadline if there is one.
    Short(Box<[u8]>),
    /// A key with a long value, to which replies can refer, or a very long key.
    Long(Box<Long>),
}

#[derive(Debug)]
pub(crate) struct Long {
    key: Box<[u8]>,
    value: Bytes,
    deadline: Option<Time>,
}

/// The length of the key, and the bit [`HAS_DEADLINE`].
type Header = u16;

const HAS_DEADLINE: Header = 1 << 15;
const MAX_KEY: usize = HAS_DEADLINE as usize - 1;

impl Record {
    pub(crate) fn new(key: &[u8], value: CowBytes<'_>, deadline: Option<Time>) -> Self {
        if key.len() <= MAX_KEY && value.as_ref().len() < CowBytes::LONG {
            return Record::Short(short(key, value.as_ref(), deadline));
        }
        Record::Long(Box::new(Long { key: key.into(), value: value.into_bytes(), deadline }))
    }

    #[inline]
    pub(crate) fn key(&self) -> &[u8] {
        match self {
            Record::Short(bytes) => key(bytes),
            Record::Long(long) => &long.key,
        }
    }

    #[inline(always)]
    pub(crate) fn entry(&self) -> Entry<CowBytes<'_>> {
        match self {
            Record::Short(bytes) => {
                let Parts { value, deadline, .. } = parts(bytes);
                Entry { value: CowBytes::Borrowed(value), deadline }
            }
            Record::Long(long) => {
                Entry { value: CowBytes::Owned(long.value.clone()), deadline: long.deadline }
            }
        }
    }

    #[inline]
    pub(crate) fn deadline(&self) -> Option<Time> {
        match self {
            Record::Short(bytes) => parts(bytes).deadline,
            Record::Long(long) => long.deadline,
        }
    }

    /// Returns the length of a short record, or 0: reading it brings only the handle into the cache.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        match self {
            Record::Short(bytes) => bytes.len(),
            Record::Long(_) => 0,
        }
    }

    /// Returns the last byte of the record, or of a long value: reading it brings the whole record into the cache.
    #[inline]
    pub(crate) fn last_byte(&self) -> u8 {
        let bytes = match self {
            Record::Short(bytes) => &bytes[..],
            Record::Long(long) => &long.value[..],
        };
        bytes.last().copied().unwrap_or_default()
    }

    /// Replaces the value and the deadline, in place if a short value has the same length or both values are long.
    #[inline(always)]
    pub(crate) fn set(&mut self, value: CowBytes<'_>, deadline: Option<Time>) {
        match self {
            Record::Short(bytes) => {
                if let Parts { key, value: before, deadline: None } = parts(bytes)
                    && (before.len(), None) == (value.as_ref().len(), deadline)
                {
                    let start = mem::size_of::<Header>() + key.len();
                    return bytes[start..].copy_from_slice(value.as_ref());
                }
            }
            Record::Long(long) if value.as_ref().len() >= CowBytes::LONG => {
                (long.value, long.deadline) = (value.into_bytes(), deadline);
                return;
            }
            Record::Long(_) => {}
        }
        *self = Record::new(self.key(), value, deadline);
    }

    pub(crate) fn set_deadline(&mut self, deadline: Option<Time>) {
        match self {
            Record::Short(bytes) => {
                let Parts { key, value, .. } = parts(bytes);
                *bytes = short(key, value, deadline);
            }
            Record::Long(long) => long.deadline = deadline,
        }
    }

    /// Takes the value, which must be set again. A long value is not copied unless a reply refers to it.
    pub(crate) fn take_value(&mut self) -> Bytes {
        match self {
            Record::Short(bytes) => Bytes::copy_from_slice(parts(bytes).value),
            Record::Long(long) => mem::take(&mut long.value),
        }
    }
}

/// The contents of a [`Record::Short`].
struct Parts<'a> {
    key: &'a [u8],
    value: &'a [u8],
    deadline: Option<Time>,
}

fn short(key: &[u8], value: &[u8], deadline: Option<Time>) -> Box<[u8]> {
    let flag = if deadline.is_some() { HAS_DEADLINE } else { 0 };
    let deadline = deadline.map(Time::to_le_bytes);
    let deadline = deadline.as_ref().map_or(&[][..], |bytes| bytes);
    [&(key.len() as Header | flag).to_le_bytes(), key, value, deadline].concat().into()
}

#[inline]
fn key(bytes: &[u8]) -> &[u8] {
    let (header, rest) = bytes.split_first_chunk().unwrap_or((&[0; 2], &[]));
    &rest[..usize::from(Header::from_le_bytes(*header) & !HAS_DEADLINE)]
}

#[inline]
fn parts(bytes: &[u8]) -> Parts<'_> {
    let (header, mut rest) = bytes.split_first_chunk().unwrap_or((&[0; 2], &[]));
    let header = Header::from_le_bytes(*header);
    let mut deadline = None;
    if header & HAS_DEADLINE != 0
        && let Some((before, time)) = rest.split_last_chunk()
    {
        (rest, deadline) = (before, Some(Time::from_le_bytes(*time)));
    }
    let (key, value) = rest.split_at((header & !HAS_DEADLINE).into());
    Parts { key, value, deadline }
}

impl Borrow<[u8]> for Record {
    #[inline]
    fn borrow(&self) -> &[u8] {
        self.key()
    }
}

impl Hash for Record {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Record {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_contains_what_was_set() {
        const LENGTHS: [usize; 6] = [0, 1, 16, 1023, 1024, 40_000];
        const DEADLINES: [(Option<Time>, Option<Time>); 4] =
            [(None, None), (None, Some(7)), (Some(-7), None), (Some(7), Some(8))];
        let text = &vec![b'x'; 40_000];
        for (key, before, after) in LENGTHS.iter().flat_map(|key| {
            let pairs = LENGTHS.iter().flat_map(|before| LENGTHS.map(|after| (*before, after)));
            pairs.map(move |(before, after)| (&text[..*key], &text[..before], &text[..after]))
        }) {
            for (first, second) in DEADLINES {
                let mut record = Record::new(key, before.into(), first);
                record.set(after.into(), second);
                assert_eq!((record.key(), record.deadline()), (key, second));
                let Entry { value, deadline } = record.entry();
                assert_eq!((value.as_ref(), deadline), (after, second));
                record.set_deadline(first);
                assert_eq!((record.key(), record.deadline()), (key, first));
                assert_eq!(record.take_value(), after);
            }
        }
    }

    #[test]
    fn a_record_takes_16_bytes_besides_its_allocation() {
        assert_eq!(mem::size_of::<Record>(), 16);
        let record = Record::new(b"key:000000000001", CowBytes::Borrowed(&[b'x'; 64]), None);
        assert!(matches!(record, Record::Short(bytes) if bytes.len() == 2 + 16 + 64));
    }
}
