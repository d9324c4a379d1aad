//! Return types of command methods: a reply, or a future of one.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context as TaskContext, Poll},
};

use actix::{Actor, AsyncContext, Context, ResponseActFuture, ResponseFuture, fut::ActorFuture};

use super::{Receiver, Reply, ReplyBuffer, ReplySpec, Request};
use crate::{Error, Responder};

/// A return type of the `#[command]` methods of `A`: a reply, or a future of one.
///
/// | type | effect |
/// | --- | --- |
/// | any [`Reply`] | the server writes the reply at once |
/// | [`ArrayStream`](crate::ArrayStream) | the server streams the reply to the client |
/// | [`ResponseFuture<T>`](actix::ResponseFuture) | the future runs on the thread of the actor, without access to the actor |
/// | [`ResponseActFuture<Self, T>`](actix::ResponseActFuture) | the future has access to the actor whenever it is polled |
///
/// The future is dropped when its client disconnects or its timeout expires.
///
/// An actix actor polls all its `ResponseActFuture`s whenever one of them wakes up. For thousands of blocked
/// clients, use a [`Responder`] instead.
///
/// ```
/// use std::time::Duration;
/// use actix::{ResponseActFuture, ResponseFuture, WrapFuture, fut::ActorFutureExt};
/// use thegiant::prelude::*;
///
/// #[derive(Default)]
/// struct Slow { count: u64 }
///
/// impl Actor for Slow {
///     type Context = Context<Self>;
/// }
///
/// #[commands]
/// impl Slow {
///     /// Returns the text after a delay.
///     #[command("ECHOLATER", blocking)]
///     fn echo_later(&self, milliseconds: u64, text: String) -> ResponseFuture<String> {
///         Box::pin(async move {
///             actix_rt::time::sleep(Duration::from_millis(milliseconds)).await;
///             text
///         })
///     }
///
///     /// Adds one to the counter after a delay.
///     #[command("COUNTLATER", write, blocking)]
///     fn count_later(&mut self, milliseconds: u64) -> ResponseActFuture<Self, u64> {
///         let sleep = actix_rt::time::sleep(Duration::from_millis(milliseconds));
///         Box::pin(sleep.into_actor(self).map(|(), this, _| {
///             this.count += 1;
///             this.count
///         }))
///     }
///
///     /// Does the same as `ECHOLATER`. An `async fn` is shorter if the future does not need the actor.
///     #[command("SAYLATER", blocking)]
///     async fn say_later(milliseconds: u64, text: String) -> String {
///         actix_rt::time::sleep(Duration::from_millis(milliseconds)).await;
///         text
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be written as a reply",
    label = "a command cannot return this type",
    note = "return `()` for OK, `Simple`, a string, `Bytes`, a `Key` of those, an integer, a float, `bool`, `Option`, `Vec`, `Array`, a map, a \
            set, a tuple, `Result<T, E>` if `E` is an `Error` or a `ReplyError`, `Value`, `Raw` or `ArrayStream`",
    note = "or return a `ResponseFuture` or `ResponseActFuture` of one, unless the actor runs in a `SyncArbiter`",
    note = "or write `#[derive(Reply)]` above a type of yours",
    note = "instead of a `Duration`, return `Milliseconds` or `Seconds`; instead of a `SystemTime`, `UnixTime` or `UnixTimeMs`"
)]
pub trait Answer<A: Receiver> {
    /// Whether the reply may be streamed, as [`ArrayStream`](crate::ArrayStream) are.
    ///
    /// The requests of a pipeline for several [shards](crate::App::mount_shards) run at the same time if their replies
    /// are not streamed. Set it to `false` in an implementation that streams nothing.
    const MAY_STREAM: bool = true;

    /// The type of the reply; see [`Reply::REPLY`].
    const REPLY: ReplySpec = ReplySpec::Any;

    /// Writes the reply, or spawns the future that sends it later.
    fn answer(self, request: &Request<'_>, context: &mut A::CommandContext, out: &mut ReplyBuffer);
}

impl<A: Receiver, T: Reply> Answer<A> for T {
    const MAY_STREAM: bool = false;
    const REPLY: ReplySpec = T::REPLY;

    #[inline(always)]
    fn answer(self, _: &Request<'_>, _: &mut A::CommandContext, out: &mut ReplyBuffer) {
        self.write_to(out.encoder_mut());
    }
}

#[diagnostic::do_not_recommend]
impl<A, T> Answer<A> for ResponseFuture<T>
where
    A: Actor<Context = Context<A>>,
    T: Reply + 'static,
{
    const MAY_STREAM: bool = false;
    const REPLY: ReplySpec = T::REPLY;

    fn answer(self, request: &Request<'_>, _: &mut Context<A>, out: &mut ReplyBuffer) {
        actix_rt::spawn(Later::new(self, request, out));
    }
}

#[diagnostic::do_not_recommend]
impl<A, T> Answer<A> for ResponseActFuture<A, T>
where
    A: Actor<Context = Context<A>>,
    T: Reply + 'static,
{
    const MAY_STREAM: bool = false;
    const REPLY: ReplySpec = T::REPLY;

    fn answer(self, request: &Request<'_>, context: &mut Context<A>, out: &mut ReplyBuffer) {
        context.spawn(Later::new(self, request, out));
    }
}

/// A future whose value is the reply. It ends early when its client disconnects or stops waiting.
struct Later<F, T> {
    future: F,
    command: &'static str,
    responder: Option<Responder<T>>,
}

impl<F, T: Reply> Later<F, T> {
    fn new(future: F, request: &Request<'_>, out: &mut ReplyBuffer) -> Self {
        let command = request.spec.map_or("", |spec| spec.name);
        Later { future, command, responder: Some(Responder::new(request, out)) }
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
            // The error means that the client no longer waits. Then the reply is not needed.
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

impl<T: Reply> Future for Later<ResponseFuture<T>, T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        self.poll_with(cx, |future, cx| future.as_mut().poll(cx))
    }
}

impl<A: Actor<Context = Context<A>>, T: Reply> ActorFuture<A> for Later<ResponseActFuture<A, T>, T> {
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
