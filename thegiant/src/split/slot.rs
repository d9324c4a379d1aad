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
    crc16(tagged(key)) % SLOTS
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
fn tagged(key: &[u8]) -> &[u8] {
    // Few keys have a brace, and it takes fewer steps to find that out than to look for the first one.
    if !has_brace(key) {
        return key;
    }
    let Some(open) = key.iter().position(|byte| *byte == b'{') else { return key };
    let inside = &key[open + 1..];
    match inside.iter().position(|byte| *byte == b'}') {
        Some(close) if close > 0 => &inside[..close],
        _ => key,
    }
}

fn has_brace(key: &[u8]) -> bool {
    let each = |byte| u64::from_ne_bytes([byte; 8]);
    let (words, rest) = key.as_chunks::<8>();
    // A brace becomes a zero byte. The first highest bit that the subtraction sets is that of a zero byte.
    let has_one = |word: &[u8; 8]| {
        let word = u64::from_ne_bytes(*word) ^ each(b'{');
        word.wrapping_sub(each(1)) & !word & each(0x80) != 0
    };
    words.iter().any(has_one) || rest.contains(&b'{')
}

/// CRC-16/XMODEM. It takes four bytes per step, since every key of a sharded command passes here.
fn crc16(bytes: &[u8]) -> u16 {
    let (fours, rest) = bytes.as_chunks::<4>();
    let mut crc = 0;
    for [a, b, c, d] in fours {
        let [high, low] = u16::to_be_bytes(crc);
        crc = at(3, high ^ a) ^ at(2, low ^ b) ^ at(1, *c) ^ at(0, *d);
    }
    rest.iter().fold(crc, |crc, byte| (crc << 8) ^ at(0, (crc >> 8) as u8 ^ byte))
}

fn at(zeros: usize, byte: u8) -> u16 {
    TABLES[zeros][usize::from(byte)]
}

/// The checksums of each byte, followed by as many zeros as the index of the table says.
static TABLES: [[u16; 256]; 4] = {
    let mut tables = [[0; 256]; 4];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u16;
        let mut zeros = 0;
        // The first step is for the byte itself.
        while zeros < 4 {
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
        assert_eq!(crc16(b"123456789"), 0x31c3);
        let bytes: Vec<u8> = (0..300u32).map(|number| ((number * 7919) >> 3) as u8).collect();
        for len in 0..bytes.len() {
            assert_eq!(crc16(&bytes[..len]), slow(&bytes[..len]), "{len}");
        }
    }

    #[test]
    fn a_brace_is_found_at_every_position() {
        for byte in 0..=u8::MAX {
            for len in 0..20 {
                let mut key = vec![byte; len];
                assert_eq!(has_brace(&key), key.contains(&b'{'), "{key:?}");
                for at in 0..len {
                    key[at] = b'{';
                    assert!(has_brace(&key), "{key:?}");
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
