//! The actor that owns the connections to upstreams and sends requests on.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    mem,
    rc::{Rc, Weak},
    sync::Arc,
    time::Duration,
};

use actix::{Actor, AsyncContext, Context, Handler, Message, ResponseFuture};
use bytes::Bytes;
use foldhash::quality::RandomState;
use tokio::sync::{Notify, oneshot};

use super::{
    Upstream,
    commands::CommandKind,
    dedicated::{self, DedicatedConnection},
    destination::{Destination, Readiness, guarded, no_server, route},
    dial::{Dialled, PoolKey, silence},
    handle::{Reply, UpstreamStats},
    in_flight::{
        BatchRun, InFlight, InFlightId, InFlightTable, MAX_REFRESHES, MAX_RETRIES, Requester, Retry,
        RetryReason, SplitRequest,
    },
    isolated::Blame,
    key_table::Tables,
    multiplexed::{MultiplexedConnection, Silence},
    reconnect::keep_up,
    router::{Redirect, Refresh, Route, Router, Split, Words},
    servers::{AllUpstreamStats, Servers},
};
use crate::{
    Client, Disconnected, Error, Value,
    batch::ActorId,
    client::ClientFlag,
    command::Spec,
    dispatch::ClientBatch,
    dispatch::{ACTOR_DOWN, RunBatches},
};

/// The actor that sends requests on to upstreams.
#[derive(Debug)]
pub(crate) struct Proxy(Rc<RefCell<ProxyState>>);

/// The state that the proxy shares with the tasks of its connections, on the same thread.
pub(super) struct ProxyState {
    /// A weak reference to this state, for the tasks of the connections.
    pub(super) me: Weak<RefCell<ProxyState>>,
    pub(super) servers: Servers,
    /// `None` with a single upstream.
    pub(super) router: Option<Box<dyn Router>>,
    /// The key tables of the upstreams that have replied to `COMMAND`.
    pub(super) tables: Tables,
    /// An upstream replied to `COMMAND` without the positions of keys.
    pub(super) is_table_refused: bool,
    pub(super) connections: Vec<MultiplexedConnection>,
    pub(super) in_flight: InFlightTable,
    /// Dedicated connections, by the identities of their clients.
    pub(super) dedicated: HashMap<usize, DedicatedConnection, RandomState>,
    /// Clients whose requests may have broken connections, by their identities.
    pub(super) blamed: HashMap<usize, Blame, RandomState>,
    /// Dedicated and isolated connections that their clients no longer need, for reuse.
    pub(super) idle: Vec<(usize, PoolKey, Dialled)>,
    /// Indexes of the multiplexed connections with written but unsent requests.
    pub(super) dirty: Vec<usize>,
    /// Batches that wait for space in a send buffer, or for the key tables.
    pub(super) waiting: Vec<(ClientBatch, ActorId)>,
    /// Commands of the application that wait for the key tables.
    pub(super) waiting_commands: Vec<ApplicationCommand>,
    /// Requests that wait for the future of [`Router::refresh`].
    awaiting_refresh: Vec<Retry>,
    /// The ids of these requests.
    ids_awaiting_refresh: HashSet<InFlightId, RandomState>,
    /// Number of commands that the application has sent. It spreads them over the connections.
    pub(super) command_count: u64,
}

/// A command of the application, and the channel for its reply.
type ApplicationCommand = (Vec<Bytes>, oneshot::Sender<Reply>);

/// Maximum number of requests of a batch in the first round.
///
/// Later rounds estimate the number from the lengths of the replies, so that the replies fit into the batch.
const FIRST_REQUESTS: usize = 64;

/// Maximum number of requests of a batch in a later round.
const MAX_REQUESTS: usize = 4096;

/// Maximum number of idle connections that are kept for reuse.
pub(super) const MAX_IDLE: usize = 16;

/// Interval between two checks of all connections.
pub(super) const TICK: Duration = Duration::from_secs(1);

impl std::fmt::Debug for ProxyState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProxyState").field("servers", &self.servers).finish_non_exhaustive()
    }
}

impl Proxy {
    pub(super) fn new(upstreams: Vec<Upstream>, router: Option<Box<dyn Router>>) -> (Self, AllUpstreamStats) {
        let (servers, stats) = Servers::new(upstreams);
        let proxy = Rc::new_cyclic(|me| {
            RefCell::new(ProxyState {
                me: Weak::clone(me),
                servers,
                in_flight: InFlightTable::new(router.is_some()),
                router,
                tables: Tables::default(),
                is_table_refused: false,
                connections: Vec::new(),
                dedicated: HashMap::default(),
                blamed: HashMap::default(),
                idle: Vec::new(),
                dirty: Vec::new(),
                waiting: Vec::new(),
                waiting_commands: Vec::new(),
                awaiting_refresh: Vec::new(),
                ids_awaiting_refresh: HashSet::default(),
                command_count: 0,
            })
        });
        (Proxy(proxy), stats)
    }
}

impl Actor for Proxy {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let mut proxy = self.0.borrow_mut();
        for server in 0..proxy.servers.len() {
            proxy.open(server, PoolKey::FIRST);
        }
        context.run_interval(TICK, |proxy, _| proxy.0.borrow_mut().tick());
    }
}

impl Handler<RunBatches> for Proxy {
    type Result = ();

    fn handle(&mut self, mut message: RunBatches, _: &mut Self::Context) {
        let Some(queue) = message.take_queue() else { return };
        let mut proxy = self.0.borrow_mut();
        let actor_id = queue.actor_id();
        let mut batches = queue.take();
        for batch in batches.drain(..) {
            proxy.run(batch, actor_id, FIRST_REQUESTS);
        }
        queue.give_back(batches);
        proxy.complete();
    }
}

impl Handler<Disconnected> for Proxy {
    type Result = ();

    fn handle(&mut self, Disconnected(client): Disconnected, _: &mut Self::Context) {
        let mut proxy = self.0.borrow_mut();
        proxy.dedicated.remove(&client.identity());
        proxy.blamed.remove(&client.identity());
    }
}

/// The message that sends a command of the application.
#[derive(Debug, Message)]
#[rtype(result = "Reply")]
pub(super) struct SendCommand(pub(super) Vec<Bytes>);

impl Handler<SendCommand> for Proxy {
    type Result = ResponseFuture<Reply>;

    fn handle(&mut self, SendCommand(words): SendCommand, _: &mut Self::Context) -> Self::Result {
        let (answer, reply) = oneshot::channel();
        let mut proxy = self.0.borrow_mut();
        proxy.send_command((words, answer));
        proxy.complete();
        Box::pin(async move { reply.await.unwrap_or(Err(ACTOR_DOWN)) })
    }
}

impl ProxyState {
    /// Sends the next requests of a batch on, at most `max_requests`.
    ///
    /// The batch continues when these requests have their replies.
    fn run(&mut self, batch: ClientBatch, actor_id: ActorId, max_requests: usize) {
        let mut next = Some(batch);
        while let Some(mut batch) = next.take() {
            match self.next_destination(&batch, actor_id) {
                // The batch waits for a reply, has no more requests for the proxy, or has no room for
                // replies. Or its client has disconnected.
                None => next = batch.return_to_client(),
                Some(Destination::MultiplexedConnection(connection, following)) => {
                    self.send_on(batch, actor_id, max_requests, (connection, following))
                }
                Some(Destination::Isolated(server)) => self.send_isolated(batch, actor_id, server),
                Some(Destination::Split(split)) => self.send_split(batch, actor_id, split),
                Some(Destination::DedicatedConnection(kind, to)) => {
                    next = self.send_dedicated(batch, actor_id, kind, to)
                }
                Some(Destination::Reply(reply)) => {
                    answer(&mut batch, &reply);
                    next = Some(batch);
                }
                Some(Destination::Down(connection)) => {
                    let error = self.connections[connection].refuse();
                    batch.reject(&error);
                    next = Some(batch);
                }
                Some(Destination::Wait) => self.waiting.push((batch, actor_id)),
            }
        }
    }

    fn send_on(
        &mut self,
        mut batch: ClientBatch,
        actor_id: ActorId,
        max_requests: usize,
        first: (usize, u32),
    ) {
        let id = self.in_flight.next_id();
        let count = self.write(id, &batch, actor_id, max_requests, first);
        batch.stop_timing();
        let first = batch.next_request();
        self.in_flight.insert(id, InFlight::Batch(BatchRun::new(batch, actor_id, first, count)));
    }

    /// Writes requests of a batch to multiplexed connections, and returns their number.
    ///
    /// Stops at `max_requests`, or at a request with another kind of destination. `first` is the connection
    /// of the first request, and the number of requests after it that must use the same connection.
    fn write(
        &mut self,
        id: InFlightId,
        batch: &ClientBatch,
        actor_id: ActorId,
        max_requests: usize,
        first: (usize, u32),
    ) -> u32 {
        let mut upcoming = batch.upcoming_with_room(actor_id);
        let (mut count, mut next) = (0, Some(first));
        // Consecutive requests of one connection are added to its statistics at once.
        let (mut counted, mut last) = (0, first.0);
        while let Some((connection, following)) = next {
            if connection != last {
                self.connections[last].count(count - counted);
                (counted, last) = (count, connection);
            }
            for (request, _) in upcoming.by_ref().take(following as usize + 1) {
                if let Some(call) = batch.call(request) {
                    self.connections[connection].write(id, count, following > 0, Words::Call(&call));
                    count += 1;
                }
            }
            self.mark_dirty(connection);
            let mut rest = upcoming.clone();
            next = match rest.next().filter(|_| (count as usize) < max_requests) {
                Some(request) => match self.destination(batch, request, rest, Some(connection)) {
                    Destination::MultiplexedConnection(connection, following) => {
                        Some((connection, following))
                    }
                    _ => None,
                },
                None => None,
            };
        }
        self.connections[last].count(count - counted);
        count
    }

    /// Sends the parts of a batch's next request.
    fn send_split(&mut self, mut batch: ClientBatch, actor_id: ActorId, split: Split) {
        let (key, number) = (PoolKey::of(&batch.client), batch.client.id());
        batch.stop_timing();
        self.insert_split(Requester::Batch(batch, actor_id), key, number, split);
    }

    fn insert_split(
        &mut self,
        requester: Requester,
        key: PoolKey,
        number: u64,
        Split { parts, merge }: Split,
    ) {
        let id = self.in_flight.next_id();
        let (servers, parts): (Vec<usize>, Vec<Vec<Bytes>>) = parts.into_iter().unzip();
        if parts.is_empty() {
            self.in_flight.completed.push_back(id);
        }
        self.in_flight.insert(id, InFlight::Split(Box::new(SplitRequest::new(requester, parts, merge))));
        for (server, position) in servers.into_iter().zip(0..) {
            if self.in_flight.is_plain(id, position) {
                self.send_or_fail(id, position, Redirect { server, asking: false }, key, number);
            } else {
                self.in_flight.fail(id, position, &NOT_IN_PARTS);
            }
        }
    }

    /// Sends a request of an entry, or replies with an error if no connection can carry it.
    fn send_or_fail(&mut self, id: InFlightId, position: u32, to: Redirect, key: PoolKey, number: u64) {
        if !self.servers.has(to.server) {
            return self.in_flight.fail(id, position, &no_server(&self.servers, to.server));
        }
        if self.is_isolated_request(id, position) {
            return self.isolate(id, position, to, key);
        }
        let index = self.connection_for(to.server, key, number);
        let connection = &mut self.connections[index];
        if connection.down().is_some() {
            return self.in_flight.fail(id, position, &connection.refuse());
        }
        write_to(&mut self.in_flight, connection, (id, position), to.asking);
        self.mark_dirty(index);
    }

    fn mark_dirty(&mut self, connection: usize) {
        if self.dirty.last() != Some(&connection) {
            self.dirty.push(connection);
        }
    }

    /// Sends the written requests of all connections.
    fn flush(&mut self) {
        while let Some(index) = self.dirty.pop() {
            self.connections[index].flush();
        }
    }

    /// Sends requests again, and continues the batches whose requests have their replies.
    pub(super) fn complete(&mut self) {
        loop {
            // The order of the requests is kept, because a request may read the result of an earlier one.
            while let Some(retry) = self.in_flight.retries.pop_front() {
                self.send_again(retry);
            }
            let Some(completed) = self.in_flight.completed.pop_front() else { break };
            match self.in_flight.remove(completed) {
                Some(InFlight::Batch(mut run)) => {
                    self.in_flight.recycle(&mut run);
                    let max_requests = run.requests_with_room().clamp(1, MAX_REQUESTS);
                    self.run(run.batch, run.actor_id, max_requests);
                }
                Some(InFlight::Split(split)) => self.complete_split(*split),
                _ => {}
            }
        }
        self.flush();
    }

    fn complete_split(&mut self, split: SplitRequest) {
        match split.merge() {
            (Requester::Batch(mut batch, actor_id), reply) => {
                answer(&mut batch, &reply);
                self.run(batch, actor_id, FIRST_REQUESTS);
            }
            // The application may have dropped the future that waits for the reply.
            (Requester::Application(answer), reply) => drop(answer.send(Ok(reply))),
        }
    }

    /// Sends a request to another upstream, or replies with its error if there is none.
    fn send_again(&mut self, retry: Retry) {
        // A later request of the same entry waits, too, so that the order of a client's requests is kept.
        if self.ids_awaiting_refresh.contains(&retry.id) {
            return self.awaiting_refresh.push(retry);
        }
        let Retry { id, position, is_in_transaction, reason, refreshes } = retry;
        let (redirect, refresh) = match &reason {
            RetryReason::Replied(error) => match self.redirect(error) {
                None => (None, self.refresh(error)),
                redirect => (redirect, None),
            },
            RetryReason::Unsent(_) if is_in_transaction => (None, None),
            RetryReason::Unsent(_) => (self.other_destination(id, position), None),
        };
        match (redirect, refresh) {
            (Some(_), _) | (_, Some(_)) if is_in_transaction => self.in_flight.fail(id, position, &HAS_MOVED),
            (Some(redirect), _) if self.in_flight.take_retry(id) => {
                let Some((key, number)) = self.in_flight.sender(id) else { return };
                self.send_or_fail(id, position, redirect, key, number);
            }
            (_, Some(refresh)) if refreshes < MAX_REFRESHES => {
                self.wait_for(refresh, Retry { id, position, is_in_transaction, reason, refreshes });
            }
            _ => match reason {
                RetryReason::Replied(error) => {
                    self.in_flight.append(id, position, &error);
                    self.in_flight.end(id, position);
                }
                RetryReason::Unsent(error) => self.in_flight.fail(id, position, &error),
            },
        }
    }

    /// Keeps a request until the router has updated its data.
    fn wait_for(&mut self, refresh: Refresh, retry: Retry) {
        self.ids_awaiting_refresh.insert(retry.id);
        self.awaiting_refresh.push(retry);
        if self.awaiting_refresh.len() > 1 {
            return;
        }
        let proxy = Weak::clone(&self.me);
        actix_rt::spawn(async move {
            // The future is the application's code, so it may panic.
            let _ = actix_rt::spawn(refresh).await;
            if let Some(proxy) = proxy.upgrade() {
                proxy.borrow_mut().resume_after_refresh();
            }
        });
    }

    /// Tries the requests that waited for the router again.
    fn resume_after_refresh(&mut self) {
        self.ids_awaiting_refresh.clear();
        let awaiting_refresh = mem::take(&mut self.awaiting_refresh).into_iter();
        let retries = awaiting_refresh.map(|retry| Retry { refreshes: retry.refreshes + 1, ..retry });
        self.in_flight.retries.extend(retries);
        self.complete();
    }

    /// Returns the router's future that may turn an error reply into a redirect.
    pub(super) fn refresh(&mut self, error: &[u8]) -> Option<Refresh> {
        let error = std::str::from_utf8(error.strip_prefix(b"-")?).ok()?.trim_end();
        let router = self.router.as_mut()?;
        guarded(|| router.refresh(error))?
    }

    /// Returns the redirect that the router derives from an error reply.
    pub(super) fn redirect(&mut self, error: &[u8]) -> Option<Redirect> {
        let error = std::str::from_utf8(error.strip_prefix(b"-")?).ok()?.trim_end();
        let router = self.router.as_mut()?;
        let redirect = guarded(|| router.redirect(error, &mut self.servers))??;
        self.servers.has(redirect.server).then_some(redirect)
    }

    /// Returns another destination for a request that was not sent.
    fn other_destination(&mut self, id: InFlightId, position: u32) -> Option<Redirect> {
        let ProxyState { router, tables, servers, in_flight, .. } = self;
        let table = Some(tables.union()?);
        let mut found = None;
        in_flight.with_words(id, position, |words| found = Some(route(router, table, servers, words, false)));
        let server = found?.into_one().ok()?.unwrap_or_else(|| self.servers.any(position.into()));
        Some(Redirect { server, asking: false })
    }

    /// Tries the waiting commands and batches again, unless the key tables are still missing.
    pub(super) fn retry(&mut self) {
        if matches!(self.readiness(), Readiness::Soon) {
            return;
        }
        for command in mem::take(&mut self.waiting_commands) {
            self.send_command(command);
        }
        for (batch, actor_id) in mem::take(&mut self.waiting) {
            self.run(batch, actor_id, FIRST_REQUESTS);
        }
        self.complete();
    }

    /// Returns the index of a multiplexed connection to an upstream.
    ///
    /// The same `number` gets the same connection, which keeps the order of a client's requests.
    pub(super) fn connection_for(&mut self, server: usize, key: PoolKey, number: u64) -> usize {
        let pools = &self.servers.get(server).pools;
        let first = match pools.iter().find(|(known, _)| *known == key) {
            Some((_, first)) => *first,
            None => self.open(server, key),
        };
        first + (number % self.servers.get(server).upstream.connections as u64) as usize
    }

    /// Opens the multiplexed connections of a connection pool, and returns the index of the first.
    fn open(&mut self, server: usize, key: PoolKey) -> usize {
        let first = self.connections.len();
        let known = self.servers.get_mut(server);
        // The first connection of the first connection pool decides whether the upstream is up.
        let is_first = known.pools.is_empty();
        if is_first && key != PoolKey::FIRST {
            self.open(server, PoolKey::FIRST);
            return self.open(server, key);
        }
        known.pools.push((key, first));
        for index in first..first + known.upstream.connections {
            let stats = Arc::clone(&known.stats);
            self.connections.push(MultiplexedConnection::new(
                server,
                key,
                stats,
                known.upstream.max_reply_len,
            ));
            actix_rt::spawn(keep_up(Weak::clone(&self.me), index, is_first && index == first));
        }
        first
    }

    /// Sends a command of the application.
    fn send_command(&mut self, (words, answer): ApplicationCommand) {
        match self.readiness() {
            Readiness::Ready => {}
            Readiness::Soon => return self.waiting_commands.push((words, answer)),
            // The application may have dropped the future that waits for the reply.
            Readiness::Not(error) => return drop(answer.send(Err(error))),
        }
        self.command_count += 1;
        let number = self.command_count;
        let server = match self.route(Words::Own(&words), false) {
            Route::To(server) => server,
            Route::Any => self.servers.any(number),
            Route::Split(split) => {
                return self.insert_split(Requester::Application(answer), PoolKey::FIRST, number, split);
            }
            // The application may have dropped the future that waits for the reply.
            Route::Reply(reply) => return drop(answer.send(Ok(reply))),
        };
        let index = self.connection_for(server, PoolKey::FIRST, number);
        let connection = &self.connections[index];
        if connection.is_full() {
            let full = "its send buffer is full";
            return drop(answer.send(Err(connection.stats.unsent(&full.into(), 1))));
        }
        let id = self.in_flight.next_id();
        self.in_flight.insert(
            id,
            InFlight::SendCommand { words, reply: Vec::new(), answer, retries_left: MAX_RETRIES },
        );
        self.send_or_fail(id, 0, Redirect { server, asking: false }, PoolKey::FIRST, number);
    }

    /// Closes connections whose replies are overdue, and sends `PING` over idle connections.
    fn tick(&mut self) {
        for connection in &mut self.connections {
            let reply_timeout = self.servers.get(connection.server).upstream.reply_timeout_seconds();
            match connection.tick() {
                Silence::Waited(seconds) if seconds >= reply_timeout => {
                    connection.give_up(silence(Duration::from_secs(seconds.into())));
                }
                Silence::Idle(seconds) if seconds >= reply_timeout => {
                    launch(&mut self.in_flight, connection, "PING", InFlight::Discard);
                }
                _ => {}
            }
        }
        self.in_flight.shrink();
        self.forget_servers();
        self.forgive();
        self.retry();
    }

    /// Sends the next request of a batch over the client's dedicated connection. Opens it if necessary.
    fn send_dedicated(
        &mut self,
        mut batch: ClientBatch,
        actor_id: ActorId,
        kind: CommandKind,
        to: Result<Option<usize>, Error>,
    ) -> Option<ClientBatch> {
        let client = batch.client.clone();
        if self.dedicated_state(&client).is_none() {
            self.open_dedicated(&client, to.clone().ok().flatten());
        }
        let dedicated = self.dedicated.get(&client.identity())?;
        if kind == CommandKind::Blocks {
            // The batch goes back to the connection, so that it notices when the blocked client disconnects.
            batch.step(&Spec::FALLBACK, |call, out| dedicated.send_blocking(call, to, out));
            return batch.return_to_client();
        }
        batch.stop_timing();
        dedicated.send(batch, actor_id, kind, to);
        None
    }

    fn open_dedicated(&mut self, client: &Client, server: Option<usize>) {
        client.set(ClientFlag::WasReset, false);
        let dedicated = dedicated::open(Weak::clone(&self.me), client, PoolKey::of(client), server);
        self.dedicated.insert(client.identity(), dedicated);
    }

    /// Takes an idle connection for reuse.
    pub(super) fn take_idle(&mut self, server: usize, key: PoolKey) -> Option<Dialled> {
        self.idle.retain_mut(|(_, _, dialled)| dialled.stream.is_quiet());
        let idle = self.idle.iter().rposition(|(of, known, _)| *of == server && *known == key)?;
        Some(self.idle.swap_remove(idle).2)
    }

    /// Returns the settings and the statistics of an upstream, and the notification that it is forgotten.
    pub(super) fn server(&self, server: usize) -> (Rc<Upstream>, Arc<UpstreamStats>, Rc<Notify>) {
        let server = self.servers.get(server);
        (Rc::clone(&server.upstream), Arc::clone(&server.stats), Rc::clone(&server.forgotten))
    }

    /// Returns an upstream for the client. Prefers upstreams that are up.
    pub(super) fn any_server(&self, client: &Client) -> usize {
        self.servers.any(client.id())
    }

    /// Continues a batch after a reply from a dedicated connection.
    pub(super) fn go_on(&mut self, batch: ClientBatch, actor_id: ActorId) {
        self.run(batch, actor_id, FIRST_REQUESTS);
        self.complete();
    }

    /// Removes a client's dedicated connection. Keeps it for reuse if `dialled` contains it.
    pub(super) fn end_dedicated(&mut self, client: &Client, key: PoolKey, dialled: Option<(usize, Dialled)>) {
        self.dedicated.remove(&client.identity());
        if let Some((server, dialled)) = dialled.filter(|_| self.idle.len() < MAX_IDLE) {
            self.idle.push((server, key, dialled));
        }
    }
}

/// Answers the next request of a batch.
fn answer(batch: &mut ClientBatch, reply: &Value) {
    match reply {
        Value::Error(error) => batch.reject(error),
        reply => batch.step(&Spec::FALLBACK, |_, out| reply.encode(out.encoder_mut())),
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

/// Sends a request of the proxy itself, such as `PING`.
pub(super) fn launch(
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

/// A part of the router's split has no words, or would change the state of a multiplexed connection.
const NOT_IN_PARTS: Error =
    Error::from_static("ERR a part of the split request cannot be sent on a connection that clients share");

/// The reply to a transaction if one of its requests would have to be sent to another upstream.
pub(super) const HAS_MOVED: Error = Error::from_static(
    "TRYAGAIN a key of the transaction has moved to another server: the transaction was not run",
);

impl Drop for ProxyState {
    /// Wakes the tasks of the connections, which end without a proxy, and replies to all waiting batches.
    fn drop(&mut self) {
        self.connections.iter().for_each(MultiplexedConnection::wake);
        let pending = self.in_flight.drain().filter_map(|requests| match requests {
            InFlight::Batch(BatchRun { batch, actor_id, .. }) => Some((batch, actor_id)),
            InFlight::Split(split) => match split.requester {
                Requester::Batch(batch, actor_id) => Some((batch, actor_id)),
                Requester::Application(_) => None,
            },
            _ => None,
        });
        for (mut batch, actor_id) in pending.chain(self.waiting.drain(..)) {
            batch.discard_reply();
            batch.refuse(actor_id, &ACTOR_DOWN);
            // A refused batch does not wait for a reply, so it returns to its client.
            drop(batch.return_to_client());
        }
    }
}
