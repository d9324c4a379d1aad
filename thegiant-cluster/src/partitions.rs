//! The state of the application, in partitions.

use std::{future::Future, io};

/// The state of an application, in partitions that a [`Member`](crate::Member) opens and closes.
///
/// The keys are divided among the partitions as [`thegiant::shard`] and `App::mount_shards` divide them: key `k` belongs to the partition
/// `thegiant::shard(k, partitions)`. An instance gets commands for the keys of a partition only while the partition is open.
///
/// # Epochs
/// The store gives a partition to one instance at a time. But a paused process does not know that its lease has ended, and what it had
/// sent to a database may arrive later. So each owner has an **epoch**, which is greater than that of each earlier owner. `open` writes it to the place where the state is, and
/// each later write checks it: `UPDATE … WHERE epoch = $mine`. A write of an earlier owner then fails.
///
/// ```
/// use std::{collections::BTreeMap, io, sync::Mutex};
///
/// use thegiant_cluster::Partitions;
///
/// /// Keeps nothing but the epochs, as a database would.
/// #[derive(Default)]
/// struct Epochs(Mutex<BTreeMap<u16, u64>>);
///
/// impl Partitions for Epochs {
///     async fn open(&self, partition: u16, epoch: u64) -> io::Result<()> {
///         let mut epochs = self.0.lock().expect("no code panics with the lock");
///         let stored = epochs.entry(partition).or_default();
///         if *stored >= epoch {
///             return Err(io::Error::other("a later owner has opened the partition"));
///         }
///         *stored = epoch;
///         Ok(())
///     }
///
///     async fn close(&self, _partition: u16) {}
/// }
/// ```
///
/// An application that keeps nothing which its instances share, such as a cache, can ignore the epoch.
pub trait Partitions: 'static {
    /// Loads the state of a partition, and fences it, so that earlier owners cannot write to it.
    ///
    /// Meanwhile, commands for its keys get `-CLUSTERDOWN Hash slot not served`, which clients try again. Several partitions are opened at the
    /// same time. The member stays alive however long it takes.
    ///
    /// # Errors
    /// An error ends the member, and so the process, so that other instances take over.
    fn open(&self, partition: u16, epoch: u64) -> impl Future<Output = io::Result<()>>;

    /// Discards the state of a partition that another instance is about to own.
    ///
    /// No further command for its keys begins. The other instance opens the partition when this future has ended, so it waits for writes
    /// that have begun. But if the lease has ended, the other instance does not wait.
    fn close(&self, partition: u16) -> impl Future<Output = ()>;
}
