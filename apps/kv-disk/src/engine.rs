//! What keeps the bytes.

use std::{collections::BTreeMap, error, path::Path};

use bytes::Bytes;

/// What goes wrong with a disk.
pub(crate) type Error = Box<dyn error::Error + Send + Sync>;

pub(crate) type Result<T> = std::result::Result<T, Error>;

/// What is to be changed: keys and their new values, or none.
pub(crate) type Changes = BTreeMap<Bytes, Option<Bytes>>;

/// The names of all engines: each has a folder of its own.
pub(crate) const NAMES: [&str; 2] = ["lsm", "sqlite"];

/// A map on disk whose keys are bytes, in their order.
pub(crate) trait Engine: Unpin + Sized + 'static {
    /// One of [`NAMES`].
    const NAME: &'static str;

    /// Opens what is in a folder, or begins it. What was being written when a process or a machine went down is not
    /// there, but everything that was written before it is.
    fn open(folder: &Path) -> Result<Self>;

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>>;

    /// All entries from this key on, in order.
    fn range<'a>(&'a self, start: &[u8]) -> impl Iterator<Item = Result<(Bytes, Bytes)>> + use<'a, Self>;

    /// Makes changes, all or none; with `sync`, the disk holds them afterwards.
    ///
    /// # Errors
    /// None has been made, as far as whoever asks later can see.
    fn commit(&mut self, changes: &Changes, sync: bool) -> Result<()>;

    /// Has the disk hold all that has been committed, from another thread.
    fn syncer(&self) -> impl Fn() -> Result<()> + Clone + Send + 'static + use<Self>;
}
