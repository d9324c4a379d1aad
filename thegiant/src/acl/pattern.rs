//! Patterns of keys and channels.

use crate::resp::glob;

/// A glob pattern that knows its kind, so that most patterns need no glob matching.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    text: Box<[u8]>,
    kind: PatternKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PatternKind {
    /// `*`
    All,
    /// Literal bytes, then `*`.
    Prefix,
    /// Literal bytes.
    Exact,
    Glob,
}

impl Pattern {
    pub(super) fn new(text: &[u8]) -> Self {
        let is_literal = |text: &[u8]| !text.iter().any(|byte| b"*?[\\".contains(byte));
        let kind = match text {
            b"*" => PatternKind::All,
            [prefix @ .., b'*'] if is_literal(prefix) => PatternKind::Prefix,
            text if is_literal(text) => PatternKind::Exact,
            _ => PatternKind::Glob,
        };
        Pattern { text: text.into(), kind }
    }

    #[inline]
    pub(super) fn matches(&self, word: &[u8]) -> bool {
        match self.kind {
            PatternKind::All => true,
            PatternKind::Prefix => word.starts_with(&self.text[..self.text.len() - 1]),
            PatternKind::Exact => *self.text == *word,
            PatternKind::Glob => glob::matches(&self.text, word),
        }
    }

    /// Returns whether the pattern matches every word with this prefix.
    ///
    /// It may return `false` for a pattern with further wildcards that does.
    pub(super) fn matches_all(&self, prefix: &[u8]) -> bool {
        matches!(self.kind, PatternKind::All | PatternKind::Prefix) && self.matches(prefix)
    }

    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }
}

/// Whether the text has white space or a NUL, so that it is no word of a rule.
pub(super) fn has_space(text: &[u8]) -> bool {
    text.iter().any(|byte| matches!(byte, b'\0' | b'\t'..=b'\r' | b' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_matches_as_a_glob_does() {
        let words = ["", "a", "ab", "a*", "b", "*", "a\\*", "abc"];
        for (text, kind) in [
            ("*", PatternKind::All),
            ("a*", PatternKind::Prefix),
            ("ab", PatternKind::Exact),
            ("", PatternKind::Exact),
            ("a\\*", PatternKind::Glob),
            ("a**", PatternKind::Glob),
            ("[ab]", PatternKind::Glob),
            ("?", PatternKind::Glob),
            ("*a", PatternKind::Glob),
        ] {
            let pattern = Pattern::new(text.as_bytes());
            assert_eq!(pattern.kind, kind, "{text}");
            for word in words {
                let expected = glob::matches(text.as_bytes(), word.as_bytes());
                assert_eq!(pattern.matches(word.as_bytes()), expected, "{text} {word}");
            }
        }
    }
}
