//! Channels: `PUBLISH`, `SUBSCRIBE`, `PUBSUB`.

use thegiant::{
    Value,
    command::ResponsePolicy,
    proxy::{Route, Servers, Split, UpstreamRequest},
};

use crate::spread::Spread;

/// Commands that subscribe to channels.
const LISTENING: [&str; 2] = ["SUBSCRIBE", "PSUBSCRIBE"];

/// Other commands about channels.
const OTHERS: [&str; 4] = ["PUBLISH", "UNSUBSCRIBE", "PUNSUBSCRIBE", "PUBSUB"];

/// The prefix of the channels of keyspace events. Each server publishes those of its own keys, also in a cluster.
const KEYSPACE_EVENTS: &str = "__key";

/// Routes a request about channels. Returns `None` for other requests.
///
/// Independent servers do not forward messages to each other. So clients subscribe at all of them: then a message may be
/// published anywhere, for example in the transaction of any key.
pub(crate) fn pubsub(
    request: &UpstreamRequest<'_>,
    spread: &mut impl Spread,
    servers: &mut Servers,
) -> Option<Route> {
    let is_any = |names: &[&str]| names.iter().any(|name| request.is(name));
    let listens = is_any(&LISTENING);
    if !listens && !is_any(&OTHERS) {
        return None;
    }
    let forwards = spread.forwards_messages();
    if listens {
        let mut names = request.words().skip(1);
        if !forwards {
            return Some(Route::Listen { prefix: "" });
        }
        if names.any(|name| name.starts_with(KEYSPACE_EVENTS.as_bytes())) {
            return Some(Route::Listen { prefix: KEYSPACE_EVENTS });
        }
    }
    if let Some((merge, is_of_slots)) = count(request)
        && (forwards || is_of_slots)
    {
        let all = spread.all(servers);
        let parts = all.iter().map(|server| (*server, request.words()));
        return (!all.is_empty()).then(|| Route::Split(Split::new(parts, merge)));
    }
    Some(match spread.publishers(servers).first() {
        Some(first) if !forwards && !request.is_in_transaction() => Route::To(*first),
        _ => spread.any(request, servers),
    })
}

/// A function that merges replies.
type MergeFn = fn(Vec<Value>) -> Value;

/// Returns how the replies to a request about the number of subscribers are merged, and whether it is about shard channels,
/// which have slots.
fn count(request: &UpstreamRequest<'_>) -> Option<(MergeFn, bool)> {
    let merges: [(&str, MergeFn, bool); 5] = [
        ("PUBSUB NUMSUB", add_counts, false),
        ("PUBSUB CHANNELS", union, false),
        ("PUBSUB NUMPAT", |replies| ResponsePolicy::AggSum.merge(replies), false),
        ("PUBSUB SHARDNUMSUB", add_counts, true),
        ("PUBSUB SHARDCHANNELS", union, true),
    ];
    let mut merges = merges.into_iter();
    merges.find(|(name, ..)| request.is(name)).map(|(_, merge, is_of_slots)| (merge, is_of_slots))
}

/// Adds replies of alternating names and counts. All have the same names.
fn add_counts(replies: Vec<Value>) -> Value {
    let mut replies = replies.into_iter().filter_map(Value::into_vec);
    let mut sums = replies.next().unwrap_or_default();
    for reply in replies {
        for (sum, value) in sums.iter_mut().zip(reply) {
            if let (Value::Integer(sum), Value::Integer(count)) = (sum, value) {
                *sum = sum.saturating_add(count);
            }
        }
    }
    Value::Array(sums)
}

/// Returns each name once.
fn union(replies: Vec<Value>) -> Value {
    let mut names: Vec<Value> = Vec::new();
    for name in replies.into_iter().filter_map(Value::into_vec).flatten() {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Value::Array(names)
}
