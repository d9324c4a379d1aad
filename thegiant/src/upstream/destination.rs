//! Chooses the connection for each request of a batch.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{
    commands::{CommandKind, kind_of, name_of},
    dedicated::DedicatedConnection,
    dial::PoolKey,
    key_table::KeyTable,
    proxy::ProxyState,
    router::{Request, Route, Router, Split, Words},
    servers::Servers,
};
use crate::{
    Client, Error, Value,
    batch::{ActorId, CommandRef},
    client::ClientFlag,
    command::Call,
    dispatch::ClientBatch,
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
    /// The result is the number of the upstream, or `None` for the current one. An error is the reply.
    DedicatedConnection(CommandKind, Result<Option<usize>, Error>),
    /// None: this is the reply.
    Reply(Value),
    /// The multiplexed connection with this index, but it is down.
    Down(usize),
    /// Not known yet, or the connection has too many unsent bytes. The batch waits.
    Wait,
}

/// Whether the proxy can choose destinations.
pub(super) enum Readiness {
    Ready,
    /// Not yet, so requests wait.
    Soon,
    /// No. The error is the reply to each request.
    Not(Error),
}

/// Runs code of the application. Returns `None` if it panics.
pub(super) fn guarded<T>(run: impl FnOnce() -> T) -> Option<T> {
    let done = catch_unwind(AssertUnwindSafe(run));
    done.inspect_err(|_| tracing::error!("a router has panicked")).ok()
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
        let Some(call) = batch.call(request) else { return Destination::Wait };
        let row = target.row.index();
        let words = Words::Call(&call);
        let kind = self.kind(words, row);
        if matches!(kind, CommandKind::Refused | CommandKind::Own) {
            return refusal(&call, row).into();
        }
        match self.readiness() {
            Readiness::Ready => {}
            Readiness::Soon => return Destination::Wait,
            Readiness::Not(error) => return error.into(),
        }
        if !self.dedicated.is_empty()
            && let Some(destination) = self.dedicated_destination(words, call.client(), kind)
        {
            return destination;
        }
        let number = call.client().id();
        let is_isolated = self.is_isolated(batch, words);
        let (server, following) = match kind {
            CommandKind::Plain => match self.route(words, false) {
                Route::To(server) => (server, 0),
                // The connection of the previous request is as good as any.
                Route::Any => match previous.filter(|_| !is_isolated) {
                    Some(connection) => return Destination::MultiplexedConnection(connection, 0),
                    None => (self.servers.any(number), 0),
                },
                Route::Split(split) => return Destination::Split(split),
                Route::Reply(reply) => return Destination::Reply(reply),
            },
            CommandKind::Exec | CommandKind::Discard | CommandKind::Unwatch => (self.servers.any(number), 0),
            // A transaction needs no dedicated connection if all its requests have arrived.
            CommandKind::Multi => match self.rest_of_transaction(batch, rest).filter(|_| !is_isolated) {
                Some((rest, server)) => (server.unwrap_or_else(|| self.servers.any(number)), rest),
                None => return Destination::DedicatedConnection(kind, Ok(None)),
            },
            _ => {
                return match self.route(words, false) {
                    Route::To(server) => Destination::DedicatedConnection(kind, Ok(Some(server))),
                    Route::Any => Destination::DedicatedConnection(kind, Ok(Some(self.servers.any(number)))),
                    Route::Split(_) => Error::CROSS_SLOT.into(),
                    Route::Reply(reply) => Destination::Reply(reply),
                };
            }
        };
        if is_isolated {
            return Destination::Isolated(server);
        }
        if let Some(connection) = previous.filter(|connection| self.connections[*connection].server == server)
        {
            return Destination::MultiplexedConnection(connection, following);
        }
        self.multiplexed_destination(server, call.client(), following)
    }

    /// Returns a multiplexed connection to this upstream, if it is up and accepts requests.
    fn multiplexed_destination(&mut self, server: usize, client: &Client, following: u32) -> Destination {
        let index = self.connection_for(server, PoolKey::of(client), client.id());
        let connection = &self.connections[index];
        if connection.down().is_some() {
            Destination::Down(index)
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
        kind: CommandKind,
    ) -> Option<Destination> {
        let (current, is_in_transaction) = self.dedicated_state(client)?;
        // These commands refer to the state of the dedicated connection.
        if matches!(
            kind,
            CommandKind::Multi
                | CommandKind::Exec
                | CommandKind::Discard
                | CommandKind::Unwatch
                | CommandKind::Unsubscribe(_)
        ) {
            return Some(Destination::DedicatedConnection(kind, Ok(None)));
        }
        // A plain command outside a transaction may use another connection.
        let may_go_elsewhere = kind == CommandKind::Plain && !is_in_transaction;
        let to = match self.route(words, true) {
            Route::To(server) if may_go_elsewhere && current.is_some_and(|current| current != server) => {
                return None;
            }
            Route::Split(_) | Route::Reply(_) if may_go_elsewhere => return None,
            route => route.into_one(),
        };
        let is_anywhere = kind == CommandKind::Plain
            && is_in_transaction
            && current.is_none()
            && matches!(to, Ok(None))
            && self.is_queued(words);
        let kind = if is_anywhere { CommandKind::QueuedAnywhere } else { kind };
        Some(Destination::DedicatedConnection(kind, to))
    }

    /// Returns whether every upstream queues this request after `MULTI`.
    fn is_queued(&self, words: Words<'_>) -> bool {
        let known = self.tables.union().and_then(|table| table.find(words));
        known.is_some_and(|known| known.is_queued(words.len()))
    }

    /// Returns the upstream of a client's dedicated connection, and whether a transaction is open there.
    ///
    /// Removes the dedicated connection if the client has sent `RESET`.
    pub(super) fn dedicated_state(&mut self, client: &Client) -> Option<(Option<usize>, bool)> {
        let identity = client.identity();
        self.dedicated.get(&identity)?;
        if client.is(ClientFlag::WasReset) {
            self.dedicated.remove(&identity);
        }
        client.set(ClientFlag::WasReset, false);
        self.dedicated.get(&identity).map(DedicatedConnection::state)
    }

    /// Returns whether the proxy can choose destinations. A router needs the key tables to find the keys.
    pub(super) fn readiness(&self) -> Readiness {
        if self.router.is_none() || self.tables.has_keys() {
            return Readiness::Ready;
        }
        if (0..self.servers.len()).all(|server| !self.servers.is_up(server)) {
            return Readiness::Not(ALL_DOWN);
        }
        if self.is_table_refused { Readiness::Not(NO_TABLE) } else { Readiness::Soon }
    }

    pub(super) fn route(&mut self, words: Words<'_>, is_in_transaction: bool) -> Route {
        let ProxyState { router, tables, servers, .. } = self;
        route(router, tables.union(), servers, words, is_in_transaction)
    }

    fn kind(&self, words: Words<'_>, row: usize) -> CommandKind {
        let kind = kind_of(row);
        if kind == CommandKind::Plain
            && let Some(table) = self.tables.union().filter(|table| table.has_blocking())
            && table.find(words).is_some_and(|known| known.is_blocking)
        {
            return CommandKind::Blocks;
        }
        kind
    }

    /// Returns the number of requests after a `MULTI`, up to its `EXEC` or `DISCARD`, and their upstream.
    ///
    /// Returns `None` if the end has not arrived, or if a request needs another connection.
    fn rest_of_transaction(
        &mut self,
        batch: &ClientBatch,
        upcoming: impl Iterator<Item = (u32, CommandRef)>,
    ) -> Option<(u32, Option<usize>)> {
        let mut server = None;
        for (previous, (request, target)) in (0..).zip(upcoming) {
            let call = batch.call(request)?;
            let words = Words::Call(&call);
            if self.is_isolated(batch, words) {
                return None;
            }
            match self.kind(words, target.row.index()) {
                CommandKind::Exec | CommandKind::Discard if call.len() == 1 => {
                    return Some((previous + 1, server));
                }
                CommandKind::Subscribe(_)
                | CommandKind::Unsubscribe(_)
                | CommandKind::Refused
                | CommandKind::Own => return None,
                CommandKind::Multi | CommandKind::Exec | CommandKind::Discard | CommandKind::Unwatch => {}
                _ => match self.route(words, true).into_one().ok()? {
                    Some(to) if server.is_some_and(|server| server != to) => return None,
                    to => server = server.or(to),
                },
            }
        }
        None
    }
}

/// Returns the route that the router chooses, or the only upstream without a router.
pub(super) fn route(
    router: &mut Option<Box<dyn Router>>,
    table: Option<&KeyTable>,
    servers: &mut Servers,
    words: Words<'_>,
    is_in_transaction: bool,
) -> Route {
    let Some(router) = router else { return Route::To(0) };
    let request = Request::new(words, table.and_then(|table| table.find(words)), is_in_transaction);
    match guarded(|| router.route(&request, servers)) {
        Some(Route::To(server)) if !servers.has(server) => no_server(servers, server).into(),
        Some(route) => route,
        None => Error::INTERNAL.into(),
    }
}

/// Returns the error for a route to a removed server, or to a number without a server.
pub(super) fn no_server(servers: &Servers, server: usize) -> Error {
    if server < servers.len() { SERVER_REMOVED } else { Error::INTERNAL }
}

/// Returns the error for a command that the proxy does not send on.
fn refusal(call: &Call<'_>, row: usize) -> Error {
    match (call.is("CLIENT"), call.len()) {
        (true, 1) => call.wrong_arity_of(1),
        (true, _) => call.unknown_subcommand("CLIENT"),
        (false, _) => Error::err(format_args!("{} cannot be sent on to an upstream", name_of(row))),
    }
}

const SERVER_REMOVED: Error =
    Error::from_static("UPSTREAMDOWN the server has been removed: the command was not sent");

const ALL_DOWN: Error =
    Error::from_static("UPSTREAMDOWN no upstream can be reached: the command was not sent");

const NO_TABLE: Error = Error::from_static(
    "UPSTREAMDOWN no upstream lists the keys of its commands (COMMAND): the command was not sent",
);
