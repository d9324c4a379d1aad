//! The error for keys that do not belong together.

use crate::{
    Error,
    command::{QUOTED, c_text},
};

/// Returns the error for a request, or a transaction, with keys of different servers or slots.
///
/// It quotes the keys as Redis quotes arguments: up to a NUL, and at most 128 bytes of each.
///
/// ```
/// use thegiant::proxy::cross_slot;
///
/// let error = cross_slot(b"user:1", b"user:2");
/// assert_eq!(error.code(), "CROSSSLOT");
/// assert_eq!(
///     error.to_string(),
///     "CROSSSLOT Keys 'user:1' and 'user:2' are on different servers or in different slots: give them a common {hash tag}"
/// );
/// ```
#[must_use]
pub fn cross_slot(first: &[u8], second: &[u8]) -> Error {
    let [first, second] = [first, second].map(|key| c_text(key, QUOTED));
    let remedy = b"' are on different servers or in different slots: give them a common {hash tag}";
    Error::from_bytes([b"CROSSSLOT Keys '", first, b"' and '", second, remedy].concat())
}
