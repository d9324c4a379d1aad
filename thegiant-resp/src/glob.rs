//! Glob patterns with the rules of Redis.

/// Returns whether `text` matches `pattern`, by the rules of the Redis command `KEYS`.
///
/// `*` matches any bytes and `?` matches one byte. `[abc]`, `[a-z]` and `[^a]` match one byte of a class. `\` removes the
/// special meaning of the next byte.
///
/// The running time is at most proportional to the product of both lengths, for every pattern.
///
/// ```
/// use thegiant_resp::glob::matches;
///
/// assert!(matches(b"user:*:na[ml]e", b"user:17:name"));
/// assert!(!matches(b"h[^e]llo", b"hello"));
/// assert!(matches(br"\*", b"*"));
/// ```
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    run(pattern, text, |byte| byte)
}

/// Returns whether `text` matches `pattern`, ignoring the case of ASCII letters. See [`matches()`].
///
/// ```
/// assert!(thegiant_resp::glob::matches_ignore_case(b"MAX*", b"maxclients"));
/// ```
#[must_use]
pub fn matches_ignore_case(pattern: &[u8], text: &[u8]) -> bool {
    run(pattern, text, |byte| byte.to_ascii_lowercase())
}

/// Returns a pattern that matches only this text.
///
/// ```
/// use thegiant_resp::glob::{escape, matches};
///
/// let pattern = [&escape(b"a*:")[..], b"*"].concat();
/// assert!(matches(&pattern, b"a*:1"));
/// assert!(!matches(&pattern, b"ab:1"));
/// ```
#[must_use]
pub fn escape(text: &[u8]) -> Vec<u8> {
    let mut pattern = Vec::with_capacity(text.len());
    for byte in text {
        if matches!(byte, b'*' | b'?' | b'[' | b']' | b'\\') {
            pattern.push(b'\\');
        }
        pattern.push(*byte);
    }
    pattern
}

/// Matches with `fold` applied to each byte before a comparison.
fn run(pattern: &[u8], text: &[u8], fold: fn(u8) -> u8) -> bool {
    // After a mismatch, only the latest `*` matches one more byte. Earlier ones need no retry, because the latest one
    // can match every byte that they could leave to it.
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            retry = Some((p, t));
            continue;
        }
        let step = match text.get(t) {
            Some(byte) => match_element(&pattern[p..], fold(*byte), fold),
            None if p == pattern.len() => return true,
            None => return false,
        };
        match (step, retry) {
            (Some(len), _) => {
                p += len;
                t += 1;
            }
            (None, Some((after_star, from))) => {
                p = after_star;
                t = from + 1;
                retry = Some((after_star, t));
            }
            (None, None) => return false,
        }
    }
}

/// Returns the length of the first element of `pattern` if that element matches `byte`.
fn match_element(pattern: &[u8], byte: u8, fold: fn(u8) -> u8) -> Option<usize> {
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', class @ ..] => match_class(class, byte, fold).map(|len| len + 1),
        [b'\\', escaped, ..] => (fold(*escaped) == byte).then_some(2),
        [literal, ..] => (fold(*literal) == byte).then_some(1),
    }
}

/// Returns the length of `class`, the text after `[`, if the class matches `byte`.
///
/// A class without `]` extends to the end of the pattern.
fn match_class(class: &[u8], byte: u8, fold: fn(u8) -> u8) -> Option<usize> {
    let negated = class.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut matched = false;
    loop {
        match &class[at..] {
            [b'\\', escaped, ..] => {
                matched |= fold(*escaped) == byte;
                at += 2;
            }
            [b']', ..] => {
                at += 1;
                break;
            }
            [] => break,
            [low, b'-', high, ..] => {
                let (low, high) = (fold(*low), fold(*high));
                matched |= (low.min(high)..=low.max(high)).contains(&byte);
                at += 3;
            }
            [literal, ..] => {
                matched |= fold(*literal) == byte;
                at += 1;
            }
        }
    }
    (matched != negated).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_redis() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b", "ab*", false),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h[ae]llo", "hallo", true),
            ("h[^e]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-b]llo", "hbllo", true),
            ("h[b-a]llo", "hallo", true),
            ("[\\]]", "]", true),
            ("[ab", "b", true),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("a\\", "a\\", true),
            ("**a", "ba", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern:?} {text:?}");
        }
    }

    #[test]
    fn many_stars_do_not_take_exponential_time() {
        let pattern = "a*".repeat(500) + "b";
        assert!(!matches(pattern.as_bytes(), &[b'a'; 20_000]));
    }
}
