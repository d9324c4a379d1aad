//! The key prefix of each user.

use std::fmt;

use bytes::Bytes;

use crate::{Error, client::DEFAULT_USER};

/// Returns the key prefix of the user with a name.
type PrefixOfUser = dyn Fn(&str) -> Option<Bytes> + Send + Sync;

/// The key prefixes of the users of a server.
#[derive(Default)]
pub(crate) struct Tenants(Option<Box<PrefixOfUser>>);

impl Tenants {
    pub(crate) fn new(prefix_of: impl Fn(&str) -> Option<Bytes> + Send + Sync + 'static) -> Self {
        Tenants(Some(Box::new(prefix_of)))
    }

    /// Returns whether users may have a key prefix.
    pub(crate) fn are_any(&self) -> bool {
        self.0.is_some()
    }

    /// Returns the key prefix of a user, which is empty if the user has none.
    ///
    /// # Errors
    /// The name is not UTF-8. Two such names could get the same prefix.
    pub(crate) fn prefix_of(&self, user: &[u8]) -> Result<Bytes, Error> {
        if !self.are_any() {
            return Ok(Bytes::new());
        }
        let name = std::str::from_utf8(user).map_err(|_| {
            Error::internal(format!(
                "the user `{}` has no key prefix, because its name is not UTF-8: rename the user",
                user.escape_ascii()
            ))
        })?;
        Ok(self.prefix_of_name(name))
    }

    /// Returns the key prefix of the user with this name, which is empty if the user has none.
    pub(crate) fn prefix_of_name(&self, name: &str) -> Bytes {
        self.0.as_ref().and_then(|prefix_of| prefix_of(name)).unwrap_or_default()
    }

    /// Returns the key prefix of the default user.
    pub(crate) fn default_prefix(&self) -> Bytes {
        self.prefix_of(DEFAULT_USER).unwrap_or_default()
    }
}

impl fmt::Debug for Tenants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tenants").field(&self.are_any()).finish()
    }
}
