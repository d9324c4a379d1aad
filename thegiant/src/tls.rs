//! A TLS connection.

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
use thegiant_tls::{CertificateUser, ClientCertificate, Connector, LoadedTls, explained};
use tokio::{
    io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf},
    task::unconstrained,
};
use tokio_rustls::{TlsAcceptor, TlsStream};

/// A TLS connection, including its handshake.
///
/// A server-side handshake is the first stage of its connection, so that accepting does not wait for it.
pub(crate) enum Tls {
    Handshake(Pin<Box<dyn Future<Output = io::Result<TlsStream<TcpStream>>>>>, Option<CertificateUser>),
    Open(Box<TlsStream<TcpStream>>),
    /// The handshake has failed.
    Failed,
}

/// The certificate of a client, and the field of it that names the user of the client.
type ClientIdentity = (ClientCertificate, Option<CertificateUser>);

impl Tls {
    /// Accepts the TLS connection of a client. The handshake fails after the time limit.
    pub(crate) fn accept(tls: &LoadedTls, socket: TcpStream, limit: Option<Duration>) -> Self {
        let accepted = TlsAcceptor::from(Arc::clone(tls.config())).accept(socket);
        let accepted = Box::pin(async move {
            let stream = match limit {
                None => accepted.await,
                Some(limit) => timeout(limit, accepted).await.unwrap_or_else(|_| Err(handshake_timeout())),
            };
            stream.map(TlsStream::from)
        });
        Tls::Handshake(accepted, tls.user_from())
    }

    /// Connects to an upstream, and verifies its certificate.
    pub(crate) async fn connect(connector: &Connector, socket: TcpStream) -> io::Result<Self> {
        Ok(Tls::Open(Box::new(connector.connect(socket).await?.into())))
    }

    /// Completes the handshake. Returns the certificate of the client.
    ///
    /// It returns `None` if the client has sent none, or if the handshake was complete already.
    pub(crate) fn poll_handshake(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<ClientIdentity>>> {
        let Tls::Handshake(_, user_from) = self else { return Poll::Ready(Ok(None)) };
        let user_from = *user_from;
        let stream = ready!(self.poll_open(cx))?;
        let certificates = stream.get_ref().1.peer_certificates();
        let certificate = certificates.and_then(|chain| chain.first()).and_then(ClientCertificate::read);
        Poll::Ready(Ok(certificate.map(|certificate| (certificate, user_from))))
    }

    /// Returns whether the handshake has failed.
    pub(crate) fn has_failed(&self) -> bool {
        matches!(self, Tls::Failed)
    }

    /// Completes when the connection has data to read, or has failed.
    ///
    /// The state of the socket does not tell: decrypted data may be buffered while the socket is empty, and
    /// the socket may hold TLS records without data.
    pub(crate) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Ok(stream) = ready!(self.poll_open(cx)) else { return Poll::Ready(()) };
        stream.poll_fill_buf(cx).map(drop)
    }

    /// Returns whether the connection is open and has nothing to read.
    pub(crate) fn is_quiet(&mut self) -> bool {
        // `unconstrained`, because an exhausted tokio budget would also report "pending".
        let readable = pin!(unconstrained(poll_fn(|cx| self.poll_readable(cx))));
        // The next user of the connection registers its own waker.
        readable.poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Pin<&mut TlsStream<TcpStream>>>> {
        if let Tls::Handshake(handshake, _) = self {
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

fn handshake_timeout() -> io::Error {
    io::Error::new(ErrorKind::TimedOut, "the handshake took too long")
}

impl AsyncRead for Tls {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = ready!(self.get_mut().poll_open(cx))?;
        match ready!(stream.poll_read(cx, buffer)) {
            // The peer closed the socket without `close_notify`. That is safe, because RESP frames have a length.
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
            // Without a completed handshake there is no TLS session to close.
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}
