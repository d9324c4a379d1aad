//! Format in which one ordered map of byte strings stores all databases.
//!
//! A *map key* is a key of this map. A *key* is a key of a database. Each map key begins with one byte for its
//! kind.
//!
//! | map key | value |
//! | --- | --- |
//! | seed | 16 bytes: the secret of the hash function |
//! | database: number | slot, number of keys, number of keys with a deadline |
//! | garbage: slot | empty; the entries of this slot have to be removed |
//! | entry: slot, hash of the key, key | deadline of the key or 0, value |
//! | deadline: time, slot, key | empty |
//!
//! Numbers are big-endian, so their byte order is their numeric order. The entries of a slot are sorted by the
//! hash of their key. This hash is the position of an entry: `SCAN` returns a position as its cursor, and
//! `RANDOMKEY` starts at a random position.
//!
//! `FLUSHDB` moves a database to a new, empty slot and marks the old slot as garbage. The server removes the
//! old entries in the background.

use bytes::{BufMut, Bytes, BytesMut};
use kv::{Entry, Time};
use siphasher::sip::SipHasher13;

use crate::engine::{Error, Result};

/// Identifies the entries of a database. A slot is never used twice.
pub(crate) type Slot = u32;

/// Number of bits of a hash that form a position. Some clients parse a cursor as a float, which is exact up to 53 bits.
const HASH_BITS: u32 = 48;
const HASH_LEN: usize = HASH_BITS as usize / 8;
const SLOT_LEN: usize = size_of::<Slot>();
const TIME_LEN: usize = size_of::<Time>();

pub(crate) const SEED: Bytes = Bytes::from_static(b"s");
const DATABASE: u8 = b'b';
const GARBAGE: u8 = b'g';
const ENTRY: u8 = b'e';
const DEADLINE: u8 = b'd';

/// Slot and counts of a database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) slot: Slot,
    pub(crate) keys: u64,
    pub(crate) deadlines: u64,
}

/// A position among the entries of a database, from 0 to [`LAST_POSITION`]: the hash of a key.
pub(crate) type Position = u64;

pub(crate) const LAST_POSITION: Position = (1 << HASH_BITS) - 1;

/// Calculates the positions of keys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Positions(SipHasher13);

impl Positions {
    pub(crate) fn new(seed: [u8; 16]) -> Self {
        Positions(SipHasher13::new_with_key(&seed))
    }

    pub(crate) fn of(&self, key: &[u8]) -> Position {
        self.0.hash(key) >> (64 - HASH_BITS)
    }

    /// Returns the map key of an entry.
    pub(crate) fn entry(&self, slot: Slot, key: &[u8]) -> Bytes {
        let mut bytes = position(slot, self.of(key), key.len());
        bytes.put_slice(key);
        bytes.freeze()
    }
}

/// Returns the lower bound for the map keys of all entries at or after a position.
pub(crate) fn first(slot: Slot, at: Position) -> Bytes {
    position(slot, at, 0).freeze()
}

fn position(slot: Slot, position: Position, more: usize) -> BytesMut {
    let mut bytes = BytesMut::with_capacity(1 + SLOT_LEN + HASH_LEN + more);
    bytes.put_u8(ENTRY);
    bytes.put_u32(slot);
    bytes.put_uint(position, HASH_LEN);
    bytes
}

/// Extracts the key from the map key of an entry. Returns `None` if the entry is in another slot.
pub(crate) fn key(slot: Slot, entry: &Bytes) -> Option<Bytes> {
    let rest = entry.strip_prefix(&[ENTRY])?.strip_prefix(&slot.to_be_bytes())?;
    Some(entry.slice_ref(rest.get(HASH_LEN..)?))
}

/// Encodes the value of an entry: its deadline and the value of its key.
pub(crate) fn value(value: &[u8], deadline: Option<Time>) -> Bytes {
    let mut bytes = BytesMut::with_capacity(TIME_LEN + value.len());
    bytes.put_i64(deadline.unwrap_or_default());
    bytes.put_slice(value);
    bytes.freeze()
}

/// Decodes the value of an entry.
pub(crate) fn entry(bytes: &Bytes) -> Result<Entry<Bytes>> {
    let (time, value) = bytes.split_first_chunk::<TIME_LEN>().ok_or_else(damaged)?;
    let deadline = Some(Time::from_be_bytes(*time)).filter(|time| *time != 0);
    Ok(Entry { value: bytes.slice_ref(value), deadline })
}

/// Returns the map key that records a deadline.
pub(crate) fn deadline(time: Time, slot: Slot, key: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(1 + TIME_LEN + SLOT_LEN + key.len());
    bytes.put_u8(DEADLINE);
    bytes.put_i64(time);
    bytes.put_u32(slot);
    bytes.put_slice(key);
    bytes.freeze()
}

/// Prefix of all deadlines. The map keeps them in the order of their times.
pub(crate) const DEADLINES: &[u8] = &[DEADLINE];

/// Decodes a recorded deadline, or returns `None` if the map key is not a deadline.
pub(crate) fn read_deadline(bytes: &Bytes) -> Option<(Time, Slot, Bytes)> {
    let (time, rest) = bytes.strip_prefix(DEADLINES)?.split_first_chunk()?;
    let (slot, key) = rest.split_first_chunk()?;
    Some((Time::from_be_bytes(*time), Slot::from_be_bytes(*slot), bytes.slice_ref(key)))
}

/// Returns the map key of a database's summary.
pub(crate) fn database(number: u16) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(DATABASE);
    bytes.put_u16(number);
    bytes.freeze()
}

/// Returns the map key that marks a slot as garbage.
pub(crate) fn garbage(slot: Slot) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(GARBAGE);
    bytes.put_u32(slot);
    bytes.freeze()
}

/// Prefix of all garbage slots.
pub(crate) const ALL_GARBAGE: &[u8] = &[GARBAGE];

/// Decodes a garbage slot, or returns `None` if the map key is not a garbage slot.
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
    "the data is damaged, or another program created the folder".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_data_is_decoded() {
        let positions = Positions::new([7; 16]);
        let entry_at = positions.entry(3, b"key");
        assert_eq!(key(3, &entry_at).as_deref(), Some(&b"key"[..]));
        assert_eq!((key(4, &entry_at), key(3, &Bytes::from_static(b"e"))), (None, None));
        assert!(first(3, positions.of(b"key")) <= entry_at && entry_at < first(3, positions.of(b"key") + 1));
        assert!(first(3, LAST_POSITION) < first(4, 0));

        for time in [None, Some(1), Some(Time::MAX)] {
            let read = entry(&value(b"value", time)).expect("decode the entry");
            assert_eq!((&read.value[..], read.deadline), (&b"value"[..], time));
        }
        assert!(entry(&Bytes::from_static(b"short")).is_err());

        let at = deadline(1000, 3, b"key");
        assert_eq!(read_deadline(&at), Some((1000, 3, Bytes::from_static(b"key"))));
        assert!(at < deadline(1001, 0, b""), "deadlines are sorted by time");

        let summary = Summary { slot: 1, keys: 2, deadlines: 3 };
        assert_eq!(Summary::read(&summary.to_bytes()).ok(), Some(summary));
        assert!(Summary::read(b"short").is_err());
        assert_eq!(read_garbage(&garbage(9)), Some(9));
    }
}
