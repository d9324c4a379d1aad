//! The actor that has the connections to upstreams, and sends requests on.

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
        BatchRun, InFlight, InFlightId, InFlightTable, MAX_RETRIES, REFRESHES, Requester, Retry, RetryReason,
        SplitRequest,
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
    command::Spec,
    connection::{ActorId, Batch, ClientFlag, RunBatches, STOPPED},
};

/// The actor that has the connections to upstreams, and answers the requests that nobody else does.
#[derive(Debug)]
pub(crate) struct Proxy(Rc<RefCell<ProxyState>>);

/// What the actor and the tasks of its connections have in common: all are on one thread.
pub(super) struct ProxyState {
    pub(super) me: Weak<RefCell<ProxyState>>,
    pub(super) servers: Servers,
    /// There is none where there is one upstream.
    pub(super) router: Option<Box<dyn Router>>,
    /// The upstreams' commands, when they have been told.
    pub(super) tables: Tables,
    /// They do not tell.
    pub(super) is_table_refused: bool,
    pub(super) connections: Vec<MultiplexedConnection>,
    pub(super) in_flight: InFlightTable,
    /// Connections that single clients have, by the clients' identities.
    pub(super) dedicated: HashMap<usize, DedicatedConnection, RandomState>,
    /// Clients whose requests may have broken connections, by their identities.
    pub(super) blamed: HashMap<usize, Blame, RandomState>,
    /// Connections that clients have had, for others.
    pub(super) idle: Vec<(usize, PoolKey, Dialled)>,
    /// Links with something to be sent.
    pub(super) dirty: Vec<usize>,
    /// What waits for room, or for the commands to be known.
    pub(super) waiting: Vec<(Box<Batch>, ActorId)>,
    pub(super) asked: Vec<ProgramRequest>,
    /// Requests whose redirects the router does not follow before it has asked again.
    unconfirmed: Vec<Retry>,
    /// The flights of these.
    unconfirmed_flights: HashSet<InFlightId, RandomState>,
    /// How often the program has asked.
    pub(super) asks: u64,
}

/// What the program has asked.
type ProgramRequest = (Vec<Bytes>, oneshot::Sender<Reply>);

/// So many requests of one client are sent at once at first. When it is known how long replies are, it is as many as have
/// about as many bytes of replies as a client may have.
const FIRST: usize = 64;
const MOST: usize = 4096;

/// So many connections that a client has had are kept for others.
pub(super) const IDLE: usize = 16;

/// So often the links are looked at.
pub(super) const TICK: Duration = Duration::from_secs(1);

impl std::fmt::Debug for ProxyState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProxyState").field("servers", &self.servers).finish_non_exhaustive()
    }
}

impl Proxy {
    pub(super) fn new(upstreams: Vec<Upstream>, router: Option<Box<dyn Router>>) -> (Self, AllUpstreamStats) {
        let (servers, stats) = Servers::new(upstreams);
        let core = Rc::new_cyclic(|me| {
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
                asked: Vec::new(),
                unconfirmed: Vec::new(),
                unconfirmed_flights: HashSet::default(),
                asks: 0,
            })
        });
        (Proxy(core), stats)
    }
}

impl Actor for Proxy {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let mut core = self.0.borrow_mut();
        for server in 0..core.servers.len() {
            core.open(server, PoolKey::FIRST);
        }
        context.run_interval(TICK, |proxy, _| proxy.0.borrow_mut().tick());
    }
}

impl Handler<RunBatches> for Proxy {
    type Result = ();

    fn handle(&mut self, mut message: RunBatches, _: &mut Self::Context) {
        let Some(queue) = message.take_queue() else { return };
        let mut core = self.0.borrow_mut();
        let actor_id = queue.actor_id();
        let mut batches = queue.take();
        for batch in batches.drain(..) {
            core.run(batch, actor_id, FIRST);
        }
        queue.give_back(batches);
        core.complete();
    }
}

impl Handler<Disconnected> for Proxy {
    type Result = ();

    fn handle(&mut self, Disconnected(client): Disconnected, _: &mut Self::Context) {
        let mut core = self.0.borrow_mut();
        core.dedicated.remove(&client.identity());
        core.blamed.remove(&client.identity());
    }
}

/// A request of the program.
#[derive(Debug, Message)]
#[rtype(result = "Reply")]
pub(super) struct SendCommand(pub(super) Vec<Bytes>);

impl Handler<SendCommand> for Proxy {
    type Result = ResponseFuture<Reply>;

    fn handle(&mut self, SendCommand(words): SendCommand, _: &mut Self::Context) -> Self::Result {
        let (answer, reply) = oneshot::channel();
        let mut core = self.0.borrow_mut();
        core.ask((words, answer));
        core.complete();
        Box::pin(async move { reply.await.unwrap_or(Err(STOPPED)) })
    }
}

impl ProxyState {
    /// Sends requests of a batch on, at most so many. It comes back when they have been answered.
    fn run(&mut self, batch: Box<Batch>, actor_id: ActorId, most: usize) {
        let mut next = Some(batch);
        while let Some(mut batch) = next.take() {
            match self.next_destination(&batch, actor_id) {
                // It waits for its reply, or is not for this one, or there is no room for the reply; or nobody would be told
                // that its client has gone.
                None => next = batch.return_to_client(),
                Some(Destination::MultiplexedConnection(connection, bound)) => {
                    self.send_on(batch, actor_id, most, (connection, bound))
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
                    batch.reject(|_, out| out.error(&error));
                    next = Some(batch);
                }
                Some(Destination::Wait) => self.waiting.push((batch, actor_id)),
            }
        }
    }

    fn send_on(&mut self, mut batch: Box<Batch>, actor_id: ActorId, most: usize, first: (usize, u32)) {
        let entry = self.in_flight.next_id();
        let count = self.write(entry, &batch, actor_id, most, first);
        batch.stop_timing();
        let first = batch.next_request();
        self.in_flight.insert(entry, InFlight::Batch(BatchRun::new(batch, actor_id, first, count)));
    }

    /// Writes requests of a batch to links, as long as they go by any, and at most so many; the first goes by this one, with
    /// so many behind it. Returns how many.
    fn write(
        &mut self,
        entry: InFlightId,
        batch: &Batch,
        actor_id: ActorId,
        most: usize,
        first: (usize, u32),
    ) -> u32 {
        let mut coming = batch.upcoming_with_room(actor_id);
        let (mut count, mut next) = (0, Some(first));
        // Of one link in a row, they are counted as one.
        let (mut counted, mut last) = (0, first.0);
        while let Some((connection, bound)) = next {
            if connection != last {
                self.connections[last].count(count - counted);
                (counted, last) = (count, connection);
            }
            for (request, _) in coming.by_ref().take(bound as usize + 1) {
                if let Some(call) = batch.call(request) {
                    self.connections[connection].write(entry, count, bound > 0, Words::Call(&call));
                    count += 1;
                }
            }
            self.make_dirty(connection);
            let mut behind = coming.clone();
            next = match behind.next().filter(|_| (count as usize) < most) {
                Some(request) => match self.destination(batch, request, behind, Some(connection)) {
                    Destination::MultiplexedConnection(connection, bound) => Some((connection, bound)),
                    _ => None,
                },
                None => None,
            };
        }
        self.connections[last].count(count - counted);
        count
    }

    /// Sends a request in parts.
    fn send_split(&mut self, mut batch: Box<Batch>, actor_id: ActorId, split: Split) {
        let Some(client) = batch.client() else { return };
        let (key, number) = (PoolKey::of(client), client.id());
        batch.stop_timing();
        self.insert_split(Requester::Batch(batch, actor_id), key, number, split);
    }

    fn insert_split(&mut self, who: Requester, key: PoolKey, number: u64, Split { parts, merge }: Split) {
        let entry = self.in_flight.next_id();
        let (servers, parts): (Vec<usize>, Vec<Vec<Bytes>>) = parts.into_iter().unzip();
        if parts.is_empty() {
            self.in_flight.completed.push_back(entry);
        }
        self.in_flight.insert(entry, InFlight::Split(Box::new(SplitRequest::new(who, parts, merge))));
        for (server, slot) in servers.into_iter().zip(0..) {
            if self.in_flight.is_plain(entry, slot) {
                self.send_or_fail(entry, slot, Redirect { server, asking: false }, key, number);
            } else {
                self.in_flight.fail(entry, slot, &NOT_IN_PARTS);
            }
        }
    }

    /// Sends a request of a flight; if there is no connection, that is what is answered.
    fn send_or_fail(&mut self, entry: InFlightId, slot: u32, to: Redirect, key: PoolKey, number: u64) {
        if !self.servers.has(to.server) {
            return self.in_flight.fail(entry, slot, &no_server(&self.servers, to.server));
        }
        if self.is_isolated_flight(entry, slot) {
            return self.isolate(entry, slot, to, key);
        }
        let index = self.connection_for(to.server, key, number);
        let connection = &mut self.connections[index];
        if connection.down().is_some() {
            return self.in_flight.fail(entry, slot, &connection.refuse());
        }
        write_to(&mut self.in_flight, connection, (entry, slot), to.asking);
        self.make_dirty(index);
    }

    fn make_dirty(&mut self, connection: usize) {
        if self.dirty.last() != Some(&connection) {
            self.dirty.push(connection);
        }
    }

    /// Sends what has been written.
    fn flush(&mut self) {
        while let Some(index) = self.dirty.pop() {
            self.connections[index].flush();
        }
    }

    /// Goes on with what has been answered, and with what has to be sent elsewhere.
    pub(super) fn complete(&mut self) {
        loop {
            // In the order in which they were sent: one may be about what another one has written.
            while let Some(retries) = self.in_flight.retries.pop_front() {
                self.turn(retries);
            }
            let Some(completed) = self.in_flight.completed.pop_front() else { break };
            match self.in_flight.arrive(completed) {
                Some(InFlight::Batch(mut run)) => {
                    self.in_flight.keep(&mut run);
                    let most = run.as_many().clamp(1, MOST);
                    self.run(run.batch, run.actor_id, most);
                }
                Some(InFlight::Split(parts)) => self.complete_split(*parts),
                _ => {}
            }
        }
        self.flush();
    }

    fn complete_split(&mut self, parts: SplitRequest) {
        match parts.merge() {
            (Requester::Batch(mut batch, actor_id), reply) => {
                answer(&mut batch, &reply);
                self.run(batch, actor_id, FIRST);
            }
            // Requester has asked may have gone.
            (Requester::Program(answer), reply) => drop(answer.send(Ok(reply))),
        }
    }

    /// Sends a request elsewhere, or answers it if there is nowhere to send it.
    fn turn(&mut self, retries: Retry) {
        // The order of a client's requests is kept.
        if self.unconfirmed_flights.contains(&retries.entry) {
            return self.unconfirmed.push(retries);
        }
        let Retry { entry, slot, is_bound, why, refreshes } = retries;
        let (redirect, refresh) = match &why {
            RetryReason::Replied(error) => match self.redirect(error) {
                None => (None, self.refresh(error)),
                redirect => (redirect, None),
            },
            RetryReason::Unsent(_) if is_bound => (None, None),
            RetryReason::Unsent(_) => (self.other_destination(entry, slot), None),
        };
        match (redirect, refresh) {
            (Some(_), _) | (_, Some(_)) if is_bound => self.in_flight.fail(entry, slot, &HAS_MOVED),
            (Some(redirect), _) if self.in_flight.may_turn(entry) => {
                let Some((key, number)) = self.in_flight.sender(entry) else { return };
                self.send_or_fail(entry, slot, redirect, key, number);
            }
            (_, Some(refresh)) if refreshes < REFRESHES => {
                self.wait_for(refresh, Retry { entry, slot, is_bound, why, refreshes });
            }
            _ => match why {
                RetryReason::Replied(error) => {
                    self.in_flight.part(entry, slot, &error);
                    self.in_flight.end(entry, slot);
                }
                RetryReason::Unsent(error) => self.in_flight.fail(entry, slot, &error),
            },
        }
    }

    /// Keeps a request until the router has asked again.
    fn wait_for(&mut self, refresh: Refresh, retries: Retry) {
        self.unconfirmed_flights.insert(retries.entry);
        self.unconfirmed.push(retries);
        if self.unconfirmed.len() > 1 {
            return;
        }
        let core = Weak::clone(&self.me);
        actix_rt::spawn(async move {
            // The application has written the future, which may panic.
            let _ = actix_rt::spawn(refresh).await;
            if let Some(core) = core.upgrade() {
                core.borrow_mut().resume_unconfirmed();
            }
        });
    }

    /// Goes on with the requests that have waited for the router.
    fn resume_unconfirmed(&mut self) {
        self.unconfirmed_flights.clear();
        let unconfirmed = mem::take(&mut self.unconfirmed).into_iter();
        let once_more = unconfirmed.map(|retries| Retry { refreshes: retries.refreshes + 1, ..retries });
        self.in_flight.retries.extend(once_more);
        self.complete();
    }

    /// How the router may find out where a request has to go which has been answered by an error.
    pub(super) fn refresh(&mut self, error: &[u8]) -> Option<Refresh> {
        let error = std::str::from_utf8(error.strip_prefix(b"-")?).ok()?.trim_end();
        let router = self.router.as_mut()?;
        guarded(|| router.refresh(error))?
    }

    /// Where the router says that a request has to go which has been answered by an error.
    pub(super) fn redirect(&mut self, error: &[u8]) -> Option<Redirect> {
        let error = std::str::from_utf8(error.strip_prefix(b"-")?).ok()?.trim_end();
        let router = self.router.as_mut()?;
        let redirect = guarded(|| router.redirect(error, &mut self.servers))??;
        self.servers.has(redirect.server).then_some(redirect)
    }

    /// Where a request may go that has not been sent.
    fn other_destination(&mut self, entry: InFlightId, slot: u32) -> Option<Redirect> {
        let ProxyState { router, tables, servers, in_flight, .. } = self;
        let table = Some(tables.union()?);
        let mut found = None;
        in_flight.with_words(entry, slot, |words| found = Some(route(router, table, servers, words, false)));
        let server = found?.into_one().ok()?.unwrap_or_else(|| self.servers.any(slot.into()));
        Some(Redirect { server, asking: false })
    }

    /// Those that wait have another try.
    pub(super) fn retry(&mut self) {
        if matches!(self.readiness(), Readiness::Soon) {
            return;
        }
        for question in mem::take(&mut self.asked) {
            self.ask(question);
        }
        for (batch, actor_id) in mem::take(&mut self.waiting) {
            self.run(batch, actor_id, FIRST);
        }
        self.complete();
    }

    /// The connection to an upstream which those of this number share with others.
    pub(super) fn connection_for(&mut self, server: usize, key: PoolKey, number: u64) -> usize {
        let pools = &self.servers.get(server).pools;
        let first = match pools.iter().find(|(known, _)| *known == key) {
            Some((_, first)) => *first,
            None => self.open(server, key),
        };
        first + (number % self.servers.get(server).upstream.connections as u64) as usize
    }

    /// Opens the connections of a lane; returns the first.
    fn open(&mut self, server: usize, key: PoolKey) -> usize {
        let first = self.connections.len();
        let known = self.servers.get_mut(server);
        // By that one, it is known whether it is there.
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

    /// A request of the program.
    fn ask(&mut self, (words, answer): ProgramRequest) {
        match self.readiness() {
            Readiness::Ready => {}
            Readiness::Soon => return self.asked.push((words, answer)),
            // Requester has asked may have gone.
            Readiness::Not(error) => return drop(answer.send(Err(error))),
        }
        self.asks += 1;
        let number = self.asks;
        let server = match self.route(Words::Own(&words), false) {
            Route::To(server) => server,
            Route::Any => self.servers.any(number),
            Route::Split(split) => {
                return self.insert_split(Requester::Program(answer), PoolKey::FIRST, number, split);
            }
            // Requester has asked may have gone.
            Route::Reply(reply) => return drop(answer.send(Ok(reply))),
        };
        let index = self.connection_for(server, PoolKey::FIRST, number);
        let connection = &self.connections[index];
        if connection.is_full() {
            let full = "it takes no more at the moment";
            return drop(answer.send(Err(connection.stats.unsent(&full.into(), 1))));
        }
        let entry = self.in_flight.next_id();
        self.in_flight
            .insert(entry, InFlight::SendCommand { words, reply: Vec::new(), answer, turns: MAX_RETRIES });
        self.send_or_fail(entry, 0, Redirect { server, asking: false }, PoolKey::FIRST, number);
    }

    /// Gives up connections that have gone silent, and has those that say nothing show that they are there.
    fn tick(&mut self) {
        for connection in &mut self.connections {
            let longest = self.servers.get(connection.server).upstream.reply_timeout_seconds();
            match connection.tick() {
                Silence::Waited(seconds) if seconds >= longest => {
                    connection.give_up(silence(Duration::from_secs(seconds.into())));
                }
                Silence::Idle(seconds) if seconds >= longest => {
                    launch(&mut self.in_flight, connection, "PING", InFlight::Nobody);
                }
                _ => {}
            }
        }
        self.in_flight.tidy();
        self.forget_servers();
        self.forgive();
        self.retry();
    }

    /// Has a request sent by the connection that its client has for itself, which it is given if there is none.
    fn send_dedicated(
        &mut self,
        mut batch: Box<Batch>,
        actor_id: ActorId,
        kind: CommandKind,
        to: Result<Option<usize>, Error>,
    ) -> Option<Box<Batch>> {
        let client = batch.client()?.clone();
        if self.own(&client).is_none() {
            self.open_dedicated(&client, to.clone().ok().flatten());
        }
        let private = self.dedicated.get(&client.identity())?;
        if kind == CommandKind::Blocks {
            // Its client is to be heard while it waits.
            batch.step(Some(&Spec::FALLBACK), |call, out| private.send_blocking(call, to, out));
            return batch.return_to_client();
        }
        batch.stop_timing();
        private.send(batch, actor_id, kind, to);
        None
    }

    fn open_dedicated(&mut self, client: &Client, server: Option<usize>) {
        client.set(ClientFlag::WasReset, false);
        let private = dedicated::open(Weak::clone(&self.me), client, PoolKey::of(client), server);
        self.dedicated.insert(client.identity(), private);
    }

    /// A connection that a client has had and does not need any more.
    pub(super) fn take_idle(&mut self, server: usize, key: PoolKey) -> Option<Dialled> {
        self.idle.retain_mut(|(_, _, dialled)| dialled.stream.is_quiet());
        let idle = self.idle.iter().rposition(|(of, known, _)| *of == server && *known == key)?;
        Some(self.idle.swap_remove(idle).2)
    }

    /// How an upstream is reached, for a connection that is a client's own, and what is told of it.
    pub(super) fn server(&self, server: usize) -> (Rc<Upstream>, Arc<UpstreamStats>, Rc<Notify>) {
        let server = self.servers.get(server);
        (Rc::clone(&server.upstream), Arc::clone(&server.stats), Rc::clone(&server.forgotten))
    }

    /// One that is there, if any is.
    pub(super) fn any_server(&self, client: &Client) -> usize {
        self.servers.any(client.id())
    }

    /// A batch has a reply that did not come by a link.
    pub(super) fn go_on(&mut self, batch: Box<Batch>, actor_id: ActorId) {
        self.run(batch, actor_id, FIRST);
        self.complete();
    }

    /// A client does not need its connection any more.
    pub(super) fn end_dedicated(&mut self, client: &Client, key: PoolKey, dialled: Option<(usize, Dialled)>) {
        self.dedicated.remove(&client.identity());
        if let Some((server, dialled)) = dialled.filter(|_| self.idle.len() < IDLE) {
            self.idle.push((server, key, dialled));
        }
    }
}

/// Answers the next request of a batch.
fn answer(batch: &mut Batch, reply: &Value) {
    match reply {
        Value::Error(error) => batch.reject(|_, out| out.error(error)),
        reply => batch.step(Some(&Spec::FALLBACK), |_, out| reply.encode(out.encoder_mut())),
    }
}

/// Writes a request of a flight.
pub(super) fn write_to(
    in_flight: &mut InFlightTable,
    connection: &mut MultiplexedConnection,
    (entry, slot): (InFlightId, u32),
    asking: bool,
) {
    if asking {
        let asking = in_flight.next_id();
        in_flight.insert(asking, InFlight::Nobody);
        connection.write(asking, 0, false, Words::Own(&[Bytes::from_static(b"ASKING")]));
    }
    connection.count(1);
    in_flight.with_words(entry, slot, |words| connection.write(entry, slot, false, words));
}

/// Sends a request of its own.
pub(super) fn launch(
    in_flight: &mut InFlightTable,
    connection: &mut MultiplexedConnection,
    request: &'static str,
    entry: InFlight,
) {
    let id = in_flight.next_id();
    connection.write(id, 0, false, Words::Own(&[Bytes::from_static(request.as_bytes())]));
    in_flight.insert(id, entry);
    connection.flush();
}

/// A router has made parts of what would change a connection that others use, or of nothing.
const NOT_IN_PARTS: Error = Error::from_static("ERR this cannot be sent in parts");

/// What is said where a request of a transaction would have to be sent elsewhere.
pub(super) const HAS_MOVED: Error =
    Error::from_static("TRYAGAIN what the transaction is about has moved: nothing of it is run");

impl Drop for ProxyState {
    /// The tasks of the links end when they find that it is not there any more.
    fn drop(&mut self) {
        self.connections.iter().for_each(MultiplexedConnection::wake);
        let flying = self.in_flight.run_batches().filter_map(|entry| match entry {
            InFlight::Batch(BatchRun { batch, actor_id, .. }) => Some((batch, actor_id)),
            InFlight::Split(parts) => match parts.who {
                Requester::Batch(batch, actor_id) => Some((batch, actor_id)),
                Requester::Program(_) => None,
            },
            _ => None,
        });
        for (mut batch, actor_id) in flying.chain(self.waiting.drain(..)) {
            batch.discard_proxied();
            batch.refuse(actor_id, &STOPPED);
            // What is refused does not wait.
            drop(batch.return_to_client());
        }
    }
}
