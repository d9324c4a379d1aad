//! Where each request of a batch goes.

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
    command::Call,
    connection::{ActorId, Batch, ClientFlag, CommandRef},
};

/// Where a request of a batch goes.
pub(super) enum Destination {
    /// By this link, with so many behind it that belong to it.
    MultiplexedConnection(usize, u32),
    /// To this upstream, by a connection without other clients' requests.
    Isolated(usize),
    /// In parts.
    Split(Split),
    /// By the connection that its client has for itself: to this one, or to the one that is there; or the error is what the
    /// client is told there.
    DedicatedConnection(CommandKind, Result<Option<usize>, Error>),
    Reply(Value),
    /// By this link, which there is not.
    Down(usize),
    /// There is no room, or it is not known yet where it goes.
    Wait,
}

/// Whether it is known where requests go.
pub(super) enum Readiness {
    Ready,
    /// It will be.
    Soon,
    /// This is answered.
    Not(Error),
}

/// Runs what the application has written. None: it has panicked.
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
    /// Where its next request goes.
    pub(super) fn next_destination(&mut self, batch: &Batch, actor_id: ActorId) -> Option<Destination> {
        let mut coming = batch.upcoming_with_room(actor_id);
        let first = coming.next().filter(|_| batch.client().is_some_and(Client::is_connected))?;
        Some(self.destination(batch, first, coming, None))
    }

    /// Where a request goes, which others come behind. The link of the one before it is known to have room.
    pub(super) fn destination(
        &mut self,
        batch: &Batch,
        (request, target): (u32, CommandRef),
        behind: impl Iterator<Item = (u32, CommandRef)>,
        before: Option<usize>,
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
        let (server, bound) = match kind {
            CommandKind::Plain => match self.route(words, false) {
                Route::To(server) => (server, 0),
                // It need not have a way of its own.
                Route::Any => match before.filter(|_| !is_isolated) {
                    Some(connection) => return Destination::MultiplexedConnection(connection, 0),
                    None => (self.servers.any(number), 0),
                },
                Route::Split(split) => return Destination::Split(split),
                Route::Reply(reply) => return Destination::Reply(reply),
            },
            CommandKind::Exec | CommandKind::Discard | CommandKind::Unwatch => (self.servers.any(number), 0),
            // A transaction that is there as a whole has no need of a connection of its own.
            CommandKind::Multi => match self.rest_of_transaction(batch, behind).filter(|_| !is_isolated) {
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
        if let Some(connection) = before.filter(|connection| self.connections[*connection].server == server) {
            return Destination::MultiplexedConnection(connection, bound);
        }
        self.multiplexed_destination(server, call.client(), bound)
    }

    /// By a link to this upstream, if there is a connection, and room.
    fn multiplexed_destination(&mut self, server: usize, client: &Client, bound: u32) -> Destination {
        let index = self.connection_for(server, PoolKey::of(client), client.id());
        let connection = &self.connections[index];
        if connection.down().is_some() {
            Destination::Down(index)
        } else if connection.is_full() {
            Destination::Wait
        } else {
            Destination::MultiplexedConnection(index, bound)
        }
    }

    /// Where a request goes whose client has a connection for itself, if not where others go.
    fn dedicated_destination(
        &mut self,
        words: Words<'_>,
        client: &Client,
        kind: CommandKind,
    ) -> Option<Destination> {
        let (own, is_in_transaction) = self.own(client)?;
        // They are about what is there.
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
        // What is neither about the connection nor about what is there need not go there.
        let is_free = kind == CommandKind::Plain && !is_in_transaction;
        let to = match self.route(words, true) {
            Route::To(server) if is_free && own.is_some_and(|own| own != server) => return None,
            Route::Split(_) | Route::Reply(_) if is_free => return None,
            route => route.into_one(),
        };
        Some(Destination::DedicatedConnection(kind, to))
    }

    /// Where the connection goes that this client has for itself, and whether it is in a transaction there.
    pub(super) fn own(&mut self, client: &Client) -> Option<(Option<usize>, bool)> {
        let identity = client.identity();
        self.dedicated.get(&identity)?;
        // It has started over: so has what it had.
        if client.is(ClientFlag::WasReset) {
            self.dedicated.remove(&identity);
        }
        client.set(ClientFlag::WasReset, false);
        self.dedicated.get(&identity).map(DedicatedConnection::state)
    }

    /// Whether it is known where requests go: without the upstreams' commands, it is not known which words are keys.
    pub(super) fn readiness(&self) -> Readiness {
        if self.router.is_none() || self.tables.has_keys() {
            return Readiness::Ready;
        }
        if (0..self.servers.len()).all(|server| !self.servers.is_up(server)) {
            return Readiness::Not(NONE_THERE);
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

    /// How many requests a transaction has that has just begun, its end included, and where it goes; if its end is there,
    /// and nothing of it needs a connection of its own.
    fn rest_of_transaction(
        &mut self,
        batch: &Batch,
        coming: impl Iterator<Item = (u32, CommandRef)>,
    ) -> Option<(u32, Option<usize>)> {
        let mut server = None;
        for (before, (request, target)) in (0..).zip(coming) {
            let call = batch.call(request)?;
            let words = Words::Call(&call);
            if self.is_isolated(batch, words) {
                return None;
            }
            match self.kind(words, target.row.index()) {
                CommandKind::Exec | CommandKind::Discard if call.len() == 1 => {
                    return Some((before + 1, server));
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

/// What the router says, if there is one.
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

/// The error for a number that the router should not have named.
pub(super) fn no_server(servers: &Servers, server: usize) -> Error {
    if server < servers.len() { NO_MEMBER } else { Error::INTERNAL }
}

/// RetryReason a request is not sent on.
fn refusal(call: &Call<'_>, row: usize) -> Error {
    match (call.is("CLIENT"), call.len()) {
        (true, 1) => call.wrong_arity_of(1),
        (true, _) => call.unknown_subcommand("CLIENT"),
        (false, _) => Error::err(format_args!("{} cannot be sent on to an upstream", name_of(row))),
    }
}

const NO_MEMBER: Error =
    Error::from_static("UPSTREAMDOWN the server has been removed: the command was not sent");

const NONE_THERE: Error =
    Error::from_static("UPSTREAMDOWN no upstream can be reached: the command was not sent");

const NO_TABLE: Error = Error::from_static(
    "UPSTREAMDOWN no upstream says which commands it has (COMMAND), so that it is not known what are keys: the command was not sent",
);
