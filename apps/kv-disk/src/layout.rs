//! How databases lie in one ordered map of bytes.
//!
//! | key | value |
//! | --- | --- |
//! | `seed` | 16 bytes: what the hashes of this folder are keyed with |
//! | `database` number | its slot, how many keys it has, and how many of them have a deadline |
//! | `garbage` slot | nothing: a slot whose entries are to be removed |
//! | `entry` slot, hash of the key, key | the deadline of the key, or 0, and its value |
//! | `deadline` time, slot, key | nothing |
//!
//! Numbers are big-endian, so that their order is that of their bytes. Entries lie in the order of a hash: so a place
//! among them is a number, which `SCAN` needs for its cursors, and a random number is a random place. A database that is
//! cleared moves to another slot.

use bytes::{BufMut, Bytes, BytesMut};
use kv::{Entry, Time};
use siphasher::sip::SipHasher13;

use crate::engine::{Error, Result};

/// Where the entries of a database are. No two databases ever have the same.
pub(crate) type Slot = u32;

/// So many bits of a hash are used: clients may take a cursor for a float, which is exact up to 53.
const HASH_BITS: u32 = 48;
const HASH_LEN: usize = HASH_BITS as usize / 8;
const SLOT_LEN: usize = size_of::<Slot>();
const TIME_LEN: usize = size_of::<Time>();

pub(crate) const SEED: Bytes = Bytes::from_static(b"s");
const DATABASE: u8 = b'b';
const GARBAGE: u8 = b'g';
const ENTRY: u8 = b'e';
const DEADLINE: u8 = b'd';

/// What is known of a database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) slot: Slot,
    pub(crate) keys: u64,
    pub(crate) deadlines: u64,
}

/// A place among the entries of a database, from 0 to [`LAST_PLACE`].
pub(crate) type Place = u64;

pub(crate) const LAST_PLACE: Place = (1 << HASH_BITS) - 1;

/// What gives keys their places.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places(SipHasher13);

impl Places {
    pub(crate) fn new(seed: [u8; 16]) -> Self {
        Places(SipHasher13::new_with_key(&seed))
    }

    pub(crate) fn of(&self, key: &[u8]) -> Place {
        self.0.hash(key) >> (64 - HASH_BITS)
    }

    /// Where an entry lies.
    pub(crate) fn entry(&self, slot: Slot, key: &[u8]) -> Bytes {
        let mut bytes = place(slot, self.of(key), key.len());
        bytes.put_slice(key);
        bytes.freeze()
    }
}

/// Where the first entry from this place on may lie.
pub(crate) fn first(slot: Slot, at: Place) -> Bytes {
    place(slot, at, 0).freeze()
}

fn place(slot: Slot, place: Place, more: usize) -> BytesMut {
    let mut bytes = BytesMut::with_capacity(1 + SLOT_LEN + HASH_LEN + more);
    bytes.put_u8(ENTRY);
    bytes.put_u32(slot);
    bytes.put_uint(place, HASH_LEN);
    bytes
}

/// The key of an entry, if it is one of this slot.
pub(crate) fn key(slot: Slot, entry: &Bytes) -> Option<Bytes> {
    let rest = entry.strip_prefix(&[ENTRY])?.strip_prefix(&slot.to_be_bytes())?;
    Some(entry.slice_ref(rest.get(HASH_LEN..)?))
}

/// A deadline and a value.
pub(crate) fn value(value: &[u8], deadline: Option<Time>) -> Bytes {
    let mut bytes = BytesMut::with_capacity(TIME_LEN + value.len());
    bytes.put_i64(deadline.unwrap_or_default());
    bytes.put_slice(value);
    bytes.freeze()
}

/// The same, read.
pub(crate) fn entry(bytes: &Bytes) -> Result<Entry<Bytes>> {
    let (time, value) = bytes.split_first_chunk::<TIME_LEN>().ok_or_else(damaged)?;
    let deadline = Some(Time::from_be_bytes(*time)).filter(|time| *time != 0);
    Ok(Entry { value: bytes.slice_ref(value), deadline })
}

/// Where it is noted when a key is to go.
pub(crate) fn deadline(time: Time, slot: Slot, key: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(1 + TIME_LEN + SLOT_LEN + key.len());
    bytes.put_u8(DEADLINE);
    bytes.put_i64(time);
    bytes.put_u32(slot);
    bytes.put_slice(key);
    bytes.freeze()
}

/// All of that, in order.
pub(crate) const DEADLINES: &[u8] = &[DEADLINE];

/// The same, read, if it is that.
pub(crate) fn read_deadline(bytes: &Bytes) -> Option<(Time, Slot, Bytes)> {
    let (time, rest) = bytes.strip_prefix(DEADLINES)?.split_first_chunk()?;
    let (slot, key) = rest.split_first_chunk()?;
    Some((Time::from_be_bytes(*time), Slot::from_be_bytes(*slot), bytes.slice_ref(key)))
}

/// Where the summary of a database lies.
pub(crate) fn database(number: u16) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(DATABASE);
    bytes.put_u16(number);
    bytes.freeze()
}

/// Where it is noted that the entries of a slot are to be removed.
pub(crate) fn garbage(slot: Slot) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(GARBAGE);
    bytes.put_u32(slot);
    bytes.freeze()
}

/// All of that, in order.
pub(crate) const ALL_GARBAGE: &[u8] = &[GARBAGE];

/// The same, read, if it is that.
pub(crate) fn read_garbage(bytes: &[u8]) -> Option<Slot> {
    Some(Slot::from_be_bytes(bytes.strip_prefix(ALL_GARBAGE)?.try_into().ok()?))
}

impl Summary {
    pub(crate) fn to_bytes(self) -> Bytes {
        let mut bytes = BytesMut::new();
        bytes.put_u32(self.slot);
        bytes.put_u64(self.keys);
        bytes.put_u64(self.deadlines);
        bytes.freeze()
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<Self> {
        let (slot, rest) = bytes.split_first_chunk().ok_or_else(damaged)?;
        let (keys, rest) = rest.split_first_chunk().ok_or_else(damaged)?;
        Ok(Summary {
            slot: Slot::from_be_bytes(*slot),
            keys: u64::from_be_bytes(*keys),
            deadlines: u64::from_be_bytes(rest.try_into().map_err(|_| damaged())?),
        })
    }
}

fn damaged() -> Error {
    "the file is damaged, or was made by another program".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let places = Places::new([7; 16]);
        let entry_at = places.entry(3, b"key");
        assert_eq!(key(3, &entry_at).as_deref(), Some(&b"key"[..]));
        assert_eq!((key(4, &entry_at), key(3, &Bytes::from_static(b"e"))), (None, None));
        assert!(first(3, places.of(b"key")) <= entry_at && entry_at < first(3, places.of(b"key") + 1));
        assert!(first(3, LAST_PLACE) < first(4, 0));

        for time in [None, Some(1), Some(Time::MAX)] {
            let read = entry(&value(b"value", time)).expect("it is whole");
            assert_eq!((&read.value[..], read.deadline), (&b"value"[..], time));
        }
        assert!(entry(&Bytes::from_static(b"short")).is_err());

        let at = deadline(1000, 3, b"key");
        assert_eq!(read_deadline(&at), Some((1000, 3, Bytes::from_static(b"key"))));
        assert!(at < deadline(1001, 0, b""), "the next one comes first");

        let summary = Summary { slot: 1, keys: 2, deadlines: 3 };
        assert_eq!(Summary::read(&summary.to_bytes()).ok(), Some(summary));
        assert!(Summary::read(b"short").is_err());
        assert_eq!(read_garbage(&garbage(9)), Some(9));
    }
}
