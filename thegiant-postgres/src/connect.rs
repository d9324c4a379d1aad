//! Connections with TLS and without, whose servers have to answer.

use std::{
    fmt,
    future::poll_fn,
    io,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use thegiant_tls::ClientTls;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_postgres::{
    Client, Config, Error, NoTls, SimpleQueryMessage,
    config::{SslMode, SslNegotiation},
};

use crate::{
    Connection, Failure,
    address::{Address, Endpoint, Socket},
    limited::{Limited, Limits},
};

/// The message that asks a server for TLS: its length, and a number in place of a version.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Connects to the first server that accepts writes.
///
/// The sockets are opened here, and not by the client of PostgreSQL, so that those of each kind have the limits.
pub(crate) async fn connect(
    config: &Config,
    tls: Option<&ClientTls>,
    limits: &Limits,
) -> Result<(Client, Connection), Failure> {
    let mut failure = io::Error::other("error connecting to server: the host has no address").into();
    for address in Address::all(config)? {
        let endpoints = match address.endpoints(limits.connect).await {
            Ok(endpoints) => endpoints,
            Err(error) => {
                failure = error.into();
                continue;
            }
        };
        for endpoint in endpoints {
            match begin(&address, &endpoint, config, tls, limits).await {
                Ok(connected) => return Ok(connected),
                Err(error) => failure = error,
            }
        }
    }
    Err(failure)
}

/// Begins a connection to a server that accepts writes.
async fn begin(
    address: &Address,
    endpoint: &Endpoint,
    config: &Config,
    tls: Option<&ClientTls>,
    limits: &Limits,
) -> Result<(Client, Connection), Failure> {
    let socket = endpoint.connect(config, limits.connect).await?;
    let stream = Limited::new(socket, limits.clone());
    let stream = match tls {
        None => Stream(Box::new(stream)),
        Some(tls) => {
            encrypted(stream, tls, address, config.get_ssl_negotiation()).await.map_err(|error| {
                io::Error::new(error.kind(), format!("error performing TLS handshake: {error}"))
            })?
        }
    };
    // The stream is encrypted already.
    let (client, mut connection) =
        config.clone().ssl_mode(SslMode::Disable).connect_raw(stream, NoTls).await?;
    match drive(&mut connection, accepts_writes(&client)).await? {
        true => Ok((client, connection)),
        false => Err(io::Error::other("error connecting to server: database does not allow writes").into()),
    }
}

/// Shakes hands. Reads the files again, so that certificates can be renewed.
async fn encrypted(
    mut stream: Limited<Socket>,
    tls: &ClientTls,
    address: &Address,
    negotiation: SslNegotiation,
) -> io::Result<Stream> {
    let name = match address {
        Address::Unix(_) => {
            return Err(io::Error::other("a Unix socket is not encrypted: leave sslmode out"));
        }
        Address::Tcp { name: None, .. } => {
            return Err(io::Error::other("the certificate is checked for a host: write the host, too"));
        }
        Address::Tcp { name: Some(name), port, .. } => format!("{name}:{port}"),
    };
    let connector = tls.connector(&name)?;
    if negotiation == SslNegotiation::Postgres {
        stream.write_all(&SSL_REQUEST).await?;
        if stream.read_u8().await? != b'S' {
            return Err(io::Error::other(
                "the server does not support TLS: set ssl = on there, or leave sslmode out",
            ));
        }
    }
    Ok(Stream(Box::new(connector.connect(stream).await?)))
}

async fn accepts_writes(client: &Client) -> Result<bool, Error> {
    let rows = client.simple_query("SHOW transaction_read_only").await?;
    let is_off =
        |row: &SimpleQueryMessage| matches!(row, SimpleQueryMessage::Row(row) if row.get(0) == Some("off"));
    Ok(rows.iter().any(is_off))
}

/// Runs a connection until work that uses its client is done.
///
/// # Errors
/// Returns the error of the connection if that ends before. It says more than that of the work.
pub(crate) async fn drive<T, E: From<Error>>(
    connection: &mut Connection,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let mut work = pin!(work);
    poll_fn(|context| {
        if let Poll::Ready(Err(error)) = Pin::new(&mut *connection).poll(context) {
            return Poll::Ready(Err(error.into()));
        }
        let outcome = work.as_mut().poll(context);
        if outcome.is_ready() {
            // Sends what the work has left, such as the `ROLLBACK` of a transaction. The next use finds an error.
            let _ = Pin::new(&mut *connection).poll(context);
        }
        outcome
    })
    .await
}

/// The stream of a [`Connection`].
pub struct Stream(Socket);

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
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

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}
