//! `PUBSUB` over all servers.

use thegiant::{
    Value,
    command::ResponsePolicy,
    proxy::{Request, Route, Split},
};

/// Asks these servers about their subscribers. Returns `None` if the request is not about subscribers.
///
/// Clients of a cluster subscribe at different nodes, and each node knows only its own subscribers.
pub(crate) fn pubsub(request: &Request<'_>, all: &[usize]) -> Option<Route> {
    let is = |names: [&str; 2]| names.iter().any(|name| request.is(name));
    let merge: fn(Vec<Value>) -> Value = if is(["PUBSUB NUMSUB", "PUBSUB SHARDNUMSUB"]) {
        add_counts
    } else if is(["PUBSUB CHANNELS", "PUBSUB SHARDCHANNELS"]) {
        union
    } else if request.is("PUBSUB NUMPAT") {
        |replies| ResponsePolicy::AggSum.merge(replies)
    } else {
        return None;
    };
    if all.is_empty() {
        return None;
    }
    let parts = all.iter().map(|server| (*server, request.words()));
    Some(Route::Split(Split::new(parts, merge)))
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
