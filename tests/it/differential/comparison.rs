//! Whether two replies are the same.

use super::script::Comparison;
use crate::support::Reply;

impl Comparison {
    pub(super) fn holds(self, kv: &[u8], redis: &[u8]) -> bool {
        match self {
            _ if kv == redis => true,
            Comparison::Bytes => false,
            Comparison::Numbers(distance) => are_near(kv, redis, distance),
            Comparison::Sorted => match [kv, redis].map(Reply::only) {
                [Some(kv), Some(redis)] => sorted(kv) == sorted(redis),
                _ => false,
            },
        }
    }
}

/// Whether these are the same but for numbers, and those are not too far apart.
fn are_near(kv: &[u8], redis: &[u8], distance: u64) -> bool {
    let [kv, redis] = [kv, redis].map(parts);
    let mut pairs = kv.iter().zip(&redis);
    kv.len() == redis.len()
        && pairs.all(|(kv, redis)| match [number(kv), number(redis)] {
            [Some(kv), Some(redis)] => kv.abs_diff(redis) <= distance,
            _ => kv == redis,
        })
}

/// Runs of digits, and what stands between them.
fn parts(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit()).collect()
}

fn number(part: &[u8]) -> Option<u64> {
    std::str::from_utf8(part).ok()?.parse().ok()
}

/// Without the order of its elements.
fn sorted(reply: Reply) -> Reply {
    match reply {
        Reply::Array(mut elements) => {
            elements = elements.into_iter().map(sorted).collect();
            elements.sort_by_cached_key(|element| format!("{element:?}"));
            Reply::Array(elements)
        }
        Reply::Map(mut pairs) => {
            pairs.sort_by_cached_key(|pair| format!("{pair:?}"));
            Reply::Map(pairs)
        }
        other => other,
    }
}
