//! Requests that get a connection without other clients' requests, because they might break it: large ones, and those of
//! clients that are blamed for earlier losses.

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
    proxy::{IDLE, ProxyState, TICK, write_to},
    router::{Redirect, Words},
};
use crate::{
    Client,
    connection::{ActorId, Batch},
};

/// How often a client's request was the oldest unanswered one when a connection was lost.
pub(super) struct Blame {
    losses: u32,
    last: Instant,
}

/// A client's requests are isolated after this many losses.
const ISOLATE_AFTER: u32 = 3;

/// A client is not blamed any more after this time without another loss.
const FORGIVE_AFTER: Duration = Duration::from_secs(60);

impl ProxyState {
    /// Blames the client of a request that was the oldest unanswered one when its connection was lost.
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

    /// Forgives clients that have broken nothing for a while.
    pub(super) fn forgive(&mut self) {
        self.blamed.retain(|_, blame| blame.last.elapsed() < FORGIVE_AFTER);
    }

    /// Whether a request of a batch gets a connection without other clients' requests.
    pub(super) fn is_isolated(&self, batch: &Batch, words: Words<'_>) -> bool {
        let max = self.servers.max_request_len;
        // The first comparison is enough for most batches.
        batch.request_bytes() > max && words.max_encoded_len() > max || self.is_blamed(batch.client())
    }

    fn is_blamed(&self, client: Option<&Client>) -> bool {
        let blame = || self.blamed.get(&client?.identity());
        !self.blamed.is_empty() && blame().is_some_and(|blame| blame.losses >= ISOLATE_AFTER)
    }

    /// The same of a request of a flight.
    pub(super) fn is_isolated_flight(&self, entry: InFlightId, slot: u32) -> bool {
        let mut is_large = false;
        self.in_flight.with_words(entry, slot, |words| {
            is_large = words.max_encoded_len() > self.servers.max_request_len;
        });
        is_large || self.is_blamed(self.in_flight.client(entry))
    }

    /// Sends the next request of a batch, which goes on when it has the reply.
    pub(super) fn send_isolated(&mut self, mut batch: Box<Batch>, actor_id: ActorId, server: usize) {
        let Some(key) = batch.client().map(PoolKey::of) else { return };
        let entry = self.in_flight.next_id();
        batch.stop_timing();
        let first = batch.next_request();
        self.in_flight.insert(entry, InFlight::Batch(BatchRun::new(batch, actor_id, first, 1)));
        self.isolate(entry, 0, Redirect { server, asking: false }, key);
    }

    /// Sends a request of a flight.
    pub(super) fn isolate(&mut self, entry: InFlightId, slot: u32, to: Redirect, key: PoolKey) {
        let server = self.servers.get(to.server);
        let max_reply_len = server.upstream.max_reply_len;
        let mut connection =
            MultiplexedConnection::new(to.server, key, Arc::clone(&server.stats), max_reply_len);
        write_to(&mut self.in_flight, &mut connection, (entry, slot), to.asking);
        actix_rt::spawn(serve(Weak::clone(&self.me), connection));
    }

    /// An isolated request has its reply, or its connection is lost.
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

    /// Keeps the connection for others, if its server is still the same.
    fn keep_idle(&mut self, connection: MultiplexedConnection) {
        let server = self.servers.get(connection.server);
        let is_same = server.is_member() && Arc::ptr_eq(&server.stats, &connection.stats);
        let (number, key) = (connection.server, connection.key);
        if let Some(dialled) = connection.take().filter(|_| is_same && self.idle.len() < IDLE) {
            self.idle.push((number, key, dialled));
        }
    }
}

/// Has the requests of a link sent and answered.
async fn serve(core: Weak<RefCell<ProxyState>>, mut connection: MultiplexedConnection) {
    connection.stats.private.fetch_add(1, Relaxed);
    let end = exchange(&core, &mut connection).await;
    connection.stats.private.fetch_sub(1, Relaxed);
    if let Some(core) = core.upgrade() {
        core.borrow_mut().end_isolated(connection, end);
    }
}

async fn exchange(
    core: &Weak<RefCell<ProxyState>>,
    connection: &mut MultiplexedConnection,
) -> Result<(), LossReason> {
    let Some((upstream, idle)) = core.upgrade().map(|core| {
        let mut core = core.borrow_mut();
        let idle = core.take_idle(connection.server, connection.key);
        (Rc::clone(&core.servers.get(connection.server).upstream), idle)
    }) else {
        return Ok(());
    };
    connection.connected(match idle {
        Some(idle) => idle,
        None => dial(&upstream, connection.key).await?,
    });
    let mut sent = connection.sent();
    loop {
        if let Ok(end) = timeout(TICK, poll_fn(|cx| poll(core, connection, cx))).await {
            return end;
        }
        // A large request may take longer than a reply.
        let is_sending = connection.sent() != std::mem::replace(&mut sent, connection.sent());
        if let Silence::Waited(seconds) = connection.tick()
            && !is_sending
            && seconds >= upstream.reply_timeout_seconds()
        {
            return Err(silence(Duration::from_secs(seconds.into())));
        }
    }
}

/// Is ready when all requests have been answered, the connection is lost, or there is no proxy any more.
fn poll(
    core: &Weak<RefCell<ProxyState>>,
    connection: &mut MultiplexedConnection,
    cx: &mut Context<'_>,
) -> Poll<Result<(), LossReason>> {
    let Some(core) = core.upgrade() else { return Poll::Ready(Ok(())) };
    let mut core = core.borrow_mut();
    match connection.poll(&mut core.in_flight, cx) {
        Poll::Ready(reason) => Poll::Ready(Err(reason)),
        Poll::Pending if connection.is_answered() => Poll::Ready(Ok(())),
        Poll::Pending => Poll::Pending,
    }
}
