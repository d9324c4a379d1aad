//! The store that all instances share.

use std::{future::Future, io, pin::Pin};

/// Identifies one state of a key.
///
/// A key that is changed, or deleted and created again, never has the same revision twice.
pub type Revision = u64;

/// A consistent key-value store with compare-and-swap, which all instances of an application share.
///
/// [`Member`](crate::Member) needs no more than this. `Etcd` (feature `etcd`), `Postgres` (feature `postgres`) and
/// [`MemoryStore`](crate::MemoryStore) are such stores.
///
/// The store has to be linearizable: an operation sees the effect of each one that had ended before it began. A write that was acknowledged must
/// never be lost, also when a server of the store fails. An operation that returns an error may have taken effect, or take effect later.
///
/// ```
/// use std::io;
///
/// use thegiant_cluster::{Entry, MemoryStore, Revision, Store, Swap};
///
/// /// A store in which several applications have a part each.
/// struct Part<S> {
///     prefix: String,
///     store: S,
/// }
///
/// impl<S: Store> Store for Part<S> {
///     async fn list(&self) -> io::Result<Vec<Entry>> {
///         let entries = self.store.list().await?.into_iter();
///         let own = entries.filter_map(|Entry { key, value, revision }| {
///             Some(Entry { key: key.strip_prefix(&self.prefix)?.to_owned(), value, revision })
///         });
///         Ok(own.collect())
///     }
///
///     async fn swap(&self, key: &str, expected: Option<Revision>, value: Option<&str>) -> io::Result<Swap> {
///         self.store.swap(&format!("{}{key}", self.prefix), expected, value).await
///     }
/// }
///
/// # #[thegiant::main]
/// # async fn main() -> io::Result<()> {
/// let part = Part { prefix: "shop/".to_owned(), store: MemoryStore::new() };
/// assert!(matches!(part.swap("topology", None, Some("version 1")).await?, Swap::Done(_)));
/// assert!(matches!(part.swap("topology", None, Some("version 1")).await?, Swap::Conflict));
/// assert_eq!(part.list().await?[0].key, "topology");
/// # Ok(())
/// # }
/// ```
pub trait Store: Send + Sync + 'static {
    /// Returns all entries as of one moment, in any order.
    ///
    /// # Errors
    /// If the store cannot be reached.
    fn list(&self) -> impl Future<Output = io::Result<Vec<Entry>>> + Send;

    /// Sets or deletes the value of a key, if its revision is the expected one.
    ///
    /// Without a value, the key is deleted. Without an expected revision, the key must not exist.
    ///
    /// # Errors
    /// If the store cannot be reached, or does not answer. The swap may have taken effect all the same.
    fn swap(
        &self,
        key: &str,
        expected: Option<Revision>,
        value: Option<&str>,
    ) -> impl Future<Output = io::Result<Swap>> + Send;

    /// Waits until an entry may have changed.
    ///
    /// A new heartbeat in an entry `instances/NAME` that exists is no such change.
    ///
    /// A member lists the entries then, and calls this again before it lists them. It lists them several times per lease anyway, so the
    /// default waits for ever.
    fn changed(&self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }
}

/// A key of a [`Store`] with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key: `topology`, or `instances/NAME`.
    pub key: String,
    /// The value, a text that people can read.
    pub value: String,
    /// The state of the key.
    pub revision: Revision,
}

/// The result of a [swap](Store::swap).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swap {
    /// The key has the new value, and this revision. After a deletion, the number means nothing.
    Done(Revision),
    /// The key had another revision than the expected one, so nothing has changed.
    Conflict,
}

/// Returns whether the entries of a key have heartbeats.
pub(crate) fn is_heartbeat(key: &str) -> bool {
    key.starts_with("instances/")
}

/// A [`Store`] of any type.
pub(crate) trait AnyStore: Send + Sync {
    fn list(&self) -> Answer<'_, Vec<Entry>>;
    fn swap<'a>(
        &'a self,
        key: &'a str,
        expected: Option<Revision>,
        value: Option<&'a str>,
    ) -> Answer<'a, Swap>;
    fn changed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

impl<S: Store> AnyStore for S {
    fn list(&self) -> Answer<'_, Vec<Entry>> {
        Box::pin(Store::list(self))
    }

    fn swap<'a>(
        &'a self,
        key: &'a str,
        expected: Option<Revision>,
        value: Option<&'a str>,
    ) -> Answer<'a, Swap> {
        Box::pin(Store::swap(self, key, expected, value))
    }

    fn changed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(Store::changed(self))
    }
}
