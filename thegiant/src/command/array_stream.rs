//! Arrays that are streamed to the client.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;

use super::{Answer, IntoError, Receiver, Reply, ReplyBuffer, ReplySpec, Request};
use crate::{
    Error,
    batch::{Streamed, StreamingReply},
    resp::Encoder,
};

/// An array that the connection streams to the client, from an iterator or a stream.
///
/// The connection writes about 64 KiB at a time, as fast as the client reads. The array is never in memory as
/// a whole. The server answers other clients in between, so a slow reader blocks neither them nor the actor.
///
/// ```
/// use thegiant::{ArrayStream, prelude::*};
///
/// struct Numbers;
///
/// impl Actor for Numbers { type Context = Context<Self>; }
///
/// #[commands]
/// impl Numbers {
///     /// Returns the squares of the numbers below `up_to`.
///     #[command("SQUARES", readonly)]
///     fn squares(&self, up_to: u32) -> ArrayStream {
///         ArrayStream::new((0..up_to).map(|number| u64::from(number).pow(2)))
///     }
/// }
/// ```
///
/// A method returns `ArrayStream`, or a `Result` or an `Option` of it. It cannot be an element of another reply;
/// use an [`Array`](crate::Array) there.
///
/// If the iterator or stream panics or yields too few elements, the server closes the connection, because it
/// has already sent a part of the reply. The server does not read surplus elements.
///
/// In a transaction, the server writes the whole array at once. There, a stream that is not ready is an
/// error.
pub struct ArrayStream {
    /// The number of elements; `None` if the stream determines it.
    len: Option<usize>,
    reply: Box<dyn StreamingReply>,
}

impl ArrayStream {
    /// Returns an array of the iterator's elements.
    ///
    /// The iterator runs on the thread of the connection, so it should be fast.
    pub fn new<I>(elements: I) -> Self
    where
        I: IntoIterator<Item: Reply, IntoIter: ExactSizeIterator + Send + 'static>,
    {
        let mut elements = elements.into_iter();
        Self::known(elements.len(), move |_: &mut Context<'_>| Poll::Ready(elements.next()))
    }

    /// Returns an array of `len` elements from a stream, such as the receiver of a channel.
    ///
    /// While the stream is not ready, the connection sends the elements that it already has. With a bounded
    /// channel, the client's reading speed limits the producer:
    ///
    /// ```
    /// use thegiant::{ArrayStream, prelude::*};
    /// use tokio::sync::mpsc;
    /// use tokio_stream::wrappers::ReceiverStream;
    ///
    /// fn stream(lines: Vec<String>) -> ArrayStream {
    ///     let (sender, receiver) = mpsc::channel(100);
    ///     let count = lines.len();
    ///     std::thread::spawn(move || {
    ///         // `blocking_send` fails when the client disconnects.
    ///         lines.into_iter().try_for_each(|line| sender.blocking_send(line))
    ///     });
    ///     ArrayStream::from_stream(count, ReceiverStream::new(receiver))
    /// }
    /// ```
    pub fn from_stream<S>(len: usize, elements: S) -> Self
    where
        S: Stream<Item: Reply> + Send + 'static,
    {
        let mut elements = Box::pin(elements);
        Self::known(len, move |cx: &mut Context<'_>| elements.as_mut().poll_next(cx))
    }

    /// Returns an array of all elements of a stream of unknown length.
    ///
    /// An array begins with its length, so the connection collects the encoded elements first, up to
    /// `max_bytes`. If they exceed `max_bytes`, the reply is an error. If an element is an error, that error
    /// is the reply. In both cases the stream is dropped.
    pub fn collect<S>(max_bytes: usize, elements: S) -> Self
    where
        S: Stream<Item: Reply> + Send + 'static,
    {
        let reply = CollectedStream {
            elements: Box::pin(elements),
            count: 0,
            max_bytes,
            written: Encoder::default(),
        };
        ArrayStream { len: None, reply: Box::new(reply) }
    }

    fn known<T: Reply, F>(len: usize, next: F) -> Self
    where
        F: FnMut(&mut Context<'_>) -> Poll<Option<T>> + Send + 'static,
    {
        ArrayStream { len: Some(len), reply: Box::new(KnownLen { next, left: len }) }
    }

    fn write(self, out: &mut ReplyBuffer) {
        if let Some(len) = self.len {
            out.encoder_mut().array(len);
        }
        out.set_streaming(self.reply);
    }
}

#[diagnostic::do_not_recommend]
impl<A: Receiver> Answer<A> for ArrayStream {
    const REPLY: ReplySpec = ReplySpec::Array(&ReplySpec::Any);

    fn answer(self, _: &Request<'_>, _: &mut A::CommandContext, out: &mut ReplyBuffer) {
        self.write(out);
    }
}

#[diagnostic::do_not_recommend]
impl<A: Receiver> Answer<A> for Option<ArrayStream> {
    const REPLY: ReplySpec = ReplySpec::Nullable(&ReplySpec::Array(&ReplySpec::Any));

    fn answer(self, _: &Request<'_>, _: &mut A::CommandContext, out: &mut ReplyBuffer) {
        match self {
            Some(elements) => elements.write(out),
            None => out.encoder_mut().null_array(),
        }
    }
}

#[diagnostic::do_not_recommend]
impl<A: Receiver, E: IntoError> Answer<A> for Result<ArrayStream, E> {
    const REPLY: ReplySpec = ReplySpec::Array(&ReplySpec::Any);

    fn answer(self, _: &Request<'_>, _: &mut A::CommandContext, out: &mut ReplyBuffer) {
        match self {
            Ok(elements) => elements.write(out),
            Err(error) => out.error(&error.into()),
        }
    }
}

impl fmt::Debug for ArrayStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArrayStream").field("len", &self.len).finish_non_exhaustive()
    }
}

/// Streams as many elements as the array header announced.
struct KnownLen<F> {
    next: F,
    left: usize,
}

impl<T: Reply, F> StreamingReply for KnownLen<F>
where
    F: FnMut(&mut Context<'_>) -> Poll<Option<T>> + Send,
{
    fn poll_write(&mut self, out: &mut Encoder, max_len: usize, cx: &mut Context<'_>) -> Poll<Streamed> {
        while self.left > 0 {
            if out.len() >= max_len {
                return Poll::Ready(Streamed::More);
            }
            let Some(element) = ready!((self.next)(cx)) else {
                tracing::error!(
                    missing = self.left,
                    "an iterator or stream yielded fewer elements than announced: closing the connection"
                );
                return Poll::Ready(Streamed::Broken);
            };
            element.write_to(out);
            self.left -= 1;
        }
        Poll::Ready(Streamed::Done)
    }
}

/// Collects the elements of a stream, then writes them as one array.
struct CollectedStream<S> {
    elements: Pin<Box<S>>,
    count: usize,
    max_bytes: usize,
    written: Encoder,
}

impl<S> StreamingReply for CollectedStream<S>
where
    S: Stream<Item: Reply> + Send,
{
    fn poll_write(&mut self, out: &mut Encoder, max_len: usize, cx: &mut Context<'_>) -> Poll<Streamed> {
        self.written.set_protocol(out.protocol());
        self.written.set_key_prefix(out.key_prefix());
        let pause = self.written.len().saturating_add(max_len);
        while self.written.len() < pause {
            let Some(element) = ready!(self.elements.as_mut().poll_next(cx)) else {
                out.array(self.count);
                out.append(&mut self.written);
                return Poll::Ready(Streamed::Done);
            };
            let position = self.written.position();
            element.write_to(&mut self.written);
            if let Some(line) = self.written.error_at(position) {
                return fail(Error::from_bytes(line.to_vec()), out);
            }
            if self.written.len() > self.max_bytes {
                return fail(Error::err(format_args!("the reply exceeds {} bytes", self.max_bytes)), out);
            }
            self.count += 1;
        }
        Poll::Ready(Streamed::More)
    }
}

fn fail(error: Error, out: &mut Encoder) -> Poll<Streamed> {
    out.error(&error);
    Poll::Ready(Streamed::Failed)
}
