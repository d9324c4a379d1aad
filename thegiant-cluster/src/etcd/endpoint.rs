//! The endpoints of etcd, and the connections to them.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper_util::rt::TokioIo;
use thegiant_tls::{ClientTls, explained};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;
use tonic::{
    codegen::{Service, http::Uri},
    transport::{self, Channel},
};

/// Time to connect to one endpoint.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Interval of the pings that find out that a connection is lost, and the time to answer them.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// The port of an endpoint that names none.
const PORT: u16 = 2379;

/// An address of etcd: `http://HOST:PORT` or `https://HOST:PORT`.
pub(super) struct Endpoint {
    settings: transport::Endpoint,
    /// The host and the port, if the connection is encrypted.
    encrypted: Option<String>,
    refusal: Refusal,
}

impl Endpoint {
    /// # Errors
    /// If the text is no such address. The error has no password that is in it.
    pub(super) fn parse(text: &str) -> io::Result<Self> {
        if text.contains('@') {
            return Err(mistake("an endpoint of etcd has no user: set it with Etcd::user".to_owned()));
        }
        let wrong = || {
            mistake(format!("{text:?} is no endpoint of etcd: write http://HOST:PORT or https://HOST:PORT"))
        };
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let (Some(scheme @ ("http" | "https")), Some(host)) = (uri.scheme_str(), uri.host()) else {
            return Err(wrong());
        };
        let address = format!("{host}:{}", uri.port_u16().unwrap_or(PORT));
        // To tonic, the connection is a plain one: this file encrypts it.
        let settings = transport::Endpoint::from_shared(format!("http://{address}")).map_err(|_| wrong())?;
        let settings = settings.connect_timeout(CONNECT_TIMEOUT).keep_alive_timeout(KEEP_ALIVE);
        let encrypted = (scheme == "https").then_some(address);
        Ok(Endpoint {
            settings: settings.http2_keep_alive_interval(KEEP_ALIVE).origin(uri),
            encrypted,
            refusal: Refusal::default(),
        })
    }

    /// Returns the host and the port, if the connection is encrypted.
    pub(super) fn encrypted(&self) -> Option<&str> {
        self.encrypted.as_deref()
    }

    /// Returns a channel, which connects when it is used.
    pub(super) fn channel(&self, tls: &ClientTls) -> Channel {
        match &self.encrypted {
            None => self.settings.connect_lazy(),
            Some(address) => {
                let tls = tls.clone().application_protocol("h2");
                let (address, refusal) = (address.clone(), self.refusal.clone());
                self.settings.connect_with_connector_lazy(Connector { tls, address, refusal })
            }
        }
    }

    /// Returns the reason why the server has ended the last connection, if it has said so.
    pub(super) fn refusal(&self) -> Option<String> {
        self.refusal.take()
    }
}

fn mistake(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// The reason why a server has ended an encrypted connection. tonic says only that it was closed.
#[derive(Clone, Default)]
struct Refusal(Arc<Mutex<Option<String>>>);

impl Refusal {
    fn set(&self, reason: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }

    fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Opens encrypted connections to one endpoint.
struct Connector {
    tls: ClientTls,
    address: String,
    refusal: Refusal,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Encrypted>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Reads the files again, so that certificates can be renewed.
    fn call(&mut self, _: Uri) -> Self::Future {
        let (connector, address) = (self.tls.connector(&self.address), self.address.clone());
        let refusal = self.refusal.clone();
        refusal.take();
        Box::pin(async move {
            let socket = TcpStream::connect(&address).await?;
            socket.set_nodelay(true)?;
            let stream = connector?.connect(socket).await?;
            Ok(TokioIo::new(Encrypted { stream, refusal }))
        })
    }
}

/// An encrypted connection. A server that wants another certificate says so after the handshake.
struct Encrypted {
    stream: TlsStream<TcpStream>,
    refusal: Refusal,
}

impl Encrypted {
    /// Reads the reason of a failed write: the server may have sent it before it closed the connection.
    fn after_write<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if matches!(written, Poll::Ready(Err(_))) {
            let mut rest = [0; 1024];
            // A closed connection can be read to its end.
            let _ = ready!(Pin::new(self).poll_read(context, &mut ReadBuf::new(&mut rest)));
        }
        written
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        read.map_err(|error| {
            let error = explained(error);
            self.refusal.set(error.to_string());
            error
        })
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.after_write(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.after_write(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
