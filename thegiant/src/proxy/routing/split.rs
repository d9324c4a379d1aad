//! Requests that are sent in parts.

use std::fmt;

use bytes::Bytes;

use crate::{Value, proxy::conn::MergeFn};

/// Several requests in place of one, and a function that merges their replies.
///
/// ```
/// use thegiant::{Value, proxy::Split};
///
/// let sizes = Split::new((0..3).map(|server| (server, ["DBSIZE"])), |replies| {
///     Value::Integer(replies.iter().filter_map(Value::as_int).sum())
/// });
/// # let _ = sizes;
/// ```
pub struct Split {
    pub(crate) parts: Vec<(usize, Vec<Bytes>)>,
    pub(crate) merge: MergeFn,
}

impl Split {
    /// Creates a split from pairs of a server number and a request.
    ///
    /// `merge` receives the replies in the order of `parts` and returns the reply for the client. If a reply
    /// is an error, the client receives the first error and `merge` is not called. [`lenient`](Self::lenient)
    /// passes errors to `merge`.
    pub fn new<W: AsRef<[u8]>>(
        parts: impl IntoIterator<Item = (usize, impl IntoIterator<Item = W>)>,
        merge: impl FnOnce(Vec<Value>) -> Value + 'static,
    ) -> Self {
        Self::lenient(parts, |replies| {
            let is_error = |reply: &Value| matches!(reply, Value::Error(_));
            match replies.iter().position(is_error) {
                Some(error) => replies.into_iter().nth(error).unwrap_or(Value::Null),
                None => merge(replies),
            }
        })
    }

    /// Creates a split like [`new`](Self::new) whose `merge` also receives errors.
    ///
    /// ```
    /// use thegiant::{Value, proxy::Split};
    ///
    /// // Counts the servers that reply.
    /// let present = Split::lenient((0..3).map(|server| (server, ["PING"])), |replies| {
    ///     let is_ok = |reply: &&Value| !matches!(reply, Value::Error(_));
    ///     Value::Integer(replies.iter().filter(is_ok).count() as i64)
    /// });
    /// # let _ = present;
    /// ```
    pub fn lenient<W: AsRef<[u8]>>(
        parts: impl IntoIterator<Item = (usize, impl IntoIterator<Item = W>)>,
        merge: impl FnOnce(Vec<Value>) -> Value + 'static,
    ) -> Self {
        let to_bytes = |word: W| Bytes::copy_from_slice(word.as_ref());
        let parts = parts.into_iter();
        let parts =
            parts.map(|(server, words)| (server, words.into_iter().map(to_bytes).collect())).collect();
        Split { parts, merge: Box::new(merge) }
    }
}

impl fmt::Debug for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Split").field("parts", &self.parts).finish_non_exhaustive()
    }
}
