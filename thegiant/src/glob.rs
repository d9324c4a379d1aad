//! Glob patterns as Redis has them.

/// Whether `text` matches `pattern`, by the rules of Redis' `KEYS`: `*` any bytes, `?` one byte,
/// `[abc]`, `[a-z]` and `[^a]` one of a class, `\` takes the next byte as it is.
///
/// The work is bounded by the product of both lengths, whatever the pattern.
///
/// ```
/// use thegiant::glob::matches;
///
/// assert!(matches(b"user:*:na[ml]e", b"user:17:name"));
/// assert!(!matches(b"h[^e]llo", b"hello"));
/// assert!(matches(br"\*", b"*"));
/// ```
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    run(pattern, text, |byte| byte)
}

/// As [`matches()`], without regard to the case of ASCII letters.
///
/// ```
/// assert!(thegiant::glob::matches_ignore_case(b"MAX*", b"maxclients"));
/// ```
pub fn matches_ignore_case(pattern: &[u8], text: &[u8]) -> bool {
    run(pattern, text, |byte| byte.to_ascii_lowercase())
}

/// Compares bytes by what `fold` makes of them.
fn run(pattern: &[u8], text: &[u8], fold: fn(u8) -> u8) -> bool {
    // On a mismatch only the latest `*` takes one byte more: earlier ones need not be tried again,
    // since whatever they could leave over, the latest one could take too.
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            retry = Some((p, t));
            continue;
        }
        let step = match text.get(t) {
            Some(byte) => one(&pattern[p..], fold(*byte), fold),
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

/// The length of the pattern's first element, if it matches `byte`.
fn one(pattern: &[u8], byte: u8, fold: fn(u8) -> u8) -> Option<usize> {
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', class @ ..] => class_of(class, byte, fold).map(|len| len + 1),
        [b'\\', escaped, ..] => (fold(*escaped) == byte).then_some(2),
        [literal, ..] => (fold(*literal) == byte).then_some(1),
    }
}

/// The length of a class behind its `[`, if it matches `byte`. A class without an end extends to
/// the end of the pattern.
fn class_of(class: &[u8], byte: u8, fold: fn(u8) -> u8) -> Option<usize> {
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
    fn patterns_of_redis() {
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
    fn a_nasty_pattern_ends() {
        let pattern = "a*".repeat(500) + "b";
        assert!(!matches(pattern.as_bytes(), &[b'a'; 20_000]));
    }
}
