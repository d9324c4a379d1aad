//! Glob patterns: the matcher agrees with a simple, exponential matcher, in bounded time.
//!
//! The first byte is the length of the pattern.

#![no_main]

use libfuzzer_sys::fuzz_target;
use thegiant_resp::glob;

fuzz_target!(|data: &[u8]| {
    let Some((len, rest)) = data.split_first() else { return };
    let (pattern, text) = rest.split_at(usize::from(*len).min(rest.len()));
    let matches = glob::matches(pattern, text);

    assert!(glob::matches(&escaped(text), text));
    if !pattern.contains(&b'[') && pattern.len() <= 16 && text.len() <= 16 {
        assert_eq!(matches, simple(pattern, text), "{pattern:?} {text:?}");
    }
});

/// Returns a pattern that matches this text only.
fn escaped(text: &[u8]) -> Vec<u8> {
    text.iter().flat_map(|byte| [b'\\', *byte]).collect()
}

/// A simple matcher without classes.
fn simple(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], _) => text.is_empty(),
        ([b'*', after @ ..], _) => (0..=text.len()).any(|skipped| simple(after, &text[skipped..])),
        ([b'?', after @ ..], [_, rest @ ..]) => simple(after, rest),
        ([b'\\', literal, after @ ..], [byte, rest @ ..]) => literal == byte && simple(after, rest),
        ([literal, after @ ..], [byte, rest @ ..]) => literal == byte && simple(after, rest),
        (_, []) => false,
    }
}
