//! One reply of several.

use thegiant::{Error, Value};

/// What one reply is made like of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Merge {
    /// All say the same.
    First,
    /// The sum of all numbers.
    Sum,
    /// Of each place, the least number.
    Least,
    /// One list behind the other.
    Concat,
    /// Each value at the place of its key.
    Keys,
}

impl Merge {
    /// None of the replies is an error.
    pub(crate) fn merge(self, replies: Vec<Value>) -> Value {
        match self {
            Merge::First => replies.into_iter().next().unwrap_or(Value::Null),
            Merge::Sum => replies.iter().filter_map(Value::as_int).sum::<i64>().into(),
            Merge::Least => {
                let lists = replies.into_iter().map(|reply| reply.into_vec().unwrap_or_default());
                let least = |left: Vec<Value>, right: Vec<Value>| {
                    left.into_iter()
                        .zip(right)
                        .map(|(left, right)| if left.as_int() <= right.as_int() { left } else { right })
                        .collect()
                };
                Value::Array(lists.reduce(least).unwrap_or_default())
            }
            Merge::Concat | Merge::Keys => {
                Value::Array(replies.into_iter().filter_map(Value::into_vec).flatten().collect())
            }
        }
    }
}

/// The values of several replies, each at the place that `order` says. If there are more or less of them, none is where it
/// belongs.
pub(crate) fn in_order(order: &[usize], replies: Vec<Value>) -> Value {
    let found: Vec<Value> = replies.into_iter().filter_map(Value::into_vec).flatten().collect();
    if found.len() != order.len() {
        return Value::Error(NOT_AS_MANY);
    }
    let mut values = vec![Value::Null; order.len()];
    for (index, value) in order.iter().zip(found) {
        values[*index] = value;
    }
    Value::Array(values)
}

const NOT_AS_MANY: Error =
    Error::from_static("UPSTREAM a server has not replied as many values as there are keys");
