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
    let (mut crc, has_brace) = crc16(key);
    // Few keys have a brace.
    if has_brace {
        crc = crc16(tagged(key)).0;
    }
    crc % SLOTS
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

/// Returns the part of a key in braces, or the whole key if that part is missing or empty.
#[cold]
fn tagged(key: &[u8]) -> &[u8] {
    let Some(open) = key.iter().position(|byte| *byte == b'{') else { return key };
    let inside = &key[open + 1..];
    match inside.iter().position(|byte| *byte == b'}') {
        Some(close) if close > 0 => &inside[..close],
        _ => key,
    }
}

/// Returns the CRC-16/XMODEM of some bytes, and whether one of them is an opening brace.
///
/// It takes eight bytes per step, since every key of a sharded command passes here.
fn crc16(bytes: &[u8]) -> (u16, bool) {
    let (words, rest) = bytes.as_chunks::<8>();
    let (mut crc, mut braces) = (0_u16, 0);
    for word in words {
        let word = u64::from_le_bytes(*word);
        braces |= braces_in(word);
        // The checksum so far belongs to the first two bytes.
        let word = word ^ u64::from(crc.swap_bytes());
        crc = (0..8).fold(0, |crc, index| crc ^ at(7 - index, (word >> (8 * index)) as u8));
    }
    let mut has_brace = braces != 0;
    for byte in rest {
        has_brace |= *byte == b'{';
        crc = (crc << 8) ^ at(0, (crc >> 8) as u8 ^ byte);
    }
    (crc, has_brace)
}

/// Returns a number that is not 0 if one of the eight bytes is an opening brace.
fn braces_in(word: u64) -> u64 {
    let each = |byte| u64::from_le_bytes([byte; 8]);
    // A brace becomes a zero byte. The first highest bit that the subtraction sets is that of a zero byte.
    let word = word ^ each(b'{');
    word.wrapping_sub(each(1)) & !word & each(0x80)
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
        assert_eq!(crc16(b"123456789"), (0x31c3, false));
        let bytes: Vec<u8> = (0..300u32).map(|number| ((number * 7919) >> 3) as u8).collect();
        for len in 0..bytes.len() {
            assert_eq!(crc16(&bytes[..len]).0, slow(&bytes[..len]), "{len}");
        }
    }

    #[test]
    fn a_brace_is_found_at_every_position() {
        for byte in 0..=u8::MAX {
            for len in 0..20 {
                let mut key = vec![byte; len];
                assert_eq!(crc16(&key).1, key.contains(&b'{'), "{key:?}");
                for at in 0..len {
                    key[at] = b'{';
                    assert!(crc16(&key).1, "{key:?}");
                    key[at] = byte;
                }
            }
        }
    }

    #[test]
    fn the_part_in_braces_decides() {
        assert_eq!(tagged(b"{user1000}.following"), b"user1000");
        assert_eq!(tagged(b"foo{}{bar}"), b"foo{}{bar}");
        assert_eq!(tagged(b"foo{{bar}}zap"), b"{bar");
        assert_eq!(tagged(b"foo{bar}{zap}"), b"bar");
        assert_eq!(tagged(b"foo{bar"), b"foo{bar");
    }
}
