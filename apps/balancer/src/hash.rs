//! To which of several servers a key belongs, by its bytes alone.

use clap::ValueEnum;
use crc::{CRC_16_XMODEM, Crc};
use md5::{Digest, Md5};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// How keys are spread: each of them keeps its server for as long as the servers are the same, and if one is taken out, only
/// the keys of that one move.
#[derive(Clone, Debug)]
pub enum Hash {
    /// A ring on which each server has about 160 points; a key belongs to the next one. Keys are where twemproxy has them with
    /// `distribution: ketama` and `hash: fnv1a_64`, which are what it does unless told otherwise, and with `hash_tag: "{}"`.
    Ketama(Vec<(u32, usize)>),
    /// A key belongs to the server that it has the highest number with, which spreads keys most evenly. The seeds of the
    /// servers.
    Rendezvous(Vec<u64>),
    /// The 16384 slots of Redis Cluster, of which each server has as many in a row; so many servers.
    Slots(usize),
}

/// The name of a way to spread keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum HashKind {
    /// Ring of points, compatible with twemproxy's `ketama` and `fnv1a_64`
    Ketama,
    /// Highest random weight, which spreads keys most evenly
    #[default]
    Rendezvous,
    /// The 16384 slots of Redis Cluster, an equal part of them for each server
    Slots,
}

impl Hash {
    /// For servers of these names, which are their addresses.
    pub fn new(kind: HashKind, names: &[&str]) -> Self {
        match kind {
            HashKind::Ketama => Hash::Ketama(ring(names)),
            HashKind::Rendezvous => {
                Hash::Rendezvous(names.iter().map(|name| xxh3_64(name.as_bytes())).collect())
            }
            HashKind::Slots => Hash::Slots(names.len()),
        }
    }

    /// The server of a key, among those that are up; if none is, the one that it would be if all were.
    pub fn server_of(&self, key: &[u8], is_up: impl Fn(usize) -> bool) -> usize {
        let key = tagged(key);
        match self {
            Hash::Ketama(points) => {
                let hash = fnv1a(key);
                let next = points.partition_point(|(point, _)| *point < hash);
                first_up(points[next..].iter().chain(&points[..next]).map(|(_, server)| *server), is_up)
            }
            Hash::Rendezvous(seeds) => {
                let weight = |server: &usize| xxh3_64_with_seed(key, seeds[*server]);
                let all = 0..seeds.len();
                all.clone()
                    .filter(|server| is_up(*server))
                    .max_by_key(weight)
                    .or(all.max_by_key(weight))
                    .unwrap_or(0)
            }
            Hash::Slots(servers) => {
                let first = usize::from(slot(key)) * servers / SLOTS;
                first_up((first..*servers).chain(0..first), is_up)
            }
        }
    }
}

fn first_up(mut order: impl Iterator<Item = usize> + Clone, is_up: impl Fn(usize) -> bool) -> usize {
    let first = order.clone().next().unwrap_or(0);
    order.find(|server| is_up(*server)).unwrap_or(first)
}

/// So many slots has a Redis Cluster.
pub(crate) const SLOTS: usize = 16384;

const CRC: Crc<u16> = Crc::<u16>::new(&CRC_16_XMODEM);

/// The slot of a key, whose tag is all that counts
/// (<https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#key-distribution-model>).
pub(crate) fn slot_of(key: &[u8]) -> u16 {
    slot(tagged(key))
}

fn slot(tagged: &[u8]) -> u16 {
    CRC.checksum(tagged) % SLOTS as u16
}

/// What of a key says where it belongs: what is in braces, if anything is, so that keys can be told to be together.
fn tagged(key: &[u8]) -> &[u8] {
    let Some(open) = key.iter().position(|byte| *byte == b'{') else { return key };
    let inside = &key[open + 1..];
    match inside.iter().position(|byte| *byte == b'}') {
        Some(close) if close > 0 => &inside[..close],
        _ => key,
    }
}

/// So many points has each of so many servers, as twemproxy reckons: of 25, it is 156.
fn points_of_each(servers: usize) -> u32 {
    let part = 1.0 / servers as f32;
    let digests = part * 160.0 / 4.0 * servers as f32;
    (f64::from(digests) + 1e-10) as f32 as u32 * 4
}

fn ring(names: &[&str]) -> Vec<(u32, usize)> {
    let digests = points_of_each(names.len()) / 4;
    let points = names.iter().enumerate().flat_map(|(server, name)| {
        (0..digests).flat_map(move |number| {
            let digest = Md5::digest(format!("{name}-{number}"));
            let point =
                |at: usize| u32::from_le_bytes([digest[at], digest[at + 1], digest[at + 2], digest[at + 3]]);
            [0, 4, 8, 12].map(|at| (point(at), server))
        })
    });
    let mut points: Vec<_> = points.collect();
    points.sort_unstable();
    points
}

/// FNV-1a with the constants for 64 bits, of which twemproxy keeps 32.
fn fnv1a(key: &[u8]) -> u32 {
    key.iter().fold(0x84222325, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x1b3))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const NAMES: [&str; 3] = ["10.0.0.1:6379", "10.0.0.2:6379", "10.0.0.3:6379"];
    const KINDS: [HashKind; 3] = [HashKind::Ketama, HashKind::Rendezvous, HashKind::Slots];

    fn keys() -> impl Iterator<Item = Vec<u8>> {
        (0..3000).map(|number| format!("key:{number}").into_bytes())
    }

    #[test]
    fn each_has_its_share() {
        for kind in KINDS {
            let hash = Hash::new(kind, &NAMES);
            let mut shares = HashMap::new();
            keys().for_each(|key| *shares.entry(hash.server_of(&key, |_| true)).or_insert(0) += 1);
            // A ring is less even than the others.
            assert!(
                shares.len() == 3 && shares.values().all(|share| (600..1600).contains(share)),
                "{kind:?}: {shares:?}"
            );
        }
    }

    #[test]
    fn only_the_keys_of_the_one_that_is_down_move() {
        for kind in KINDS {
            let hash = Hash::new(kind, &NAMES);
            for key in keys() {
                let (before, now) =
                    (hash.server_of(&key, |_| true), hash.server_of(&key, |server| server != 1));
                assert!(now != 1 && (before == 1 || before == now), "{kind:?}");
                assert_eq!(hash.server_of(&key, |_| false), before);
            }
        }
    }

    #[test]
    fn servers_have_as_many_points_as_with_twemproxy() {
        assert_eq!([1, 3, 10, 25, 47, 50, 100].map(points_of_each), [160, 160, 160, 156, 156, 156, 156]);
    }

    #[test]
    fn tags_keep_keys_together() {
        assert_eq!(slot_of(b"{user1000}.following"), slot_of(b"{user1000}.followers"));
        assert_eq!(slot_of(b"123456789"), 0x31c3);
        assert_ne!(tagged(b"foo{}{bar}"), b"bar");
        assert_eq!(tagged(b"foo{{bar}}zap"), b"{bar");
        assert_eq!(tagged(b"foo{bar}{zap}"), b"bar");
        assert_eq!(tagged(b"foo{bar"), b"foo{bar");
    }
}
