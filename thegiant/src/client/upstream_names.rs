//! The channels and patterns that a client has subscribed at an upstream.

use std::{
    collections::HashSet,
    sync::{Arc, PoisonError},
};

use bytes::Bytes;

use crate::sync::{Mutex, MutexGuard};

/// The names that a client has subscribed at an upstream: channels, patterns and shard channels.
///
/// The proxy changes them. The client has a handle to them, so that the server finds clients that may no longer listen.
#[derive(Clone, Debug, Default)]
pub(crate) struct UpstreamNames(Arc<Mutex<[HashSet<Bytes>; 3]>>);

impl UpstreamNames {
    /// Returns the numbers of channels, patterns and shard channels.
    pub(crate) fn counts(&self) -> [usize; 3] {
        self.lock().each_ref().map(HashSet::len)
    }

    /// Returns the names of a kind: 0 stands for channels, 1 for patterns, 2 for shard channels.
    pub(crate) fn of_kind(&self, kind: usize) -> Vec<Bytes> {
        self.lock()[kind].iter().cloned().collect()
    }

    /// Adds a name of a kind. Returns whether it is new.
    pub(crate) fn insert(&self, kind: usize, name: Bytes) -> bool {
        self.lock()[kind].insert(name)
    }

    /// Removes a name of a kind. Returns whether there was one.
    pub(crate) fn remove(&self, kind: usize, name: &[u8]) -> bool {
        self.lock()[kind].remove(name)
    }

    /// Returns whether `is_wanted` is true for the kind and the name of any of them.
    pub(crate) fn any(&self, is_wanted: impl Fn(usize, &[u8]) -> bool) -> bool {
        let names = self.lock();
        names.iter().enumerate().any(|(kind, names)| names.iter().any(|name| is_wanted(kind, name)))
    }

    /// Returns whether both are handles to the same names.
    pub(super) fn is_same(&self, other: &UpstreamNames) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn lock(&self) -> MutexGuard<'_, [HashSet<Bytes>; 3]> {
        // No code panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
