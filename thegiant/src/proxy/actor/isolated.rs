//! Connections without other clients' requests, or without later ones.
//!
//! They carry requests that might break a connection: large requests, and all requests of clients that were blamed for
//! lost connections. And they keep slow commands, together with the requests that were sent behind them.

use std::{
    cell::RefCell,
    future::poll_fn,
    mem,
    rc::Weak,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use actix_rt::time::timeout;

use super::{opening::open, retries::write_to, state::ProxyState, upkeep::TICK};
use crate::{
    batch::ActorId,
    dispatch::ClientBatch,
    proxy::{
        conn::{BatchRun, InFlight, InFlightId, MultiplexedConnection, PoolKey, Silence},
        routing::Redirect,
        wire::LossReason,
    },
};

/// Maximum number of connections that slow commands keep.
const MAX_DETACHED: usize = 64;

impl ProxyState {
    /// Sends the next request of a batch. The batch continues when it has the reply.
    pub(super) fn send_isolated(&mut self, mut batch: ClientBatch, actor_id: ActorId, server: usize) {
        let key = PoolKey::of(&batch.client);
        let id = self.in_flight.next_id();
        batch.stop_timing();
        let first = batch.next_request();
        self.record_reads(&batch, first, 1);
        self.in_flight.insert(id, InFlight::Batch(BatchRun::new(batch, actor_id, first, 1)));
        self.isolate(id, 0, Redirect { server, asking: false }, key);
    }

    /// Sends a request of an entry over an isolated connection.
    pub(super) fn isolate(&mut self, id: InFlightId, position: u32, to: Redirect, key: PoolKey) {
        let server = self.pool.servers.get(to.server);
        let max_reply_len = server.upstream.max_reply_len;
        let mut connection =
            MultiplexedConnection::new(to.server, key, Arc::clone(&server.stats), max_reply_len);
        write_to(&mut self.in_flight, &mut connection, (id, position), to.asking);
        actix_rt::spawn(serve(Weak::clone(&self.me), connection));
    }

    /// Leaves a multiplexed connection to its slow command, and opens another one for later requests.
    pub(super) fn detach(&mut self, index: usize) {
        let connection = self.pool.connections[index].detach();
        self.pool.servers.get_mut(connection.server).detached = Some(Instant::now());
        self.detached += 1;
        let proxy = Weak::clone(&self.me);
        actix_rt::spawn(async move {
            serve(Weak::clone(&proxy), connection).await;
            if let Some(proxy) = proxy.upgrade() {
                proxy.borrow_mut().detached -= 1;
            }
        });
    }

    /// Returns whether a slow command should keep its connection.
    pub(super) fn should_detach(&self, connection: &MultiplexedConnection) -> bool {
        self.detached < MAX_DETACHED && connection.waits_for_slow(&self.in_flight)
    }

    /// Returns the reply timeout of the requests of a connection, in seconds.
    fn patience(&self, connection: &MultiplexedConnection) -> u32 {
        let upstream = &self.pool.servers.get(connection.server).upstream;
        match connection.waits_for_slow(&self.in_flight) {
            true => upstream.slow_reply_timeout_seconds(),
            false => upstream.reply_timeout_seconds(),
        }
    }

    /// Continues after an isolated request got its reply or lost its connection.
    fn end_isolated(&mut self, mut connection: MultiplexedConnection, end: Result<(), LossReason>) {
        match end {
            Ok(()) => {
                let (server, key, stats) = (connection.server, connection.key, Arc::clone(&connection.stats));
                if let Some(dialled) = connection.into_dialled() {
                    self.pool.keep_idle((server, &stats), key, dialled);
                }
            }
            Err(reason) => {
                self.blame(connection.oldest());
                connection.disconnected(&reason, &mut self.in_flight);
            }
        }
        self.complete();
    }

    /// Blames the client with the oldest request without a reply for the loss of a connection.
    pub(super) fn blame(&mut self, oldest: Option<InFlightId>) {
        if let Some(client) = oldest.and_then(|oldest| self.in_flight.client(oldest))
            && client.is_connected()
        {
            self.blamed.add(client);
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
    if !connection.is_open() {
        connection.connected(open(Weak::clone(proxy), connection.server, connection.key).await?);
    }
    let mut sent = connection.sent();
    loop {
        if let Ok(end) = timeout(TICK, poll_fn(|cx| poll(proxy, connection, cx))).await {
            return end;
        }
        // The reply timeout does not apply while a large request is being sent.
        let is_sending = connection.sent() != mem::replace(&mut sent, connection.sent());
        if let Silence::Waited(seconds) = connection.tick()
            && !is_sending
            && let Some(proxy) = proxy.upgrade()
            && seconds >= proxy.borrow().patience(connection)
        {
            return Err(LossReason::Silence(Duration::from_secs(seconds.into())));
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
