//! The endpoints of etcd, and the connections to them.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use hyper_util::rt::TokioIo;
use thegiant_tls::ClientTls;
use tokio::net::TcpStream;
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
        Ok(Endpoint { settings: settings.http2_keep_alive_interval(KEEP_ALIVE).origin(uri), encrypted })
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.encrypted.is_some()
    }

    /// Returns a channel, which connects when it is used.
    ///
    /// # Errors
    /// If the connection is encrypted, and a file for it is unusable.
    pub(super) fn channel(&self, tls: &ClientTls) -> io::Result<Channel> {
        let Some(address) = &self.encrypted else { return Ok(self.settings.connect_lazy()) };
        let tls = tls.clone().application_protocol("h2");
        tls.connector(address)?;
        Ok(self.settings.connect_with_connector_lazy(Encrypted { tls, address: address.clone() }))
    }
}

fn mistake(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// Opens encrypted connections to one endpoint.
struct Encrypted {
    tls: ClientTls,
    address: String,
}

impl Service<Uri> for Encrypted {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Reads the files again, so that certificates can be renewed.
    fn call(&mut self, _: Uri) -> Self::Future {
        let (connector, address) = (self.tls.connector(&self.address), self.address.clone());
        Box::pin(async move {
            let socket = TcpStream::connect(&address).await?;
            socket.set_nodelay(true)?;
            connector?.connect(socket).await.map(TokioIo::new)
        })
    }
}
