//! Connections with TLS and without, whose servers have to answer.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll},
};

use thegiant_tls::{ClientTls, Connector};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_postgres::{
    Socket,
    tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream},
};

use crate::limited::{Limited, Limits};

/// The message that asks a server for TLS: its length, and a number in place of a version.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Prepares the sockets of connections.
pub(crate) struct Connect {
    tls: Option<ClientTls>,
    /// Whether TLS begins without a message before.
    is_tls_first: bool,
    limits: Limits,
}

impl Connect {
    pub(crate) fn new(tls: Option<ClientTls>, is_tls_first: bool, limits: Limits) -> Self {
        Connect { tls, is_tls_first, limits }
    }
}

impl MakeTlsConnect<Socket> for Connect {
    type Stream = Stream;
    type TlsConnect = Handshake;
    type Error = io::Error;

    /// Reads the files again, so that certificates can be renewed.
    fn make_tls_connect(&mut self, host: &str) -> io::Result<Handshake> {
        const PORT: u16 = 5432;
        let limits = self.limits.clone();
        let Some(tls) = &self.tls else { return Ok(Handshake::None(limits)) };
        if host.is_empty() {
            return Err(io::Error::other("a Unix socket is not encrypted: leave sslmode out"));
        }
        let connector = tls.connector(&format!("{host}:{PORT}"))?;
        Ok(Handshake::Tls { connector, is_first: self.is_tls_first, limits })
    }
}

/// The handshake of a connection.
pub(crate) enum Handshake {
    None(Limits),
    Tls { connector: Connector, is_first: bool, limits: Limits },
}

impl TlsConnect<Socket> for Handshake {
    type Stream = Stream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move {
            match self {
                Handshake::None(limits) => Ok(Stream(Kind::Plain(Limited::new(socket, limits)))),
                Handshake::Tls { connector, is_first, limits } => {
                    let mut socket = Limited::new(socket, limits);
                    if !is_first {
                        ask_for_tls(&mut socket).await?;
                    }
                    let stream = connector.connect(socket).await?;
                    Ok(Stream(Kind::Encrypted(Box::new(stream))))
                }
            }
        })
    }
}

async fn ask_for_tls(socket: &mut Limited<Socket>) -> io::Result<()> {
    socket.write_all(&SSL_REQUEST).await?;
    match socket.read_u8().await? {
        b'S' => Ok(()),
        _ => {
            Err(io::Error::other("the server does not support TLS: set ssl = on there, or leave sslmode out"))
        }
    }
}

/// The stream of a [`Connection`](crate::Connection).
pub struct Stream(Kind);

enum Kind {
    Plain(Limited<Socket>),
    Encrypted(Box<tokio_rustls::client::TlsStream<Limited<Socket>>>),
}

impl TlsStream for Stream {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Kind::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Kind::Encrypted(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0 {
            Kind::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Kind::Encrypted(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Kind::Plain(stream) => Pin::new(stream).poll_flush(context),
            Kind::Encrypted(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Kind::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Kind::Encrypted(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}
