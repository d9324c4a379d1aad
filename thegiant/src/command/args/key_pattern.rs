//! Arguments that are patterns of keys.

use bytes::Bytes;

use super::{ArgKind, ArgSpec, Arguments, FromArg};
use crate::{Client, Error, resp::glob};

/// A glob pattern of keys, such as the argument of `KEYS`.
///
/// It matches keys of the client only: those that begin with its [key prefix](Client::key_prefix), and whose rest matches the
/// pattern.
///
/// ```
/// use std::collections::HashMap;
/// use thegiant::{KeyPattern, prelude::*};
///
/// struct Store(HashMap<Bytes, Bytes>);
///
/// impl Actor for Store {
///     type Context = Context<Self>;
/// }
///
/// #[commands]
/// impl Store {
///     /// Returns the keys that match a pattern.
///     #[command("KEYS", readonly, tenant_safe)]
///     fn keys(&self, pattern: KeyPattern<'_>) -> Vec<Key<&Bytes>> {
///         self.0.keys().filter(|key| pattern.matches(key)).map(Key).collect()
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct KeyPattern<'a> {
    prefix: Bytes,
    /// `None` matches every key with the prefix.
    pattern: Option<&'a [u8]>,
}

impl KeyPattern<'_> {
    /// Returns the pattern of all keys of a client, for a request without a pattern.
    ///
    /// ```
    /// use thegiant::{Client, KeyPattern};
    ///
    /// fn wanted<'a>(client: &Client, pattern: Option<KeyPattern<'a>>) -> KeyPattern<'a> {
    ///     pattern.unwrap_or_else(|| KeyPattern::all(client))
    /// }
    /// ```
    pub fn all(client: &Client) -> Self {
        KeyPattern { prefix: client.key_prefix(), pattern: None }
    }

    /// Returns whether the pattern matches a key. The key has its prefix.
    pub fn matches(&self, key: &[u8]) -> bool {
        let name = key.strip_prefix(&self.prefix[..]);
        name.is_some_and(|name| self.pattern.is_none_or(|pattern| glob::matches(pattern, name)))
    }
}

#[diagnostic::do_not_recommend]
impl<'a> FromArg<'a> for KeyPattern<'a> {
    const ARG: ArgSpec = ArgSpec::new(ArgKind::Pattern);

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self, Error> {
        let prefix = args.client().key_prefix();
        Ok(KeyPattern { prefix, pattern: Some(args.take()?) })
    }
}
