//! The actor that has the connections to upstreams, and sends requests on.

use std::{
    cell::RefCell,
    collections::HashMap,
    mem,
    rc::{Rc, Weak},
    sync::Arc,
    time::Duration,
};

use actix::{Actor, AsyncContext, Context, Handler, Message, ResponseFuture};
use bytes::Bytes;
use foldhash::quality::RandomState;
use tokio::sync::oneshot;

use super::{
    Upstream,
    commands::Kind,
    dial::{Dialled, Lane, silence},
    flights::{Flight, FlightId, Flights, Parts, Run, TURNS, Turned, Who, Why},
    handle::{Reply, Stats},
    link::{Link, Silence},
    private::{self, Private},
    router::{Redirect, Route, Router, Split, Words},
    servers::{AllStats, Servers},
    table::Table,
    upkeep::keep_up,
    way::{Readiness, Way, guarded, route},
};
use crate::{
    Client, Disconnected, Error, Value,
    command::Spec,
    connection::{Batch, ClientFlag, RunBatches, ActorId, STOPPED},
};

/// The actor that has the connections to upstreams, and answers the requests that nobody else does.
#[derive(Debug)]
pub(crate) struct Relay(Rc<RefCell<Core>>);

/// What the actor and the tasks of its connections have in common: all are on one thread.
pub(super) struct Core {
    pub(super) me: Weak<RefCell<Core>>,
    pub(super) servers: Servers,
    /// There is none where there is one upstream.
    pub(super) router: Option<Box<dyn Router>>,
    /// The upstreams' commands, when they have been told.
    pub(super) table: Option<Table>,
    /// They do not tell.
    pub(super) is_table_refused: bool,
    pub(super) links: Vec<Link>,
    pub(super) flights: Flights,
    /// Connections that single clients have, by the clients' identities.
    pub(super) privates: HashMap<usize, Private, RandomState>,
    /// Connections that clients have had, for others.
    pub(super) idle: Vec<(usize, Lane, Dialled)>,
    /// Links with something to be sent.
    pub(super) dirty: Vec<usize>,
    /// What waits for room, or for the commands to be known.
    pub(super) waiting: Vec<(Box<Batch>, ActorId)>,
    pub(super) asked: Vec<Question>,
    /// How often the program has asked.
    pub(super) asks: u64,
}

/// What the program has asked.
type Question = (Vec<Bytes>, oneshot::Sender<Reply>);

/// So many requests of one client are sent at once at first. When it is known how long replies are, it is as many as have
/// about as many bytes of replies as a client may have.
const FIRST: usize = 64;
const MOST: usize = 4096;

/// So many connections that a client has had are kept for others.
const IDLE: usize = 16;

/// So often the links are looked at.
const TICK: Duration = Duration::from_secs(1);

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("servers", &self.servers).finish_non_exhaustive()
    }
}

impl Relay {
    pub(super) fn new(upstreams: Vec<Upstream>, router: Option<Box<dyn Router>>) -> (Self, AllStats) {
        let (servers, stats) = Servers::new(upstreams);
        let core = Rc::new_cyclic(|me| {
            RefCell::new(Core {
                me: Weak::clone(me),
                servers,
                flights: Flights::new(router.is_some()),
                router,
                table: None,
                is_table_refused: false,
                links: Vec::new(),
                privates: HashMap::default(),
                idle: Vec::new(),
                dirty: Vec::new(),
                waiting: Vec::new(),
                asked: Vec::new(),
                asks: 0,
            })
        });
        (Relay(core), stats)
    }
}

impl Actor for Relay {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let mut core = self.0.borrow_mut();
        for server in 0..core.servers.len() {
            core.open(server, Lane::FIRST);
        }
        context.run_interval(TICK, |relay, _| relay.0.borrow_mut().tick());
    }
}

impl Handler<RunBatches> for Relay {
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
        core.land();
    }
}

impl Handler<Disconnected> for Relay {
    type Result = ();

    fn handle(&mut self, Disconnected(client): Disconnected, _: &mut Self::Context) {
        self.0.borrow_mut().privates.remove(&client.identity());
    }
}

/// A request of the program.
#[derive(Debug, Message)]
#[rtype(result = "Reply")]
pub(super) struct Ask(pub(super) Vec<Bytes>);

impl Handler<Ask> for Relay {
    type Result = ResponseFuture<Reply>;

    fn handle(&mut self, Ask(words): Ask, _: &mut Self::Context) -> Self::Result {
        let (answer, reply) = oneshot::channel();
        let mut core = self.0.borrow_mut();
        core.ask((words, answer));
        core.land();
        Box::pin(async move { reply.await.unwrap_or(Err(STOPPED)) })
    }
}

impl Core {
    /// Sends requests of a batch on, at most so many. It comes back when they have been answered.
    fn run(&mut self, batch: Box<Batch>, actor_id: ActorId, most: usize) {
        let mut next = Some(batch);
        while let Some(mut batch) = next.take() {
            match self.next_way(&batch, actor_id) {
                // It waits for its reply, or is not for this one, or there is no room for the reply; or nobody would be told
                // that its client has gone.
                None => next = batch.leave(),
                Some(Way::Link(link, bound)) => self.send_on(batch, actor_id, most, (link, bound)),
                Some(Way::Split(split)) => self.send_split(batch, actor_id, split),
                Some(Way::Private(kind, to)) => next = self.send_privately(batch, actor_id, kind, to),
                Some(Way::Answer(reply)) => {
                    answer(&mut batch, &reply);
                    next = Some(batch);
                }
                Some(Way::Down(link)) => {
                    let error = self.links[link].refuse();
                    batch.reject(|_, out| out.error(&error));
                    next = Some(batch);
                }
                Some(Way::Wait) => self.waiting.push((batch, actor_id)),
            }
        }
    }

    fn send_on(&mut self, mut batch: Box<Batch>, actor_id: ActorId, most: usize, first: (usize, u32)) {
        let flight = self.flights.next_id();
        let count = self.write(flight, &batch, actor_id, most, first);
        batch.send_on();
        let first = batch.next_request();
        self.flights.depart(flight, Flight::Batch(Run::new(batch, actor_id, first, count)));
    }

    /// Writes requests of a batch to links, as long as they go by any, and at most so many; the first goes by this one, with
    /// so many behind it. Returns how many.
    fn write(
        &mut self,
        flight: FlightId,
        batch: &Batch,
        actor_id: ActorId,
        most: usize,
        first: (usize, u32),
    ) -> u32 {
        let mut coming = batch.coming_for(actor_id);
        let (mut count, mut next) = (0, Some(first));
        // Of one link in a row, they are counted as one.
        let (mut counted, mut last) = (0, first.0);
        while let Some((link, bound)) = next {
            if link != last {
                self.links[last].count(count - counted);
                (counted, last) = (count, link);
            }
            for (request, _) in coming.by_ref().take(bound as usize + 1) {
                if let Some(call) = batch.call(request) {
                    self.links[link].write(flight, count, bound > 0, Words::Call(&call));
                    count += 1;
                }
            }
            self.make_dirty(link);
            let mut behind = coming.clone();
            next = match behind.next().filter(|_| (count as usize) < most) {
                Some(request) => match self.way(batch, request, behind, Some(link)) {
                    Way::Link(link, bound) => Some((link, bound)),
                    _ => None,
                },
                None => None,
            };
        }
        self.links[last].count(count - counted);
        count
    }

    /// Sends a request in parts.
    fn send_split(&mut self, mut batch: Box<Batch>, actor_id: ActorId, split: Split) {
        let Some(client) = batch.client() else { return };
        let (lane, number) = (Lane::of(client), client.id());
        batch.send_on();
        self.depart_in_parts(Who::Batch(batch, actor_id), lane, number, split);
    }

    fn depart_in_parts(&mut self, who: Who, lane: Lane, number: u64, Split { parts, merge }: Split) {
        let flight = self.flights.next_id();
        let (servers, parts): (Vec<usize>, Vec<Vec<Bytes>>) = parts.into_iter().unzip();
        if parts.is_empty() {
            self.flights.landed.push_back(flight);
        }
        self.flights.depart(flight, Flight::Split(Box::new(Parts::new(who, parts, merge))));
        for (server, slot) in servers.into_iter().zip(0..) {
            if self.flights.is_plain(flight, slot) {
                self.send_or_fail(flight, slot, Redirect { server, asking: false }, lane, number);
            } else {
                self.flights.fail(flight, slot, &NOT_IN_PARTS);
            }
        }
    }

    /// Sends a request of a flight; if there is no connection, that is what is answered.
    fn send_or_fail(&mut self, flight: FlightId, slot: u32, to: Redirect, lane: Lane, number: u64) {
        if to.server >= self.servers.len() {
            return self.flights.fail(flight, slot, &Error::INTERNAL);
        }
        let index = self.link_for(to.server, lane, number);
        let link = &mut self.links[index];
        if link.down().is_some() {
            return self.flights.fail(flight, slot, &link.refuse());
        }
        if to.asking {
            let asking = self.flights.next_id();
            self.flights.depart(asking, Flight::Nobody);
            link.write(asking, 0, false, Words::Own(&[Bytes::from_static(b"ASKING")]));
        }
        link.count(1);
        self.flights.with_words(flight, slot, |words| link.write(flight, slot, false, words));
        self.make_dirty(index);
    }

    fn make_dirty(&mut self, link: usize) {
        if self.dirty.last() != Some(&link) {
            self.dirty.push(link);
        }
    }

    /// Sends what has been written.
    fn flush(&mut self) {
        while let Some(index) = self.dirty.pop() {
            self.links[index].flush();
        }
    }

    /// Goes on with what has been answered, and with what has to be sent elsewhere.
    pub(super) fn land(&mut self) {
        loop {
            // In the order in which they were sent: one may be about what another one has written.
            while let Some(turned) = self.flights.turned.pop_front() {
                self.turn(turned);
            }
            let Some(landed) = self.flights.landed.pop_front() else { break };
            match self.flights.arrive(landed) {
                Some(Flight::Batch(mut run)) => {
                    self.flights.keep(&mut run);
                    let most = run.as_many().clamp(1, MOST);
                    self.run(run.batch, run.actor_id, most);
                }
                Some(Flight::Split(parts)) => self.land_in_parts(*parts),
                _ => {}
            }
        }
        self.flush();
    }

    fn land_in_parts(&mut self, parts: Parts) {
        match parts.merge() {
            (Who::Batch(mut batch, actor_id), reply) => {
                answer(&mut batch, &reply);
                self.run(batch, actor_id, FIRST);
            }
            // Who has asked may have gone.
            (Who::Program(answer), reply) => drop(answer.send(Ok(reply))),
        }
    }

    /// Sends a request elsewhere, or answers it if there is nowhere to send it.
    fn turn(&mut self, Turned { flight, slot, is_bound, why }: Turned) {
        let redirect = match &why {
            Why::Replied(error) => self.redirect(error),
            Why::Unsent(_) if is_bound => None,
            Why::Unsent(_) => self.another_way(flight, slot),
        };
        match redirect {
            Some(_) if is_bound => self.flights.fail(flight, slot, &HAS_MOVED),
            Some(redirect) if self.flights.may_turn(flight) => {
                let Some((lane, number)) = self.flights.sender(flight) else { return };
                self.send_or_fail(flight, slot, redirect, lane, number);
            }
            _ => match why {
                Why::Replied(error) => {
                    self.flights.part(flight, slot, &error);
                    self.flights.end(flight, slot);
                }
                Why::Unsent(error) => self.flights.fail(flight, slot, &error),
            },
        }
    }

    /// Where the router says that a request has to go which has been answered by an error.
    pub(super) fn redirect(&mut self, error: &[u8]) -> Option<Redirect> {
        let error = std::str::from_utf8(error.strip_prefix(b"-")?).ok()?.trim_end();
        let router = self.router.as_mut()?;
        let redirect = guarded(|| router.redirect(error, &mut self.servers))??;
        (redirect.server < self.servers.len()).then_some(redirect)
    }

    /// Where a request may go that has not been sent.
    fn another_way(&mut self, flight: FlightId, slot: u32) -> Option<Redirect> {
        let Core { router, table, servers, flights, .. } = self;
        let table = Some(table.as_ref()?);
        let mut found = None;
        flights.with_words(flight, slot, |words| found = Some(route(router, table, servers, words, false)));
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
        self.land();
    }

    /// The connection to an upstream which those of this number share with others.
    pub(super) fn link_for(&mut self, server: usize, lane: Lane, number: u64) -> usize {
        let lanes = &self.servers.get(server).lanes;
        let first = match lanes.iter().find(|(known, _)| *known == lane) {
            Some((_, first)) => *first,
            None => self.open(server, lane),
        };
        first + (number % self.servers.get(server).upstream.connections as u64) as usize
    }

    /// Opens the connections of a lane; returns the first.
    fn open(&mut self, server: usize, lane: Lane) -> usize {
        let first = self.links.len();
        let known = self.servers.get_mut(server);
        // By that one, it is known whether it is there.
        let is_first = known.lanes.is_empty();
        if is_first && lane != Lane::FIRST {
            self.open(server, Lane::FIRST);
            return self.open(server, lane);
        }
        known.lanes.push((lane, first));
        for index in first..first + known.upstream.connections {
            let stats = Arc::clone(&known.stats);
            self.links.push(Link::new(server, lane, stats, known.upstream.max_reply_len));
            actix_rt::spawn(keep_up(Weak::clone(&self.me), index, is_first && index == first));
        }
        first
    }

    /// A request of the program.
    fn ask(&mut self, (words, answer): Question) {
        match self.readiness() {
            Readiness::Ready => {}
            Readiness::Soon => return self.asked.push((words, answer)),
            // Who has asked may have gone.
            Readiness::Not(error) => return drop(answer.send(Err(error))),
        }
        self.asks += 1;
        let number = self.asks;
        let server = match self.route(Words::Own(&words), false) {
            Route::To(server) => server,
            Route::Any => self.servers.any(number),
            Route::Split(split) => {
                return self.depart_in_parts(Who::Program(answer), Lane::FIRST, number, split);
            }
            // Who has asked may have gone.
            Route::Reply(reply) => return drop(answer.send(Ok(reply))),
        };
        let index = self.link_for(server, Lane::FIRST, number);
        let link = &self.links[index];
        if link.is_full() {
            let full = "it takes no more at the moment";
            return drop(answer.send(Err(link.stats.unsent(&full.into(), 1))));
        }
        let flight = self.flights.next_id();
        self.flights.depart(flight, Flight::Ask { words, reply: Vec::new(), answer, turns: TURNS });
        self.send_or_fail(flight, 0, Redirect { server, asking: false }, Lane::FIRST, number);
    }

    /// Gives up connections that have gone silent, and has those that say nothing show that they are there.
    fn tick(&mut self) {
        for link in &mut self.links {
            let patience = self.servers.get(link.server).upstream.reply_timeout;
            let longest = u32::try_from(patience.as_secs().max(1)).unwrap_or(u32::MAX);
            match link.tick() {
                Silence::Waited(seconds) if seconds >= longest => {
                    link.give_up(silence(seconds.into()));
                }
                Silence::Idle(seconds) if seconds >= longest => {
                    launch(&mut self.flights, link, "PING", Flight::Nobody);
                }
                _ => {}
            }
        }
        self.flights.tidy();
        self.retry();
    }

    /// Has a request sent by the connection that its client has for itself, which it is given if there is none.
    fn send_privately(
        &mut self,
        mut batch: Box<Batch>,
        actor_id: ActorId,
        kind: Kind,
        to: Result<Option<usize>, Error>,
    ) -> Option<Box<Batch>> {
        let client = batch.client()?.clone();
        if self.own(&client).is_none() {
            self.open_private(&client, to.clone().ok().flatten());
        }
        let private = self.privates.get(&client.identity())?;
        if kind == Kind::Blocks {
            // Its client is to be heard while it waits.
            batch.step(Some(&Spec::FALLBACK), |call, out| private.send_blocking(call, to, out));
            return batch.leave();
        }
        batch.send_on();
        private.send(batch, actor_id, kind, to);
        None
    }

    fn open_private(&mut self, client: &Client, server: Option<usize>) {
        client.set(ClientFlag::StartedOver, false);
        let private = private::open(Weak::clone(&self.me), client, Lane::of(client), server);
        self.privates.insert(client.identity(), private);
    }

    /// A connection that a client has had and does not need any more.
    pub(super) fn take_idle(&mut self, server: usize, lane: Lane) -> Option<Dialled> {
        self.idle.retain_mut(|(_, _, dialled)| dialled.stream.is_quiet());
        let idle = self.idle.iter().rposition(|(of, known, _)| *of == server && *known == lane)?;
        Some(self.idle.swap_remove(idle).2)
    }

    /// How an upstream is reached, for a connection that is a client's own, and what is told of it.
    pub(super) fn server(&self, server: usize) -> (Rc<Upstream>, Arc<Stats>) {
        let server = self.servers.get(server);
        (Rc::clone(&server.upstream), Arc::clone(&server.stats))
    }

    /// One that is there, if any is.
    pub(super) fn any_server(&self, client: &Client) -> usize {
        self.servers.any(client.id())
    }

    /// A batch has a reply that did not come by a link.
    pub(super) fn go_on(&mut self, batch: Box<Batch>, actor_id: ActorId) {
        self.run(batch, actor_id, FIRST);
        self.land();
    }

    /// A client does not need its connection any more.
    pub(super) fn end_private(&mut self, client: &Client, lane: Lane, dialled: Option<(usize, Dialled)>) {
        self.privates.remove(&client.identity());
        if let Some((server, dialled)) = dialled.filter(|_| self.idle.len() < IDLE) {
            self.idle.push((server, lane, dialled));
        }
    }
}

/// Answers the next request of a batch.
fn answer(batch: &mut Batch, reply: &Value) {
    match reply {
        Value::Error(error) => batch.reject(|_, out| out.error(error)),
        reply => batch.step(Some(&Spec::FALLBACK), |_, out| reply.encode(out)),
    }
}

/// Sends a request of its own.
pub(super) fn launch(flights: &mut Flights, link: &mut Link, request: &'static str, flight: Flight) {
    let id = flights.next_id();
    link.write(id, 0, false, Words::Own(&[Bytes::from_static(request.as_bytes())]));
    flights.depart(id, flight);
    link.flush();
}

/// A router has made parts of what would change a connection that others use, or of nothing.
const NOT_IN_PARTS: Error = Error::from_static("ERR this cannot be sent in parts");

/// What is said where a request of a transaction would have to be sent elsewhere.
pub(super) const HAS_MOVED: Error =
    Error::from_static("TRYAGAIN what the transaction is about has moved: nothing of it is run");

impl Drop for Core {
    /// The tasks of the links end when they find that it is not there any more.
    fn drop(&mut self) {
        self.links.iter().for_each(Link::wake);
        let flying = self.flights.run_batches().filter_map(|flight| match flight {
            Flight::Batch(Run { batch, actor_id, .. }) => Some((batch, actor_id)),
            Flight::Split(parts) => match parts.who {
                Who::Batch(batch, actor_id) => Some((batch, actor_id)),
                Who::Program(_) => None,
            },
            _ => None,
        });
        for (mut batch, actor_id) in flying.chain(self.waiting.drain(..)) {
            batch.forget_relayed();
            batch.refuse(actor_id, &STOPPED);
            // What is refused does not wait.
            drop(batch.leave());
        }
    }
}
