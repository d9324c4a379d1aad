//! Connections that are kept up, and what is done when one comes or goes.

use std::{
    cell::RefCell,
    future::poll_fn,
    mem,
    rc::{Rc, Weak},
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use actix_rt::time::{sleep, timeout};
use tokio::sync::Notify;

use super::{
    Upstream,
    dial::{Backoff, Dialled, LossReason, PoolKey, dial},
    in_flight::InFlight,
    key_table::KeyTable,
    multiplexed::MultiplexedConnection,
    proxy::{ProxyState, launch},
    servers::Membership,
};

/// A connection that was lost is opened again at once, but not more often than once in this time.
const RECONNECT_EVERY: Duration = Duration::from_millis(100);

/// Losses are logged at most this often for each connection.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// RetryReason a connection to a forgotten server ends.
pub(super) const FORGOTTEN: &str = "the router has removed it";

/// Keeps a connection up, as long as there is a proxy. By the first of an upstream it is known whether that is there.
pub(super) async fn keep_up(core: Weak<RefCell<ProxyState>>, index: usize, is_first: bool) {
    let mut backoff = Backoff::default();
    let mut was_told = false;
    let mut loss_logged: Option<Instant> = None;
    loop {
        let Some((upstream, key, back)) = core.upgrade().map(|core| core.borrow_mut().how_to_dial(index))
        else {
            return;
        };
        let Some(upstream) = upstream else {
            let Some(core) = core.upgrade() else { return };
            core.borrow_mut().block(index, is_first);
            drop(core);
            back.notified().await;
            (backoff, was_told) = (Backoff::default(), false);
            continue;
        };
        let lost = match dial(&upstream, key).await {
            Ok(dialled) => {
                if mem::take(&mut was_told) {
                    tracing::info!(upstream = upstream.address, "the upstream is there checkpoint");
                }
                let since = Instant::now();
                let Some(lost) = serve(&core, index, is_first, dialled).await else { return };
                if loss_logged.is_none_or(|logged| logged.elapsed() > LOG_EVERY) {
                    loss_logged = Some(Instant::now());
                    tracing::warn!(
                        upstream = upstream.address,
                        reason = &*lost,
                        "a connection to the upstream was lost"
                    );
                }
                // The upstream may have closed the connection alone. Requests wait for the next one.
                backoff.reset();
                let Some(core) = core.upgrade() else { return };
                core.borrow_mut().is_lost(index, &lost);
                drop(core);
                sleep(RECONNECT_EVERY.saturating_sub(since.elapsed())).await;
                continue;
            }
            Err(reason) => reason,
        };
        if !mem::replace(&mut was_told, true) {
            tracing::warn!(upstream = upstream.address, reason = &*lost, "the upstream is down");
        }
        let Some(core) = core.upgrade() else { return };
        core.borrow_mut().is_down(index, is_first, &lost);
        drop(core);
        let wait = backoff.next();
        if is_first {
            sleep(wait).await;
        } else {
            // It need not wait if it is heard that it is there.
            let _ = timeout(wait, back.notified()).await;
        }
    }
}

/// Has a connection read and written until it is lost. None: there is no proxy any more.
async fn serve(
    core: &Weak<RefCell<ProxyState>>,
    index: usize,
    is_first: bool,
    dialled: Dialled,
) -> Option<LossReason> {
    core.upgrade()?.borrow_mut().is_up(index, is_first, dialled);
    let lost = poll_fn(|cx| match core.upgrade() {
        Some(core) => core.borrow_mut().poll_connection(index, cx).map(Some),
        None => Poll::Ready(None),
    })
    .await?;
    core.upgrade()?.borrow().connections[index].stats.connections.fetch_sub(1, Relaxed);
    Some(lost)
}

impl ProxyState {
    /// How the server of a link is reached, unless it is forgotten.
    fn how_to_dial(&mut self, index: usize) -> (Option<Rc<Upstream>>, PoolKey, Rc<Notify>) {
        let connection = &mut self.connections[index];
        let server = self.servers.get(connection.server);
        connection.has_batch = !server.is_member();
        // Another server may have taken the number.
        connection.stats = Arc::clone(&server.stats);
        let upstream = server.is_member().then(|| Rc::clone(&server.upstream));
        (upstream, connection.key, Rc::clone(&server.back))
    }

    /// A link of a forgotten server waits for another server.
    fn block(&mut self, index: usize, is_first: bool) {
        if is_first {
            self.tables.remove(self.connections[index].server);
        }
        self.is_down(index, is_first, &FORGOTTEN.into());
    }

    /// Closes the connections of forgotten servers. A server that has none left makes room for another one.
    pub(super) fn forget_servers(&mut self) {
        for number in self.servers.leaving() {
            self.servers.get(number).forgotten.notify_waiters();
            self.idle.retain(|(server, _, _)| *server != number);
            let mut is_vacant = !self.dedicated.values().any(|private| private.state().0 == Some(number));
            for connection in self.connections.iter_mut().filter(|connection| connection.server == number) {
                connection.give_up(FORGOTTEN.into());
                is_vacant &= connection.has_batch;
            }
            if is_vacant {
                self.servers.get_mut(number).membership = Membership::Vacant;
                self.connections
                    .iter_mut()
                    .filter(|connection| connection.server == number)
                    .for_each(MultiplexedConnection::expect);
            }
        }
    }

    /// A link has a connection.
    fn is_up(&mut self, index: usize, is_first: bool, dialled: Dialled) {
        let connection = &mut self.connections[index];
        connection.connected(dialled);
        connection.stats.connections.fetch_add(1, Relaxed);
        if is_first {
            // Which commands there are is asked whenever there is a new connection, which may be to another version.
            launch(&mut self.in_flight, connection, "COMMAND", InFlight::Commands(Vec::new()));
            let of = connection.server;
            self.connections
                .iter_mut()
                .filter(|connection| connection.server == of)
                .for_each(MultiplexedConnection::expect);
            let server = self.servers.get_mut(of);
            server.is_down = false;
            server.back.notify_waiters();
        }
        self.retry();
    }

    /// A link has lost its connection, and will have another one at once or not at all for now: what can wait waits.
    fn is_lost(&mut self, index: usize, reason: &LossReason) {
        if let Some(oldest) = self.connections[index].oldest() {
            self.blame(oldest);
        }
        self.connections[index].lost(reason, &mut self.in_flight);
        self.go_on_without(index);
    }

    /// A link has none.
    fn is_down(&mut self, index: usize, is_first: bool, reason: &LossReason) {
        let connection = &mut self.connections[index];
        if is_first {
            self.servers.get_mut(connection.server).is_down = true;
        }
        connection.disconnected(reason, &mut self.in_flight);
        self.go_on_without(index);
    }

    /// Goes on with what a lost connection has left.
    fn go_on_without(&mut self, index: usize) {
        let server = self.connections[index].server;
        self.idle.retain(|(of, _, _)| *of != server);
        self.complete();
        self.retry();
    }

    fn poll_connection(&mut self, index: usize, cx: &mut Context<'_>) -> Poll<LossReason> {
        let polled = self.connections[index].poll(&mut self.in_flight, cx);
        // Nothing more is written to one that is lost.
        if polled.is_ready() {
            return polled;
        }
        if let Some(commands) = self.in_flight.commands.take() {
            self.take_table(index, &commands);
        }
        self.complete();
        self.retry();
        Poll::Pending
    }

    /// Takes note of what an upstream has said of its commands.
    fn take_table(&mut self, index: usize, commands: &[u8]) {
        let connection = &self.connections[index];
        let upstream = &connection.stats.address;
        let table = KeyTable::read(commands);
        if self.router.is_some() && !table.as_ref().is_some_and(KeyTable::has_keys) {
            self.is_table_refused = true;
            tracing::warn!(upstream, "the upstream does not say which commands have keys (COMMAND)");
        }
        if table.is_some_and(|table| self.tables.insert(connection.server, table)) {
            tracing::warn!(
                upstream,
                "upstreams differ in their commands (COMMAND): keys are what any of them takes for keys"
            );
        }
    }
}
