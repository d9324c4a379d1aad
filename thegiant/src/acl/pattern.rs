//! Patterns of keys and channels.

use crate::resp::glob;

/// A glob pattern that knows its kind, so that most patterns need no glob matching.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pattern {
    text: Box<[u8]>,
    kind: PatternKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PatternKind {
    /// At most eight literal bytes, then `*`.
    ShortPrefix(Head),
    /// Literal bytes, then `*`.
    Prefix,
    /// Literal bytes.
    Exact,
    Glob,
}

/// Bytes that are compared with the start of a word in one step: a call of `memcmp` takes longer than the rest of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    bytes: [u8; 8],
    mask: [u8; 8],
}

impl Pattern {
    pub(super) fn new(text: &[u8]) -> Self {
        let is_literal = |text: &[u8]| !text.iter().any(|byte| b"*?[\\".contains(byte));
        let kind = match text {
            [prefix @ .., b'*'] if is_literal(prefix) => {
                Head::new(prefix).map_or(PatternKind::Prefix, PatternKind::ShortPrefix)
            }
            text if is_literal(text) => PatternKind::Exact,
            _ => PatternKind::Glob,
        };
        Pattern { text: text.into(), kind }
    }

    pub(super) fn matches(&self, word: &[u8]) -> bool {
        match self.kind {
            PatternKind::ShortPrefix(_) | PatternKind::Prefix => {
                word.starts_with(&self.text[..self.text.len() - 1])
            }
            PatternKind::Exact => *self.text == *word,
            PatternKind::Glob => glob::matches(&self.text, word),
        }
    }

    /// Returns whether one comparison shows that the pattern matches. `false` says nothing.
    #[inline]
    pub(super) fn matches_at_once(&self, word: &[u8]) -> bool {
        match (self.kind, word.first_chunk()) {
            (PatternKind::ShortPrefix(head), Some(start)) => head.is_in(*start),
            _ => false,
        }
    }

    /// Returns whether the pattern matches every word with this prefix.
    ///
    /// It may return `false` for a pattern with further wildcards that does.
    pub(super) fn matches_all(&self, prefix: &[u8]) -> bool {
        matches!(self.kind, PatternKind::ShortPrefix(_) | PatternKind::Prefix) && self.matches(prefix)
    }

    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }
}

impl Head {
    /// Returns `None` if the bytes are too many.
    fn new(bytes: &[u8]) -> Option<Self> {
        let mut head = Head { bytes: [0; 8], mask: [0; 8] };
        head.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        head.mask[..bytes.len()].fill(u8::MAX);
        Some(head)
    }

    #[inline]
    fn is_in(self, start: [u8; 8]) -> bool {
        u64::from_ne_bytes(start) & u64::from_ne_bytes(self.mask) == u64::from_ne_bytes(self.bytes)
    }
}

/// Returns whether the text has white space or a NUL, so that it is no word of a rule.
pub(super) fn has_space(text: &[u8]) -> bool {
    text.iter().any(|byte| matches!(byte, b'\0' | b'\t'..=b'\r' | b' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_matches_as_a_glob_does() {
        let words =
            ["", "a", "ab", "a*", "b", "*", "a\\*", "abc", "abcdefgh", "abcdefghi", "b2345678", "abcdefgx"];
        let short = |prefix: &str| Head::new(prefix.as_bytes()).map(PatternKind::ShortPrefix);
        for (text, kind) in [
            ("*", short("")),
            ("a*", short("a")),
            ("abcdefgh*", short("abcdefgh")),
            ("abcdefghi*", Some(PatternKind::Prefix)),
            ("ab", Some(PatternKind::Exact)),
            ("", Some(PatternKind::Exact)),
            ("a\\*", Some(PatternKind::Glob)),
            ("a**", Some(PatternKind::Glob)),
            ("[ab]", Some(PatternKind::Glob)),
            ("?", Some(PatternKind::Glob)),
            ("*a", Some(PatternKind::Glob)),
        ] {
            let pattern = Pattern::new(text.as_bytes());
            assert_eq!(Some(pattern.kind), kind, "{text}");
            for word in words {
                let expected = glob::matches(text.as_bytes(), word.as_bytes());
                assert_eq!(pattern.matches(word.as_bytes()), expected, "{text} {word}");
                let is_short = matches!(pattern.kind, PatternKind::ShortPrefix(_)) && word.len() >= 8;
                assert_eq!(pattern.matches_at_once(word.as_bytes()), expected && is_short, "{text} {word}");
            }
        }
    }
}
