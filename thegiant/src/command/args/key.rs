//! Arguments that name keys.

use std::{borrow::Borrow, fmt, ops::Deref};

use bytes::Bytes;

use super::{ArgSpec, Arguments, FromArg};
use crate::{
    Error,
    command::{Reply, ReplySpec},
    resp::{Encoder, RequestBuilder, ToArgs},
};

/// An argument that names a key.
///
/// This type tells the toolkit the positions of a command's keys. `COMMAND GETKEYS`, `WATCH`, client-side
/// caching and keyspace events depend on it.
///
/// A key is a parameter. A `Vec<Key>` can also be the last option of a struct with `#[derive(Args)]`, such as `FROM` in
/// `[COUNT n] FROM key [key …]`.
///
/// `Key` without a parameter is `Key<Bytes>`, which can be stored. `Key<&[u8]>` borrows from the request. A
/// `Key` dereferences to its inner value.
///
/// ```
/// use std::collections::HashMap;
/// use thegiant::{Bytes, Key};
///
/// let values = HashMap::from([(Bytes::from("k"), 1)]);
/// let key: Key<&[u8]> = Key(b"k");
/// assert_eq!(values.get(*key), Some(&1));
/// ```
///
/// Methods that take any bytes take a key, for example [`PubSub::publish`](crate::PubSub::publish) and
/// [`Keyspace::modified`](crate::Keyspace::modified). A channel with the name of a key belongs to the tenant that has the key:
///
/// ```
/// use thegiant::{Key, PubSub};
///
/// fn sold(channels: &PubSub, lot: &Key, price: u64) {
///     channels.publish(lot, price.to_string());
/// }
/// ```
///
/// A key of text or of a number can be written:
///
/// ```
/// # use thegiant::Key;
/// let (user, order): (Key<&str>, Key<u64>) = (Key("ann"), Key(7));
/// assert_eq!(format!("{user:>4}/{order}"), " ann/7");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key<T = Bytes>(pub T);

impl<T> Key<T> {
    /// Returns the inner value.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Key<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Writes the inner value: a `Key<&str>` is its text. Keys of bytes have no text; write `{:?}`.
impl<T: fmt::Display> fmt::Display for Key<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Key<Bytes>> for Bytes {
    fn from(key: Key<Bytes>) -> Bytes {
        key.0
    }
}

impl From<Key<String>> for String {
    fn from(key: Key<String>) -> String {
        key.0
    }
}

impl<T: AsRef<[u8]>> AsRef<[u8]> for Key<T> {
    fn as_ref(&self) -> &[u8] {
        self.0.as_ref()
    }
}

impl Borrow<[u8]> for Key<Bytes> {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

#[diagnostic::do_not_recommend]
impl<'a, T: FromArg<'a>> FromArg<'a> for Key<T> {
    const ARG: ArgSpec = T::ARG.key();

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self, Error> {
        T::from_arg(args).map(Key)
    }
}

/// Writes the key as its client knows it: without the [key prefix](crate::Client::key_prefix) of the client.
#[diagnostic::do_not_recommend]
impl<T: AsRef<[u8]>> Reply for Key<T> {
    const REPLY: ReplySpec = ReplySpec::String;

    #[inline]
    fn write_to(self, out: &mut Encoder) {
        out.key(self.0.as_ref());
    }
}

impl<T: ToArgs> ToArgs for Key<T> {
    fn to_args(&self, out: &mut RequestBuilder) {
        self.0.to_args(out);
    }
}
