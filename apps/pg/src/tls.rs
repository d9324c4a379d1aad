//! Connections with TLS.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use postgres::{
    Socket,
    tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream},
};
use thegiant_tls::{ClientTls, Connector};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Makes a connector for the host of each connection.
pub(crate) struct Connect(ClientTls);

impl Connect {
    pub(crate) fn new(tls: ClientTls) -> Self {
        Connect(tls)
    }
}

impl MakeTlsConnect<Socket> for Connect {
    type Stream = Encrypted;
    type TlsConnect = Handshake;
    type Error = io::Error;

    /// Reads the files again, so that certificates can be renewed.
    fn make_tls_connect(&mut self, host: &str) -> io::Result<Handshake> {
        const PORT: u16 = 5432;
        if host.is_empty() {
            return Err(io::Error::other("a Unix socket is not encrypted: leave sslmode out"));
        }
        self.0.connector(&format!("{host}:{PORT}")).map(Handshake)
    }
}

/// The handshake of a connection.
pub(crate) struct Handshake(Connector);

impl TlsConnect<Socket> for Handshake {
    type Stream = Encrypted;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Encrypted>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move { self.0.connect(socket).await.map(Encrypted) })
    }
}

/// An encrypted connection.
pub(crate) struct Encrypted(tokio_rustls::client::TlsStream<Socket>);

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
