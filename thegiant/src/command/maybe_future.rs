//! Return types that may be a future, or an error instead of one.

use std::{fmt, future::Future};

use actix::{
    Actor, Context, ResponseActFuture, ResponseFuture,
    fut::{ActorFutureExt, wrap_future},
};

use super::{Answer, IntoError, Reply, ReplyBuffer, ReplySpec, Request};

/// A reply that is ready now, or a future of one.
///
/// A command that often has its reply at hand returns it without a task: a cache that asks a database only for what it
/// does not have.
///
/// ```
/// use std::{cell::RefCell, collections::HashMap, rc::Rc};
/// use thegiant::{MaybeFuture, prelude::*};
///
/// #[derive(Default)]
/// struct Squares { known: Rc<RefCell<HashMap<u32, u64>>> }
///
/// impl Actor for Squares {
///     type Context = Context<Self>;
/// }
///
/// #[commands]
/// impl Squares {
///     /// Returns the square of a number.
///     #[command("SQUARE", fast)]
///     fn square(&self, number: u32) -> MaybeFuture<u64> {
///         if let Some(square) = self.known.borrow().get(&number) {
///             return MaybeFuture::Now(*square);
///         }
///         let known = Rc::clone(&self.known);
///         MaybeFuture::later(async move {
///             // A slow computation, elsewhere.
///             let square = u64::from(number).pow(2);
///             known.borrow_mut().insert(number, square);
///             square
///         })
///     }
/// }
/// # #[cfg(feature = "test-util")]
/// # actix::System::new().block_on(async {
/// # let server = thegiant::test::TestServer::start(App::new().mount(Squares::default().start()));
/// # let mut client = server.connect();
/// # client.send("SQUARE 9\r\nSQUARE 9\r\n").await;
/// # client.expect(":81\r\n:81\r\n").await;
/// # });
/// ```
///
/// A method may also return a `Result` of it, or of a future, so that `?` ends it before there is a future.
///
/// Such a future has no access to its actor. A [`MaybeActFuture`] has.
pub enum MaybeFuture<T, F = ResponseFuture<T>> {
    /// The reply.
    Now(T),
    /// The future of the reply: a [`ResponseFuture`], or a [`ResponseActFuture`].
    Later(F),
}

/// A reply that is ready now, or a future of one that has access to its actor.
///
/// The actor runs other commands meanwhile, so look at its state again.
///
/// ```
/// use std::collections::HashMap;
/// use thegiant::{MaybeActFuture, MaybeFuture, prelude::*};
///
/// #[derive(Default)]
/// struct Squares { known: HashMap<u32, u64> }
///
/// impl Actor for Squares {
///     type Context = Context<Self>;
/// }
///
/// #[commands]
/// impl Squares {
///     /// Returns the square of a number.
///     #[command("SQUARE", fast)]
///     fn square(&self, number: u32) -> MaybeActFuture<Self, u64> {
///         match self.known.get(&number) {
///             Some(square) => MaybeFuture::Now(*square),
///             None => MaybeFuture::later_then(compute(number), move |square, this: &mut Self, _context| {
///                 *this.known.entry(number).or_insert(square)
///             }),
///         }
///     }
/// }
///
/// /// A slow computation, elsewhere.
/// async fn compute(number: u32) -> u64 {
///     u64::from(number).pow(2)
/// }
/// # #[cfg(feature = "test-util")]
/// # actix::System::new().block_on(async {
/// # let server = thegiant::test::TestServer::start(App::new().mount(Squares::default().start()));
/// # let mut client = server.connect();
/// # client.send("SQUARE 9\r\nSQUARE 9\r\n").await;
/// # client.expect(":81\r\n:81\r\n").await;
/// # });
/// ```
pub type MaybeActFuture<A, T> = MaybeFuture<T, ResponseActFuture<A, T>>;

impl<T> MaybeFuture<T> {
    /// Returns a reply that comes later.
    pub fn later(future: impl Future<Output = T> + 'static) -> Self {
        MaybeFuture::Later(Box::pin(future))
    }
}

impl<A: Actor, T: 'static> MaybeActFuture<A, T> {
    /// Returns a reply that comes later: `then` gets the output of the future, and the actor.
    pub fn later_then<O: 'static>(
        future: impl Future<Output = O> + 'static,
        then: impl FnOnce(O, &mut A, &mut A::Context) -> T + 'static,
    ) -> Self {
        MaybeFuture::Later(Box::pin(wrap_future(future).map(then)))
    }
}

impl<T: fmt::Debug, F> fmt::Debug for MaybeFuture<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MaybeFuture::Now(reply) => f.debug_tuple("Now").field(reply).finish(),
            MaybeFuture::Later(_) => f.write_str("Later"),
        }
    }
}

#[diagnostic::do_not_recommend]
impl<A, T, F> Answer<A> for MaybeFuture<T, F>
where
    A: Actor<Context = Context<A>>,
    T: Reply,
    F: Answer<A>,
{
    const MAY_STREAM: bool = false;
    const REPLY: ReplySpec = T::REPLY;

    fn answer(self, request: &Request<'_>, context: &mut Context<A>, out: &mut ReplyBuffer) {
        match self {
            MaybeFuture::Now(reply) => reply.write_to(out.encoder_mut()),
            MaybeFuture::Later(future) => future.answer(request, context, out),
        }
    }
}

/// Lets a method return an error instead of a future.
macro_rules! fallible {
    ($($future:ty),*) => {$(
        #[diagnostic::do_not_recommend]
        impl<A, T, E> Answer<A> for Result<$future, E>
        where
            A: Actor<Context = Context<A>>,
            T: Reply + 'static,
            E: IntoError,
        {
            const MAY_STREAM: bool = false;
            const REPLY: ReplySpec = T::REPLY;

            fn answer(self, request: &Request<'_>, context: &mut Context<A>, out: &mut ReplyBuffer) {
                match self {
                    Ok(future) => Answer::<A>::answer(future, request, context, out),
                    Err(error) => out.error(&error.into()),
                }
            }
        }
    )*};
}

fallible!(MaybeFuture<T>, MaybeActFuture<A, T>, ResponseFuture<T>, ResponseActFuture<A, T>);
