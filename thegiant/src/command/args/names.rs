//! Finds the name of an argument, for an error reply.

use super::{ArgKind, ArgSpec};
use crate::command::keys::option_with_token;

/// Returns the name of the argument at a position. Returns `None` if an earlier parameter has no fixed length.
///
/// `first` is the position of the first parameter. `word` returns the words of the request.
pub(super) fn name_at<'r>(
    args: &'static [ArgSpec],
    first: usize,
    position: usize,
    word: impl Fn(usize) -> Option<&'r [u8]>,
) -> Option<&'static str> {
    let mut at = first;
    for arg in args {
        if matches!(arg.kind, ArgKind::Options | ArgKind::OneOf) {
            let token = word(position.checked_sub(1)?)?;
            return option_with_token(args, token).map(|option| option.name);
        }
        let len = arg.max_len();
        if len.is_none_or(|len| position < at + len) {
            return Some(name_in(arg, position - at));
        }
        at += len?;
    }
    None
}

/// Returns the name of the argument at this distance from the first one of a parameter.
fn name_in(arg: &ArgSpec, distance: usize) -> &'static str {
    match arg.parts.get(distance.checked_rem(arg.parts.len()).unwrap_or(0)) {
        Some(part) if arg.kind == ArgKind::Block => part.name,
        _ => arg.name,
    }
}
