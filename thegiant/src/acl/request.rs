//! Checks requests by the rules of a user.

use std::ops::Range;

use super::{Access, AccessedCommand, Catalog, Categories, Denied, UpstreamCommand, UpstreamCommands, User};
use crate::{
    batch::CommandId,
    command::{Flags, KeyAccess, Spec, c_text},
};

/// Checks a request to a command of the server. `word` returns the word at a position, below `len`.
///
/// The keys in a request to a fallback are unknown, so each argument counts as a key, and as a channel.
pub(super) fn check_row<'a>(
    user: &User,
    catalog: &Catalog,
    command: &'static Spec,
    id: CommandId,
    len: usize,
    word: impl Fn(usize) -> Option<&'a [u8]> + Copy,
) -> Result<(), Denied> {
    let flags = command.flags;
    let accessed = if flags.contains(Flags::ANY_NAME) {
        AccessedCommand::Unlisted { name: word(0).unwrap_or_default(), categories: Some(Categories::NONE) }
    } else {
        catalog.accessed(id.0)
    };
    let unknown = if flags.contains(Flags::ANY_NAME) { 1..len } else { 0..0 };
    let keys = command.key_accesses(len, word).chain(unknown.map(|position| (position, KeyAccess::BOTH)));
    let is_pattern = flags.contains(Flags::PATTERNS);
    user.check(
        &Access::new(accessed)
            .first_argument(word(command.words()))
            .keys(keys.filter_map(|(position, access)| Some((position, word(position)?, access))))
            .channels(
                channels_of(command, len)
                    .filter_map(|position| Some((position, word(position)?, is_pattern))),
            ),
    )
}

/// Returns the full name of the command of a request, in errors and in `ACL LOG`.
pub(super) fn full_name<'a>(
    command: &Spec,
    upstream: &dyn UpstreamCommands,
    word: impl Fn(usize) -> Option<&'a [u8]>,
) -> String {
    if !command.flags.contains(Flags::ANY_NAME) {
        return command.full_name();
    }
    let words: Vec<&[u8]> = (0..2).map_while(word).collect();
    let is_subcommand = command.flags.contains(Flags::FORWARDED) && upstream.is_subcommand(&words);
    let named = if is_subcommand { 2 } else { 1 };
    let names = words.iter().take(named).map(|word| String::from_utf8_lossy(c_text(word, MAX_NAME)));
    names.collect::<Vec<_>>().join("|").to_lowercase()
}

/// Maximum length of a name in an error, in bytes, as in Redis' error for an unknown command.
const MAX_NAME: usize = 128;

/// Returns the positions of the channels in a request. In a request to a fallback, each argument may be one.
#[inline]
fn channels_of(command: &Spec, len: usize) -> Range<usize> {
    let flags = command.flags;
    let is_fallback = flags.contains(Flags::ANY_NAME) && !flags.contains(Flags::FORWARDED);
    if is_fallback { command.words()..len } else { command.channels(len) }
}

/// Checks a request that a proxy sends on. The upstreams say which of its words are keys.
///
/// If they do not, each argument counts as a key. Until they have described their commands, each counts as one of every category
/// that is denied. A script can do anything in the name of the proxy, so it needs a user
/// without restrictions. The keys get the key prefix of the client when the proxy sends them.
#[inline(never)]
pub(super) fn check_forwarded<'a>(
    user: &User,
    command: &'static Spec,
    upstream: &dyn UpstreamCommands,
    len: usize,
    word: impl Fn(usize) -> Option<&'a [u8]> + Copy,
    prefix: &[u8],
) -> Result<(), Denied> {
    let name = word(0).unwrap_or_default();
    let runs_script = [b"EVAL".as_slice(), b"FCALL"]
        .into_iter()
        .any(|start| name.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start)));
    if runs_script && !user.is_unrestricted() {
        return Err(Denied::Command);
    }
    let words: Vec<&[u8]> = (0..len).filter_map(word).collect();
    let UpstreamCommand { categories, keys } = upstream.describe(&words);
    let keys = keys.unwrap_or_else(|| (1..len).map(|position| (position, KeyAccess::BOTH)).collect());
    let full_key = |position| word(position).map(|key| [prefix, key].concat());
    let keys = keys.iter().map(|(position, access)| (*position, full_key(*position), *access));
    let keys: Vec<(usize, Option<Vec<u8>>, KeyAccess)> = keys.collect();
    let keys = keys.iter().filter_map(|(position, key, access)| Some((*position, key.as_deref()?, *access)));
    let is_pattern = command.flags.contains(Flags::PATTERNS);
    let accessed = AccessedCommand::Unlisted { name, categories };
    user.check(&Access::new(accessed).first_argument(word(1)).keys(keys).channels(
        channels_of(command, len).filter_map(|position| Some((position, word(position)?, is_pattern))),
    ))
}
