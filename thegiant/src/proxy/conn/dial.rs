//! Connects to an upstream and sends the handshake.

use std::time::Duration;

use actix_rt::{
    net::{TcpStream, UnixStream},
    time::timeout,
};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Upstream;
#[cfg(feature = "tls")]
use crate::tls::Tls;
use crate::{
    Client,
    proxy::wire::{LossReason, ReplyReader},
    resp::{Encoder, Protocol},
    stream::Stream,
};

/// The state that clients must have in common to share a multiplexed connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PoolKey {
    pub(crate) protocol: Protocol,
    pub(crate) db: u16,
}

impl PoolKey {
    /// The connection pool that each upstream always has.
    ///
    /// It carries the application's own commands. Its first connection decides whether the upstream is up.
    pub(crate) const FIRST: PoolKey = PoolKey { protocol: Protocol::Resp2, db: 0 };

    /// Returns the connection pool for the requests of a client.
    pub(crate) fn of(client: &Client) -> Self {
        PoolKey { protocol: client.protocol(), db: client.db() }
    }
}

/// An open connection that has completed its handshake.
pub(crate) struct Dialled {
    pub(crate) stream: Stream,
    /// The upstream supports only RESP2, but the clients use RESP3. Their replies have to be converted.
    pub(crate) is_older: bool,
}

/// Opens a connection for a connection pool.
pub(crate) async fn dial(upstream: &Upstream, key: PoolKey) -> Result<Dialled, LossReason> {
    match timeout(upstream.connect_timeout, dial_any_protocol(upstream, key)).await {
        Ok(dialled) => dialled,
        Err(_) => Err(LossReason::NoAnswer),
    }
}

/// Falls back to RESP2 if the upstream does not support RESP3.
async fn dial_any_protocol(upstream: &Upstream, key: PoolKey) -> Result<Dialled, LossReason> {
    match connect(upstream, key).await {
        Err(reason) if key.protocol == Protocol::Resp3 && lacks_resp3(&reason) => {
            let stream = connect(upstream, PoolKey { protocol: Protocol::Resp2, ..key }).await?;
            Ok(Dialled { stream, is_older: true })
        }
        dialled => Ok(Dialled { stream: dialled?, is_older: false }),
    }
}

/// Returns whether the reply to `HELLO 3` means that the server does not support RESP3.
fn lacks_resp3(reason: &LossReason) -> bool {
    let reason = reason.to_string();
    reason.starts_with("ERR unknown command") || reason.starts_with("NOPROTO")
}

async fn connect(upstream: &Upstream, key: PoolKey) -> Result<Stream, LossReason> {
    let handshake = handshake(upstream, key);
    if let Some(path) = upstream.address.strip_prefix("unix:") {
        let mut stream = UnixStream::connect(path).await?;
        send_handshake(&mut stream, &handshake).await?;
        Ok(Stream::Unix(stream))
    } else {
        let mut stream = TcpStream::connect(&upstream.address).await?;
        stream.set_nodelay(true)?;
        // A blocking command has no reply timeout, so only keepalive detects that the other machine is gone.
        SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
        #[cfg(feature = "tls")]
        if let Some(connector) = &upstream.tls {
            let mut stream = Tls::connect(connector, stream).await?;
            send_handshake(&mut stream, &handshake).await?;
            return Ok(Stream::Tls(stream));
        }
        send_handshake(&mut stream, &handshake).await?;
        Ok(Stream::Tcp(stream))
    }
}

/// The requests that open a connection, and their number.
#[derive(Default)]
struct Handshake {
    out: Encoder,
    requests: usize,
}

impl Handshake {
    fn push(&mut self, words: &[&str]) {
        self.out.request(words);
        self.requests += 1;
    }
}

fn handshake(upstream: &Upstream, key: PoolKey) -> Handshake {
    let mut handshake = Handshake::default();
    let user = upstream.user.as_deref();
    match (key.protocol, upstream.password.as_deref()) {
        (Protocol::Resp2, None) => {}
        (Protocol::Resp2, Some(password)) => match user {
            Some(user) => handshake.push(&["AUTH", user, password]),
            None => handshake.push(&["AUTH", password]),
        },
        (Protocol::Resp3, None) => handshake.push(&["HELLO", "3"]),
        (Protocol::Resp3, Some(password)) => {
            handshake.push(&["HELLO", "3", "AUTH", user.unwrap_or("default"), password]);
        }
    }
    if key.db != 0 {
        handshake.push(&["SELECT", &key.db.to_string()]);
    }
    // A server that requires authentication rejects `PING`, too.
    handshake.push(&["PING"]);
    handshake
}

/// Sends the handshake and reads the replies.
///
/// # Errors
/// If a reply is an error, with the text of the first error. If the connection fails.
async fn send_handshake(
    stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin),
    handshake: &Handshake,
) -> Result<(), LossReason> {
    let request_bytes = handshake.out.to_vec();
    let written = async { stream.write_all(&request_bytes).await.and(stream.flush().await) }.await;
    let (mut reader, mut replies) = (ReplyReader::new(MAX_HANDSHAKE_REPLY), 0);
    let mut buffer = [0; 512];
    while replies < handshake.requests {
        let read = stream.read(&mut buffer).await?;
        let mut input = &buffer[..read];
        if input.is_empty() {
            // A server may reply with an error and close before it has read the whole handshake.
            written?;
            return Err(LossReason::closed());
        }
        while let Some(reply) = reader.next_whole(&mut input)? {
            if reply.is_push {
                continue;
            }
            replies += 1;
            // The last request is `PING`. Most errors in reply to it still prove that the server works.
            let is_last = replies == handshake.requests;
            let is_refusal = |error: &[u8]| REFUSALS.iter().any(|refusal| error.starts_with(refusal));
            let error = reply.bytes.strip_prefix(b"-").filter(|error| !is_last || is_refusal(error));
            if let Some(error) = error {
                return Err(LossReason::error_reply(error));
            }
        }
    }
    Ok(())
}

/// The errors with which a server that cannot serve the proxy replies to `PING`.
const REFUSALS: [&[u8]; 3] = [b"NOAUTH", b"LOADING", b"ERR max number of clients"];

const KEEPALIVE: Duration = Duration::from_secs(60);

const MAX_HANDSHAKE_REPLY: usize = 64 * 1024;
