//! The handle to a connection, and its calls.

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
};

use thegiant_resp::{FromReply, RequestBuilder, ToArgs, Value};
use tokio::sync::{
    mpsc::{self, OwnedPermit, error::SendError, error::TrySendError},
    oneshot,
};

use crate::{CallError, ConnectionBuilder};

/// A connection that any number of tasks and threads share.
///
/// Clones are handles to the same connection. Calls that are made at the same time share the system calls that send and
/// receive them. If the connection is lost, it is opened again, with a growing delay of up to 5 seconds between attempts that
/// fail. It closes when the last handle is dropped and all calls have their replies.
///
/// ```no_run
/// use thegiant_client::{CallError, Connection};
///
/// # async fn run() -> Result<(), CallError> {
/// let connection = Connection::connect("127.0.0.1:6380").await?;
/// connection.call::<()>(("SET", "visits", 7)).await?;
/// let visits: i64 = connection.call(("GET", "visits")).await?;
/// # Ok(())
/// # }
/// ```
///
/// The connection belongs to all its users. So it is not for commands that change the state of a connection: `MULTI`,
/// `SUBSCRIBE`, `SELECT`, `CLIENT REPLY`. Pushes are dropped.
#[derive(Clone)]
pub struct Connection {
    queue: mpsc::Sender<QueuedCall>,
}

/// A call on its way to the connection.
pub(crate) struct QueuedCall {
    pub(crate) request: RequestBuilder,
    pub(crate) reply: oneshot::Sender<Result<Value, CallError>>,
}

impl Connection {
    pub(crate) fn new(queue: mpsc::Sender<QueuedCall>) -> Self {
        Connection { queue }
    }

    /// Returns the options of a connection to an address: `127.0.0.1:6380`, `host:6380`, or `unix:/path/to/socket`.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use thegiant_client::{CallError, Connection};
    ///
    /// # async fn run() -> Result<(), CallError> {
    /// let builder = Connection::builder("127.0.0.1:6380").password("secret").db(2);
    /// let connection = builder.reply_timeout(Duration::from_secs(2)).connect().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(address: impl Into<String>) -> ConnectionBuilder {
        ConnectionBuilder::new(address.into())
    }

    /// Connects with the default options.
    ///
    /// # Errors
    /// As [`ConnectionBuilder::connect`].
    ///
    /// # Panics
    /// Panics outside of a tokio runtime with I/O and time.
    pub async fn connect(address: impl Into<String>) -> Result<Self, CallError> {
        Connection::builder(address).connect().await
    }

    /// Calls a command whose words are these values.
    ///
    /// A name of two words is two values: `("CONFIG", "GET", "timeout")`.
    pub fn call<T: FromReply>(&self, words: impl ToArgs) -> Call<T> {
        let mut request = RequestBuilder::default();
        request.arg(&words);
        self.send(request)
    }

    /// Calls a command with this request.
    pub fn send<T: FromReply>(&self, request: RequestBuilder) -> Call<T> {
        Call { state: State::Unsent(self.queue.clone(), request), reply: PhantomData }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("is_closed", &self.queue.is_closed()).finish()
    }
}

/// A call: a future of its reply.
///
/// The request is sent when the call is first polled, and calls are sent in the order of their first polls. So calls that
/// are awaited together are a pipeline:
///
/// ```no_run
/// # use thegiant_client::{Call, CallError, Connection};
/// # async fn run(connection: Connection) -> Result<(), CallError> {
/// let set: Call<()> = connection.call(("SET", "a", 1));
/// let get: Call<i64> = connection.call(("GET", "a"));
/// let ((), one) = tokio::try_join!(set, get)?;
/// # Ok(())
/// # }
/// ```
///
/// A call that is dropped before it is polled is not sent. A call that is dropped later may be sent all the same, and its
/// reply is discarded.
#[must_use = "a call is sent when it is awaited"]
pub struct Call<T> {
    state: State,
    reply: PhantomData<fn() -> T>,
}

type Reserved = Result<OwnedPermit<QueuedCall>, SendError<()>>;

enum State {
    Unsent(mpsc::Sender<QueuedCall>, RequestBuilder),
    /// The queue is full.
    Reserving(Pin<Box<dyn Future<Output = Reserved> + Send>>, RequestBuilder),
    Sent(oneshot::Receiver<Result<Value, CallError>>),
    Done,
}

impl<T: FromReply> Future for Call<T> {
    type Output = Result<T, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let reply = ready!(self.state.poll(cx));
        self.state = State::Done;
        Poll::Ready(match reply? {
            Value::Error(error) => Err(CallError::Reply(error)),
            value => Ok(T::from_reply(value)?),
        })
    }
}

impl State {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Value, CallError>> {
        loop {
            match std::mem::replace(self, State::Done) {
                State::Unsent(_, request) if request.error().is_some() => {
                    let reason = request.error().unwrap_or_default();
                    return not_sent(&format!("an argument cannot be written: {reason}"));
                }
                // The server sends no reply to an empty request.
                State::Unsent(_, request) if request.is_empty() => {
                    return not_sent("the request has no words");
                }
                State::Unsent(queue, request) => match queue.clone().try_reserve_owned() {
                    Ok(permit) => self.queue(permit, request),
                    Err(TrySendError::Full(_)) => {
                        *self = State::Reserving(Box::pin(queue.reserve_owned()), request);
                    }
                    Err(TrySendError::Closed(_)) => return not_sent(STOPPED),
                },
                State::Reserving(mut permit, request) => match permit.as_mut().poll(cx) {
                    Poll::Ready(Ok(permit)) => self.queue(permit, request),
                    Poll::Ready(Err(_)) => return not_sent(STOPPED),
                    Poll::Pending => {
                        *self = State::Reserving(permit, request);
                        return Poll::Pending;
                    }
                },
                State::Sent(mut reply) => match Pin::new(&mut reply).poll(cx) {
                    Poll::Ready(reply) => {
                        return Poll::Ready(
                            reply.unwrap_or_else(|_| Err(CallError::Lost(STOPPED.to_owned()))),
                        );
                    }
                    Poll::Pending => {
                        *self = State::Sent(reply);
                        return Poll::Pending;
                    }
                },
                State::Done => return not_sent("the call has its reply already"),
            }
        }
    }

    fn queue(&mut self, permit: OwnedPermit<QueuedCall>, request: RequestBuilder) {
        let (sender, receiver) = oneshot::channel();
        permit.send(QueuedCall { request, reply: sender });
        *self = State::Sent(receiver);
    }
}

/// The runtime has dropped the task of the connection.
const STOPPED: &str = "the runtime of the connection has stopped";

fn not_sent(reason: &str) -> Poll<Result<Value, CallError>> {
    Poll::Ready(Err(CallError::NotSent(reason.to_owned())))
}

impl<T> fmt::Debug for Call<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_sent = !matches!(self.state, State::Unsent(..) | State::Reserving(..));
        f.debug_struct("Call").field("is_sent", &is_sent).finish_non_exhaustive()
    }
}
