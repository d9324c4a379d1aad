//! Connects to an upstream and sends the handshake.

use std::{io, sync::Arc, time::Duration};

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
    Client, Value,
    resp::{Encoder, FramePart, FrameScanner, Protocol},
    stream::Stream,
};

/// The state that clients must have in common to share a multiplexed connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PoolKey {
    pub(super) protocol: Protocol,
    pub(super) db: u16,
}

impl PoolKey {
    /// The connection pool that each upstream always has.
    ///
    /// It carries the application's own commands. Its first connection decides whether the upstream is up.
    pub(super) const FIRST: PoolKey = PoolKey { protocol: Protocol::Resp2, db: 0 };

    /// Returns the connection pool for the requests of a client.
    pub(super) fn of(client: &Client) -> Self {
        PoolKey { protocol: client.protocol(), db: client.db() }
    }
}

/// The reason why a connection was lost or could not be opened.
pub(super) type LossReason = Arc<str>;

/// An open connection that has completed its handshake.
pub(super) struct Dialled {
    pub(super) stream: Stream,
    /// The upstream supports only RESP2, but the clients use RESP3. Their replies have to be converted.
    pub(super) is_older: bool,
}

/// Opens a connection for a connection pool.
pub(super) async fn dial(upstream: &Upstream, key: PoolKey) -> Result<Dialled, LossReason> {
    match timeout(upstream.connect_timeout, dial_any_protocol(upstream, key)).await {
        Ok(dialled) => dialled,
        Err(_) => Err("it does not answer".into()),
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
fn lacks_resp3(reason: &str) -> bool {
    reason.starts_with("ERR unknown command") || reason.starts_with("NOPROTO")
}

/// Converts a RESP2 reply to RESP3.
pub(super) fn as_resp3(reply: Vec<u8>) -> Vec<u8> {
    let Ok(Some((value, _))) = Value::parse(&reply) else { return reply };
    let mut out = Encoder::new(Protocol::Resp3);
    value.encode(&mut out);
    out.into_vec()
}

async fn connect(upstream: &Upstream, key: PoolKey) -> Result<Stream, LossReason> {
    let handshake = handshake(upstream, key);
    if let Some(path) = upstream.address.strip_prefix("unix:") {
        let mut stream = UnixStream::connect(path).await.map_err(reason)?;
        send_handshake(&mut stream, &handshake).await?;
        Ok(Stream::Unix(stream))
    } else {
        let mut stream = TcpStream::connect(&upstream.address).await.map_err(reason)?;
        stream.set_nodelay(true).map_err(reason)?;
        // A blocking command has no reply timeout, so only keepalive detects that the other machine is gone.
        SockRef::from(&stream)
            .set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))
            .map_err(reason)?;
        #[cfg(feature = "tls")]
        if let Some(connector) = &upstream.tls {
            let mut stream = Tls::connect(connector, stream).await.map_err(reason)?;
            send_handshake(&mut stream, &handshake).await?;
            return Ok(Stream::Tls(stream));
        }
        send_handshake(&mut stream, &handshake).await?;
        Ok(Stream::Tcp(stream))
    }
}

/// Returns the text of an I/O error without its number.
pub(super) fn reason(error: io::Error) -> LossReason {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase().into()
}

/// Returns the reason for a connection that stayed silent for this time.
pub(super) fn silence(time: Duration) -> LossReason {
    format!("nothing has come from it for {} s", time.as_secs_f64()).into()
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
    let (mut frames, mut reply, mut replies) = (FrameScanner::default(), Vec::new(), 0);
    let mut buffer = [0; 512];
    while replies < handshake.requests {
        let read = stream.read(&mut buffer).await.map_err(reason)?;
        let mut rest = &buffer[..read];
        if rest.is_empty() {
            // A server may reply with an error and close before it has read the whole handshake.
            written.map_err(reason)?;
            return Err("it has closed the connection".into());
        }
        while !rest.is_empty() {
            let FramePart { len, is_complete } = frames.advance(rest).map_err(|error| error.to_string())?;
            reply.extend_from_slice(&rest[..len]);
            rest = &rest[len..];
            if is_complete {
                if frames.is_push() {
                    reply.clear();
                    continue;
                }
                // The last request is `PING`. Most errors in reply to it still prove that the server works.
                let is_last = replies + 1 == handshake.requests;
                let is_refusal = |error: &[u8]| REFUSALS.iter().any(|refusal| error.starts_with(refusal));
                let error = reply.strip_prefix(b"-").filter(|error| !is_last || is_refusal(error));
                if let Some(error) = error {
                    return Err(String::from_utf8_lossy(error).trim_end().into());
                }
                reply.clear();
                replies += 1;
            }
        }
        if reply.len() > MAX_HANDSHAKE_REPLY {
            return Err("its reply to the handshake is too long".into());
        }
    }
    Ok(())
}

/// The errors with which a server that cannot serve the proxy replies to `PING`.
const REFUSALS: [&[u8]; 3] = [b"NOAUTH", b"LOADING", b"ERR max number of clients"];

const KEEPALIVE: Duration = Duration::from_secs(60);

const MAX_HANDSHAKE_REPLY: usize = 64 * 1024;
