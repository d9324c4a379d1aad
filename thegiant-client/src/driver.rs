//! The task of a connection: it connects, serves calls, and connects again.

use std::time::Duration;

use thegiant_resp::Backoff;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::mpsc,
    time::{Instant, timeout, timeout_at},
};

use crate::{
    CallError, ConnectionBuilder,
    connection::QueuedCall,
    handshake::handshake,
    session::{End, Session},
};

/// After a connection that was up for this time, the next attempt comes at once.
const STABLE: Duration = Duration::from_secs(1);

/// Runs a connection until all its handles are dropped.
pub(crate) async fn run(options: ConnectionBuilder, mut queue: mpsc::Receiver<QueuedCall>) {
    let mut backoff = Backoff::default();
    while !(queue.is_closed() && queue.is_empty()) {
        let start = Instant::now();
        let reason = match connect_and_serve(&options, &mut queue).await {
            Ok(End::Finished) => return,
            Ok(End::Lost(reason)) => reason,
            Ok(End::Timeout) => "the server did not reply in time".to_owned(),
            Err(reason) => {
                fail_calls(&mut queue, Instant::now() + backoff.next_delay(), &reason).await;
                continue;
            }
        };
        if start.elapsed() >= STABLE {
            backoff.reset();
        } else {
            fail_calls(&mut queue, Instant::now() + backoff.next_delay(), &reason).await;
        }
    }
}

/// Replies to all calls until `deadline` that they are not sent. Returns early when all handles are dropped.
async fn fail_calls(queue: &mut mpsc::Receiver<QueuedCall>, deadline: Instant, reason: &str) {
    while let Ok(Some(call)) = timeout_at(deadline, queue.recv()).await {
        // A caller that is gone needs no error.
        let _ = call.reply.send(Err(CallError::NotSent(reason.to_owned())));
    }
}

async fn connect_and_serve(
    options: &ConnectionBuilder,
    queue: &mut mpsc::Receiver<QueuedCall>,
) -> Result<End, String> {
    let address = &options.address;
    let connect_error = |error| format!("{address} cannot be reached: {error}");
    match address.strip_prefix("unix:") {
        #[cfg(unix)]
        Some(path) => {
            let connecting = tokio::net::UnixStream::connect(path);
            let stream = in_time(options, connecting).await?.map_err(connect_error)?;
            serve(stream, options, queue).await
        }
        _ => {
            let connecting = TcpStream::connect(address);
            let stream = in_time(options, connecting).await?.map_err(connect_error)?;
            // Without it, the requests still arrive, but later.
            let _ = stream.set_nodelay(true);
            #[cfg(feature = "tls")]
            if let Some(tls) = &options.tls {
                let connected = in_time(options, tls.connect(stream)).await?;
                let stream =
                    connected.map_err(|error| format!("{address} cannot be reached with TLS: {error}"))?;
                return serve(stream, options, queue).await;
            }
            serve(stream, options, queue).await
        }
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    options: &ConnectionBuilder,
    queue: &mut mpsc::Receiver<QueuedCall>,
) -> Result<End, String> {
    let receiver = in_time(options, handshake(&mut stream, options)).await??;
    Ok(Session::new(stream, queue, receiver, options.reply_timeout).run().await)
}

async fn in_time<T>(options: &ConnectionBuilder, step: impl Future<Output = T>) -> Result<T, String> {
    let address = &options.address;
    timeout(options.connect_timeout, step).await.map_err(|_| format!("{address} did not reply in time"))
}
