//! Chooses the connection for each request of a batch.

use super::{
    dedicated_handle::{DedicatedHandle, DedicatedRoute},
    retries::HAS_MOVED,
    state::ProxyState,
};
use crate::{
    Client, Error, Value,
    batch::{ActorId, CommandRef},
    client::ClientFlag,
    command::Request,
    dispatch::ClientBatch,
    proxy::{
        conn::{DedicatedTarget, InFlightId, PoolKey},
        routing::{Readiness, Rewrite, Route, Split},
        wire::{CommandKind, Words, cross_slot, kind_of_words, name_of},
    },
};

/// The destination of a request of a batch.
pub(super) enum Destination {
    /// The multiplexed connection with this index.
    ///
    /// The second number counts the following requests that must use the same connection.
    MultiplexedConnection(usize, u32),
    /// A connection to this upstream without other clients' requests.
    Isolated(usize),
    /// Several upstreams.
    Split(Split),
    /// The dedicated connection of the client.
    ///
    /// An upstream that is `None` is the current one. An error is the reply.
    DedicatedConnection(CommandKind, Result<DedicatedTarget, Error>),
    /// None: this is the reply.
    Reply(Value),
    /// The multiplexed connection with this index, but it is down. The numbers are as above.
    Down(usize, u32),
    /// Not known yet, or the connection has too many unsent bytes. The batch waits.
    Wait,
}

impl From<Error> for Destination {
    fn from(error: Error) -> Self {
        Destination::Reply(Value::Error(error))
    }
}

impl ProxyState {
    /// Returns the destination of the next request of a batch, if the proxy can send it now.
    pub(super) fn next_destination(&mut self, batch: &ClientBatch, actor_id: ActorId) -> Option<Destination> {
        let mut upcoming = batch.upcoming_with_room(actor_id);
        let first = upcoming.next().filter(|_| batch.client.is_connected())?;
        Some(self.destination(batch, first, upcoming, None))
    }

    /// Returns the destination of a request.
    ///
    /// `rest` yields the requests that follow it. `previous` is the connection of the request before it,
    /// which accepts more requests.
    pub(super) fn destination(
        &mut self,
        batch: &ClientBatch,
        (request, target): (u32, CommandRef),
        rest: impl Iterator<Item = (u32, CommandRef)>,
        previous: Option<usize>,
    ) -> Destination {
        let Some(request) = batch.request(request) else { return Destination::Wait };
        let row = target.row.index();
        let words = Words::Client(&request);
        let kind = self.routing.kind(words, row);
        match kind {
            CommandKind::Refused | CommandKind::Own => return refusal(&request, row).into(),
            CommandKind::ReadMode => return self.reply_to_read_mode(&request, row),
            _ => {}
        }
        // The proxy was ready for the request before this one.
        let readiness = match previous {
            Some(_) => Readiness::Ready,
            None => self.routing.readiness(&self.pool.servers, Some(request.client())),
        };
        match readiness {
            _ if self.is_starting => return Destination::Wait,
            Readiness::Ready => {}
            Readiness::Soon => return Destination::Wait,
            Readiness::Not(error) => return error.into(),
        }
        if !self.dedicated.is_empty()
            && let Some(destination) = self.dedicated_destination(words, request.client(), kind)
        {
            return destination;
        }
        let number = request.client().id();
        let is_isolated = self.is_isolated(batch, words);
        let (server, following) = match kind {
            CommandKind::Plain => match self.route(words, request.client(), false) {
                Route::To(server) => (server, 0),
                // The connection of the previous request is as good as any.
                Route::Any => match previous.filter(|_| !is_isolated) {
                    Some(connection) => return Destination::MultiplexedConnection(connection, 0),
                    None => (self.pool.servers.any(number), 0),
                },
                Route::Split(split) => return Destination::Split(split),
                Route::Rewrite(rewrite) => return self.rewritten(rewrite, number),
                Route::Listen { .. } => return Error::CROSS_SLOT.into(),
                Route::Reply(reply) => return Destination::Reply(reply),
            },
            CommandKind::Exec | CommandKind::Discard | CommandKind::Unwatch => {
                (self.pool.servers.any(number), 0)
            }
            // A transaction needs no dedicated connection if all its requests have arrived.
            CommandKind::Multi => match self.rest_of_transaction(batch, rest).filter(|_| !is_isolated) {
                Some((rest, server)) => (server.unwrap_or_else(|| self.pool.servers.any(number)), rest),
                None => return Destination::DedicatedConnection(kind, Ok(DedicatedTarget::default())),
            },
            _ => {
                return match self.route(words, request.client(), false) {
                    Route::To(server) => Destination::DedicatedConnection(kind, Ok(Some(server).into())),
                    Route::Any => {
                        let server = self.pool.servers.any(number);
                        Destination::DedicatedConnection(kind, Ok(Some(server).into()))
                    }
                    Route::Rewrite(rewrite) => self.rewritten(rewrite, number),
                    Route::Listen { prefix } => {
                        let server = self.publishers.first();
                        let to = DedicatedTarget { server, listen: Some(prefix), rewritten: None };
                        Destination::DedicatedConnection(kind, Ok(to))
                    }
                    Route::Split(_) => Error::CROSS_SLOT.into(),
                    Route::Reply(reply) => Destination::Reply(reply),
                };
            }
        };
        if is_isolated {
            return Destination::Isolated(server);
        }
        if let Some(connection) =
            previous.filter(|connection| self.pool.connections[*connection].server == server)
        {
            return Destination::MultiplexedConnection(connection, following);
        }
        self.multiplexed_destination(server, request.client(), following)
    }

    /// Returns the destination of a request that the router has rewritten, without a dedicated connection so far.
    fn rewritten(&mut self, mut rewrite: Rewrite, number: u64) -> Destination {
        let any = self.pool.servers.any(number);
        match kind_of_words(Words::Own(&rewrite.words)) {
            CommandKind::Plain => Destination::Split(rewrite.into_split(any)),
            kind @ (CommandKind::Blocks | CommandKind::Watch | CommandKind::Subscribe(_)) => {
                rewrite.server.get_or_insert(any);
                Destination::DedicatedConnection(kind, Route::Rewrite(rewrite).into_dedicated())
            }
            _ => Error::CROSS_SLOT.into(),
        }
    }

    /// Replies to `READONLY` and `READWRITE`. The router decides which server a read goes to, whatever the client accepts.
    fn reply_to_read_mode(&mut self, request: &Request<'_>, row: usize) -> Destination {
        let is_in_transaction =
            self.dedicated_route(request.client()).is_some_and(|route| route.is_in_transaction);
        if request.len() > 1 {
            request.wrong_arity_of(1).into()
        } else if is_in_transaction {
            refusal(request, row).into()
        } else if self.routing.has_router() {
            Destination::Reply(Value::Simple("OK".to_owned()))
        } else {
            NO_CLUSTER.into()
        }
    }

    /// Returns a multiplexed connection to this upstream, if it is up and accepts requests.
    fn multiplexed_destination(&mut self, server: usize, client: &Client, following: u32) -> Destination {
        let index = self.pool.connection_for(server, PoolKey::of(client), client.id());
        let connection = &self.pool.connections[index];
        if connection.down().is_some() {
            Destination::Down(index, following)
        } else if connection.is_full() {
            Destination::Wait
        } else {
            Destination::MultiplexedConnection(index, following)
        }
    }

    /// Returns the destination of a request whose client has a dedicated connection.
    ///
    /// Returns `None` if the request needs no dedicated connection.
    fn dedicated_destination(
        &mut self,
        words: Words<'_>,
        client: &Client,
        mut kind: CommandKind,
    ) -> Option<Destination> {
        let DedicatedRoute { server: current, is_in_transaction } = self.dedicated_route(client)?;
        // These commands refer to the state of the dedicated connection.
        if matches!(
            kind,
            CommandKind::Multi
                | CommandKind::Exec
                | CommandKind::Discard
                | CommandKind::Unwatch
                | CommandKind::Unsubscribe(_)
        ) {
            return Some(Destination::DedicatedConnection(kind, Ok(DedicatedTarget::default())));
        }
        // A plain command outside a transaction may use another connection.
        let may_go_elsewhere = kind == CommandKind::Plain && !is_in_transaction;
        let to = match self.route(words, client, true) {
            Route::To(server) if may_go_elsewhere && current.is_some_and(|current| current != server) => {
                return None;
            }
            Route::Split(_) | Route::Reply(_) if may_go_elsewhere => return None,
            Route::Rewrite(rewrite) => {
                kind = kind_of_words(Words::Own(&rewrite.words));
                if kind == CommandKind::Plain && !is_in_transaction {
                    return None;
                }
                Route::Rewrite(rewrite).into_dedicated()
            }
            route => route.into_dedicated(),
        };
        let to = match (to, current) {
            (Ok(DedicatedTarget { server: Some(server), .. }), Some(current)) if server != current => {
                Err(self.crossing(words, client, current))
            }
            (to, _) => to,
        };
        let is_anywhere = kind == CommandKind::Plain
            && is_in_transaction
            && current.is_none()
            && matches!(to, Ok(DedicatedTarget { server: None, .. }))
            && self.routing.is_queued(words);
        let kind = if is_anywhere { CommandKind::QueuedAnywhere } else { kind };
        Some(Destination::DedicatedConnection(kind, to))
    }

    /// Returns the error for a request that belongs to another upstream than that of the client's dedicated connection.
    ///
    /// Keys move in a failover, for example. Then the client may try the transaction again.
    fn crossing(&mut self, words: Words<'_>, client: &Client, current: usize) -> Error {
        let handle = self.dedicated.get(&client.identity());
        let Some(first) = handle.map(DedicatedHandle::first_words).filter(|words| !words.is_empty()) else {
            return Error::CROSS_SLOT;
        };
        let first = Words::Own(&first);
        match self.route(first, client, true).into_one() {
            Ok(Some(now)) if now != current => HAS_MOVED,
            _ => match [first, words].map(|words| self.routing.a_key(words)) {
                [Some(first), Some(second)] => {
                    cross_slot(&self.routing.without_prefix(first, client), &second)
                }
                _ => Error::CROSS_SLOT,
            },
        }
    }

    /// Returns what routing has to know about the client's dedicated connection.
    ///
    /// Removes the dedicated connection if the client has sent `RESET`.
    pub(super) fn dedicated_route(&mut self, client: &Client) -> Option<DedicatedRoute> {
        let identity = client.identity();
        let route = self.dedicated.get(&identity)?.route();
        let was_reset = client.is(ClientFlag::WasReset);
        client.set(ClientFlag::WasReset, false);
        if was_reset {
            self.dedicated.remove(&identity);
        }
        (!was_reset).then_some(route)
    }

    /// Returns whether a request of a batch gets a connection without other clients' requests.
    fn is_isolated(&self, batch: &ClientBatch, words: Words<'_>) -> bool {
        let max = self.pool.servers.max_request_len;
        // The first comparison is cheap, and enough for most batches.
        batch.requests.bytes() > max && words.max_encoded_len() > max
            || self.blamed.is_isolated(&batch.client)
    }

    /// Returns whether a request of an entry gets a connection without other clients' requests.
    pub(super) fn is_isolated_request(&self, id: InFlightId, position: u32) -> bool {
        let mut is_large = false;
        self.in_flight.with_words(id, position, |words| {
            is_large = words.max_encoded_len() > self.pool.servers.max_request_len;
        });
        is_large || self.in_flight.client(id).is_some_and(|client| self.blamed.is_isolated(client))
    }

    fn route(&mut self, words: Words<'_>, client: &Client, is_in_transaction: bool) -> Route {
        let route = self.routing.route(words, client, &mut self.pool.servers, is_in_transaction);
        if matches!(route, Route::Listen { .. }) {
            self.update_publishers();
        }
        route
    }

    /// Returns the number of requests after a `MULTI`, up to its `EXEC` or `DISCARD`, and their upstream.
    ///
    /// Returns `None` if the end has not arrived, if a request needs another connection, or if the transaction is empty.
    fn rest_of_transaction(
        &mut self,
        batch: &ClientBatch,
        upcoming: impl Iterator<Item = (u32, CommandRef)>,
    ) -> Option<(u32, Option<usize>)> {
        let mut server = None;
        for (previous, (index, target)) in (0..).zip(upcoming) {
            let request = batch.request(index)?;
            let words = Words::Client(&request);
            if self.is_isolated(batch, words) {
                return None;
            }
            match self.routing.kind(words, target.row.index()) {
                CommandKind::Exec | CommandKind::Discard if request.len() == 1 => {
                    return (previous > 0).then_some((previous + 1, server));
                }
                CommandKind::Subscribe(_)
                | CommandKind::Unsubscribe(_)
                | CommandKind::ReadMode
                | CommandKind::Refused
                | CommandKind::Own => return None,
                CommandKind::Multi | CommandKind::Exec | CommandKind::Discard | CommandKind::Unwatch => {}
                _ => match self.route(words, request.client(), true).into_one().ok()? {
                    Some(to) if server.is_some_and(|server| server != to) => return None,
                    to => server = server.or(to),
                },
            }
        }
        None
    }
}

/// The reply of a server that is not in cluster mode to `READONLY`.
const NO_CLUSTER: Error = Error::from_static("ERR This instance has cluster support disabled");

/// Returns the error for a command that the proxy does not send on.
fn refusal(request: &Request<'_>, row: usize) -> Error {
    match (request.is("CLIENT"), request.len()) {
        (true, 1) => request.wrong_arity_of(1),
        (true, _) => request.unknown_subcommand("CLIENT"),
        (false, _) => Error::err(format_args!("{} cannot be sent on to an upstream", name_of(row))),
    }
}
