//! Requests without their secrets, for people.

use super::Request;

/// The word in place of a secret.
const REDACTED: &[u8] = b"(redacted)";

/// The subcommands of `ACL` whose arguments are neither passwords nor requests.
const ACL_WITHOUT_SECRETS: [&str; 5] = ["CAT", "DELUSER", "GENPASS", "GETUSER", "LOG"];

/// The settings of Redis whose values are passwords.
const SECRET_SETTINGS: [&str; 4] =
    ["requirepass", "masterauth", "tls-key-file-pass", "tls-client-key-file-pass"];

impl<'a> Request<'a> {
    /// Returns the words, with `(redacted)` in place of users and passwords.
    pub(crate) fn redacted(&self) -> impl Iterator<Item = &'a [u8]> {
        (0..self.len())
            .filter_map(|index| if self.is_secret(index) { Some(REDACTED) } else { self.get(index) })
    }

    /// Returns whether a word may be a user or a password. In doubt, it is.
    fn is_secret(&self, index: usize) -> bool {
        let is_one_of = |index: usize, names: &[&str]| {
            let word = self.get(index).unwrap_or_default();
            names.iter().any(|name| word.eq_ignore_ascii_case(name.as_bytes()))
        };
        match index {
            0 => false,
            _ if self.is("AUTH") => true,
            3.. if self.is("HELLO") => {
                is_one_of(index - 1, &["AUTH"]) || index > 3 && is_one_of(index - 2, &["AUTH"])
            }
            2.. if self.is("ACL") => !is_one_of(1, &ACL_WITHOUT_SECRETS),
            3.. if self.is("CONFIG") => is_one_of(index - 1, &SECRET_SETTINGS),
            7.. if self.is("MIGRATE") => {
                is_one_of(index - 1, &["AUTH", "AUTH2"]) || is_one_of(index - 2, &["AUTH2"])
            }
            _ => false,
        }
    }
}
