//! Keeps multiplexed connections open, and reacts when one is opened, lost or silent.

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
use bytes::Bytes;
use tokio::sync::Notify;

use super::state::ProxyState;
use crate::{
    proxy::{
        conn::{Dialled, InFlight, InFlightTable, MultiplexedConnection, PoolKey, Silence, Upstream, dial},
        pool::FORGOTTEN,
        wire::{LossReason, Words},
    },
    resp::Backoff,
};

/// Interval between two checks of all connections.
pub(super) const TICK: Duration = Duration::from_secs(1);

/// Minimum time between two attempts to open a connection that was lost.
pub(super) const RECONNECT_EVERY: Duration = Duration::from_millis(100);

/// Minimum time between two log lines about losses of the same connection.
pub(super) const LOG_EVERY: Duration = Duration::from_secs(60);

/// Keeps a multiplexed connection open until the proxy stops.
///
/// `is_first` marks the first connection of an upstream, which decides whether the upstream is up.
pub(super) async fn keep_up(proxy: Weak<RefCell<ProxyState>>, index: usize, is_first: bool) {
    let mut backoff = Backoff::default();
    let mut down_logged = false;
    let mut loss_logged: Option<Instant> = None;
    let mut failing_since: Option<Instant> = None;
    if is_first && let Some(proxy) = proxy.upgrade() {
        let proxy = proxy.borrow();
        proxy.feed_from(proxy.pool.connections[index].server);
    }
    loop {
        let Some((upstream, key, wakeup)) =
            proxy.upgrade().map(|proxy| proxy.borrow_mut().dial_settings(index))
        else {
            return;
        };
        let Some(upstream) = upstream else {
            let Some(proxy) = proxy.upgrade() else { return };
            proxy.borrow_mut().block(index, is_first);
            drop(proxy);
            wakeup.notified().await;
            (backoff, down_logged, failing_since) = (Backoff::default(), false, None);
            continue;
        };
        let lost = match dial(&upstream, key).await {
            Ok(dialled) => {
                failing_since = None;
                if mem::take(&mut down_logged) {
                    tracing::info!(upstream = upstream.address, "the upstream is up again");
                }
                let since = Instant::now();
                let Some(lost) = serve(&proxy, index, is_first, dialled).await else { return };
                if lost != LossReason::Detached
                    && loss_logged.is_none_or(|logged| logged.elapsed() > LOG_EVERY)
                {
                    loss_logged = Some(Instant::now());
                    tracing::warn!(
                        upstream = upstream.address,
                        reason = %lost,
                        "a connection to the upstream was lost"
                    );
                }
                // The upstream may have closed only this connection, so requests wait for the next one.
                backoff.reset();
                let Some(proxy) = proxy.upgrade() else { return };
                proxy.borrow_mut().on_lost(index, is_first, &lost);
                drop(proxy);
                sleep(RECONNECT_EVERY.saturating_sub(since.elapsed())).await;
                continue;
            }
            Err(reason) => {
                let Some(proxy) = proxy.upgrade() else { return };
                // The requests wait until the slow command has ended, or for the reply timeout.
                if reason == LossReason::NoAnswer && proxy.borrow().may_be_busy(index) {
                    continue;
                }
                reason
            }
        };
        if failing_since.get_or_insert_with(Instant::now).elapsed() < upstream.down_after {
            sleep(RECONNECT_EVERY).await;
            continue;
        }
        if !mem::replace(&mut down_logged, true) {
            tracing::warn!(upstream = upstream.address, reason = %lost, "the upstream is down");
        }
        let Some(proxy) = proxy.upgrade() else { return };
        proxy.borrow_mut().on_down(index, is_first, &lost);
        drop(proxy);
        // Another connection to the upstream ends the wait when it is open.
        let _ = timeout(backoff.next_delay(), wakeup.notified()).await;
    }
}

/// Reads and writes a connection until it is lost. Returns `None` if the proxy has stopped.
async fn serve(
    proxy: &Weak<RefCell<ProxyState>>,
    index: usize,
    is_first: bool,
    dialled: Dialled,
) -> Option<LossReason> {
    proxy.upgrade()?.borrow_mut().on_up(index, is_first, dialled);
    let lost = poll_fn(|cx| match proxy.upgrade() {
        Some(proxy) => proxy.borrow_mut().poll_connection(index, cx).map(Some),
        None => Poll::Ready(None),
    })
    .await?;
    proxy.upgrade()?.borrow().pool.connections[index].stats.connections.fetch_sub(1, Relaxed);
    Some(lost)
}

impl ProxyState {
    /// Returns the settings for opening a connection. The upstream is `None` if its server is forgotten.
    fn dial_settings(&mut self, index: usize) -> (Option<Rc<Upstream>>, PoolKey, Rc<Notify>) {
        let connection = &mut self.pool.connections[index];
        let server = self.pool.servers.get(connection.server);
        connection.is_suspended = !server.is_member();
        // Another server may have taken the number of the forgotten one.
        connection.stats = Arc::clone(&server.stats);
        let upstream = server.is_member().then(|| Rc::clone(&server.upstream));
        (upstream, connection.key, Rc::clone(&server.wakeup))
    }

    /// Returns whether the upstream of a connection may be busy with a slow command.
    fn may_be_busy(&self, index: usize) -> bool {
        self.pool.servers.get(self.pool.connections[index].server).may_be_busy()
    }

    /// Marks a connection as down while its forgotten server has no successor.
    fn block(&mut self, index: usize, is_first: bool) {
        if is_first {
            self.routing.forget(self.pool.connections[index].server);
        }
        self.on_down(index, is_first, &FORGOTTEN.into());
    }

    /// Updates the proxy after a connection was opened.
    fn on_up(&mut self, index: usize, is_first: bool, dialled: Dialled) {
        let connection = &mut self.pool.connections[index];
        connection.connected(dialled);
        connection.stats.connections.fetch_add(1, Relaxed);
        let (number, stats) = (connection.server, Arc::clone(&connection.stats));
        if is_first {
            // The upstream may have restarted as another version with other commands.
            launch(&mut self.in_flight, connection, "COMMAND", InFlight::Commands(Vec::new()));
        }
        self.reached(number, &stats);
        self.upstreams_changed();
    }

    /// Updates the proxy after a connection was lost. Unsent requests wait for the next attempt.
    fn on_lost(&mut self, index: usize, is_first: bool, reason: &LossReason) {
        if is_first {
            self.routing.lost_connection();
        }
        self.blame(self.pool.connections[index].oldest());
        self.pool.connections[index].lost(reason, &mut self.in_flight);
        self.continue_without(index);
    }

    /// Updates the proxy after an attempt to open a connection failed.
    fn on_down(&mut self, index: usize, is_first: bool, reason: &LossReason) {
        let connection = &mut self.pool.connections[index];
        if is_first {
            self.pool.servers.get_mut(connection.server).is_down = true;
        }
        connection.disconnected(reason, &mut self.in_flight);
        self.continue_without(index);
    }

    /// Continues with the requests of a connection that was lost.
    fn continue_without(&mut self, index: usize) {
        let server = self.pool.connections[index].server;
        self.pool.close_idle(server);
        self.complete();
        self.upstreams_changed();
    }

    fn poll_connection(&mut self, index: usize, cx: &mut Context<'_>) -> Poll<LossReason> {
        let polled = self.pool.connections[index].poll(&mut self.in_flight, cx);
        // The connection is lost, and `on_lost` continues with its requests.
        if polled.is_ready() {
            return polled;
        }
        if let Some(commands) = self.in_flight.commands.take() {
            let connection = &self.pool.connections[index];
            self.routing.store_table(connection.server, &connection.stats.address, &commands);
            self.publish_commands();
        }
        self.complete();
        self.retry_waiting();
        Poll::Pending
    }

    /// Checks all connections, once a second.
    pub(super) fn tick(&mut self) {
        for index in 0..self.pool.connections.len() {
            self.check_replies(index);
        }
        self.refresh_publishers();
        let ProxyState { pool, in_flight, dedicated, .. } = self;
        in_flight.shrink();
        let has_dedicated = |server| dedicated.values().any(|handle| handle.route().server == Some(server));
        pool.close_forgotten(has_dedicated);
        self.blamed.forgive();
        self.drop_tracking();
        self.drop_feeds();
        self.retry_waiting();
    }

    /// Closes a connection whose replies are overdue, leaves it to a slow command, or sends `PING` if it is idle.
    fn check_replies(&mut self, index: usize) {
        let silence = self.pool.connections[index].tick();
        let connection = &self.pool.connections[index];
        let reply_timeout = self.pool.servers.get(connection.server).upstream.reply_timeout_seconds();
        match silence {
            Silence::Waited(1..) if self.should_detach(connection) => self.detach(index),
            Silence::Waited(seconds) if seconds >= reply_timeout => {
                let reason = LossReason::Silence(Duration::from_secs(seconds.into()));
                self.pool.connections[index].give_up(reason);
            }
            Silence::Idle(seconds) if seconds >= reply_timeout => {
                let connection = &mut self.pool.connections[index];
                launch(&mut self.in_flight, connection, "PING", InFlight::Discard);
            }
            _ => {}
        }
    }
}

/// Sends a request of the proxy itself, such as `PING`.
fn launch(
    in_flight: &mut InFlightTable,
    connection: &mut MultiplexedConnection,
    command: &'static str,
    requests: InFlight,
) {
    let id = in_flight.next_id();
    connection.write(id, 0, false, Words::Own(&[Bytes::from_static(command.as_bytes())]));
    in_flight.insert(id, requests);
    connection.flush();
}
