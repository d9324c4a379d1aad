//! Arrays that are written as their client takes them.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;

use super::{Answer, Call, IntoReply, Receiver, ReplyBuffer, Streamed, StreamingReply};
use crate::{Error, resp::Encoder};

/// An array that is written as its client takes it, and is never in memory as a whole: of an iterator or a stream.
///
/// It is made where a method returns it, and written by the connection, some 64 KiB at a time: what others ask for is
/// answered in between, and a client that does not read holds up nobody and costs no more than that.
///
/// ```
/// use thegiant::{Elements, prelude::*};
///
/// struct Numbers;
///
/// impl Actor for Numbers { type Context = Context<Self>; }
///
/// #[commands]
/// impl Numbers {
///     /// Counts.
///     #[command("SQUARES", readonly)]
///     fn squares(&self, up_to: u32) -> Elements {
///         Elements::of((0..up_to).map(|number| u64::from(number).pow(2)))
///     }
/// }
/// ```
///
/// A method returns it, or a `Result` or an `Option` of it. It is not part of another reply: an [`Array`](super::Array) is
/// written at once, and may be.
///
/// What is written has left when something goes wrong behind it. So if an iterator or stream panics, or ends before it
/// has given as many elements as it has promised, the connection is closed. What it has beyond that is not asked for.
///
/// In a transaction, replies are written at once: of a stream that has to be waited for, that is an error then.
pub struct Elements {
    /// If it is known.
    len: Option<usize>,
    tail: Box<dyn StreamingReply>,
}

impl Elements {
    /// As many elements as this iterator says it has, written as the client takes them.
    ///
    /// It is asked for the next ones in the thread of the connection, so it should be quick to tell.
    pub fn of<I>(elements: I) -> Self
    where
        I: IntoIterator<Item: IntoReply, IntoIter: ExactSizeIterator + Send + 'static>,
    {
        let mut elements = elements.into_iter();
        Self::known(elements.len(), move |_: &mut Context<'_>| Poll::Ready(elements.next()))
    }

    /// So many elements of a stream, such as the receiver of a channel. While there is none, what has been
    /// written is sent.
    ///
    /// Who brings the elements can be anywhere. With a channel that holds a few, it is held back by the client:
    ///
    /// ```
    /// use thegiant::{Elements, prelude::*};
    /// use tokio::sync::mpsc;
    /// use tokio_stream::wrappers::ReceiverStream;
    ///
    /// fn lines(of: Vec<String>) -> Elements {
    ///     let (sender, receiver) = mpsc::channel(100);
    ///     let count = of.len();
    ///     std::thread::spawn(move || {
    ///         // It ends early if the client leaves.
    ///         of.into_iter().try_for_each(|line| sender.blocking_send(line))
    ///     });
    ///     Elements::from_stream(count, ReceiverStream::new(receiver))
    /// }
    /// ```
    pub fn from_stream<S>(len: usize, elements: S) -> Self
    where
        S: Stream<Item: IntoReply> + Send + 'static,
    {
        let mut elements = Box::pin(elements);
        Self::known(len, move |cx: &mut Context<'_>| elements.as_mut().poll_next(cx))
    }

    /// All elements of a stream, however many they are. Since an array begins with its length, they are collected first,
    /// as they are written, up to so many bytes.
    ///
    /// If they are more, that is an error, and the stream is dropped. So it is if one of them is written as an
    /// error: then that is the reply.
    pub fn collect<S>(max_bytes: usize, elements: S) -> Self
    where
        S: Stream<Item: IntoReply> + Send + 'static,
    {
        let tail = CollectedStream {
            elements: Box::pin(elements),
            count: 0,
            max_bytes,
            written: Encoder::default(),
        };
        Elements { len: None, tail: Box::new(tail) }
    }

    fn known<T: IntoReply, F>(len: usize, next: F) -> Self
    where
        F: FnMut(&mut Context<'_>) -> Poll<Option<T>> + Send + 'static,
    {
        Elements { len: Some(len), tail: Box::new(KnownLen { next, left: len }) }
    }

    fn write(self, out: &mut ReplyBuffer) {
        if let Some(len) = self.len {
            out.encoder_mut().array(len);
        }
        out.set_streaming(self.tail);
    }
}

#[diagnostic::do_not_recommend]
impl<A: Receiver> Answer<A> for Elements {
    fn answer(self, _: &Call<'_>, _: &mut A::CommandContext, out: &mut ReplyBuffer) {
        self.write(out);
    }
}

#[diagnostic::do_not_recommend]
impl<A: Receiver> Answer<A> for Option<Elements> {
    fn answer(self, _: &Call<'_>, _: &mut A::CommandContext, out: &mut ReplyBuffer) {
        match self {
            Some(elements) => elements.write(out),
            None => out.encoder_mut().null_array(),
        }
    }
}

#[diagnostic::do_not_recommend]
impl<A: Receiver, E: Into<Error>> Answer<A> for Result<Elements, E> {
    fn answer(self, _: &Call<'_>, _: &mut A::CommandContext, out: &mut ReplyBuffer) {
        match self {
            Ok(elements) => elements.write(out),
            Err(error) => out.error(&error.into()),
        }
    }
}

impl fmt::Debug for Elements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Elements").field("len", &self.len).finish_non_exhaustive()
    }
}

/// As many elements as its header has said.
struct KnownLen<F> {
    next: F,
    left: usize,
}

impl<T: IntoReply, F> StreamingReply for KnownLen<F>
where
    F: FnMut(&mut Context<'_>) -> Poll<Option<T>> + Send,
{
    fn poll_write(&mut self, out: &mut Encoder, most: usize, cx: &mut Context<'_>) -> Poll<Streamed> {
        while self.left > 0 {
            if out.len() >= most {
                return Poll::Ready(Streamed::More);
            }
            let Some(element) = ready!((self.next)(cx)) else {
                tracing::error!(
                    missing = self.left,
                    "a reply ended before it had as many elements as it should have"
                );
                return Poll::Ready(Streamed::Broken);
            };
            element.into_reply(out);
            self.left -= 1;
        }
        Poll::Ready(Streamed::Done)
    }
}

/// Elements that are counted first.
struct CollectedStream<S> {
    elements: Pin<Box<S>>,
    count: usize,
    max_bytes: usize,
    written: Encoder,
}

impl<S> StreamingReply for CollectedStream<S>
where
    S: Stream<Item: IntoReply> + Send,
{
    fn poll_write(&mut self, out: &mut Encoder, most: usize, cx: &mut Context<'_>) -> Poll<Streamed> {
        self.written.set_protocol(out.protocol());
        let pause = self.written.len().saturating_add(most);
        while self.written.len() < pause {
            let Some(element) = ready!(self.elements.as_mut().poll_next(cx)) else {
                out.array(self.count);
                out.append(&mut self.written);
                return Poll::Ready(Streamed::Done);
            };
            let position = self.written.position();
            element.into_reply(&mut self.written);
            if let Some(line) = self.written.error_at(position) {
                return fail(Error::from_bytes(line.to_vec()), out);
            }
            if self.written.len() > self.max_bytes {
                return fail(
                    Error::err(format_args!("the reply takes more than {} bytes", self.max_bytes)),
                    out,
                );
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
