//! How bursts reach a handler actor: a shared queue, and one message for all that it holds.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use actix::{Actor, Context, Message, Recipient, SyncContext};

use super::{
    Burst,
    burst::MountId,
    group::{Group, Settled, abandon},
};
use crate::{Error, command::Commands};

/// The bursts that wait for one handler actor.
///
/// Whoever puts in the first one sends the actor a [`Drain`]; the actor then takes all of them. So
/// any number of connections that are ready in one turn of the event loop cost one message.
///
/// A pool of actors ([`Consumers::MANY`]) shares an inbox; there, each burst has a `Drain` of its own,
/// so that every member of the pool finds work.
#[derive(Debug)]
pub(crate) struct Inbox {
    mount: MountId,
    is_pool: bool,
    settles: bool,
    actor: Recipient<Drain>,
    queue: Mutex<Queue>,
    settled: Settled,
}

#[derive(Default)]
struct Queue {
    bursts: VecDeque<Box<Burst>>,
    /// A `Drain` is under way.
    scheduled: bool,
    /// There is a `Hold`.
    held: bool,
    /// An empty queue, for the next time that `bursts` is taken.
    spare: VecDeque<Box<Burst>>,
    /// Of an actor that settles.
    group: Option<Box<Group>>,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bursts", self.bursts.len())
    }
}

impl Inbox {
    pub(crate) fn new(mount: MountId, is_pool: bool, settles: bool, actor: Recipient<Drain>) -> Arc<Self> {
        Arc::new(Inbox {
            mount,
            is_pool,
            settles,
            actor,
            queue: Mutex::default(),
            settled: Settled::default(),
        })
    }

    /// Queues a burst; one that holds the inbox comes before all others, and does so no longer.
    pub(crate) fn push(self: &Arc<Self>, mut burst: Box<Burst>) {
        if let Some(hold) = burst.hold.take() {
            self.queue().bursts.push_front(burst);
            return drop(hold);
        }
        let scheduled = {
            let mut queue = self.queue();
            queue.bursts.push_back(burst);
            std::mem::replace(&mut queue.scheduled, true)
        };
        if !scheduled || self.is_pool {
            self.schedule();
        }
    }

    /// Has the actor have a look, though no burst may have come.
    pub(super) fn call(self: &Arc<Self>) {
        if !std::mem::replace(&mut self.queue().scheduled, true) {
            self.schedule();
        }
    }

    fn schedule(self: &Arc<Self>) {
        // To an actor that is gone, this drops the message, which answers the bursts.
        self.actor.do_send(Drain { inbox: Some(Arc::clone(self)) });
    }

    /// What one `Drain` is for.
    pub(crate) fn take(&self) -> VecDeque<Box<Burst>> {
        let mut queue = self.queue();
        if self.is_pool {
            return queue.bursts.pop_front().into_iter().collect();
        }
        queue.scheduled = false;
        if queue.held {
            return VecDeque::new();
        }
        let spare = std::mem::take(&mut queue.spare);
        std::mem::replace(&mut queue.bursts, spare)
    }

    /// Has the actor run nothing else for a while: not what it has taken, nor what comes.
    #[cold]
    pub(super) fn hold(self: &Arc<Self>, mut taken: VecDeque<Box<Burst>>) -> Hold {
        let mut queue = self.queue();
        taken.append(&mut queue.bursts);
        queue.bursts = taken;
        queue.held = true;
        Hold(Arc::clone(self))
    }

    fn release(self: &Arc<Self>) {
        let is_due = {
            let mut queue = self.queue();
            queue.held = false;
            let is_any = !queue.bursts.is_empty() || queue.group.as_ref().is_some_and(|group| group.is_any());
            is_any && !std::mem::replace(&mut queue.scheduled, true)
        };
        if is_due {
            self.schedule();
        }
    }

    pub(crate) fn give_back(&self, empty: VecDeque<Box<Burst>>) {
        self.queue().spare = empty;
    }

    pub(crate) fn mount(&self) -> MountId {
        self.mount
    }

    /// Looks at what has not been settled, and is told whether the inbox is held.
    pub(super) fn group<T>(&self, look: impl FnOnce(&mut Group, bool) -> T) -> T {
        let mut queue = self.queue();
        let is_held = queue.held;
        look(queue.group.get_or_insert_default(), is_held)
    }

    /// Whether its actor settles.
    pub(crate) fn settles(&self) -> bool {
        self.settles
    }

    /// The counters of an actor that settles.
    pub(crate) fn settled(&self) -> &Settled {
        &self.settled
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while it is held.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps an inbox from being drained, until it is dropped.
pub(crate) struct Hold(Arc<Inbox>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// The context of an actor, and whether its address is that of a pool of them.
///
/// It is sealed: these are the contexts of actix.
pub trait Consumers: sealed::Sealed {
    /// Several actors take messages from one address.
    const MANY: bool;
}

impl<A: Actor<Context = Context<A>>> Consumers for Context<A> {
    const MANY: bool = false;
}

impl<A: Actor<Context = SyncContext<A>>> Consumers for SyncContext<A> {
    const MANY: bool = true;
}

mod sealed {
    use super::{Actor, Context, SyncContext};

    pub trait Sealed {}

    impl<A: Actor<Context = Context<A>>> Sealed for Context<A> {}
    impl<A: Actor<Context = SyncContext<A>>> Sealed for SyncContext<A> {}
}

/// Tells a handler actor that bursts wait for it. `#[commands]` implements its handler.
#[derive(Debug)]
pub struct Drain {
    /// Until it is drained.
    inbox: Option<Arc<Inbox>>,
}

impl Drain {
    pub(crate) fn take_inbox(&mut self) -> Option<Arc<Inbox>> {
        self.inbox.take()
    }
}

impl Message for Drain {
    type Result = ();
}

/// Runs all bursts that wait for `actor`; what `#[commands]` puts into `Handler<Drain>`.
pub fn drain<A>(actor: &mut A, mut message: Drain, context: &mut <A as Actor>::Context)
where
    A: Actor + Commands<CommandContext = <A as Actor>::Context>,
{
    let Some(inbox) = message.take_inbox() else { return };
    let mut bursts = inbox.take();
    while let Some(burst) = bursts.pop_front() {
        let mut next = Some(burst);
        while let Some(mut burst) = next {
            if inbox.is_pool && burst.is_observed() {
                burst.tell_of_reads(inbox.mount);
            }
            burst.run(inbox.mount, actor, context);
            if burst.returns_to(inbox.mount) && !inbox.is_pool {
                burst.hold = Some(inbox.hold(bursts));
                // It does not wait.
                return drop(burst.leave());
            }
            next = burst.leave();
        }
    }
    inbox.give_back(bursts);
}

impl Drop for Drain {
    /// The actor has stopped: its clients get an error rather than no answer.
    fn drop(&mut self) {
        let Some(inbox) = self.take_inbox() else { return };
        if inbox.settles {
            abandon(&inbox);
        }
        for mut burst in inbox.take() {
            burst.refuse(inbox.mount, &STOPPED);
            // Nothing that is refused waits.
            drop(burst.leave());
        }
    }
}

pub(crate) const STOPPED: Error = Error::from_static("ERR the actor that answers this command has stopped");
