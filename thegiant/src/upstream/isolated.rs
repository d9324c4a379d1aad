//! Sends requests that might break a connection over separate connections.
//!
//! These are large requests, and all requests of clients that were blamed for lost connections.

use std::{
    cell::RefCell,
    future::poll_fn,
    rc::{Rc, Weak},
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use actix_rt::time::timeout;

use super::{
    dial::{LossReason, PoolKey, dial, silence},
    in_flight::{BatchRun, InFlight, InFlightId},
    multiplexed::{MultiplexedConnection, Silence},
    proxy::{MAX_IDLE, ProxyState, TICK, write_to},
    router::{Redirect, Words},
};
use crate::{Client, batch::ActorId, dispatch::ClientBatch};

/// The losses of connections for which a client is blamed.
pub(super) struct Blame {
    /// Number of losses at which the client had the oldest request without a reply.
    losses: u32,
    /// Time of the latest loss.
    last: Instant,
}

/// Number of losses after which all requests of a client are isolated.
const ISOLATE_AFTER: u32 = 3;

/// Time without another loss after which a client is no longer blamed.
const FORGIVE_AFTER: Duration = Duration::from_secs(60);

impl ProxyState {
    /// Blames a client for the loss of a connection on which it had the oldest request without a reply.
    pub(super) fn blame(&mut self, oldest: InFlightId) {
        let Some(client) = self.in_flight.client(oldest) else { return };
        let now = Instant::now();
        let blame = self.blamed.entry(client.identity()).or_insert(Blame { losses: 0, last: now });
        blame.losses += 1;
        blame.last = now;
        if blame.losses == ISOLATE_AFTER {
            tracing::warn!(id = client.id(), client = %client.addr(), "isolated: its requests have broken connections to upstreams");
        }
    }

    /// Removes the blame from clients without a recent loss.
    pub(super) fn forgive(&mut self) {
        self.blamed.retain(|_, blame| blame.last.elapsed() < FORGIVE_AFTER);
    }

    /// Returns whether a request of a batch gets a connection without other clients' requests.
    pub(super) fn is_isolated(&self, batch: &ClientBatch, words: Words<'_>) -> bool {
        let max = self.servers.max_request_len;
        // The first comparison is cheap, and enough for most batches.
        batch.requests.bytes() > max && words.max_encoded_len() > max || self.is_blamed(Some(&batch.client))
    }

    fn is_blamed(&self, client: Option<&Client>) -> bool {
        let blame = || self.blamed.get(&client?.identity());
        !self.blamed.is_empty() && blame().is_some_and(|blame| blame.losses >= ISOLATE_AFTER)
    }

    /// Returns whether a request of an entry gets a connection without other clients' requests.
    pub(super) fn is_isolated_request(&self, id: InFlightId, position: u32) -> bool {
        let mut is_large = false;
        self.in_flight.with_words(id, position, |words| {
            is_large = words.max_encoded_len() > self.servers.max_request_len;
        });
        is_large || self.is_blamed(self.in_flight.client(id))
    }

    /// Sends the next request of a batch. The batch continues when it has the reply.
    pub(super) fn send_isolated(&mut self, mut batch: ClientBatch, actor_id: ActorId, server: usize) {
        let key = PoolKey::of(&batch.client);
        let id = self.in_flight.next_id();
        batch.stop_timing();
        let first = batch.next_request();
        self.in_flight.insert(id, InFlight::Batch(BatchRun::new(batch, actor_id, first, 1)));
        self.isolate(id, 0, Redirect { server, asking: false }, key);
    }

    /// Sends a request of an entry over an isolated connection.
    pub(super) fn isolate(&mut self, id: InFlightId, position: u32, to: Redirect, key: PoolKey) {
        let server = self.servers.get(to.server);
        let max_reply_len = server.upstream.max_reply_len;
        let mut connection =
            MultiplexedConnection::new(to.server, key, Arc::clone(&server.stats), max_reply_len);
        write_to(&mut self.in_flight, &mut connection, (id, position), to.asking);
        actix_rt::spawn(serve(Weak::clone(&self.me), connection));
    }

    /// Continues after an isolated request got its reply or lost its connection.
    fn end_isolated(&mut self, mut connection: MultiplexedConnection, end: Result<(), LossReason>) {
        match end {
            Ok(()) => self.keep_idle(connection),
            Err(reason) => {
                if let Some(oldest) = connection.oldest() {
                    self.blame(oldest);
                }
                connection.disconnected(&reason, &mut self.in_flight);
            }
        }
        self.complete();
    }

    /// Keeps the connection for reuse, unless another server has taken the number of its server.
    fn keep_idle(&mut self, connection: MultiplexedConnection) {
        let server = self.servers.get(connection.server);
        let is_same = server.is_member() && Arc::ptr_eq(&server.stats, &connection.stats);
        let (number, key) = (connection.server, connection.key);
        if let Some(dialled) = connection.into_dialled().filter(|_| is_same && self.idle.len() < MAX_IDLE) {
            self.idle.push((number, key, dialled));
        }
    }
}

/// Opens a connection, sends its requests and reads the replies.
async fn serve(proxy: Weak<RefCell<ProxyState>>, mut connection: MultiplexedConnection) {
    connection.stats.private.fetch_add(1, Relaxed);
    let end = exchange(&proxy, &mut connection).await;
    connection.stats.private.fetch_sub(1, Relaxed);
    if let Some(proxy) = proxy.upgrade() {
        proxy.borrow_mut().end_isolated(connection, end);
    }
}

/// Waits until all requests have their replies, or the connection is lost.
async fn exchange(
    proxy: &Weak<RefCell<ProxyState>>,
    connection: &mut MultiplexedConnection,
) -> Result<(), LossReason> {
    let Some((upstream, idle)) = proxy.upgrade().map(|proxy| {
        let mut proxy = proxy.borrow_mut();
        let idle = proxy.take_idle(connection.server, connection.key);
        (Rc::clone(&proxy.servers.get(connection.server).upstream), idle)
    }) else {
        return Ok(());
    };
    connection.connected(match idle {
        Some(idle) => idle,
        None => dial(&upstream, connection.key).await?,
    });
    let mut sent = connection.sent();
    loop {
        if let Ok(end) = timeout(TICK, poll_fn(|cx| poll(proxy, connection, cx))).await {
            return end;
        }
        // The reply timeout does not apply while a large request is being sent.
        let is_sending = connection.sent() != std::mem::replace(&mut sent, connection.sent());
        if let Silence::Waited(seconds) = connection.tick()
            && !is_sending
            && seconds >= upstream.reply_timeout_seconds()
        {
            return Err(silence(Duration::from_secs(seconds.into())));
        }
    }
}

/// Returns `Ready` when all requests have replies, the connection is lost, or the proxy has stopped.
fn poll(
    proxy: &Weak<RefCell<ProxyState>>,
    connection: &mut MultiplexedConnection,
    cx: &mut Context<'_>,
) -> Poll<Result<(), LossReason>> {
    let Some(proxy) = proxy.upgrade() else { return Poll::Ready(Ok(())) };
    let mut proxy = proxy.borrow_mut();
    match connection.poll(&mut proxy.in_flight, cx) {
        Poll::Ready(reason) => Poll::Ready(Err(reason)),
        Poll::Pending if connection.is_answered() => Poll::Ready(Ok(())),
        Poll::Pending => Poll::Pending,
    }
}
