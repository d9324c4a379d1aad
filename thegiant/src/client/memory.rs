//! The memory of all clients together.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Bytes of the buffers and other state of all clients.
#[derive(Debug, Default)]
pub(crate) struct ClientMemory {
    evictable: Sum,
    /// Memory of the clients with `CLIENT NO-EVICT on`.
    no_evict: Sum,
}

/// A sum that threads change without a lock.
///
/// One thread may count a push after another thread has already counted that the push was sent. Meanwhile the
/// sum may be negative.
#[derive(Debug, Default)]
struct Sum(AtomicUsize);

impl ClientMemory {
    /// Returns the memory of all clients.
    pub(crate) fn total(&self) -> usize {
        self.evictable.get() + self.no_evict.get()
    }

    /// Returns the memory of the clients that can be evicted.
    pub(crate) fn evictable(&self) -> usize {
        self.evictable.get()
    }

    /// Changes the memory of a client, of which `no_evict` says whether it has `CLIENT NO-EVICT on`.
    pub(crate) fn change(&self, no_evict: bool, before: usize, after: usize) {
        let sum = if no_evict { &self.no_evict } else { &self.evictable };
        sum.change(before, after);
    }

    /// Moves the memory of a client that has switched `CLIENT NO-EVICT` on or off.
    pub(crate) fn switch_no_evict(&self, on: bool, memory: usize) {
        self.change(!on, memory, 0);
        self.change(on, 0, memory);
    }
}

impl Sum {
    fn change(&self, before: usize, after: usize) {
        self.0.fetch_add(after.wrapping_sub(before), Relaxed);
    }

    fn get(&self) -> usize {
        usize::try_from(self.0.load(Relaxed).cast_signed()).unwrap_or(0)
    }
}
