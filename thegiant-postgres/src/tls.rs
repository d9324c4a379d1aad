//! Connections with TLS.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll},
};

use thegiant_tls::{ClientTls, Connector};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::{
    Socket,
    tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream},
};

/// Makes a connector for the host of each connection, if there is TLS.
pub(crate) struct Connect(pub(crate) Option<ClientTls>);

impl MakeTlsConnect<Socket> for Connect {
    type Stream = Encrypted;
    type TlsConnect = Handshake;
    type Error = io::Error;

    /// Reads the files again, so that certificates can be renewed.
    fn make_tls_connect(&mut self, host: &str) -> io::Result<Handshake> {
        const PORT: u16 = 5432;
        let Some(tls) = &self.0 else { return Ok(Handshake(None)) };
        if host.is_empty() {
            return Err(io::Error::other("a Unix socket is not encrypted: leave sslmode out"));
        }
        tls.connector(&format!("{host}:{PORT}")).map(Some).map(Handshake)
    }
}

/// The handshake of a connection. Without TLS, there is none.
pub(crate) struct Handshake(Option<Connector>);

impl TlsConnect<Socket> for Handshake {
    type Stream = Encrypted;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Encrypted>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move {
            let connector = self.0.ok_or_else(|| io::Error::other("the connection has no TLS"))?;
            connector.connect(socket).await.map(Encrypted)
        })
    }
}

/// The part of a [`Connection`](crate::Connection) that encrypts it.
pub struct Encrypted(tokio_rustls::client::TlsStream<Socket>);

impl TlsStream for Encrypted {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

impl fmt::Debug for Encrypted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encrypted").finish_non_exhaustive()
    }
}
