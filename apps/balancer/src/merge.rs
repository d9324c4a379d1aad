//! Merges several replies into one.

use thegiant::{Error, Value};

/// How several replies are merged into one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Merge {
    /// Takes the first reply, because all are equal.
    First,
    /// Adds the numbers.
    Sum,
    /// Takes the smallest number at each position.
    Least,
    /// Concatenates the lists.
    Concat,
    /// Puts each value at the position of its key.
    Keys,
}

impl Merge {
    /// Merges replies. None of them may be an error.
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

/// Puts the values of several replies at the positions in `order`.
///
/// A wrong number of values gives an error, because no value can be assigned to a key then.
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
