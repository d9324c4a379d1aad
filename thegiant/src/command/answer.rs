//! What a method returns: a reply, or a future of one.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context as TaskContext, Poll},
};

use actix::{Actor, AsyncContext, Context, ResponseActFuture, ResponseFuture, fut::ActorFuture};

use super::{Call, IntoReply, Receiver, ReplyBuffer};
use crate::{Error, Responder};

/// What a `#[command]` method of `A` returns: an [`IntoReply`], which is written at once, or a future of one.
///
/// | type | what it does |
/// | --- | --- |
/// | any [`IntoReply`] | is written as the reply |
/// | [`Elements`](crate::Elements) | is written as the client takes it |
/// | [`ResponseFuture<T>`](actix::ResponseFuture) | runs by itself, on the thread of the actor |
/// | [`ResponseActFuture<Self, T>`](actix::ResponseActFuture) | gets the actor whenever it is polled |
///
/// A future that a client has left is dropped, as is one whose time is over. An actor polls all
/// its `ResponseActFuture`s whenever it is woken, as actix does: for thousands that wait at once, a
/// [`Responder`] is the better choice.
///
/// ```
/// use std::time::Duration;
/// use actix::{ResponseActFuture, ResponseFuture, WrapFuture, fut::ActorFutureExt};
/// use thegiant::prelude::*;
///
/// #[derive(Default)]
/// struct Slow { asked: u64 }
///
/// impl Actor for Slow {
///     type Context = Context<Self>;
/// }
///
/// #[commands]
/// impl Slow {
///     /// Answers after a while.
///     #[command("ECHOLATER", blocking)]
///     fn echo_later(&self, milliseconds: u64, text: String) -> ResponseFuture<String> {
///         Box::pin(async move {
///             actix_rt::time::sleep(Duration::from_millis(milliseconds)).await;
///             text
///         })
///     }
///
///     /// Counts after a while.
///     #[command("COUNTLATER", write, blocking)]
///     fn count_later(&mut self, milliseconds: u64) -> ResponseActFuture<Self, u64> {
///         let sleep = actix_rt::time::sleep(Duration::from_millis(milliseconds));
///         Box::pin(sleep.into_actor(self).map(|(), this, _| {
///             this.asked += 1;
///             this.asked
///         }))
///     }
///
///     /// The same as `ECHOLATER`: a future that needs nothing of the actor can be written so.
///     #[command("SAYLATER", blocking)]
///     async fn say_later(milliseconds: u64, text: String) -> String {
///         actix_rt::time::sleep(Duration::from_millis(milliseconds)).await;
///         text
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be written as a reply",
    label = "not a type that a command can return",
    note = "a reply is `()` for OK, `Simple`, a string, `Bytes`, an integer, a float, `bool`, `Option`, `Vec`, `Array`, a \
            map, a set, a tuple, `Result<T, E>`, `Value` or `Raw`, or a `ResponseFuture` or `ResponseActFuture` of one; or `Elements`",
    note = "a type of your own implements `thegiant::IntoReply`"
)]
pub trait Answer<A: Receiver> {
    /// Writes the reply, or sees to it that it is written later.
    fn answer(self, call: &Call<'_>, context: &mut A::CommandContext, out: &mut ReplyBuffer);
}

#[diagnostic::do_not_recommend]
impl<A: Receiver, T: IntoReply> Answer<A> for T {
    #[inline(always)]
    fn answer(self, _: &Call<'_>, _: &mut A::CommandContext, out: &mut ReplyBuffer) {
        self.into_reply(out.encoder_mut());
    }
}

#[diagnostic::do_not_recommend]
impl<A, T> Answer<A> for ResponseFuture<T>
where
    A: Actor<Context = Context<A>>,
    T: IntoReply + 'static,
{
    fn answer(self, call: &Call<'_>, _: &mut Context<A>, out: &mut ReplyBuffer) {
        actix_rt::spawn(Later::new(self, call, out));
    }
}

#[diagnostic::do_not_recommend]
impl<A, T> Answer<A> for ResponseActFuture<A, T>
where
    A: Actor<Context = Context<A>>,
    T: IntoReply + 'static,
{
    fn answer(self, call: &Call<'_>, context: &mut Context<A>, out: &mut ReplyBuffer) {
        context.spawn(Later::new(self, call, out));
    }
}

/// A future whose value is the reply. It ends when nobody waits for that any more.
struct Later<F, T> {
    future: F,
    command: &'static str,
    responder: Option<Responder<T>>,
}

impl<F, T: IntoReply> Later<F, T> {
    fn new(future: F, call: &Call<'_>, out: &mut ReplyBuffer) -> Self {
        let command = call.spec.map_or("", |spec| spec.name);
        Later { future, command, responder: Some(Responder::new(call, out)) }
    }

    fn poll_with(
        &mut self,
        cx: &mut TaskContext<'_>,
        poll: impl FnOnce(&mut F, &mut TaskContext<'_>) -> Poll<T>,
    ) -> Poll<()> {
        if self.responder.as_ref().is_none_or(|responder| responder.poll_closed(cx).is_ready()) {
            return Poll::Ready(());
        }
        match catch_unwind(AssertUnwindSafe(|| poll(&mut self.future, cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(value)) => self.send(value),
            Err(_) => self.fail(),
        }
        Poll::Ready(())
    }

    fn send(&mut self, value: T) {
        if let Some(responder) = self.responder.take() {
            // If nobody waits any more, there is nobody to tell.
            let _ = responder.send(value);
        }
    }

    #[cold]
    fn fail(&mut self) {
        let Some(responder) = self.responder.take() else { return };
        let (client, command) = (responder.client(), self.command);
        tracing::error!(id = client.id(), client = %client.addr(), ?command, "a handler panicked");
        responder.fail(Error::INTERNAL);
    }
}

impl<T: IntoReply> Future for Later<ResponseFuture<T>, T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        self.poll_with(cx, |future, cx| future.as_mut().poll(cx))
    }
}

impl<A: Actor<Context = Context<A>>, T: IntoReply> ActorFuture<A> for Later<ResponseActFuture<A, T>, T> {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        actor: &mut A,
        context: &mut Context<A>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<()> {
        self.poll_with(cx, |future, cx| future.as_mut().poll(actor, context, cx))
    }
}
