//! The slot of a key.

/// The number of slots of a Redis Cluster.
pub const SLOTS: u16 = 16384;

/// Returns the slot of a key, from 0 to 16383, as Redis Cluster and its clients compute it.
///
/// If the key has a part in braces, such as `{user1000}.following`, only that part counts. Keys with the same part have
/// the same slot. See the
/// [specification](https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#key-distribution-model).
///
/// ```
/// assert_eq!(thegiant::slot(b"123456789"), 0x31c3);
/// assert_eq!(thegiant::slot(b"{user1000}.following"), thegiant::slot(b"user1000"));
/// ```
#[must_use]
pub fn slot(key: &[u8]) -> u16 {
    // Few keys have a brace.
    crc16::<true>(key).unwrap_or_else(|| tagged_crc16(key)) % SLOTS
}

/// Returns the checksum of the hash tag of a key.
#[inline(never)]
fn tagged_crc16(key: &[u8]) -> u16 {
    crc16::<false>(hash_tag(key)).unwrap_or_default()
}

/// Returns which of this many [shards](crate::App::mount_shards) has a key: each has an equal range of slots.
///
/// A shard can use it to choose names that belong to it, such as its ids.
///
/// ```
/// assert_eq!(thegiant::shard(b"123456789", 4), 3);
/// assert_eq!(thegiant::shard(b"{user1000}.following", 4), thegiant::shard(b"user1000", 4));
/// ```
#[must_use]
pub fn shard(key: &[u8], shards: u16) -> u16 {
    (u32::from(slot(key)) * u32::from(shards) / u32::from(SLOTS)) as u16
}

/// Returns the hash tag of a key: its part in braces, or the whole key if that part is missing or empty.
///
/// Keys with the same hash tag have the same [`slot`]. A [`Router`](crate::proxy::Router) that spreads
/// keys by another hash can hash this part, so that such keys stay together.
///
/// ```
/// assert_eq!(thegiant::hash_tag(b"{user1000}.following"), b"user1000");
/// assert_eq!(thegiant::hash_tag(b"user1000"), b"user1000");
/// assert_eq!(thegiant::hash_tag(b"{}user1000"), b"{}user1000");
/// ```
#[must_use]
pub fn hash_tag(key: &[u8]) -> &[u8] {
    let Some(open) = key.iter().position(|byte| *byte == b'{') else { return key };
    let inside = &key[open + 1..];
    match inside.iter().position(|byte| *byte == b'}') {
        Some(close) if close > 0 => &inside[..close],
        _ => key,
    }
}

/// Returns the CRC-16/XMODEM of some bytes, or `None` if it has to stop at an opening brace.
///
/// It takes eight bytes per step, since every key of a sharded command passes here.
#[inline]
fn crc16<const STOPS_AT_BRACE: bool>(bytes: &[u8]) -> Option<u16> {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut crc = 0_u16;
    for word in words {
        let word = u64::from_le_bytes(*word);
        if STOPS_AT_BRACE && has_brace(word) {
            return None;
        }
        // The checksum so far belongs to the first two bytes.
        let word = word ^ u64::from(crc.swap_bytes());
        crc = (0..8).fold(0, |crc, index| crc ^ at(7 - index, (word >> (8 * index)) as u8));
    }
    for byte in rest {
        if STOPS_AT_BRACE && *byte == b'{' {
            return None;
        }
        crc = (crc << 8) ^ at(0, (crc >> 8) as u8 ^ byte);
    }
    Some(crc)
}

/// Returns whether one of these eight bytes is an opening brace.
#[inline]
fn has_brace(word: u64) -> bool {
    let each = |byte| u64::from_le_bytes([byte; 8]);
    // A brace becomes a zero byte. The first highest bit that the subtraction sets is that of a zero byte.
    let word = word ^ each(b'{');
    word.wrapping_sub(each(1)) & !word & each(0x80) != 0
}

fn at(zeros: usize, byte: u8) -> u16 {
    TABLES[zeros][usize::from(byte)]
}

/// The checksums of each byte, followed by as many zeros as the index of the table says.
static TABLES: [[u16; 256]; 8] = {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u16;
        let mut zeros = 0;
        // The first step is for the byte itself.
        while zeros < 8 {
            let mut bit = 0;
            crc = if zeros == 0 { crc << 8 } else { crc };
            while bit < 8 {
                crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
                bit += 1;
            }
            tables[zeros][byte] = crc;
            zeros += 1;
        }
        byte += 1;
    }
    tables
};

#[cfg(test)]
mod tests {
    use super::*;

    /// CRC-16/XMODEM, bit by bit.
    fn slow(bytes: &[u8]) -> u16 {
        bytes.iter().fold(0, |crc, byte| {
            (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
            })
        })
    }

    #[test]
    fn the_checksum_is_crc_16_xmodem() {
        assert_eq!(crc16::<false>(b"123456789"), Some(0x31c3));
        let bytes: Vec<u8> = (0..300u32).map(|number| ((number * 7919) >> 3) as u8).collect();
        for len in 0..bytes.len() {
            assert_eq!(crc16::<false>(&bytes[..len]), Some(slow(&bytes[..len])), "{len}");
        }
    }

    #[test]
    fn a_brace_is_found_at_every_position() {
        for byte in 0..=u8::MAX {
            for len in 0..20 {
                let mut key = vec![byte; len];
                let finds_brace = |key: &[u8]| crc16::<true>(key).is_none();
                assert_eq!(finds_brace(&key), key.contains(&b'{'), "{key:?}");
                for at in 0..len {
                    key[at] = b'{';
                    assert!(finds_brace(&key), "{key:?}");
                    key[at] = byte;
                }
            }
        }
    }

    #[test]
    fn the_part_in_braces_decides() {
        assert_eq!(hash_tag(b"{user1000}.following"), b"user1000");
        assert_eq!(hash_tag(b"foo{}{bar}"), b"foo{}{bar}");
        assert_eq!(hash_tag(b"foo{{bar}}zap"), b"{bar");
        assert_eq!(hash_tag(b"foo{bar}{zap}"), b"bar");
        assert_eq!(hash_tag(b"foo{bar"), b"foo{bar");
    }
}
