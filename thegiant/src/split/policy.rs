//! How a command is split, and how the replies to its parts are merged.

use std::{collections::hash_map::RandomState, hash::BuildHasher};

use crate::{Error, Value};

/// The choice of the shards that run a command.
///
/// The names are those of Redis' [command tips](https://redis.io/docs/latest/develop/reference/command-tips/), which
/// `COMMAND` shows to clients and proxies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestPolicy {
    /// The shard of its keys. Keys of several shards are refused with `-CROSSSLOT`.
    #[default]
    OneShard,
    /// `multi_shard`: each shard runs it with the keys of that shard.
    MultiShard,
    /// `all_shards`: every shard runs it.
    AllShards,
    /// A shard at a time: the cursor, which is the first argument, names it. Redis shows `special`.
    Scan,
}

/// How the replies of several shards, or of several servers behind a proxy, become one.
///
/// If a reply is an error, the client receives the first error, except with [`OneSucceeded`](Self::OneSucceeded).
///
/// ```
/// use thegiant::{Value, command::ResponsePolicy};
///
/// let merged = ResponsePolicy::AggSum.merge(vec![Value::Integer(2), Value::Integer(40)]);
/// assert_eq!(merged, Value::Integer(42));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResponsePolicy {
    /// One array: the elements in the order of the keys if the command has keys, else those of all arrays.
    #[default]
    Array,
    /// `one_succeeded`: the first reply that is not an error.
    OneSucceeded,
    /// `all_succeeded`: the first reply, since all are the same.
    AllSucceeded,
    /// `agg_sum`: the sum of the integers.
    AggSum,
    /// `agg_min`: the smallest integer, at each position of an array.
    AggMin,
    /// `agg_max`: the largest integer, at each position of an array.
    AggMax,
    /// `agg_logical_and`: 1 if no integer is 0, at each position of an array.
    AggLogicalAnd,
    /// `agg_logical_or`: 1 if an integer is not 0, at each position of an array.
    AggLogicalOr,
    /// One of the replies that are not null, at random. Redis shows `special`.
    Random,
}

impl RequestPolicy {
    /// Returns the tip that `COMMAND` shows.
    #[must_use]
    pub fn tip(self) -> Option<&'static str> {
        match self {
            RequestPolicy::OneShard => None,
            RequestPolicy::MultiShard => Some("request_policy:multi_shard"),
            RequestPolicy::AllShards => Some("request_policy:all_shards"),
            RequestPolicy::Scan => Some("request_policy:special"),
        }
    }
}

impl ResponsePolicy {
    /// Returns the tip that `COMMAND` shows.
    #[must_use]
    pub fn tip(self) -> Option<&'static str> {
        match self {
            ResponsePolicy::Array => None,
            ResponsePolicy::OneSucceeded => Some("response_policy:one_succeeded"),
            ResponsePolicy::AllSucceeded => Some("response_policy:all_succeeded"),
            ResponsePolicy::AggSum => Some("response_policy:agg_sum"),
            ResponsePolicy::AggMin => Some("response_policy:agg_min"),
            ResponsePolicy::AggMax => Some("response_policy:agg_max"),
            ResponsePolicy::AggLogicalAnd => Some("response_policy:agg_logical_and"),
            ResponsePolicy::AggLogicalOr => Some("response_policy:agg_logical_or"),
            ResponsePolicy::Random => Some("response_policy:special"),
        }
    }

    /// Merges replies. [`merge_by_key`](Self::merge_by_key) also keeps the order of keys.
    #[must_use]
    pub fn merge(self, replies: Vec<Value>) -> Value {
        let is_error = |reply: &Value| matches!(reply, Value::Error(_));
        let first = match self {
            ResponsePolicy::OneSucceeded => replies.iter().position(|reply| !is_error(reply)).or(Some(0)),
            ResponsePolicy::AllSucceeded => replies.iter().position(is_error).or(Some(0)),
            _ => replies.iter().position(is_error),
        };
        if let Some(first) = first {
            return replies.into_iter().nth(first).unwrap_or(Value::Null);
        }
        match self {
            ResponsePolicy::OneSucceeded | ResponsePolicy::AllSucceeded => Value::Null,
            ResponsePolicy::Array => concatenate(replies),
            ResponsePolicy::AggSum => aggregate(replies, i64::wrapping_add),
            ResponsePolicy::AggMin => aggregate(replies, i64::min),
            ResponsePolicy::AggMax => aggregate(replies, i64::max),
            ResponsePolicy::AggLogicalAnd => aggregate(replies, |a, b| i64::from(a != 0 && b != 0)),
            ResponsePolicy::AggLogicalOr => aggregate(replies, |a, b| i64::from(a != 0 || b != 0)),
            ResponsePolicy::Random => any(replies),
        }
    }

    /// Merges replies to requests with some of the keys each.
    ///
    /// `order` has an element for each key: the index of the reply that contains the value of that key. A reply contains
    /// the values of its keys in the same order.
    ///
    /// ```
    /// use thegiant::{Value, command::ResponsePolicy};
    ///
    /// let [a, b, c] = ["a", "b", "c"].map(Value::bulk);
    /// let replies = vec![Value::Array(vec![b.clone()]), Value::Array(vec![a.clone(), c.clone()])];
    /// let merged = ResponsePolicy::Array.merge_by_key(replies, &[1, 0, 1]);
    /// assert_eq!(merged, Value::Array(vec![a, b, c]));
    /// ```
    #[must_use]
    pub fn merge_by_key(self, replies: Vec<Value>, order: &[usize]) -> Value {
        let are_arrays = |replies: &[Value]| replies.iter().all(|reply| matches!(reply, Value::Array(_)));
        if self != ResponsePolicy::Array || !are_arrays(&replies) {
            return self.merge(replies);
        }
        let count: usize = replies.iter().filter_map(Value::as_array).map(<[Value]>::len).sum();
        let mut values: Vec<_> =
            replies.into_iter().filter_map(Value::into_vec).map(Vec::into_iter).collect();
        let in_order = order.iter().filter_map(|index| values.get_mut(*index)?.next());
        let in_order: Vec<Value> = in_order.collect();
        if in_order.len() == order.len() && count == order.len() {
            Value::Array(in_order)
        } else {
            Value::Error(NOT_AS_MANY)
        }
    }
}

fn concatenate(replies: Vec<Value>) -> Value {
    let are_sets = replies.iter().all(|reply| matches!(reply, Value::Set(_)));
    let mut all = Vec::new();
    for reply in replies {
        match reply {
            Value::Array(values) | Value::Set(values) => all.extend(values),
            Value::Null => {}
            _ => return Value::Error(NOT_MERGED),
        }
    }
    if are_sets { Value::Set(all) } else { Value::Array(all) }
}

fn aggregate(replies: Vec<Value>, combine: fn(i64, i64) -> i64) -> Value {
    let merged = replies.into_iter().map(Some).reduce(|all, next| both(all?, next?, combine)).flatten();
    merged.unwrap_or(Value::Error(NOT_MERGED))
}

fn both(left: Value, right: Value, combine: fn(i64, i64) -> i64) -> Option<Value> {
    match (left, right) {
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            let pairs = left.into_iter().zip(right);
            pairs.map(|(left, right)| both(left, right, combine)).collect::<Option<_>>().map(Value::Array)
        }
        (left, right) => Some(Value::Integer(combine(left.as_int()?, right.as_int()?))),
    }
}

/// Returns one of the replies that are not null.
fn any(replies: Vec<Value>) -> Value {
    let mut found: Vec<Value> = replies.into_iter().filter(|reply| !matches!(reply, Value::Null)).collect();
    if found.is_empty() {
        return Value::Null;
    }
    let random = RandomState::default().hash_one(found.len());
    found.swap_remove((random % found.len() as u64) as usize)
}

const NOT_AS_MANY: Error =
    Error::from_static("ERR the parts of the command have not replied as many values as there are keys");
const NOT_MERGED: Error = Error::from_static("ERR the replies to the parts of the command cannot be merged");

#[cfg(test)]
mod tests {
    use super::*;

    fn integers<const N: usize>(integers: [i64; N]) -> Vec<Value> {
        integers.map(Value::Integer).into()
    }

    #[test]
    fn integers_are_aggregated() {
        let merged = |policy: ResponsePolicy, integers_of| policy.merge(integers(integers_of)).as_int();
        assert_eq!(merged(ResponsePolicy::AggSum, [1, 2, 3]), Some(6));
        assert_eq!(merged(ResponsePolicy::AggMin, [4, 2, 3]), Some(2));
        assert_eq!(merged(ResponsePolicy::AggMax, [1, 7, 3]), Some(7));
        assert_eq!(merged(ResponsePolicy::AggLogicalAnd, [1, 0, 3]), Some(0));
        assert_eq!(merged(ResponsePolicy::AggLogicalAnd, [1, 2, 3]), Some(1));
        assert_eq!(merged(ResponsePolicy::AggLogicalOr, [0, 2, 0]), Some(1));
        assert_eq!(merged(ResponsePolicy::AggLogicalOr, [0, 0, 0]), Some(0));
        let arrays = vec![Value::Array(integers([0, 1, 1])), Value::Array(integers([1, 1, 0]))];
        assert_eq!(ResponsePolicy::AggLogicalAnd.merge(arrays), Value::Array(integers([0, 1, 0])));
    }

    #[test]
    fn arrays_are_concatenated() {
        let arrays = vec![Value::Array(integers([1])), Value::Array(vec![]), Value::Array(integers([2, 3]))];
        assert_eq!(ResponsePolicy::Array.merge(arrays), Value::Array(integers([1, 2, 3])));
        let sets = vec![Value::Set(integers([1])), Value::Set(integers([2]))];
        assert_eq!(ResponsePolicy::Array.merge(sets), Value::Set(integers([1, 2])));
    }

    #[test]
    fn the_first_error_is_the_reply() {
        let ok = Value::Simple("OK".into());
        let errors = ["ERR first", "ERR second"].map(|text| Value::Error(Error::from_static(text)));
        let [first, second] = errors;
        let replies = vec![ok.clone(), first.clone(), second];
        let policies = [
            ResponsePolicy::Array,
            ResponsePolicy::AllSucceeded,
            ResponsePolicy::AggSum,
            ResponsePolicy::AggMin,
            ResponsePolicy::Random,
        ];
        for policy in policies {
            assert_eq!(policy.merge(replies.clone()), first, "{policy:?}");
        }
        assert_eq!(ResponsePolicy::OneSucceeded.merge(replies.clone().split_off(1)), first);
        assert_eq!(ResponsePolicy::OneSucceeded.merge(vec![first, ok.clone()]), ok);
        assert_eq!(ResponsePolicy::AllSucceeded.merge(vec![ok.clone(), ok.clone()]), ok);
    }

    #[test]
    fn replies_that_do_not_fit_are_an_error() {
        let not_merged = Value::Error(NOT_MERGED);
        assert_eq!(ResponsePolicy::AggSum.merge(vec![Value::bulk("a"), Value::Integer(1)]), not_merged);
        assert_eq!(ResponsePolicy::Array.merge(vec![Value::Integer(1)]), not_merged);
        let short = vec![Value::Array(integers([1])), Value::Array(integers([2]))];
        assert_eq!(ResponsePolicy::Array.merge_by_key(short.clone(), &[0, 1, 1]), Value::Error(NOT_AS_MANY));
        assert_eq!(ResponsePolicy::Array.merge_by_key(short, &[0]), Value::Error(NOT_AS_MANY));
    }

    #[test]
    fn a_random_reply_is_not_null() {
        let replies = vec![Value::Null, Value::bulk("a"), Value::Null, Value::bulk("b")];
        let seen = |wanted: &str| {
            (0..1000).any(|_| ResponsePolicy::Random.merge(replies.clone()) == Value::bulk(wanted.to_owned()))
        };
        assert!(seen("a") && seen("b"));
        assert_eq!(ResponsePolicy::Random.merge(vec![Value::Null, Value::Null]), Value::Null);
    }
}
