//! A connection that speaks TLS.

use std::{
    fmt,
    future::{Future, poll_fn},
    io::{self, ErrorKind},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use actix_rt::{net::TcpStream, time::timeout};
use tokio::{
    io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf},
    task::unconstrained,
};
use tokio_rustls::{TlsAcceptor, TlsStream, rustls::ServerConfig};

use super::{Connector, words::explained};

/// A connection that speaks TLS, from the first byte of its handshake.
///
/// That takes place when it is first read or written, so nobody has to wait for it.
pub(crate) enum Tls {
    Handshake(Pin<Box<dyn Future<Output = io::Result<TlsStream<TcpStream>>>>>),
    Open(Box<TlsStream<TcpStream>>),
    /// The handshake has failed.
    Failed,
}

impl Tls {
    /// That of a client, which has to come to an end with its handshake in this time.
    pub(crate) fn accept(config: &Arc<ServerConfig>, socket: TcpStream, limit: Option<Duration>) -> Self {
        let accepted = TlsAcceptor::from(Arc::clone(config)).accept(socket);
        Tls::Handshake(Box::pin(async move {
            let stream = match limit {
                None => accepted.await,
                Some(limit) => timeout(limit, accepted).await.unwrap_or_else(|_| Err(too_slow())),
            };
            stream.map(TlsStream::from)
        }))
    }

    /// That to another server, which has shown a certificate that is as it should be.
    pub(crate) async fn connect(connector: &Connector, socket: TcpStream) -> io::Result<Self> {
        let connected = connector.tls.connect(connector.name.clone(), socket).await;
        Ok(Tls::Open(Box::new(connected.map_err(explained)?.into())))
    }

    /// Whether the other side and this one could not agree.
    pub(crate) fn has_failed(&self) -> bool {
        matches!(self, Tls::Failed)
    }

    /// Has the task woken when there is something to be read, unless there is already. It may be here, decrypted, when the
    /// socket has nothing more; and what the socket has may be nothing that can be read.
    pub(crate) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Ok(stream) = ready!(self.poll_open(cx)) else { return Poll::Ready(()) };
        stream.poll_fill_buf(cx).map(drop)
    }

    /// Whether it is there, and there is nothing to be read.
    pub(crate) fn is_quiet(&mut self) -> bool {
        // That this task has done much already is no answer.
        let readable = pin!(unconstrained(poll_fn(|cx| self.poll_readable(cx))));
        // Whoever uses it next waits with a waker of its own.
        readable.poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Pin<&mut TlsStream<TcpStream>>>> {
        if let Tls::Handshake(handshake) = self {
            let stream = ready!(handshake.as_mut().poll(cx));
            *self = Tls::Failed;
            *self = Tls::Open(Box::new(stream.map_err(explained)?));
        }
        Poll::Ready(match self {
            Tls::Open(stream) => Ok(Pin::new(stream)),
            _ => Err(ErrorKind::NotConnected.into()),
        })
    }
}

fn too_slow() -> io::Error {
    io::Error::new(ErrorKind::TimedOut, "it took too long")
}

impl AsyncRead for Tls {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = ready!(self.get_mut().poll_open(cx))?;
        match ready!(stream.poll_read(cx, buffer)) {
            // It has gone without a word. Requests and replies say themselves where they end.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
            read => Poll::Ready(read.map_err(explained)),
        }
    }
}

impl AsyncWrite for Tls {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.get_mut().poll_open(cx))?.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.get_mut().poll_open(cx))?.poll_write_vectored(cx, pieces)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.get_mut().poll_open(cx))?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Tls::Open(stream) => Pin::new(stream).poll_shutdown(cx),
            // Nothing has been said that would have an end.
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}
