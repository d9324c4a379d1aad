//! Replies that come later.

use std::{
    fmt,
    future::{Future, poll_fn},
    marker::PhantomData,
    task::{Context, Poll},
    thread,
    time::Duration,
};

use super::Client;
use crate::{
    Error,
    command::{Call, IntoReply, ReplyBuffer},
    resp::Encoder,
};

/// The reply to a command, to be given later and from anywhere.
///
/// A `#[command]` method that has a parameter of this type returns nothing. It keeps the responder, gives it away or
/// answers at once; the client waits until then, and nobody else does.
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
///     /// Takes a ticket, as soon as there is one.
///     #[command("TAKE", write, blocking)]
///     fn take(&mut self, responder: Responder<u64>) {
///         match self.tickets.pop_front() {
///             Some(ticket) => drop(responder.send(ticket)),
///             None => self.waiting.push_back(responder),
///         }
///     }
///
///     /// Puts in a ticket.
///     #[command("PUT", write)]
///     fn put(&mut self, mut ticket: u64) {
///         while let Some(first) = self.waiting.pop_front() {
///             match first.send(ticket) {
///                 Ok(()) => return,
///                 // That client has gone: the next one gets it.
///                 Err(undelivered) => ticket = undelivered,
///             }
///         }
///         self.tickets.push_back(ticket);
///     }
/// }
/// ```
///
/// What ends the waiting otherwise:
///
/// - The client leaves. That is noticed at once, unless the client has sent more than 64 KiB of requests behind the one
///   that waits.
/// - The time is over: that of [`timeout`](Self::timeout), or of `#[command(…, timeout = …)]`, or of
///   [`Server::reply_timeout`](crate::Server::reply_timeout).
/// - An operator says `CLIENT UNBLOCK`, or stops the server: `-UNBLOCKED …`.
/// - The responder is dropped, which answers an error.
///
/// From then on the responder is [closed](Self::is_closed).
#[must_use = "a responder that is dropped answers an error"]
pub struct Responder<T> {
    client: Client,
    wait_id: u32,
    value: PhantomData<fn(T)>,
}

impl<T> Responder<T> {
    /// Has the reply to `call` come later.
    pub(crate) fn new(call: &Call<'_>, out: &mut ReplyBuffer) -> Self {
        out.defer();
        let client = call.client().clone();
        let wait_id = client.begin_wait(call.spec.and_then(|spec| spec.timeout));
        Responder { client, wait_id, value: PhantomData }
    }

    /// Who waits.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Whether nobody waits any more. What is sent then comes back.
    pub fn is_closed(&self) -> bool {
        !self.client.is_waiting(self.wait_id)
    }

    /// PendingPushes until nobody waits any more: for work that is of no use then.
    ///
    /// One of a responder's futures is woken: the one that was polled last.
    pub fn closed(&self) -> impl Future<Output = ()> {
        poll_fn(|cx| self.poll_closed(cx))
    }

    pub(crate) fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.client.poll_answered(self.wait_id, cx)
    }

    /// An error instead of a value. Nothing happens if nobody waits any more.
    pub fn fail(self, error: impl Into<Error>) {
        let error = error.into();
        self.answer(|out| out.error(&error));
    }

    /// `false` if nobody waits.
    fn answer(&self, write: impl FnOnce(&mut Encoder)) -> bool {
        self.client.answer(self.wait_id, self.client.reply(write))
    }
}

impl<T: IntoReply> Responder<T> {
    /// Answers.
    ///
    /// # Errors
    /// The value, if nobody waits for it any more. There is no error if the client leaves between this
    /// and the moment at which it has read the reply, which nobody can know.
    pub fn send(self, value: T) -> Result<(), T> {
        if self.is_closed() {
            return Err(value);
        }
        // If it ends at this very moment, on another thread, that is as if it had ended a moment later.
        self.answer(|out| value.into_reply(out));
        Ok(())
    }

    /// Has `reply` be the answer if there is none after this time. Then this responder is closed.
    ///
    /// It takes the place of any other limit that there is to the time. `CLIENT UNBLOCK` answers this, too,
    /// or null if there is none.
    pub fn timeout(self, after: Duration, reply: T) -> Self {
        let mut out = Encoder::new(self.client.protocol());
        reply.into_reply(&mut out);
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

/// What a `#[command]` method with a responder is given.
pub fn responder<T>(call: &Call<'_>, out: &mut ReplyBuffer) -> Responder<T> {
    Responder::new(call, out)
}

const DROPPED: Error = Error::from_static("ERR the command was given up unanswered");

impl<T> fmt::Debug for Responder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responder").field("client", &self.client).finish_non_exhaustive()
    }
}
