//! The actor that has the connections to an upstream.

use std::{
    cell::RefCell,
    collections::HashMap,
    future::poll_fn,
    mem,
    rc::{Rc, Weak},
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context as TaskContext, Poll},
    time::{Duration, Instant},
};

use actix::{Actor, AsyncContext, Context, Handler, Message, ResponseFuture};
use actix_rt::time::{sleep, timeout};
use bytes::Bytes;
use foldhash::quality::RandomState;
use tokio::sync::{Notify, oneshot};

use super::{
    Upstream,
    commands::{Kind, kind_of, name_of},
    dial::{Backoff, Dialled, Lane, Reason, dial, silence},
    flights::{Flight, FlightId, Flights, Parts, Run, TURNS, Turned, Who, Why},
    handle::{Reply, Stats},
    link::{Link, Silence},
    private::{self, Private},
    router::{Redirect, Request, Route, Router, Split, Words},
    servers::{AllStats, Servers},
    table::Table,
};
use crate::{
    Client, Disconnected, Error, Value,
    command::{Call, Spec},
    connection::{Burst, ClientFlag, Drain, MountId, STOPPED, Target},
};

/// The actor that has the connections to upstreams, and answers the requests that nobody else does.
#[derive(Debug)]
pub(crate) struct Relay(Rc<RefCell<Core>>);

/// What the actor and the tasks of its connections have in common: all are on one thread.
pub(super) struct Core {
    me: Weak<RefCell<Core>>,
    servers: Servers,
    /// There is none where there is one upstream.
    router: Option<Box<dyn Router>>,
    /// The upstreams' commands, when they have been told.
    table: Option<Table>,
    links: Vec<Link>,
    flights: Flights,
    /// Connections that single clients have, by the clients' identities.
    privates: HashMap<usize, Private, RandomState>,
    /// Connections that clients have had, for others.
    idle: Vec<(usize, Lane, Dialled)>,
    /// Links with something to be sent.
    dirty: Vec<usize>,
    /// What waits for room, or for the commands to be known.
    waiting: Vec<(Box<Burst>, MountId)>,
    asked: Vec<Question>,
    /// How often the program has asked.
    asks: u64,
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

/// A connection that holds for so long is not taken for one that is lost again at once.
const STABLE: Duration = Duration::from_secs(1);

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

impl Handler<Drain> for Relay {
    type Result = ();

    fn handle(&mut self, mut message: Drain, _: &mut Self::Context) {
        let Some(inbox) = message.take_inbox() else { return };
        let mut core = self.0.borrow_mut();
        let mount = inbox.mount();
        let mut bursts = inbox.take();
        for burst in bursts.drain(..) {
            core.run(burst, mount, FIRST);
        }
        inbox.give_back(bursts);
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

/// Where a request of a burst goes.
enum Way {
    /// By this link, with so many behind it that belong to it.
    Link(usize, u32),
    /// In parts.
    Split(Split),
    /// By the connection that its client has for itself: to this one, or to the one that is there; or the error is what the
    /// client is told there.
    Private(Kind, Result<Option<usize>, Error>),
    Answer(Value),
    /// There is no room, or it is not known yet where it goes.
    Wait,
}

impl From<Error> for Way {
    fn from(error: Error) -> Self {
        Way::Answer(Value::Error(error))
    }
}

impl Core {
    /// Sends requests of a burst on, at most so many. It comes back when they have been answered.
    fn run(&mut self, burst: Box<Burst>, mount: MountId, most: usize) {
        let mut next = Some(burst);
        while let Some(mut burst) = next.take() {
            match self.next_way(&burst, mount) {
                // It waits for its reply, or is not for this one, or there is no room for the reply; or nobody would be told
                // that its client has gone.
                None => next = burst.leave(),
                Some(Way::Link(link, bound)) => self.send_on(burst, mount, most, (link, bound)),
                Some(Way::Split(split)) => self.send_split(burst, mount, split),
                Some(Way::Private(kind, to)) => next = self.send_privately(burst, mount, kind, to),
                Some(Way::Answer(reply)) => {
                    answer(&mut burst, &reply);
                    next = Some(burst);
                }
                Some(Way::Wait) => self.waiting.push((burst, mount)),
            }
        }
    }

    /// Where its next request goes.
    fn next_way(&mut self, burst: &Burst, mount: MountId) -> Option<Way> {
        let mut coming = burst.coming_for(mount);
        let first = coming.next().filter(|_| burst.client().is_some_and(Client::is_connected))?;
        Some(self.way(burst, first, coming, None))
    }

    /// Where a request goes, which others come behind. The link of the one before it is known to have room.
    fn way(
        &mut self,
        burst: &Burst,
        (request, target): (u32, Target),
        behind: impl Iterator<Item = (u32, Target)>,
        before: Option<usize>,
    ) -> Way {
        let Some(call) = burst.call(request) else { return Way::Wait };
        let row = target.row.index();
        let words = Words::Call(&call);
        let kind = self.kind(words, row);
        if matches!(kind, Kind::Refused | Kind::Own) {
            return refusal(&call, row).into();
        }
        if !self.is_ready() {
            return Way::Wait;
        }
        if !self.privates.is_empty()
            && let Some(way) = self.way_of_own(words, call.client(), kind)
        {
            return way;
        }
        let number = call.client().id();
        let (server, bound) = match kind {
            Kind::Plain => match self.route(words, false) {
                Route::To(server) => (server, 0),
                // It need not have a way of its own.
                Route::Any => match before {
                    Some(link) => return Way::Link(link, 0),
                    None => (self.servers.any(number), 0),
                },
                Route::Split(split) => return Way::Split(split),
                Route::Answer(reply) => return Way::Answer(reply),
            },
            Kind::Exec | Kind::Discard | Kind::Unwatch => (self.servers.any(number), 0),
            // A transaction that is there as a whole has no need of a connection of its own.
            Kind::Multi => match self.rest_of_transaction(burst, behind) {
                Some((rest, server)) => (server.unwrap_or_else(|| self.servers.any(number)), rest),
                None => {
                    let is_one = self.router.is_none();
                    return Way::Private(kind, Ok(is_one.then_some(0)));
                }
            },
            _ => {
                return match self.destination(words) {
                    Ok(to) => Way::Private(kind, Ok(Some(to.unwrap_or_else(|| self.servers.any(number))))),
                    Err(error) => error.into(),
                };
            }
        };
        if let Some(link) = before.filter(|link| self.links[*link].server == server) {
            return Way::Link(link, bound);
        }
        let link = self.link_for(server, Lane::of(call.client()), number);
        match self.links[link].unsent(1) {
            Some(error) => error.into(),
            None if self.links[link].is_full() => Way::Wait,
            None => Way::Link(link, bound),
        }
    }

    /// Where a request goes whose client has a connection for itself, if not where others go.
    fn way_of_own(&mut self, words: Words<'_>, client: &Client, kind: Kind) -> Option<Way> {
        let (own, is_in_transaction) = self.own(client)?;
        if matches!(kind, Kind::Multi | Kind::Exec | Kind::Discard | Kind::Unwatch) {
            return Some(Way::Private(kind, Ok(None)));
        }
        // What is neither about the connection nor about what is there need not go there.
        let is_free = kind == Kind::Plain && !is_in_transaction;
        let to = match self.route(words, true) {
            Route::To(server) if is_free && own.is_some_and(|own| own != server) => return None,
            Route::Split(_) | Route::Answer(_) if is_free => return None,
            Route::To(server) => Ok(Some(server)),
            Route::Any => Ok(None),
            Route::Answer(Value::Error(error)) => Err(error),
            Route::Split(_) | Route::Answer(_) => Err(CROSSED),
        };
        Some(Way::Private(kind, to))
    }

    /// Where the connection goes that this client has for itself, and whether it is in a transaction there.
    fn own(&mut self, client: &Client) -> Option<(Option<usize>, bool)> {
        let identity = client.identity();
        self.privates.get(&identity)?;
        // It has started over: so has what it had.
        if client.is(ClientFlag::StartedOver) {
            self.privates.remove(&identity);
        }
        client.set(ClientFlag::StartedOver, false);
        self.privates.get(&identity).map(Private::state)
    }

    /// Whether it is known where requests go: without the upstreams' commands, it is not known which words are keys.
    fn is_ready(&self) -> bool {
        self.router.is_none()
            || self.table.is_some()
            || (0..self.servers.len()).all(|server| !self.servers.is_up(server))
    }

    fn route(&mut self, words: Words<'_>, is_in_transaction: bool) -> Route {
        let Some(router) = &mut self.router else { return Route::To(0) };
        let known = self.table.as_ref().and_then(|table| table.find(words));
        match router.route(&Request::new(words, known, is_in_transaction), &mut self.servers) {
            Route::To(server) if server >= self.servers.len() => Error::INTERNAL.into(),
            route => route,
        }
    }

    /// The one upstream that a request goes to which others belong to; none is any.
    fn destination(&mut self, words: Words<'_>) -> Result<Option<usize>, Error> {
        match self.route(words, true) {
            Route::To(server) => Ok(Some(server)),
            Route::Any => Ok(None),
            Route::Answer(Value::Error(error)) => Err(error),
            Route::Split(_) | Route::Answer(_) => Err(CROSSED),
        }
    }

    fn kind(&self, words: Words<'_>, row: usize) -> Kind {
        let kind = kind_of(row);
        if kind == Kind::Plain
            && let Some(table) = self.table.as_ref().filter(|table| table.has_blocking())
            && table.find(words).is_some_and(|known| known.is_blocking)
        {
            return Kind::Blocks;
        }
        kind
    }

    /// How many requests a transaction has that has just begun, its end included, and where it goes; if its end is there,
    /// and nothing of it needs a connection of its own.
    fn rest_of_transaction(
        &mut self,
        burst: &Burst,
        coming: impl Iterator<Item = (u32, Target)>,
    ) -> Option<(u32, Option<usize>)> {
        let mut server = None;
        for (before, (request, target)) in (0..).zip(coming) {
            let call = burst.call(request)?;
            let words = Words::Call(&call);
            match self.kind(words, target.row.index()) {
                Kind::Exec | Kind::Discard if call.len() == 1 => return Some((before + 1, server)),
                Kind::Subscribe(_) | Kind::Unsubscribe(_) | Kind::Refused | Kind::Own => return None,
                Kind::Multi | Kind::Exec | Kind::Discard | Kind::Unwatch => {}
                _ => match self.destination(words).ok()? {
                    Some(to) if server.is_some_and(|server| server != to) => return None,
                    to => server = server.or(to),
                },
            }
        }
        None
    }

    fn send_on(&mut self, mut burst: Box<Burst>, mount: MountId, most: usize, first: (usize, u32)) {
        let flight = self.flights.next_id();
        let count = self.write(flight, &burst, mount, most, first);
        burst.send_on();
        let first = burst.next_request();
        self.flights.depart(flight, Flight::Burst(Run::new(burst, mount, first, count)));
    }

    /// Writes requests of a burst to links, as long as they go by any, and at most so many; the first goes by this one, with
    /// so many behind it. Returns how many.
    fn write(
        &mut self,
        flight: FlightId,
        burst: &Burst,
        mount: MountId,
        most: usize,
        first: (usize, u32),
    ) -> u32 {
        let mut coming = burst.coming_for(mount);
        let (mut count, mut next) = (0, Some(first));
        // Of one link in a row, they are counted as one.
        let (mut counted, mut last) = (0, first.0);
        while let Some((link, bound)) = next {
            if link != last {
                self.links[last].count(count - counted);
                (counted, last) = (count, link);
            }
            for (request, _) in coming.by_ref().take(bound as usize + 1) {
                if let Some(call) = burst.call(request) {
                    self.links[link].write(flight, count, bound > 0, Words::Call(&call));
                    count += 1;
                }
            }
            self.make_dirty(link);
            let mut behind = coming.clone();
            next = match behind.next().filter(|_| (count as usize) < most) {
                Some(request) => match self.way(burst, request, behind, Some(link)) {
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
    fn send_split(&mut self, mut burst: Box<Burst>, mount: MountId, split: Split) {
        let Some(client) = burst.client() else { return };
        let (lane, number) = (Lane::of(client), client.id());
        burst.send_on();
        self.depart_in_parts(Who::Burst(burst, mount), lane, number, split);
    }

    fn depart_in_parts(&mut self, who: Who, lane: Lane, number: u64, Split { parts, merge }: Split) {
        let flight = self.flights.next_id();
        let (servers, parts): (Vec<usize>, Vec<Vec<Bytes>>) = parts.into_iter().unzip();
        if parts.is_empty() {
            self.flights.landed.push_back(flight);
        }
        self.flights.depart(flight, Flight::Split(Box::new(Parts::new(who, parts, merge))));
        for (server, slot) in servers.into_iter().zip(0..) {
            if let Err(error) = self.send(flight, slot, Redirect { server, asking: false }, lane, number) {
                self.flights.fail(flight, slot, &error);
            }
        }
    }

    /// Sends a request of a flight; with an error, that has not been done.
    fn send(
        &mut self,
        flight: FlightId,
        slot: u32,
        to: Redirect,
        lane: Lane,
        number: u64,
    ) -> Result<(), Error> {
        if to.server >= self.servers.len() {
            return Err(Error::INTERNAL);
        }
        let index = self.link_for(to.server, lane, number);
        if let Some(error) = self.links[index].unsent(1) {
            return Err(error);
        }
        let link = &mut self.links[index];
        if to.asking {
            let asking = self.flights.next_id();
            self.flights.depart(asking, Flight::Nobody);
            link.write(asking, 0, false, Words::Own(&[Bytes::from_static(b"ASKING")]));
        }
        link.count(1);
        self.flights.with_words(flight, slot, |words| link.write(flight, slot, false, words));
        self.make_dirty(index);
        Ok(())
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
            while let Some(turned) = self.flights.turned.pop() {
                self.turn(turned);
            }
            let Some(landed) = self.flights.landed.pop_front() else { break };
            match self.flights.arrive(landed) {
                Some(Flight::Burst(mut run)) => {
                    self.flights.keep(&mut run);
                    let most = run.as_many().clamp(1, MOST);
                    self.run(run.burst, run.mount, most);
                }
                Some(Flight::Split(parts)) => self.land_in_parts(*parts),
                _ => {}
            }
        }
        self.flush();
    }

    fn land_in_parts(&mut self, parts: Parts) {
        match parts.merge() {
            (Who::Burst(mut burst, mount), reply) => {
                answer(&mut burst, &reply);
                self.run(burst, mount, FIRST);
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
        match (redirect, why) {
            (Some(_), _) if is_bound => self.flights.fail(flight, slot, &HAS_MOVED),
            (Some(redirect), why) if self.flights.may_turn(flight) => {
                let Some((lane, number)) = self.flights.sender(flight) else { return };
                if let Err(error) = self.send(flight, slot, redirect, lane, number) {
                    let error = if let Why::Unsent(error) = why { error } else { error };
                    self.flights.fail(flight, slot, &error);
                }
            }
            (_, Why::Replied(error)) => {
                self.flights.part(flight, slot, &error);
                self.flights.end(flight, slot);
            }
            (_, Why::Unsent(error)) => self.flights.fail(flight, slot, &error),
        }
    }

    /// Where the router says that a request has to go which has been answered by an error.
    pub(super) fn redirect(&mut self, error: &[u8]) -> Option<Redirect> {
        let error = std::str::from_utf8(error.strip_prefix(b"-")?).ok()?.trim_end();
        self.router.as_mut()?.redirect(error, &mut self.servers)
    }

    /// Where a request may go that has not been sent.
    fn another_way(&mut self, flight: FlightId, slot: u32) -> Option<Redirect> {
        let (router, table, servers) = (self.router.as_mut()?, &self.table, &mut self.servers);
        let mut route = None;
        self.flights.with_words(flight, slot, |words| {
            let known = table.as_ref().and_then(|table| table.find(words));
            route = Some(router.route(&Request::new(words, known, false), servers));
        });
        match route? {
            Route::To(server) => Some(Redirect { server, asking: false }),
            Route::Any => Some(Redirect { server: self.servers.any(slot.into()), asking: false }),
            Route::Split(_) | Route::Answer(_) => None,
        }
    }

    /// Those that wait have another try.
    fn retry(&mut self) {
        if !self.is_ready() {
            return;
        }
        for question in mem::take(&mut self.asked) {
            self.ask(question);
        }
        for (burst, mount) in mem::take(&mut self.waiting) {
            self.run(burst, mount, FIRST);
        }
        self.land();
    }

    /// The connection to an upstream which those of this number share with others.
    fn link_for(&mut self, server: usize, lane: Lane, number: u64) -> usize {
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
        if !self.is_ready() {
            return self.asked.push((words, answer));
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
            Route::Answer(reply) => return drop(answer.send(Ok(reply))),
        };
        let index = self.link_for(server, Lane::FIRST, number);
        let link = &self.links[index];
        let full = "it takes no more at the moment";
        let error = link.unsent(1).or_else(|| link.is_full().then(|| link.stats.unsent(&full.into(), 1)));
        if let Some(error) = error {
            return drop(answer.send(Err(error)));
        }
        let flight = self.flights.next_id();
        self.flights.depart(flight, Flight::Ask { words, reply: Vec::new(), answer, turns: TURNS });
        let to = Redirect { server, asking: false };
        if let Err(error) = self.send(flight, 0, to, Lane::FIRST, number) {
            self.flights.fail(flight, 0, &error);
        }
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
        mut burst: Box<Burst>,
        mount: MountId,
        kind: Kind,
        to: Result<Option<usize>, Error>,
    ) -> Option<Box<Burst>> {
        let client = burst.client()?.clone();
        if self.own(&client).is_none() {
            self.open_private(&client, to.clone().ok().flatten());
        }
        let private = self.privates.get(&client.identity())?;
        if kind == Kind::Blocks {
            // Its client is to be heard while it waits.
            burst.step(Some(&Spec::FALLBACK), |call, out| private.send_blocking(call, to, out));
            return burst.leave();
        }
        burst.send_on();
        private.send(burst, mount, kind, to);
        None
    }

    fn open_private(&mut self, client: &Client, server: Option<usize>) {
        let lane = Lane::of(client);
        self.idle.retain_mut(|(_, _, dialled)| dialled.stream.is_quiet());
        let idle = self.idle.iter().rposition(|(of, known, _)| Some(*of) == server && *known == lane);
        let dialled = idle.map(|index| self.idle.swap_remove(index).2);
        client.set(ClientFlag::StartedOver, false);
        let private = private::open(Weak::clone(&self.me), client, lane, server, dialled);
        self.privates.insert(client.identity(), private);
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

    /// A burst has a reply that did not come by a link.
    pub(super) fn go_on(&mut self, burst: Box<Burst>, mount: MountId) {
        self.run(burst, mount, FIRST);
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

/// Answers the next request of a burst.
fn answer(burst: &mut Burst, reply: &Value) {
    match reply {
        Value::Error(error) => burst.reject(|_, out| out.error(error)),
        reply => burst.step(Some(&Spec::FALLBACK), |_, out| reply.encode(out)),
    }
}

/// Sends a request of its own.
fn launch(flights: &mut Flights, link: &mut Link, request: &'static str, flight: Flight) {
    let id = flights.next_id();
    link.write(id, 0, false, Words::Own(&[Bytes::from_static(request.as_bytes())]));
    flights.depart(id, flight);
    link.flush();
}

/// Why a request is not sent on.
fn refusal(call: &Call<'_>, row: usize) -> Error {
    match (call.is("CLIENT"), call.len()) {
        (true, 1) => call.wrong_arity_of(1),
        (true, _) => call.unknown_subcommand("CLIENT"),
        (false, _) => Error::err(format_args!("{} cannot be sent on to an upstream", name_of(row))),
    }
}

/// What Redis Cluster says of keys of several nodes.
pub(super) const CROSSED: Error = Error::from_static("CROSSSLOT Keys in request don't hash to the same slot");

pub(super) const HAS_MOVED: Error =
    Error::from_static("TRYAGAIN what the transaction is about has moved: nothing of it is run");

impl Drop for Core {
    /// The tasks of the links end when they find that it is not there any more.
    fn drop(&mut self) {
        self.links.iter().for_each(Link::wake);
        let flying = self.flights.drain().filter_map(|flight| match flight {
            Flight::Burst(Run { burst, mount, .. }) => Some((burst, mount)),
            Flight::Split(parts) => match parts.who {
                Who::Burst(burst, mount) => Some((burst, mount)),
                Who::Program(_) => None,
            },
            _ => None,
        });
        for (mut burst, mount) in flying.chain(self.waiting.drain(..)) {
            burst.forget_relayed();
            burst.refuse(mount, &STOPPED);
            // What is refused does not wait.
            drop(burst.leave());
        }
    }
}

/// Keeps a connection up, as long as there is a relay. By the first of an upstream it is known whether that is there.
async fn keep_up(core: Weak<RefCell<Core>>, index: usize, is_first: bool) {
    let mut backoff = Backoff::default();
    let mut was_told = false;
    loop {
        let Some((upstream, lane, back)) = core.upgrade().map(|core| core.borrow().how_to_dial(index)) else {
            return;
        };
        let lost = match dial(&upstream, lane).await {
            Ok(dialled) => {
                if mem::take(&mut was_told) {
                    tracing::info!(upstream = upstream.address, "the upstream is there again");
                }
                let since = Instant::now();
                let Some(lost) = serve(&core, index, is_first, dialled).await else { return };
                if since.elapsed() >= STABLE {
                    backoff.reset();
                }
                lost
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

/// Has a connection read and written until it is lost. None: there is no relay any more.
async fn serve(core: &Weak<RefCell<Core>>, index: usize, is_first: bool, dialled: Dialled) -> Option<Reason> {
    core.upgrade()?.borrow_mut().is_up(index, is_first, dialled);
    let lost = poll_fn(|cx| match core.upgrade() {
        Some(core) => core.borrow_mut().poll_link(index, cx).map(Some),
        None => Poll::Ready(None),
    })
    .await?;
    core.upgrade()?.borrow().links[index].stats.connections.fetch_sub(1, Relaxed);
    Some(lost)
}

impl Core {
    fn how_to_dial(&self, index: usize) -> (Rc<Upstream>, Lane, Rc<Notify>) {
        let link = &self.links[index];
        let server = self.servers.get(link.server);
        (Rc::clone(&server.upstream), link.lane, Rc::clone(&server.back))
    }

    /// A link has a connection.
    fn is_up(&mut self, index: usize, is_first: bool, dialled: Dialled) {
        let link = &mut self.links[index];
        link.connected(dialled);
        link.stats.connections.fetch_add(1, Relaxed);
        if is_first {
            // Which commands there are is asked whenever there is a new connection, which may be to another version.
            launch(&mut self.flights, link, "COMMAND", Flight::Commands(Vec::new()));
            let of = link.server;
            self.links.iter_mut().filter(|link| link.server == of).for_each(Link::expect);
            let server = self.servers.get_mut(of);
            server.is_down = false;
            server.back.notify_waiters();
        }
        self.retry();
    }

    /// A link has none.
    fn is_down(&mut self, index: usize, is_first: bool, reason: &Reason) {
        let server = self.links[index].server;
        if is_first {
            self.servers.get_mut(server).is_down = true;
        }
        self.idle.retain(|(of, _, _)| *of != server);
        self.links[index].disconnected(reason, &mut self.flights);
        self.land();
        self.retry();
    }

    fn poll_link(&mut self, index: usize, cx: &mut TaskContext<'_>) -> Poll<Reason> {
        let polled = self.links[index].poll(&mut self.flights, cx);
        if let Some(commands) = self.flights.commands.take() {
            self.table = Some(Table::read(&commands));
        }
        self.land();
        self.retry();
        polled
    }
}
