//! Replies that are sent later.

use std::{
    fmt,
    future::{Future, poll_fn},
    marker::PhantomData,
    task::{Context, Poll},
    thread,
    time::Duration,
};

use crate::{
    Client, Error,
    batch::{ReplyBuffer, WaitId},
    command::{Reply, Request},
    resp::Encoder,
};

/// A handle that sends the reply to a command later, from any thread.
///
/// A `#[command]` method with a parameter of this type returns nothing. It keeps the responder, passes it on,
/// or replies at once. The client is blocked until the reply arrives; other clients are not affected.
///
/// ```
/// use std::collections::VecDeque;
/// use thegiant::{Responder, prelude::*};
///
/// #[derive(Default)]
/// struct Counter {
///     tickets: VecDeque<u64>,
///     waiting: VecDeque<Responder<u64>>,
/// }
///
/// impl Actor for Counter {
///     type Context = Context<Self>;
/// }
///
/// #[commands]
/// impl Counter {
///     /// Takes a ticket, and waits until there is one.
///     #[command("TAKE", write, blocking)]
///     fn take(&mut self, responder: Responder<u64>) {
///         match self.tickets.pop_front() {
///             Some(ticket) => drop(responder.send(ticket)),
///             None => self.waiting.push_back(responder),
///         }
///     }
///
///     /// Adds a ticket.
///     #[command("PUT", write)]
///     fn put(&mut self, mut ticket: u64) {
///         while let Some(first) = self.waiting.pop_front() {
///             match first.send(ticket) {
///                 Ok(()) => return,
///                 // That client has disconnected: the next one gets the ticket.
///                 Err(undelivered) => ticket = undelivered,
///             }
///         }
///         self.tickets.push_back(ticket);
///     }
/// }
/// ```
///
/// The wait also ends when:
///
/// - The client disconnects. The server notices this at once.
/// - A timeout expires: [`timeout`](Self::timeout), `#[command(…, timeout = …)]`, or
///   [`Timeouts::reply`](crate::Timeouts::reply).
/// - An operator sends `CLIENT UNBLOCK` or stops the server. The client gets `-UNBLOCKED …`.
/// - The responder is dropped. The client gets an error.
///
/// After that, the responder is [closed](Self::is_closed).
#[must_use = "a dropped responder replies with an error"]
pub struct Responder<T> {
    client: Client,
    wait_id: WaitId,
    value: PhantomData<fn(T)>,
}

impl<T> Responder<T> {
    /// Defers the reply to `request`.
    pub(crate) fn new(request: &Request<'_>, out: &mut ReplyBuffer) -> Self {
        let client = request.client().clone();
        let wait_id = client.begin_wait(request.spec.and_then(|spec| spec.timeout), out.is_separate());
        out.defer(wait_id);
        Responder { client, wait_id, value: PhantomData }
    }

    /// Returns the client that waits for the reply.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Returns whether the client no longer waits for the reply.
    ///
    /// [`send`](Self::send) then returns its value.
    pub fn is_closed(&self) -> bool {
        !self.client.is_waiting(self.wait_id)
    }

    /// Returns a future that is ready when the client no longer waits, to stop work that has become useless.
    ///
    /// Only the last polled future of a responder is woken.
    pub fn closed(&self) -> impl Future<Output = ()> {
        poll_fn(|cx| self.poll_closed(cx))
    }

    pub(crate) fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.client.poll_answered(self.wait_id, cx)
    }

    /// Replies with an error. It does nothing if the client no longer waits.
    pub fn fail(self, error: impl Into<Error>) {
        let error = error.into();
        self.answer(|out| out.error(&error));
    }

    /// Sends a reply. Returns `false` if the client does not wait.
    fn answer(&self, write: impl FnOnce(&mut Encoder)) -> bool {
        let prefix = self.client.key_prefix();
        let reply = self.client.reply(|out| {
            out.set_key_prefix(&prefix);
            write(out);
        });
        self.client.answer(self.wait_id, reply)
    }
}

impl<T: Reply> Responder<T> {
    /// Sends the reply.
    ///
    /// # Errors
    /// Returns the value if the client no longer waits. `Ok` does not mean that the client has received the
    /// reply: it may disconnect before it has read it.
    pub fn send(self, value: T) -> Result<(), T> {
        if self.is_closed() {
            return Err(value);
        }
        // If the wait ends on another thread now, the effect is as if it had ended after the reply.
        self.answer(|out| value.write_to(out));
        Ok(())
    }

    /// Sets a timeout.
    ///
    /// If there is no other reply by then, the client gets `reply`, and the responder is closed.
    ///
    /// It replaces every other timeout of the command. `CLIENT UNBLOCK … TIMEOUT` also sends `reply`; without
    /// a timeout here, it sends null.
    pub fn timeout(self, after: Duration, reply: T) -> Self {
        let mut out = self.client.encoder();
        reply.write_to(&mut out);
        self.client.set_timeout(self.wait_id, after, out.into_vec().into());
        self
    }
}

impl<T> Drop for Responder<T> {
    fn drop(&mut self) {
        if !self.is_closed() {
            let error = if thread::panicking() { &Error::INTERNAL } else { &DROPPED };
            self.answer(|out| out.error(error));
        }
    }
}

/// Creates the responder for a `#[command]` method. Generated code calls this.
pub fn responder<T>(request: &Request<'_>, out: &mut ReplyBuffer) -> Responder<T> {
    Responder::new(request, out)
}

const DROPPED: Error = Error::from_static("ERR the command was dropped without a reply");

impl<T> fmt::Debug for Responder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responder").field("client", &self.client).finish_non_exhaustive()
    }
}
