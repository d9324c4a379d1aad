//! How a command uses each of its keys.

use super::{
    Flags, Spec,
    args::{ArgSpec, are_distinct},
    key_flags::{KeyAccess, KeyFlags, KeyUse},
    keys::key_in,
};

/// Maximum number of parameters of a command that use their keys in different ways, as in Redis.
const MAX: usize = 4;

/// The uses of a command's keys, in the order of their positions.
///
/// It is small, because it is a part of each row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyUses {
    /// The position of the first key of each use.
    first: [u16; MAX],
    /// The index of the parameter with the use.
    param: [u16; MAX],
    len: u8,
}

/// The keys from `first` to `last` in steps of `step`, all with the same use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyRange {
    pub(crate) first: usize,
    /// Negative numbers count from the end: -1 is the last word.
    pub(crate) last: i64,
    pub(crate) step: usize,
    /// See [`KeySpec::limit`](super::KeySpec::limit).
    pub(crate) limit: usize,
    pub(crate) flags: KeyFlags,
}

/// The keys and channels in each request of a command, if they are easy to find.
#[derive(Clone, Copy, Debug)]
pub(crate) enum UsualKeys {
    /// No key and no channel.
    None,
    /// One key at this position, and no channel. The user never needs more than this access.
    One(u16, KeyAccess),
    /// Further keys, channels, or words that the row does not describe.
    Other,
}

impl KeyUses {
    /// Collects the uses. Neighbours with the same use are one.
    ///
    /// # Panics
    /// Panics if there are more than four. In a `const`, this is a compile error.
    #[track_caller]
    pub(crate) const fn of(words: usize, args: &[ArgSpec]) -> KeyUses {
        let mut uses = KeyUses { first: [0; MAX], param: [0; MAX], len: 0 };
        let mut position = words;
        let mut at = 0;
        while at < args.len() {
            let arg = &args[at];
            if let Some(keys) = key_in(arg)
                && !uses.ends_with(args, arg.key_use)
            {
                uses = uses.and(position + keys.first, at);
            }
            // The position of a later key is fixed: `KeySpec` has checked it.
            position += arg.min_len();
            at += 1;
        }
        uses
    }

    const fn ends_with(&self, args: &[ArgSpec], key_use: KeyUse) -> bool {
        self.len > 0 && args[self.param[self.len as usize - 1] as usize].key_use.is_same(key_use)
    }

    #[track_caller]
    const fn and(mut self, first: usize, param: usize) -> Self {
        let len = self.len as usize;
        assert!(
            len < MAX,
            "a command uses its keys in at most four different ways: give neighbours the same `#[key]`"
        );
        self.first[len] = first as u16;
        self.param[len] = param as u16;
        self.len += 1;
        self
    }

    /// Returns the position of the first key of each use, and the index of its parameter.
    fn iter(&self) -> impl Iterator<Item = (usize, usize)> {
        let params = self.param[..usize::from(self.len)].iter().copied().map(usize::from);
        self.first.iter().copied().map(usize::from).zip(params)
    }
}

impl Spec {
    /// Returns whether a request can have keys, and not only words that belong to the slot of a key.
    pub(crate) fn has_keys(&self) -> bool {
        self.key_uses.iter().any(|(_, param)| !self.args[param].key_use.flags.contains(KeyFlags::NOT_KEY))
    }

    /// Returns the positions of the keys in a request, each with the flags of its use.
    pub(crate) fn key_flags<'a>(
        &self,
        words: usize,
        word: impl Fn(usize) -> Option<&'a [u8]> + Clone,
    ) -> impl Iterator<Item = (usize, KeyFlags)> + Clone {
        let positions = self.keys.map(|keys| keys.positions(words, &word));
        let has = move |token: &str| {
            (self.min_words()..words)
                .any(|at| word(at).is_some_and(|word| word.eq_ignore_ascii_case(token.as_bytes())))
        };
        positions.into_iter().flatten().map(move |position| {
            let key_use = self.key_use_at(position);
            let flags = match key_use.token {
                Some(token) if has(token) => key_use.flags_with_token,
                _ => key_use.flags,
            };
            (position, flags.or_derived(self.flags))
        })
    }

    /// Returns the positions of the keys in a request, each with the permissions that a user needs for it.
    ///
    /// Words that only belong to the slot of a key are left out.
    pub(crate) fn key_accesses<'a>(
        &self,
        words: usize,
        word: impl Fn(usize) -> Option<&'a [u8]> + Clone,
    ) -> impl Iterator<Item = (usize, KeyAccess)> + Clone {
        let keys = self.key_flags(words, word).filter(|(_, flags)| !flags.contains(KeyFlags::NOT_KEY));
        keys.map(|(position, flags)| (position, flags.access()))
    }

    /// Returns the keys and channels that each request has.
    pub(crate) fn usual_keys(&self) -> UsualKeys {
        let undescribed = [Flags::ANY_NAME, Flags::FORWARDED, Flags::CHANNELS, Flags::PATTERNS];
        if undescribed.into_iter().any(|flag| self.flags.contains(flag)) {
            return UsualKeys::Other;
        }
        let Some(keys) = self.keys else { return UsualKeys::None };
        let Some(position) = keys.only() else { return UsualKeys::Other };
        let key_use = self.key_use_at(position);
        let flags = key_use.flags.or_derived(self.flags);
        let flags = if key_use.token.is_some() { flags.union(key_use.flags_with_token) } else { flags };
        match u16::try_from(position) {
            Ok(position) if !flags.contains(KeyFlags::NOT_KEY) => UsualKeys::One(position, flags.access()),
            _ => UsualKeys::Other,
        }
    }

    /// Returns the use of the key at this position.
    fn key_use_at(&self, position: usize) -> KeyUse {
        let before = self.key_uses.iter().take_while(|(first, _)| *first <= position);
        before.last().map_or(KeyUse::DERIVED, |(_, param)| self.args[param].key_use)
    }

    /// Returns the keys as `COMMAND INFO` describes them: one range for each use.
    pub(crate) fn key_ranges(&self) -> Vec<KeyRange> {
        let Some(keys) = self.keys else { return Vec::new() };
        let next = self.key_uses.iter().skip(1).map(|(next, _)| (next - keys.step) as i64);
        let lasts = next.chain([keys.last]);
        let range = |((first, param), last): ((usize, usize), i64)| KeyRange {
            first,
            last,
            step: if last == first as i64 { 1 } else { keys.step },
            limit: keys.limit,
            flags: self.args[param].key_use.shown(self.flags),
        };
        self.key_uses.iter().zip(lasts).map(range).collect()
    }
}

impl KeyUse {
    /// Returns the flags in `COMMAND INFO`.
    fn shown(self, command: Flags) -> KeyFlags {
        match self.token {
            // Those with the option, which are more.
            Some(_) => self.flags_with_token.union(KeyFlags::VARIABLE),
            None => self.flags.or_derived(command),
        }
    }
}

/// Checks that a parameter with `#[key]` has a key.
///
/// `#[commands]` calls it with the tokens of the attribute, so that a compile error points there.
///
/// # Panics
/// Panics if it has none.
#[track_caller]
pub const fn check_key_use(args: &[ArgSpec], index: usize) {
    assert!(
        key_in(&args[index]).is_some(),
        "`#[key]` is for keys, and this parameter has none: remove `#[key]`, or make the parameter a `Key`"
    );
}

/// Checks that a command has an option with the token of `#[key(…, with = "TOKEN")]`.
///
/// # Panics
/// Panics if it has none.
#[track_caller]
pub const fn check_key_token(args: &[ArgSpec], token: &str) {
    assert!(has_token(args, token), "the command has no option with this token: correct the token");
}

/// Checks that a command with the flag `tenant_safe` can be sent without a key.
///
/// # Panics
/// Panics if it cannot.
#[track_caller]
pub const fn check_tenant_safe(args: &[ArgSpec]) {
    let mut at = 0;
    while at < args.len() {
        let arg = &args[at];
        let is_key = key_in(arg).is_some() && !arg.key_use.flags.contains(KeyFlags::NOT_KEY);
        assert!(
            !is_key || arg.optional,
            "`tenant_safe` is for commands without keys, and the keys of this one get the key prefix: remove it"
        );
        at += 1;
    }
}

const fn has_token(args: &[ArgSpec], token: &str) -> bool {
    let mut at = 0;
    while at < args.len() {
        let is_named = match args[at].token {
            Some(known) => !are_distinct(&[token], &[known]),
            None => false,
        };
        if is_named || has_token(args[at].parts, token) {
            return true;
        }
        at += 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Bytes, Key,
        command::{ArgKind, FromArg},
    };

    const KEY: ArgSpec = <Key as FromArg<'_>>::ARG;
    const VALUE: ArgSpec = <Bytes as FromArg<'_>>::ARG;
    const KEYS: ArgSpec = <Vec<Key> as FromArg<'_>>::ARG;
    const READ: KeyUse = KeyUse::new(KeyFlags::RO.union(KeyFlags::ACCESS));
    const OVERWRITTEN: KeyUse = KeyUse::new(KeyFlags::OW.union(KeyFlags::UPDATE));
    const CHANGED: KeyFlags = KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE);

    fn accesses(spec: &Spec, request: &str) -> Vec<(usize, bool, bool)> {
        let words: Vec<&str> = request.split(' ').collect();
        let word = |position: usize| words.get(position).map(|word| word.as_bytes());
        let accesses = spec.key_accesses(words.len(), word);
        accesses
            .map(|(position, access)| {
                (position, access.contains(KeyAccess::READ), access.contains(KeyAccess::WRITE))
            })
            .collect()
    }

    fn ranges(spec: &Spec) -> Vec<(usize, i64, usize, String)> {
        let text = |flags: KeyFlags| flags.names().collect::<Vec<_>>().join(" ");
        spec.key_ranges()
            .into_iter()
            .map(|range| (range.first, range.last, range.step, text(range.flags)))
            .collect()
    }

    #[test]
    fn the_flags_of_the_command_are_the_default() {
        let spec = |flags| Spec::new("A", const { &[KEYS] }).flags(flags);
        assert_eq!(accesses(&spec(Flags::READONLY), "A a b"), [(1, true, false), (2, true, false)]);
        assert_eq!(accesses(&spec(Flags::WRITE), "A a"), [(1, true, true)]);
        assert_eq!(accesses(&spec(Flags::NONE), "A a"), [(1, true, true)]);
        assert_eq!(ranges(&spec(Flags::WRITE)), [(1, -1, 1, "RW access update".to_owned())]);
    }

    #[test]
    fn each_parameter_has_its_use() {
        let store =
            Spec::new("STORE", const { &[KEY.key_use(OVERWRITTEN), KEYS.key_use(READ)] }).flags(Flags::WRITE);
        assert_eq!(accesses(&store, "STORE a b c"), [(1, false, true), (2, true, false), (3, true, false)]);
        assert_eq!(ranges(&store), [(1, 1, 1, "OW update".to_owned()), (2, -1, 1, "RO access".to_owned())]);
        let both = Spec::new("LCS", const { &[KEY.key_use(READ), KEY.key_use(READ)] });
        assert_eq!(ranges(&both), [(1, 2, 1, "RO access".to_owned())]);
        let apart = Spec::new("A", const { &[KEY.key_use(READ), VALUE, KEY.key_use(OVERWRITTEN)] });
        assert_eq!(ranges(&apart), [(1, 1, 1, "RO access".to_owned()), (3, 3, 1, "OW update".to_owned())]);
    }

    #[test]
    fn an_option_can_change_the_use() {
        const OPTIONS: ArgSpec =
            ArgSpec::options(const { &[ArgSpec::new(ArgKind::PureToken).token("GET").optional()] });
        const ARGS: &[ArgSpec] = &[KEY.key_use(OVERWRITTEN.with("GET", CHANGED)), VALUE, OPTIONS];
        let set = Spec::new("SET", ARGS).flags(Flags::WRITE);
        assert_eq!(accesses(&set, "SET k v"), [(1, false, true)]);
        assert_eq!(accesses(&set, "SET get get"), [(1, false, true)]);
        assert_eq!(accesses(&set, "SET k v get"), [(1, true, true)]);
        assert_eq!(ranges(&set), [(1, 1, 1, "RW access update variable_flags".to_owned())]);
    }
}
