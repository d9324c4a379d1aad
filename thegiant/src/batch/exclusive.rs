//! Exclusive access of a transaction to an actor.

use std::{fmt, sync::Arc};

/// The queue of an actor that waits while a transaction has exclusive access.
pub(crate) trait ExclusiveAccess: Send + Sync {
    /// Lets the actor run its queue again.
    fn release(self: Arc<Self>);
}

/// A guard that stops an actor from running its queue until the guard is dropped.
pub(crate) struct Exclusive(Option<Arc<dyn ExclusiveAccess>>);

impl Exclusive {
    pub(crate) fn new(queue: Arc<dyn ExclusiveAccess>) -> Self {
        Exclusive(Some(queue))
    }
}

impl Drop for Exclusive {
    fn drop(&mut self) {
        if let Some(queue) = self.0.take() {
            queue.release();
        }
    }
}

impl fmt::Debug for Exclusive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exclusive")
    }
}
