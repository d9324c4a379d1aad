//! The use of keys that depends on the options of a request.

use crate::{command::KeyAccess, proxy::wire::Words};

/// Returns what a request does with its keys, if it is of a command with the key flag `variable_flags` that Redis has.
///
/// The upstreams describe what the command does in any case. See `setGetKeys` and `bitfieldGetKeys` in Redis' `db.c`.
pub(super) fn access_by_options(words: Words<'_>) -> Option<KeyAccess> {
    let has = |from: usize, options: &[&str]| {
        let mut words = (from..words.len()).filter_map(|index| words.get(index));
        words.any(|word| options.iter().any(|option| word.eq_ignore_ascii_case(option.as_bytes())))
    };
    if words.is("SET") {
        Some(KeyAccess::new(has(3, &["GET"]), true))
    } else if words.is("BITFIELD") {
        Some(KeyAccess::new(true, has(2, &["SET", "INCRBY"])))
    } else {
        None
    }
}
