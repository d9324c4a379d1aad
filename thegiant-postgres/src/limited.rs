//! Ends a connection whose server is silent.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// How long the server of a connection may be silent.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) connect: Duration,
    /// The limit for answers; `None` for a connection that also waits for notifications.
    answer: Option<Duration>,
    is_connected: Arc<AtomicBool>,
}

impl Limits {
    pub(crate) fn new(connect: Duration, answer: Option<Duration>) -> Self {
        Limits { connect, answer, is_connected: Arc::default() }
    }

    /// Applies the limit for answers from now on.
    pub(crate) fn set_connected(&self) {
        self.is_connected.store(true, Ordering::Relaxed);
    }

    fn current(&self) -> Option<Duration> {
        match self.is_connected.load(Ordering::Relaxed) {
            true => self.answer,
            false => Some(self.connect),
        }
    }
}

/// A stream that fails when it waits for data, and nothing was read or written for a time.
///
/// The client reads only while it waits for an answer. It looks for data before it sends its request, so time that passed without
/// a request does not count: the limit has two halves, and data that is sent in the second half begins the first one again.
pub(crate) struct Limited<S> {
    stream: S,
    limits: Limits,
    half: Pin<Box<Sleep>>,
    is_second_half: bool,
}

impl<S> Limited<S> {
    pub(crate) fn new(stream: S, limits: Limits) -> Self {
        let half = Box::pin(sleep(limits.connect / 2));
        Limited { stream, limits, half, is_second_half: false }
    }

    fn begin(&mut self, is_second_half: bool) {
        if let Some(limit) = self.limits.current() {
            self.half.as_mut().reset(Instant::now() + limit / 2);
            self.is_second_half = is_second_half;
        }
    }

    /// Ends when the server has been silent for too long.
    fn poll_silence(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let Some(limit) = self.limits.current() else { return Poll::Pending };
        ready!(self.half.as_mut().poll(context));
        if !self.is_second_half {
            self.begin(true);
            ready!(self.half.as_mut().poll(context));
        }
        let text = format!("the server has not answered for {limit:?}");
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, text))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Limited<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_pending() {
            return self.poll_silence(context).map(Err);
        }
        self.begin(false);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Limited<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        if written.is_ready() {
            self.begin(false);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        runtime::Builder,
        time::advance,
    };

    use super::*;

    const CONNECT: Duration = Duration::from_secs(4);
    const ANSWER: Duration = Duration::from_secs(30);

    /// Runs a test on a clock that jumps when everybody waits.
    fn run<F: Future>(test: impl FnOnce(Limited<DuplexStream>, DuplexStream, Limits) -> F) {
        let runtime =
            Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        let _context = runtime.enter();
        let (stream, server) = duplex(64);
        let limits = Limits::new(CONNECT, Some(ANSWER));
        let stream = Limited::new(stream, limits.clone());
        runtime.block_on(test(stream, server, limits));
    }

    async fn assert_silent(stream: &mut Limited<DuplexStream>, limit: Duration, text: &str) {
        let start = Instant::now();
        let error = stream.read_u8().await.expect_err("the server is silent");
        assert!(start.elapsed() >= limit && start.elapsed() < limit * 2);
        assert_eq!((error.kind(), error.to_string().as_str()), (io::ErrorKind::TimedOut, text));
    }

    #[test]
    fn silence_is_an_error() {
        run(|mut stream, server, limits| async move {
            assert_silent(&mut stream, CONNECT, "the server has not answered for 4s").await;
            limits.set_connected();
            stream.write_all(b"a").await.expect("there is room");
            assert_silent(&mut stream, ANSWER, "the server has not answered for 30s").await;
            // It remains one.
            assert!(stream.read_u8().await.is_err());
            drop(server);
        });
    }

    #[test]
    fn an_answer_in_parts_may_take_longer() {
        run(|mut stream, mut server, _| async move {
            let server = async {
                for _ in 0..10 {
                    tokio::time::sleep(CONNECT * 3 / 4).await;
                    server.write_all(b"a").await.expect("there is room");
                }
            };
            let client = async {
                for _ in 0..10 {
                    assert_eq!(stream.read_u8().await.expect("an answer"), b'a');
                }
            };
            tokio::join!(server, client);
        });
    }

    #[test]
    fn time_without_a_request_does_not_count() {
        run(|mut stream, mut server, _| async move {
            for _ in 0..3 {
                advance(CONNECT * 5).await;
                // As the client does it: it looks for data, and then it sends its request.
                let mut buffer = [0];
                let mut buffer = ReadBuf::new(&mut buffer);
                let read = poll_fn(|context| {
                    Poll::Ready(Pin::new(&mut stream).poll_read(context, &mut buffer).is_pending())
                });
                assert!(read.await);
                stream.write_all(b"a").await.expect("there is room");
                let server = async {
                    tokio::time::sleep(CONNECT * 3 / 4).await;
                    server.read_u8().await.expect("a request");
                    server.write_all(b"b").await.expect("there is room");
                };
                let client = async { assert_eq!(stream.read_u8().await.expect("an answer"), b'b') };
                tokio::join!(server, client);
            }
        });
    }
}
