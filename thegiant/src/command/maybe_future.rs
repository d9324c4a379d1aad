//! Return types that may be a future, or an error instead of one.

use std::{fmt, future::Future};

use actix::{Actor, Context, ResponseActFuture, ResponseFuture};

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
pub enum MaybeFuture<T> {
    /// The reply.
    Now(T),
    /// The future of the reply. See [`ResponseFuture`].
    Later(ResponseFuture<T>),
}

impl<T> MaybeFuture<T> {
    /// Returns a reply that comes later.
    pub fn later(future: impl Future<Output = T> + 'static) -> Self {
        MaybeFuture::Later(Box::pin(future))
    }
}

impl<T: fmt::Debug> fmt::Debug for MaybeFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MaybeFuture::Now(reply) => f.debug_tuple("Now").field(reply).finish(),
            MaybeFuture::Later(_) => f.write_str("Later"),
        }
    }
}

#[diagnostic::do_not_recommend]
impl<A, T> Answer<A> for MaybeFuture<T>
where
    A: Actor<Context = Context<A>>,
    T: Reply + 'static,
{
    const MAY_STREAM: bool = false;
    const REPLY: ReplySpec = T::REPLY;

    fn answer(self, request: &Request<'_>, context: &mut Context<A>, out: &mut ReplyBuffer) {
        match self {
            MaybeFuture::Now(reply) => reply.write_to(out.encoder_mut()),
            MaybeFuture::Later(future) => Answer::<A>::answer(future, request, context, out),
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

fallible!(MaybeFuture<T>, ResponseFuture<T>, ResponseActFuture<A, T>);
