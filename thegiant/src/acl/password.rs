//! Hashes of passwords.

use std::{borrow::Cow, fmt, hint::black_box};

use sha2::{Digest, Sha256};

/// The SHA-256 of a password. The password itself is stored nowhere.
#[derive(Clone, Copy)]
pub(crate) struct PasswordHash([u8; 32]);

impl PasswordHash {
    pub(crate) fn of(password: &[u8]) -> Self {
        PasswordHash(Sha256::digest(password).into())
    }

    /// Parses 64 hexadecimal digits in lower case.
    pub(super) fn parse(hash: &[u8]) -> Option<Self> {
        let mut bytes = [0; 32];
        if hash.len() != 2 * bytes.len() {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(hash.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(PasswordHash(bytes))
    }

    /// Compares in a time that does not depend on the hashes.
    pub(super) fn is_same(&self, other: &PasswordHash) -> bool {
        let differences =
            self.0.iter().zip(&other.0).fold(0, |sum, (one, other)| black_box(sum | (one ^ other)));
        differences == 0
    }
}

/// Returns a rule with the hash of its password in place of the password.
pub(crate) fn without_password(rule: &str) -> Cow<'_, str> {
    match rule.split_at_checked(1) {
        Some((">", password)) => format!("#{}", PasswordHash::of(password.as_bytes())).into(),
        Some(("<", password)) => format!("!{}", PasswordHash::of(password.as_bytes())).into(),
        _ => rule.into(),
    }
}

fn digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// Writes 64 hexadecimal digits.
impl fmt::Display for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_that_of_redis() {
        let hash = PasswordHash::of(b"foo");
        let text = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";
        assert_eq!(hash.to_string(), text);
        assert!(PasswordHash::parse(text.as_bytes()).is_some_and(|parsed| parsed.is_same(&hash)));
        assert!(!PasswordHash::of(b"bar").is_same(&hash));
        for wrong in ["", "2c", &text[1..], &text.to_uppercase(), &format!("{text}0")] {
            assert!(PasswordHash::parse(wrong.as_bytes()).is_none(), "{wrong}");
        }
    }

    #[test]
    fn debug_shows_no_hash() {
        assert_eq!(format!("{:?}", PasswordHash::of(b"foo")), "PasswordHash(…)");
    }
}
