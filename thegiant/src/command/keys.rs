//! Which words of a request are keys.

use super::args::{ArgKind, ArgSpec};

/// Which words of a request are keys, as Redis describes them: from `first` to `last` by steps of
/// `step`; 0 is the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeySpec {
    /// The first key.
    pub first: usize,
    /// The last key, counted from the end if negative: -1 is the last word.
    pub last: i64,
    /// From one key to the next.
    pub step: usize,
}

impl KeySpec {
    /// Computed from the parameters of a command whose name has this many words.
    ///
    /// # Panics
    /// If first, last and step cannot say it; in a `const`, that is a compile error.
    #[track_caller]
    pub(crate) const fn of(words: usize, args: &[ArgSpec]) -> Option<KeySpec> {
        let mut keys = None;
        let mut position = Some(words);
        let mut at = 0;
        while at < args.len() {
            let arg = &args[at];
            keys = match (key_in(arg), position) {
                (Some(found), Some(position)) => Some(extend(keys, found.at(position))),
                (Some(_), None) => panic!("a `Key` cannot follow parameters whose number varies"),
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

    /// The positions of the keys in a request of this many words. None lies beyond its end.
    pub fn positions(&self, words: usize) -> Keys {
        let last = if self.last < 0 {
            words.saturating_sub(self.last.unsigned_abs() as usize)
        } else {
            (self.last as usize).min(words.saturating_sub(1))
        };
        Keys { next: self.first, last, step: self.step }
    }

    const fn at(self, position: usize) -> KeySpec {
        let last = if self.last < 0 { self.last } else { self.last + position as i64 };
        KeySpec { first: self.first + position, last, step: self.step }
    }
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

/// Whether the keys up to and including this parameter can be described: `#[commands]` asks it at the
/// tokens of each, so that the compile error points at the one that is too many.
///
/// # Panics
/// If they cannot.
#[track_caller]
pub const fn check_keys(words: usize, args: &[ArgSpec], index: usize) {
    let _ = KeySpec::of(words, args.split_at(index + 1).0);
}

/// The keys within one parameter, counted from its first argument.
#[track_caller]
const fn key_in(arg: &ArgSpec) -> Option<KeySpec> {
    let inner = match arg.kind {
        ArgKind::Key => Some(KeySpec { first: 0, last: 0, step: 1 }),
        ArgKind::Block => KeySpec::of(0, arg.parts),
        ArgKind::Options | ArgKind::OneOf => {
            let mut at = 0;
            while at < arg.parts.len() {
                if key_in(&arg.parts[at]).is_some() {
                    panic!("a `Key` cannot be an option: its position would vary");
                }
                at += 1;
            }
            None
        }
        _ => None,
    };
    match inner {
        Some(key) if arg.multiple => {
            if key.first != key.last as usize {
                panic!("of what repeats, only one part can be a `Key`");
            }
            Some(KeySpec { first: key.first, last: -1, step: arg.parts_len() })
        }
        inner => inner,
    }
}

/// Both as one, if first, last and step can say it.
#[track_caller]
const fn extend(keys: Option<KeySpec>, more: KeySpec) -> KeySpec {
    let Some(keys) = keys else { return more };
    if keys.last < 0 {
        panic!("a `Key` cannot follow keys whose number varies");
    }
    let gap = more.first - keys.last as usize;
    let single = keys.first == keys.last as usize;
    let more_single = more.last >= 0 && more.first == more.last as usize;
    if !(single || keys.step == gap) || !(more_single || more.step == gap) {
        panic!("these `Key`s cannot be described by first, last and step");
    }
    KeySpec { first: keys.first, last: more.last, step: gap }
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
        keys.positions(words).collect()
    }

    #[test]
    fn positions_come_from_the_types() {
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
    fn no_key_lies_beyond_the_request() {
        assert_eq!(positions("RENAME", &[KEY, KEY], 2), [1]);
        assert_eq!(positions("DEL", &[KEYS], 1), [0usize; 0]);
    }

    #[test]
    #[should_panic(expected = "cannot follow parameters whose number varies")]
    fn a_key_behind_the_rest() {
        let _ = Spec::new("BAD", &[const { VALUE.multiple() }, KEY]);
    }
}
