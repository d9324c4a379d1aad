//! Glob patterns: they match what a plain, exponential matcher matches, in bounded time.
//! The first byte says where the pattern ends.

#![no_main]

use libfuzzer_sys::fuzz_target;
use thegiant::glob;

fuzz_target!(|data: &[u8]| {
    let Some((len, rest)) = data.split_first() else { return };
    let (pattern, text) = rest.split_at(usize::from(*len).min(rest.len()));
    let matches = glob::matches(pattern, text);

    assert!(glob::matches(&escaped(text), text));
    if !pattern.contains(&b'[') && pattern.len() <= 16 && text.len() <= 16 {
        assert_eq!(matches, plain(pattern, text), "{pattern:?} {text:?}");
    }
});

/// A pattern that matches just this text.
fn escaped(text: &[u8]) -> Vec<u8> {
    text.iter().flat_map(|byte| [b'\\', *byte]).collect()
}

/// Without classes, which are a grammar of their own.
fn plain(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], _) => text.is_empty(),
        ([b'*', behind @ ..], _) => (0..=text.len()).any(|skipped| plain(behind, &text[skipped..])),
        ([b'?', behind @ ..], [_, rest @ ..]) => plain(behind, rest),
        ([b'\\', literal, behind @ ..], [byte, rest @ ..]) => literal == byte && plain(behind, rest),
        ([literal, behind @ ..], [byte, rest @ ..]) => literal == byte && plain(behind, rest),
        (_, []) => false,
    }
}
