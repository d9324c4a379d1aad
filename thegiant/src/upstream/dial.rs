//! Connecting to an upstream, and what is said first.

use std::{hash::BuildHasher, io, sync::Arc, time::Duration};

use actix_rt::{
    net::{TcpStream, UnixStream},
    time::timeout,
};
use foldhash::quality::RandomState;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Upstream;
#[cfg(feature = "tls")]
use crate::tls::Tls;
use crate::{
    Client, Value,
    connection::Stream,
    resp::{Encoder, FramePart, FrameScanner, Protocol},
};

/// What clients have in common whose requests share connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PoolKey {
    pub(super) protocol: Protocol,
    pub(super) db: u16,
}

impl PoolKey {
    /// The one that is always there: by it, the program asks, and it is known whether an upstream is there.
    pub(super) const FIRST: PoolKey = PoolKey { protocol: Protocol::Resp2, db: 0 };

    /// That of the requests of this client.
    pub(super) fn of(client: &Client) -> Self {
        PoolKey { protocol: client.protocol(), db: client.db() }
    }
}

/// RetryReason there is no connection.
pub(super) type LossReason = Arc<str>;

/// A connection on which all has been said that the requests of a lane need.
pub(super) struct Dialled {
    pub(super) stream: Stream,
    /// It speaks RESP2 only, and its clients RESP3.
    pub(super) is_older: bool,
}

/// Opens a connection for a lane.
pub(super) async fn dial(upstream: &Upstream, key: PoolKey) -> Result<Dialled, LossReason> {
    match timeout(upstream.connect_timeout, dial_either(upstream, key)).await {
        Ok(dialled) => dialled,
        Err(_) => Err("it does not answer".into()),
    }
}

async fn dial_either(upstream: &Upstream, key: PoolKey) -> Result<Dialled, LossReason> {
    match connect(upstream, key).await {
        Err(reason) if key.protocol == Protocol::Resp3 && is_about_hello(&reason) => {
            let stream = connect(upstream, PoolKey { protocol: Protocol::Resp2, ..key }).await?;
            Ok(Dialled { stream, is_older: true })
        }
        dialled => Ok(Dialled { stream: dialled?, is_older: false }),
    }
}

/// Whether this is said by a server that has never heard of RESP3.
fn is_about_hello(reason: &str) -> bool {
    reason.starts_with("ERR unknown command") || reason.starts_with("NOPROTO")
}

/// A reply in RESP2 as RESP3 has it.
pub(super) fn as_resp3(reply: Vec<u8>) -> Vec<u8> {
    let Ok(Some((value, _))) = Value::parse(&reply) else { return reply };
    let mut out = Encoder::new(Protocol::Resp3);
    value.encode(&mut out);
    out.into_vec()
}

async fn connect(upstream: &Upstream, key: PoolKey) -> Result<Stream, LossReason> {
    let hello = hello(upstream, key);
    if let Some(path) = upstream.address.strip_prefix("unix:") {
        let mut stream = UnixStream::connect(path).await.map_err(reason)?;
        greet(&mut stream, &hello).await?;
        Ok(Stream::Unix(stream))
    } else {
        let mut stream = TcpStream::connect(&upstream.address).await.map_err(reason)?;
        stream.set_nodelay(true).map_err(reason)?;
        // A command may wait for long; that the other machine is there shows in this alone.
        SockRef::from(&stream)
            .set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))
            .map_err(reason)?;
        #[cfg(feature = "tls")]
        if let Some(connector) = &upstream.tls {
            let mut stream = Tls::connect(connector, stream).await.map_err(reason)?;
            greet(&mut stream, &hello).await?;
            return Ok(Stream::Tls(stream));
        }
        greet(&mut stream, &hello).await?;
        Ok(Stream::Tcp(stream))
    }
}

/// In the words of the system, without its number.
pub(super) fn reason(error: io::Error) -> LossReason {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase().into()
}

/// It has not replied for this time.
pub(super) fn silence(time: Duration) -> LossReason {
    format!("nothing has come from it for {} s", time.as_secs_f64()).into()
}

/// Requests, and how many they are.
#[derive(Default)]
struct Handshake {
    out: Encoder,
    requests: usize,
}

impl Handshake {
    fn say(&mut self, words: &[&str]) {
        self.out.request(words);
        self.requests += 1;
    }
}

fn hello(upstream: &Upstream, key: PoolKey) -> Handshake {
    let mut hello = Handshake::default();
    let user = upstream.user.as_deref();
    match (key.protocol, upstream.password.as_deref()) {
        (Protocol::Resp2, None) => {}
        (Protocol::Resp2, Some(password)) => match user {
            Some(user) => hello.say(&["AUTH", user, password]),
            None => hello.say(&["AUTH", password]),
        },
        (Protocol::Resp3, None) => hello.say(&["HELLO", "3"]),
        (Protocol::Resp3, Some(password)) => {
            hello.say(&["HELLO", "3", "AUTH", user.unwrap_or("default"), password]);
        }
    }
    if key.db != 0 {
        hello.say(&["SELECT", &key.db.to_string()]);
    }
    // A server that wants to know who asks says so to this one, too.
    hello.say(&["PING"]);
    hello
}

/// Says hello; the first error in reply is why there is no connection.
async fn greet(
    stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin),
    hello: &Handshake,
) -> Result<(), LossReason> {
    let hello_bytes = hello.out.to_vec();
    let written = async { stream.write_all(&hello_bytes).await.and(stream.flush().await) }.await;
    let (mut frames, mut reply, mut replies) = (FrameScanner::default(), Vec::new(), 0);
    let mut buffer = [0; 512];
    while replies < hello.requests {
        let read = stream.read(&mut buffer).await.map_err(reason)?;
        let mut rest = &buffer[..read];
        if rest.is_empty() {
            // One that does not want to hear anything has said why.
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
                // Of the last one, nearly anything shows that it is there.
                let is_last = replies + 1 == hello.requests;
                let is_refusal = |error: &[u8]| REFUSALS.iter().any(|refusal| error.starts_with(refusal));
                let error = reply.strip_prefix(b"-").filter(|error| !is_last || is_refusal(error));
                if let Some(error) = error {
                    return Err(String::from_utf8_lossy(error).trim_end().into());
                }
                reply.clear();
                replies += 1;
            }
        }
        if reply.len() > MAX_HELLO {
            return Err("it says more than was asked for".into());
        }
    }
    Ok(())
}

/// What is replied to `PING` by a server that is not there for anybody, or not for this one.
const REFUSALS: [&[u8]; 3] = [b"NOAUTH", b"LOADING", b"ERR max number of clients"];

const KEEPALIVE: Duration = Duration::from_secs(60);

const MAX_HELLO: usize = 64 * 1024;

/// How long to wait before the next attempt.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(5);

    /// After a failure.
    pub(super) fn next(&mut self) -> Duration {
        let doubled = Self::FIRST.saturating_mul(1 << self.failures.min(10)).min(Self::LONGEST);
        self.failures += 1;
        // Those that have lost the same server do not come back at the same moment.
        doubled.mul_f64(1.0 - chance() / 2.0)
    }

    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

/// From 0 to 1.
fn chance() -> f64 {
    // Each has a seed of its own.
    let bits = RandomState::default().hash_one(0);
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_become_rarer_and_not_all_at_once() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..100).map(|_| backoff.next()).collect();
        let is_within = |(attempt, wait): (u32, &Duration)| {
            let most = Backoff::FIRST.saturating_mul(1 << attempt.min(20)).min(Backoff::LONGEST);
            (most / 2..=most).contains(wait)
        };
        assert!((0..).zip(&waits).all(is_within), "{waits:?}");
        assert!(waits[20..].iter().any(|wait| *wait != waits[20]), "{waits:?}");
        backoff.reset();
        assert!(backoff.next() <= Backoff::FIRST);
    }
}
