//! Chooses one of several servers for a key, by the bytes of the key.

use clap::ValueEnum;
use md5::{Digest, Md5};
use thegiant::{SLOTS, hash_tag, slot};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// A method to spread keys over servers.
///
/// A key keeps its server as long as the servers stay the same. If one server is removed, only its keys move.
#[derive(Clone, Debug)]
pub enum Hash {
    /// All keys belong to the only server.
    Only,
    /// A ring on which each server has about 160 points. A key belongs to the next point.
    ///
    /// The result is the same as in twemproxy with its defaults (`distribution: ketama`, `hash: fnv1a_64`)
    /// and `hash_tag: "{}"`.
    Ketama(Vec<(u32, usize)>),
    /// Rendezvous hashing with these seeds, one for each server. A key belongs to the server with the highest
    /// weight. This spreads keys most evenly.
    Rendezvous(Vec<u64>),
    /// The 16384 slots of Redis Cluster, divided evenly among this number of servers.
    Slots(usize),
}

/// Name of a method to spread keys.
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
    /// Creates the method for servers with these names, which are their addresses.
    pub fn new(kind: HashKind, names: &[&str]) -> Self {
        match kind {
            _ if names.len() == 1 => Hash::Only,
            HashKind::Ketama => Hash::Ketama(ring(names)),
            HashKind::Rendezvous => {
                Hash::Rendezvous(names.iter().map(|name| xxh3_64(name.as_bytes())).collect())
            }
            HashKind::Slots => Hash::Slots(names.len()),
        }
    }

    /// Returns the server of a key among the servers that are up.
    ///
    /// If no server is up, it returns the server that would have the key if all were up.
    pub fn server_of(&self, key: &[u8], is_up: impl Fn(usize) -> bool) -> usize {
        match self {
            Hash::Only => 0,
            Hash::Ketama(points) => {
                let hash = fnv1a(hash_tag(key));
                let next = points.partition_point(|(point, _)| *point < hash);
                first_up(points[next..].iter().chain(&points[..next]).map(|(_, server)| *server), is_up)
            }
            Hash::Rendezvous(seeds) => {
                let key = hash_tag(key);
                let weight = |server: &usize| xxh3_64_with_seed(key, seeds[*server]);
                let all = 0..seeds.len();
                let up = all.clone().filter(|server| is_up(*server));
                up.max_by_key(weight).or_else(|| all.max_by_key(weight)).unwrap_or(0)
            }
            Hash::Slots(servers) => {
                let first = usize::from(slot(key)) * servers / usize::from(SLOTS);
                first_up((first..*servers).chain(0..first), is_up)
            }
        }
    }
}

fn first_up(mut order: impl Iterator<Item = usize> + Clone, is_up: impl Fn(usize) -> bool) -> usize {
    let first = order.clone().next().unwrap_or(0);
    order.find(|server| is_up(*server)).unwrap_or(first)
}

/// Returns the points of each server on the ring, with the rounding errors of twemproxy: 156 for 25 servers.
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

/// FNV-1a with the 64-bit constants, of which twemproxy uses the lower 32 bits.
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
    fn every_server_gets_its_share_of_the_keys() {
        for kind in KINDS {
            let hash = Hash::new(kind, &NAMES);
            let mut shares = HashMap::new();
            keys().for_each(|key| *shares.entry(hash.server_of(&key, |_| true)).or_insert(0) += 1);
            // The ring is less even than the other methods.
            assert!(
                shares.len() == 3 && shares.values().all(|share| (600..1600).contains(share)),
                "{kind:?}: {shares:?}"
            );
        }
    }

    #[test]
    fn only_the_keys_of_a_server_that_is_down_move() {
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
    fn servers_have_the_same_number_of_points_as_in_twemproxy() {
        assert_eq!([1, 3, 10, 25, 47, 50, 100].map(points_of_each), [160, 160, 160, 156, 156, 156, 156]);
    }

    #[test]
    fn tags_keep_keys_together() {
        for kind in KINDS {
            let hash = Hash::new(kind, &NAMES);
            for tag in 0..100 {
                let server = |end: &str| hash.server_of(format!("{{user{tag}}}.{end}").as_bytes(), |_| true);
                assert_eq!(server("following"), server("followers"), "{kind:?}, {tag}");
            }
        }
    }
}
