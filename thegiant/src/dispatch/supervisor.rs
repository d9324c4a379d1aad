//! Starts an actor again when it has ended.

use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    rc::Rc,
    sync::Weak,
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use actix::{
    Actor, AsyncContext, Context,
    dev::{EnvelopeProxy, channel::AddressReceiver},
    fut::ActorFuture,
};
use actix_rt::time::{Instant, sleep};
use futures_core::Stream;

use super::BatchQueue;
use crate::resp::Backoff;

/// An actor that has run for this long was started successfully, so the next delay is the shortest again.
const STABLE_AFTER: Duration = Duration::from_secs(10);

/// Runs the actors that `factory` returns, one after the other, until the server is dropped.
///
/// The actors share one mailbox, which outlives each of them. So do their address and their batch queue.
pub(crate) async fn supervise<A>(
    mut factory: impl FnMut() -> A,
    mailbox: AddressReceiver<A>,
    queue: Weak<BatchQueue>,
) where
    A: Actor<Context = Context<A>>,
{
    let mailbox = Rc::new(RefCell::new(mailbox));
    let mut backoff = Backoff::default();
    loop {
        let started = Instant::now();
        let end = match catch_unwind(AssertUnwindSafe(&mut factory)) {
            Ok(actor) => run(actor, Intake(Rc::clone(&mailbox))).await,
            Err(_) => "its factory panicked",
        };
        let Some(ended) = queue.upgrade() else { return };
        if started.elapsed() >= STABLE_AFTER {
            backoff.reset();
        }
        let wait = backoff.next_delay();
        tracing::error!(
            actor = ended.actor_type(),
            wait_ms = wait.as_millis(),
            "a supervised actor has ended and is started again: {end}"
        );
        ended.on_end();
        // The queue must not outlive its server.
        drop(ended);
        sleep(wait).await;
        let Some(queue) = queue.upgrade() else { return };
        queue.on_restart();
    }
}

/// Runs an actor. Returns how it ended.
async fn run<A: Actor<Context = Context<A>>>(actor: A, intake: Intake<A>) -> &'static str {
    let mut context = Context::new();
    context.spawn(intake);
    match actix_rt::spawn(context.into_future(actor)).await {
        Ok(()) => "it stopped",
        Err(_) => "it panicked",
    }
}

/// Handles the messages of the shared mailbox in the current actor.
struct Intake<A: Actor>(Rc<RefCell<AddressReceiver<A>>>);

impl<A: Actor<Context = Context<A>>> ActorFuture<A> for Intake<A> {
    type Output = ();

    /// Returns `Ready` when no sender of messages is left. The actor then ends, as any other.
    fn poll(
        self: Pin<&mut Self>,
        actor: &mut A,
        context: &mut Context<A>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<()> {
        while !context.waiting() {
            let next = Pin::new(&mut *self.0.borrow_mut()).poll_next(cx);
            match next {
                Poll::Ready(Some(mut message)) => message.handle(actor, context),
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending if self.0.borrow().connected() => return Poll::Pending,
                Poll::Pending => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }
}
