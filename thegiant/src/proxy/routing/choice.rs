//! Chooses an upstream for each request.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    ErrorReply, Redirect, Refresh, Route, Router, UpstreamRequest,
    key_table::{KeyPositions, KeyTable},
    prefix::{Effect, Prefix},
    published::PublishedCommands,
    tables::Tables,
};
use crate::{
    Client, Error, Value,
    acl::Described,
    client::ClientFlag,
    proxy::{
        guarded::guarded,
        pool::Servers,
        wire::{CommandKind, Words, kind_of},
    },
};

/// The application's router, and what the upstreams say about their commands.
pub(crate) struct Routing {
    /// `None` with a single upstream.
    router: Option<Box<dyn Router>>,
    /// The prefix that all keys of clients get.
    prefix: Option<Prefix>,
    /// The key tables of the upstreams that have replied to `COMMAND`.
    tables: Tables,
    /// An upstream replied to `COMMAND` without the positions of keys.
    is_table_refused: bool,
    /// A connection was lost before the upstream had replied to `COMMAND`, and no upstream has replied to it yet.
    has_failed: bool,
    /// Gets the commands of the upstreams, for the connections of clients.
    published: Option<Arc<PublishedCommands>>,
}

/// Whether the proxy can choose upstreams.
pub(crate) enum Readiness {
    Ready,
    /// Not yet, so requests wait.
    Soon,
    /// No. The error is the reply to each request.
    Not(Error),
}

/// How to handle an error reply that may be a redirect.
pub(crate) enum Follow {
    /// Send the request to this server.
    Redirect(Redirect),
    /// Wait for this future, and ask again.
    Refresh(Refresh),
}

impl Routing {
    pub(crate) fn new(router: Option<Box<dyn Router>>, prefix: Option<Prefix>) -> Self {
        Routing {
            router,
            prefix,
            tables: Tables::default(),
            is_table_refused: false,
            has_failed: false,
            published: None,
        }
    }

    pub(crate) fn has_router(&self) -> bool {
        self.router.is_some()
    }

    /// Returns whether the proxy can choose upstreams. A router needs the key tables to find the keys.
    /// So does a client with a key prefix.
    pub(crate) fn readiness(&self, servers: &Servers, client: Option<&Client>) -> Readiness {
        let needs_keys = self.needs_keys() || client.is_some_and(|client| client.is(ClientFlag::Tenant));
        if !needs_keys || self.tables.has_keys() {
            return Readiness::Ready;
        }
        if servers.are_all_down() {
            return Readiness::Not(ALL_DOWN);
        }
        if self.is_table_refused || self.has_failed { Readiness::Not(NO_TABLE) } else { Readiness::Soon }
    }

    /// Returns whether requests wait for the key tables.
    fn needs_keys(&self) -> bool {
        self.router.is_some() || self.prefix.is_some()
    }

    /// Returns the prefix that all keys of clients get.
    pub(crate) fn prefix(&self) -> Option<&Prefix> {
        self.prefix.as_ref()
    }

    /// Returns the route of a client's request. Its keys get the prefix of the proxy, and that of the client.
    pub(crate) fn route(
        &mut self,
        words: Words<'_>,
        client: &Client,
        servers: &mut Servers,
        is_in_transaction: bool,
    ) -> Route {
        let Some(prefix) = Prefix::of(self.prefix.as_ref(), client) else {
            return self.route_as_is(words, servers, is_in_transaction);
        };
        let known = self.tables.union().and_then(|table| table.find(words));
        match prefix.apply(&UpstreamRequest::new(words, known, is_in_transaction)) {
            Effect::None => self.route_as_is(words, servers, is_in_transaction),
            Effect::Refuse(error) => error.into(),
            Effect::Rewrite((words, map)) => {
                match self.route_as_is(Words::Own(&words), servers, is_in_transaction) {
                    Route::Reply(Value::Error(error)) => prefix.strip_error(&error).into(),
                    route => route.rewritten(words, map),
                }
            }
        }
    }

    /// Returns the route that the router chooses, or the only upstream without a router.
    pub(crate) fn route_as_is(
        &mut self,
        words: Words<'_>,
        servers: &mut Servers,
        is_in_transaction: bool,
    ) -> Route {
        let Some(router) = &mut self.router else { return Route::To(0) };
        let known = self.tables.union().and_then(|table| table.find(words));
        let request = UpstreamRequest::new(words, known, is_in_transaction);
        match guarded(|| router.route(&request, servers)) {
            Some(Route::To(server)) if !servers.has(server) => no_server(servers, server).into(),
            Some(route) => route,
            None => Error::INTERNAL.into(),
        }
    }

    /// Returns the servers that publish messages of their own.
    pub(crate) fn publishers(&mut self, servers: &mut Servers) -> Vec<usize> {
        let router = self.router.as_mut();
        router.and_then(|router| guarded(|| router.publishers(servers))).unwrap_or_default()
    }

    /// Lets the router add and remove servers.
    pub(crate) fn update(&mut self, servers: &mut Servers) {
        if let Some(router) = &mut self.router {
            guarded(|| router.update(servers));
        }
    }

    /// Returns how the proxy handles a command.
    pub(crate) fn kind(&self, words: Words<'_>, row: usize) -> CommandKind {
        let kind = kind_of(row);
        if kind == CommandKind::Plain
            && let Some(table) = self.tables.union().filter(|table| table.has_blocking())
            && table.find(words).is_some_and(|known| known.is_blocking)
        {
            return CommandKind::Blocks;
        }
        kind
    }

    /// Returns one of the keys of a request, if a router chooses upstreams by keys.
    pub(crate) fn a_key(&self, words: Words<'_>) -> Option<Bytes> {
        self.router.as_ref()?;
        let known = self.tables.union().and_then(|table| table.find(words));
        KeyPositions::new(known, words).next().and_then(|index| words.get(index)).map(Bytes::copy_from_slice)
    }

    /// Returns a key as a client knows it, without the prefix of its keys.
    pub(crate) fn without_prefix(&self, key: Bytes, client: &Client) -> Bytes {
        let prefix = Prefix::of(self.prefix.as_ref(), client);
        let known = prefix.as_ref().and_then(|prefix| prefix.strip(&key)).map(Bytes::copy_from_slice);
        known.unwrap_or(key)
    }

    /// Returns the keys that a request reads. Returns `None` until the upstreams have described their commands.
    pub(crate) fn keys_read<'a>(&self, words: Words<'a>) -> Option<Vec<&'a [u8]>> {
        let table = self.tables.union()?;
        let known = table.find(words).filter(|known| known.is_readonly);
        Some(KeyPositions::new(known, words).filter_map(|index| words.get(index)).collect())
    }

    /// Returns whether every upstream queues this request after `MULTI`.
    pub(crate) fn is_queued(&self, words: Words<'_>) -> bool {
        let known = self.tables.union().and_then(|table| table.find(words));
        known.is_some_and(|known| known.is_queued(words.len()))
    }

    /// Returns how to handle the error reply of a server, or `None` if the client receives it.
    pub(crate) fn follow(&mut self, reply: &[u8], server: usize, servers: &mut Servers) -> Option<Follow> {
        let router = self.router.as_mut()?;
        let text = std::str::from_utf8(reply.strip_prefix(b"-")?).ok()?.trim_end();
        let error = ErrorReply::new(text, server);
        let redirect = guarded(|| router.redirect(&error, servers))?;
        match redirect.filter(|redirect| servers.has(redirect.server)) {
            Some(redirect) => Some(Follow::Redirect(redirect)),
            None => guarded(|| router.refresh(&error))?.map(Follow::Refresh),
        }
    }

    /// Stores the reply of an upstream to `COMMAND`.
    pub(crate) fn store_table(&mut self, server: usize, upstream: &str, reply: &[u8]) {
        let table = KeyTable::read(reply);
        let has_keys = table.as_ref().is_some_and(KeyTable::has_keys);
        self.is_table_refused |= !has_keys;
        if self.needs_keys() && !has_keys {
            tracing::warn!(upstream, "the upstream does not list the keys of its commands (COMMAND)");
        }
        if table.is_some_and(|table| self.tables.insert(server, table)) {
            tracing::warn!(
                upstream,
                "upstreams differ in their commands (COMMAND): a word is a key if any upstream treats it as a key"
            );
        }
    }

    /// Notes that a connection was lost on which an upstream may have had to reply to `COMMAND`.
    ///
    /// Requests that need the reply no longer wait: the next connection may be lost in the same way.
    pub(crate) fn lost_connection(&mut self) {
        self.has_failed = self.tables.union().is_none();
    }

    /// Publishes the commands of the upstreams from now on.
    pub(crate) fn publish_to(&mut self, published: Arc<PublishedCommands>) {
        self.published = Some(published);
    }

    /// Publishes the commands of the upstreams. Until one has described them, `may_come` says whether one may do so soon.
    pub(crate) fn publish(&self, may_come: bool) {
        let Some(published) = &self.published else { return };
        let table = self.tables.shared();
        let described = match table {
            Some(_) => Described::Yes,
            None if !may_come => Described::No,
            None if self.is_table_refused => Described::Yes,
            None if self.has_failed => Described::No,
            None => Described::Soon,
        };
        published.publish(described, table);
    }

    /// Removes the commands of an upstream.
    pub(crate) fn forget(&mut self, server: usize) {
        self.tables.remove(server);
    }
}

/// Returns the error for a route to a removed server, or to a number without a server.
pub(crate) fn no_server(servers: &Servers, server: usize) -> Error {
    if server < servers.len() { SERVER_REMOVED } else { Error::INTERNAL }
}

const SERVER_REMOVED: Error =
    Error::from_static("UPSTREAMDOWN the server has been removed: the command was not sent");

const ALL_DOWN: Error =
    Error::from_static("UPSTREAMDOWN no upstream can be reached: the command was not sent");

const NO_TABLE: Error = Error::from_static(
    "UPSTREAMDOWN no upstream lists the keys of its commands (COMMAND): the command was not sent",
);
