//! The interface of a storage engine.

use std::{collections::BTreeMap, error, path::Path};

use bytes::Bytes;

/// An error of a storage engine.
pub(crate) type Error = Box<dyn error::Error + Send + Sync>;

pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Uncommitted changes: each key with its new value, or `None` if the key is removed.
pub(crate) type Changes = BTreeMap<Bytes, Option<Bytes>>;

/// Names of all engines. Each engine uses a folder of its own.
pub(crate) const NAMES: [&str; 2] = ["lsm", "sqlite"];

/// An ordered map of byte strings on disk.
pub(crate) trait Engine: Unpin + Sized + 'static {
    /// One of [`NAMES`].
    const NAME: &'static str;

    /// The files in its folder that it keeps open.
    const FILES: &'static [&'static str];

    /// Opens the map in a folder, or creates it.
    ///
    /// After a crash the map contains every committed change, and no part of a change that was not committed.
    fn open(folder: &Path) -> Result<Self>;

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>>;

    /// Returns all entries from this key on, in order.
    fn range<'a>(&'a self, start: &[u8]) -> impl Iterator<Item = Result<(Bytes, Bytes)>> + use<'a, Self>;

    /// Makes all changes or none. With `sync`, the changes are on disk when the method returns.
    ///
    /// # Errors
    /// If it returns an error, it has made none of the changes, as far as a later read can see.
    fn commit(&mut self, changes: &Changes, sync: bool) -> Result<()>;

    /// Returns a function that syncs all committed changes to disk, from any thread.
    fn syncer(&self) -> impl Fn() -> Result<()> + Clone + Send + 'static + use<Self>;
}
