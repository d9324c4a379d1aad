//! The positions of the keys in a request.

use super::args::{ArgKind, ArgSpec};
use crate::batch::RequestWords;

/// The positions of the keys in a request: from `first` to `last`, in steps of `step`.
///
/// As in Redis, the positions count words, and the name of the command has position 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeySpec {
    /// The position of the first key.
    pub first: usize,
    /// The position of the last key. Negative numbers count from the end: -1 is the last word.
    pub last: i64,
    /// The distance from one key to the next.
    pub step: usize,
    /// The options that begin at `first` in any order, if the keys are the last of these options.
    ///
    /// The keys begin behind the token of that option. Empty if the keys are parameters.
    pub options: &'static [ArgSpec],
    /// The words from `first` to `last` are divided by this number, and the first part has the keys. It is 1, or 2 for
    /// `STREAMS key [key …] id [id …]`.
    pub limit: usize,
}

impl KeySpec {
    /// Computes the positions from the number of words in the name and the parameters.
    ///
    /// # Panics
    /// Panics if first, last and step cannot describe the positions. In a `const`, this is a compile error.
    #[track_caller]
    pub(crate) const fn of(words: usize, args: &[ArgSpec]) -> Option<KeySpec> {
        let mut keys = None;
        let mut position = Some(words);
        let mut at = 0;
        while at < args.len() {
            let arg = &args[at];
            keys = match (key_in(arg), position) {
                (Some(found), Some(position)) => Some(extend(keys, found.at(position))),
                (Some(_), None) => {
                    panic!("the position of this `Key` varies: put it before the optional parameters")
                }
                (None, _) => keys,
            };
            position = match (position, arg.max_len()) {
                (Some(position), Some(len)) if len == arg.min_len() => Some(position + len),
                _ => None,
            };
            at += 1;
        }
        keys
    }

    /// Returns the positions of the keys in a request with this many words.
    ///
    /// `word` returns the word at a position.
    ///
    /// No position is beyond the end of the request.
    pub fn positions<'a>(&self, words: usize, word: impl Fn(usize) -> Option<&'a [u8]>) -> Keys {
        if !self.options.is_empty() {
            let next = self.behind_token(word).unwrap_or(words);
            let count = words.saturating_sub(next) / self.limit;
            return match count {
                0 => Keys { next: words, last: 0, step: self.step },
                count => Keys { next, last: next + count - 1, step: self.step },
            };
        }
        let last = if self.last < 0 {
            words.saturating_sub(self.last.unsigned_abs() as usize)
        } else {
            (self.last as usize).min(words.saturating_sub(1))
        };
        Keys { next: self.first, last, step: self.step }
    }

    /// Returns the keys of a request.
    #[inline]
    pub(crate) fn in_request<'a>(&self, words: RequestWords<'a>) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let positions = self.positions(words.len(), |index| words.get(index));
        positions.filter_map(move |position| words.get(position))
    }

    /// Returns the position of the only key, if every request of the command has just one key.
    #[inline]
    pub(crate) fn only(&self) -> Option<usize> {
        (self.last == self.first as i64 && self.options.is_empty()).then_some(self.first)
    }

    /// Returns the token of the option with the keys.
    pub(crate) fn token(&self) -> Option<&'static str> {
        option_with_keys(self.options)?.token
    }

    /// Returns the position behind the token of the option with the keys.
    fn behind_token<'a>(&self, word: impl Fn(usize) -> Option<&'a [u8]>) -> Option<usize> {
        let mut position = self.first;
        loop {
            let option = option_with_token(self.options, word(position)?)?;
            if option.has_keys() {
                return Some(position + 1);
            }
            position += option.parts_len();
        }
    }

    const fn at(self, position: usize) -> KeySpec {
        let last = if self.last < 0 { self.last } else { self.last + position as i64 };
        KeySpec { first: self.first + position, last, ..self }
    }
}

impl ArgSpec {
    /// Returns whether the words behind the token are keys, or begin with keys.
    const fn has_keys(&self) -> bool {
        self.share_of_keys().is_some() || matches!(self.kind, ArgKind::Key)
    }

    /// Returns by which number the words behind the token have to be divided, if keys are their first part: 1 for
    /// repeated keys, and 2 if as many other words follow. Both go on to the end of the request.
    const fn share_of_keys(&self) -> Option<usize> {
        match (self.kind, self.parts) {
            (ArgKind::Key, _) if self.multiple => Some(1),
            (ArgKind::Block, [keys, others]) if keys.multiple && others.multiple => {
                if matches!(keys.kind, ArgKind::Key) && !matches!(others.kind, ArgKind::Key) {
                    Some(2)
                } else {
                    None
                }
            }
            _ => None,
        }
    }
}

/// Returns the option with the keys, which can be one of another struct.
fn option_with_keys(options: &'static [ArgSpec]) -> Option<&'static ArgSpec> {
    options.iter().find_map(|option| match option.kind {
        ArgKind::Options => option_with_keys(option.parts),
        _ => option.has_keys().then_some(option),
    })
}

pub(crate) fn option_with_token(options: &'static [ArgSpec], word: &[u8]) -> Option<&'static ArgSpec> {
    options.iter().find_map(|option| match option.token {
        Some(token) => word.eq_ignore_ascii_case(token.as_bytes()).then_some(option),
        None => option_with_token(option.parts, word),
    })
}

/// The positions of a request's keys.
#[derive(Clone, Debug)]
pub struct Keys {
    pub(crate) next: usize,
    pub(crate) last: usize,
    pub(crate) step: usize,
}

impl Iterator for Keys {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let position = self.next;
        self.next = self.next.saturating_add(self.step);
        (position <= self.last).then_some(position)
    }
}

/// Checks that first, last and step describe the keys up to and including this parameter.
///
/// `#[commands]` calls it with the tokens of each parameter, so that a compile error points at the right one.
///
/// # Panics
/// Panics if they do not.
#[track_caller]
pub const fn check_keys(words: usize, args: &[ArgSpec], index: usize) {
    let _ = KeySpec::of(words, args.split_at(index + 1).0);
}

/// Returns the keys in one parameter, counted from its first argument.
#[track_caller]
pub(super) const fn key_in(arg: &ArgSpec) -> Option<KeySpec> {
    let inner = match arg.kind {
        ArgKind::Key => Some(KeySpec { first: 0, last: 0, step: 1, options: &[], limit: 1 }),
        ArgKind::Block => KeySpec::of(0, arg.parts),
        ArgKind::Options | ArgKind::OneOf => {
            let mut keys = None;
            let mut at = 0;
            while at < arg.parts.len() {
                let part = &arg.parts[at];
                // The options of another struct.
                let is_flattened = matches!((part.kind, arg.kind), (ArgKind::Options, ArgKind::Options));
                if let Some(nested) = key_in(part)
                    && is_flattened
                {
                    keys = Some(KeySpec { options: arg.parts, ..nested });
                } else if key_in(part).is_some() {
                    // An option that repeats ends the request, so there is only one.
                    let limit = match part.share_of_keys() {
                        Some(limit) if part.token.is_some() && matches!(arg.kind, ArgKind::Options) => limit,
                        _ => panic!(
                            "a `Key` cannot be an option, because its position varies: make it a parameter"
                        ),
                    };
                    keys = Some(KeySpec { first: 0, last: -1, step: 1, options: arg.parts, limit });
                }
                at += 1;
            }
            return keys;
        }
        _ => None,
    };
    match inner {
        Some(key) if arg.multiple => {
            if key.first != key.last as usize {
                panic!("the repeated tuple has several `Key`s: leave one and make the others `Bytes`");
            }
            Some(KeySpec { first: key.first, last: -1, step: arg.parts_len(), options: &[], limit: 1 })
        }
        inner => inner,
    }
}

/// Combines both, if first, last and step can describe them.
#[track_caller]
const fn extend(keys: Option<KeySpec>, more: KeySpec) -> KeySpec {
    let Some(keys) = keys else { return more };
    if keys.last < 0 {
        panic!("the position of this `Key` varies: put it before the `Vec` of keys");
    }
    if !more.options.is_empty() {
        panic!("a command has its keys either in parameters or in an option");
    }
    let gap = more.first - keys.last as usize;
    let single = keys.first == keys.last as usize;
    let more_single = more.last >= 0 && more.first == more.last as usize;
    if !(single || keys.step == gap) || !(more_single || more.step == gap) {
        panic!("the `Key`s are at unequal distances: put them next to each other");
    }
    KeySpec { first: keys.first, last: more.last, step: gap, options: &[], limit: 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Bytes, Key,
        command::{FromArg, Spec},
    };

    const KEY: ArgSpec = <Key as FromArg<'_>>::ARG;
    const VALUE: ArgSpec = <Bytes as FromArg<'_>>::ARG;
    const KEYS: ArgSpec = <Vec<Key> as FromArg<'_>>::ARG;
    const PAIRS: ArgSpec = <Vec<(Key, Bytes)> as FromArg<'_>>::ARG;
    const SCORED: ArgSpec = <Vec<(Bytes, Key)> as FromArg<'_>>::ARG;

    fn positions(name: &'static str, args: &'static [ArgSpec], words: usize) -> Vec<usize> {
        let keys = Spec::new(name, args).keys.expect("keys");
        keys.positions(words, |_| None).collect()
    }

    #[test]
    fn key_positions_follow_from_the_parameter_types() {
        assert_eq!(positions("SET", &[KEY, VALUE], 3), [1]);
        assert_eq!(positions("RENAME", &[KEY, KEY], 3), [1, 2]);
        assert_eq!(positions("DEL", &[KEYS], 4), [1, 2, 3]);
        assert_eq!(positions("MSET", &[PAIRS], 7), [1, 3, 5]);
        assert_eq!(positions("SCORE", &[SCORED], 7), [2, 4, 6]);
        assert_eq!(positions("OBJECT ENCODING", &[KEY], 3), [2]);
        assert_eq!(positions("BITOP", &[VALUE, KEY, KEYS], 6), [2, 3, 4, 5]);
        assert!(Spec::new("PING", &[VALUE]).keys.is_none());
    }

    #[test]
    fn key_positions_stay_within_the_request() {
        assert_eq!(positions("RENAME", &[KEY, KEY], 2), [1]);
        assert_eq!(positions("DEL", &[KEYS], 1), [0usize; 0]);
    }

    #[test]
    fn keys_can_be_the_last_option() {
        const NUMBER: ArgSpec = <u64 as FromArg<'_>>::ARG;
        const FROM: ArgSpec = ArgSpec::options(
            const {
                &[
                    ArgSpec::one_of(const { &[ArgSpec::block(const { &[VALUE, VALUE] }).token("REPLY")] })
                        .optional(),
                    ArgSpec::new(ArgKind::PureToken).token("NOHANG").optional(),
                    NUMBER.token("COUNT").optional(),
                    KEYS.token("FROM"),
                ]
            },
        );
        let spec = Spec::new("GETJOB", const { &[FROM] });
        let positions = |request: &str| {
            let words: Vec<&str> = request.split(' ').collect();
            let word = |position: usize| words.get(position).map(|word| word.as_bytes());
            spec.keys.expect("keys").positions(words.len(), word).collect::<Vec<_>>()
        };
        assert_eq!(positions("GETJOB FROM a b"), [2, 3]);
        assert_eq!(positions("GETJOB nohang count 1 from from"), [5]);
        // The result of a job may be a token.
        assert_eq!(positions("GETJOB REPLY FROM FROM FROM a"), [5]);
        for without_keys in ["GETJOB", "GETJOB FROM", "GETJOB NOHANG", "GETJOB COUNT", "GETJOB a FROM b"] {
            assert_eq!(positions(without_keys), [0usize; 0], "{without_keys}");
        }
    }

    #[test]
    #[should_panic(expected = "the position of this `Key` varies")]
    fn a_key_after_a_vec_panics() {
        let _ = Spec::new("BAD", &[const { VALUE.multiple() }, KEY]);
    }
}
