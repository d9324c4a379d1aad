//! Sends single requests: parts of a split request, and requests that have to be sent again.

use std::rc::Weak;

use bytes::Bytes;

use super::state::ProxyState;
use crate::{
    Client, Error,
    proxy::{
        conn::{
            CallError, DedicatedTarget, InFlight, InFlightId, InFlightTable, MultiplexedConnection, PoolKey,
            Retry, RetryReason,
        },
        routing::{Follow, Readiness, Redirect, Refresh, no_server},
        wire::Words,
    },
};

/// Maximum number of times that a request waits for [`Router::refresh`](crate::proxy::Router::refresh).
const MAX_REFRESHES: u32 = 5;

/// The reply to a transaction if one of its requests would have to be sent to another upstream.
pub(super) const HAS_MOVED: Error = Error::from_static(
    "TRYAGAIN a key of the transaction has moved to another server: the transaction was not run",
);

impl ProxyState {
    /// Sends a request of an entry, or replies with an error if no connection can carry it.
    pub(super) fn send_or_fail(
        &mut self,
        id: InFlightId,
        position: u32,
        to: Redirect,
        key: PoolKey,
        number: u64,
    ) {
        if !self.pool.servers.has(to.server) {
            let error = CallError::NotSent(no_server(&self.pool.servers, to.server));
            return self.in_flight.fail(id, position, &error);
        }
        if self.is_isolated_request(id, position) {
            return self.isolate(id, position, to, key);
        }
        let index = self.pool.connection_for(to.server, key, number);
        let connection = &mut self.pool.connections[index];
        if connection.down().is_some() {
            return self.in_flight.fail(id, position, &connection.refuse());
        }
        write_to(&mut self.in_flight, connection, (id, position), to.asking);
        self.pool.mark_dirty(index);
    }

    /// Sends a request to another upstream, or replies with its error if there is none.
    pub(super) fn send_again(&mut self, retry: Retry) {
        // A later request of the same entry waits, too, so that the order of a client's requests is kept.
        if self.refreshing.has(retry.id) {
            self.refreshing.push(retry);
            return;
        }
        let Retry { id, position, is_in_transaction, .. } = retry;
        let follow = match &retry.reason {
            RetryReason::Replied(server, error) => {
                self.routing.follow(error, *server, &mut self.pool.servers)
            }
            RetryReason::Unsent(_) if is_in_transaction => None,
            RetryReason::Unsent(_) => self.other_destination(id, position).map(Follow::Redirect),
        };
        match follow {
            Some(_) if is_in_transaction => {
                self.in_flight.fail(id, position, &CallError::Reply(HAS_MOVED));
            }
            Some(Follow::Redirect(to)) if self.in_flight.take_retry(id) => {
                let Some((key, number)) = self.in_flight.sender(id) else { return };
                self.send_or_fail(id, position, to, key, number);
            }
            Some(Follow::Refresh(refresh)) if retry.refreshes < MAX_REFRESHES => {
                self.wait_for(refresh, retry)
            }
            _ => match retry.reason {
                RetryReason::Replied(_, error) => self.in_flight.reply(id, position, &error),
                RetryReason::Unsent(error) => self.in_flight.fail(id, position, &error),
            },
        }
    }

    /// Keeps a request until the router has updated its data.
    fn wait_for(&mut self, refresh: Refresh, retry: Retry) {
        if !self.refreshing.push(retry) {
            return;
        }
        let proxy = Weak::clone(&self.me);
        actix_rt::spawn(async move {
            // The future is the application's code, so it may panic.
            let _ = actix_rt::spawn(refresh).await;
            if let Some(proxy) = proxy.upgrade() {
                let mut proxy = proxy.borrow_mut();
                let retries = proxy.refreshing.take();
                proxy.in_flight.retries.extend(retries);
                proxy.complete();
            }
        });
    }

    /// Returns another upstream for a request of a dedicated connection, because the one before cannot be reached.
    pub(super) fn dedicated_again(
        &mut self,
        words: &[Bytes],
        client: &Client,
        is_in_transaction: bool,
        before: Redirect,
    ) -> Redirect {
        let ProxyState { routing, pool, .. } = self;
        let route = routing.route(Words::Own(words), client, &mut pool.servers, is_in_transaction);
        let server = match route.into_dedicated() {
            Ok(DedicatedTarget { server: Some(server), .. }) => server,
            _ if pool.servers.has(before.server) => return before,
            _ => pool.servers.any(client.id()),
        };
        if server == before.server { before } else { Redirect { server, asking: false } }
    }

    /// Returns another destination for a request that was not sent.
    fn other_destination(&mut self, id: InFlightId, position: u32) -> Option<Redirect> {
        let ProxyState { pool, routing, in_flight, .. } = self;
        // Without the key tables, the router would find no keys.
        if !matches!(routing.readiness(&pool.servers, None), Readiness::Ready) {
            return None;
        }
        let mut found = None;
        in_flight.with_words(id, position, |words| {
            found = Some(routing.route_as_is(words, &mut pool.servers, false));
        });
        let server = found?.into_one().ok()?.unwrap_or_else(|| pool.servers.any(position.into()));
        Some(Redirect { server, asking: false })
    }
}

/// Writes a request of an entry, after `ASKING` if a redirect requires it.
pub(super) fn write_to(
    in_flight: &mut InFlightTable,
    connection: &mut MultiplexedConnection,
    (id, position): (InFlightId, u32),
    asking: bool,
) {
    if asking {
        let asking = in_flight.next_id();
        in_flight.insert(asking, InFlight::Discard);
        connection.write(asking, 0, false, Words::Own(&[Bytes::from_static(b"ASKING")]));
    }
    connection.count(1);
    in_flight.with_words(id, position, |words| connection.write(id, position, false, words));
}
