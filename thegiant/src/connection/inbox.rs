//! How bursts reach a handler actor: a shared queue, and one message for all that it holds.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix::{Actor, Message, Recipient};

use super::{
    Burst,
    burst::{Bursts, MountId},
};
use crate::{Error, command::Commands};

/// The bursts that wait for one handler actor.
///
/// Whoever puts in the first one sends the actor a [`Drain`]; the actor then takes all of them. So
/// any number of connections that are ready in one turn of the event loop cost one message.
#[derive(Debug)]
pub(crate) struct Inbox {
    mount: MountId,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    bursts: Bursts,
    /// A `Drain` is under way.
    scheduled: bool,
    /// An empty vector, for the next time that `bursts` is taken.
    spare: Bursts,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bursts", self.bursts.len())
    }
}

impl Inbox {
    pub(crate) fn new(mount: MountId) -> Arc<Self> {
        Arc::new(Inbox { mount, queue: Mutex::default() })
    }

    /// Queues a burst for `actor`.
    pub(crate) fn push(self: &Arc<Self>, burst: Box<Burst>, actor: &Recipient<Drain>) {
        let scheduled = {
            let mut queue = self.queue();
            queue.bursts.push(burst);
            std::mem::replace(&mut queue.scheduled, true)
        };
        if !scheduled {
            // To an actor that is gone, this drops the message, which answers the bursts.
            actor.do_send(Drain { inbox: Some(Arc::clone(self)) });
        }
    }

    fn take(&self) -> Bursts {
        let mut queue = self.queue();
        queue.scheduled = false;
        let spare = std::mem::take(&mut queue.spare);
        std::mem::replace(&mut queue.bursts, spare)
    }

    fn give_back(&self, empty: Bursts) {
        self.queue().spare = empty;
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while it is held.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells a handler actor that bursts wait for it. `#[commands]` implements its handler.
#[derive(Debug)]
pub struct Drain {
    /// Until it is drained.
    inbox: Option<Arc<Inbox>>,
}

impl Message for Drain {
    type Result = ();
}

/// Runs all bursts that wait for `actor`; what `#[commands]` puts into `Handler<Drain>`.
pub fn drain<A>(actor: &mut A, mut message: Drain, context: &mut <A as Actor>::Context)
where
    A: Actor + Commands<CommandContext = <A as Actor>::Context>,
{
    let Some(inbox) = message.inbox.take() else { return };
    let mut bursts = inbox.take();
    for mut burst in bursts.drain(..) {
        burst.run(inbox.mount, actor, context);
        burst.hand_back();
    }
    inbox.give_back(bursts);
}

impl Drop for Drain {
    /// The actor has stopped: its clients get an error rather than no answer.
    fn drop(&mut self) {
        let Some(inbox) = self.inbox.take() else { return };
        for mut burst in inbox.take() {
            burst.refuse(inbox.mount, &STOPPED);
            burst.hand_back();
        }
    }
}

const STOPPED: Error = Error::from_static("ERR the actor that answers this command has stopped");
