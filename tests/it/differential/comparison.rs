//! Compares two replies.

use std::{mem, time::Duration};

use super::{deviations::Rules, script::Comparison};
use crate::support::Reply;

impl Comparison {
    /// Returns whether the replies of a conversation that took this long are equal, as far as they must be.
    pub(super) fn holds(self, kv: &[u8], redis: &[u8], took: Duration, rules: &Rules<'_>) -> bool {
        match self {
            Comparison::Fields => have_same_fields(kv, redis, rules).unwrap_or(kv == redis),
            Comparison::Sections => have_same_sections(kv, redis, rules).unwrap_or(kv == redis),
            Comparison::Groups => without_counts(kv) == without_counts(redis),
            _ if kv == redis => true,
            Comparison::Bytes => false,
            Comparison::Numbers => are_near(kv, redis, u64::MAX),
            Comparison::Times(unit) => {
                // Both servers round.
                let distance = took.as_millis() / unit.as_millis() + 1;
                are_near(kv, redis, distance.try_into().unwrap_or(u64::MAX))
            }
            Comparison::Sorted => match [kv, redis].map(Reply::only) {
                [Some(kv), Some(redis)] => sorted(kv) == sorted(redis),
                _ => false,
            },
        }
    }
}

/// Returns whether two replies to `CLIENT LIST` agree, except in the fields that may differ.
fn have_same_fields(kv: &[u8], redis: &[u8], rules: &Rules<'_>) -> Option<bool> {
    /// Fields about buffers, files and time.
    const DIFFERENT: [&str; 13] = [
        "fd",
        "age",
        "idle",
        "qbuf",
        "qbuf-free",
        "argv-mem",
        "multi-mem",
        "rbs",
        "rbp",
        "obl",
        "oll",
        "omem",
        "tot-mem",
    ];
    let [kv, redis] = [text(kv)?, text(redis)?];
    let [kv, redis] = [&kv, &redis].map(|lines| {
        let fields = lines.split([' ', '\n']).map(|field| field.split_once('=').unwrap_or((field, "")));
        let is_compared = |name| !DIFFERENT.contains(&name) && rules.compares_client_value(name);
        fields
            .filter(|(name, _)| rules.compares_client_field(name))
            .map(|(name, value)| (name, if is_compared(name) { value } else { "" }))
            .collect::<Vec<_>>()
    });
    Some(kv == redis)
}

/// Returns a reply to `XINFO GROUPS` without the counts that Redis 7.4 computes in another way than 7.0.
fn without_counts(groups: &[u8]) -> Vec<&[u8]> {
    const COUNTS: [&[u8]; 3] = [b"consumers\r", b"entries-read\r", b"lag\r"];
    let mut is_count = false;
    let lines = groups.split(|byte| *byte == b'\n');
    lines.filter(|line| !mem::replace(&mut is_count, COUNTS.contains(line))).collect()
}

/// Returns whether two replies to `INFO` agree: they have the same sections, Redis knows each field of `kv`, and the
/// fields in `SAME` have equal values.
fn have_same_sections(kv: &[u8], redis: &[u8], rules: &Rules<'_>) -> Option<bool> {
    /// Fields whose values do not depend on the time of the request.
    const SAME: &str = "redis_version redis_mode arch_bits tcp_port connected_clients maxclients blocked_clients \
                        cluster_connections tracking_clients clients_in_timeout_table maxmemory maxmemory_human \
                        maxmemory_policy loading rdb_bgsave_in_progress aof_enabled role connected_slaves \
                        rejected_connections evicted_clients cluster_enabled pubsub_channels pubsub_patterns \
                        pubsubshard_channels tracking_total_keys tracking_total_items tracking_total_prefixes";
    let kv: Vec<_> = text(kv)?.lines().map(str::to_owned).collect();
    let redis: Vec<_> = text(redis)?.lines().map(|line| rules.info_line(line)).collect();
    let sections =
        |lines: &[String]| lines.iter().filter(|line| line.starts_with('#')).cloned().collect::<String>();
    let is_known = |line: &String| {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let known = redis.iter().filter_map(|line| line.split_once(':')).find(|(known, _)| *known == name);
        !line.contains(':')
            || !rules.compares_info_field(name)
            || known
                .is_some_and(|known| known.1 == value || !SAME.split_whitespace().any(|same| same == name))
    };
    Some(sections(&kv) == sections(&redis) && kv.iter().all(is_known))
}

/// Returns the text of a bulk or verbatim reply.
fn text(reply: &[u8]) -> Option<String> {
    match Reply::only(reply)? {
        Reply::Bulk(text) | Reply::Verbatim(_, text) => String::from_utf8(text).ok(),
        _ => None,
    }
}

/// Returns whether two replies are equal except for numbers, which may differ by `distance`.
fn are_near(kv: &[u8], redis: &[u8], distance: u64) -> bool {
    let [kv, redis] = [kv, redis].map(parts);
    let mut pairs = kv.iter().zip(&redis);
    kv.len() == redis.len()
        && pairs.all(|(kv, redis)| match [number(kv), number(redis)] {
            [Some(kv), Some(redis)] => kv.abs_diff(redis) <= distance,
            _ => kv == redis,
        })
}

/// Splits the bytes into runs of digits and the bytes between them.
fn parts(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit()).collect()
}

fn number(part: &[u8]) -> Option<u64> {
    std::str::from_utf8(part).ok()?.parse().ok()
}

/// Returns the reply with its elements sorted.
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
