//! Exclusive access of a transaction to actors.

use std::{fmt, sync::Arc};

use super::ActorId;

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

/// The actors to which a transaction has exclusive access.
#[derive(Debug, Default)]
pub(crate) struct ExclusiveSet {
    access: Vec<(ActorId, Exclusive)>,
    /// The transaction is for several shards: it keeps its access until all its requests have run.
    pub(super) is_atomic: bool,
    /// The time at which all commands of the transaction run, if a command has looked at it.
    pub(crate) time: Option<i64>,
}

impl ExclusiveSet {
    pub(crate) fn add(&mut self, actor_id: ActorId, exclusive: Exclusive) {
        self.access.push((actor_id, exclusive));
    }

    /// Takes the access to an actor.
    #[inline]
    pub(crate) fn take(&mut self, actor_id: ActorId) -> Option<Exclusive> {
        let found = self.access.iter().position(|(known, _)| *known == actor_id)?;
        Some(self.access.swap_remove(found).1)
    }

    /// Moves all of another set to this one.
    pub(super) fn append(&mut self, other: &mut ExclusiveSet) {
        self.access.append(&mut other.access);
    }

    /// Gives the access to all actors up.
    pub(super) fn clear(&mut self) {
        self.access.clear();
        self.is_atomic = false;
        self.time = None;
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
