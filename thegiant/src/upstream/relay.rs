//! The actor that has the connections to an upstream.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    future::poll_fn,
    mem,
    rc::{Rc, Weak},
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context as TaskContext, Poll},
    time::{Duration, Instant},
};

use actix::{Actor, AsyncContext, Context, Handler, Message, ResponseFuture};
use actix_rt::time::sleep;
use bytes::Bytes;
use foldhash::quality::RandomState;
use tokio::sync::oneshot;

use super::{
    Upstream,
    commands::{Kind, blocking, kind_of, name_of},
    dial::{Backoff, Dialled, Lane, Reason, dial, silence},
    flights::{Flight, Flights},
    handle::{Reply, Stats},
    link::{Link, Silence},
    private::{self, Private},
};
use crate::{
    Client, Disconnected, Error,
    command::Spec,
    connection::{Burst, ClientFlag, Drain, MountId, STOPPED, Target},
    resp::Protocol,
};

/// The actor that has the connections to an upstream, and answers the requests that nobody else does.
#[derive(Debug)]
pub(crate) struct Relay(Rc<RefCell<Core>>);

/// What the actor and the tasks of its connections have in common: all are on one thread.
pub(super) struct Core {
    upstream: Rc<Upstream>,
    me: Weak<RefCell<Core>>,
    links: Vec<Link>,
    flights: Flights,
    /// Connections that single clients have, by the clients' identities.
    privates: HashMap<usize, Private, RandomState>,
    /// Connections that clients have had, for others.
    idle: Vec<(Lane, Dialled)>,
    /// Commands that may wait, as far as only the upstream knows of them.
    blocking: HashSet<Box<[u8]>, RandomState>,
    /// Links with something to be sent.
    dirty: Vec<usize>,
    /// Bursts that wait for room.
    waiting: Vec<(Box<Burst>, MountId)>,
    stats: Arc<Stats>,
}

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
        f.debug_struct("Core").field("links", &self.links.len()).finish_non_exhaustive()
    }
}

impl Relay {
    pub(super) fn new(upstream: Upstream) -> (Self, Arc<Stats>) {
        let stats = Arc::new(Stats { address: upstream.address.clone(), ..Stats::default() });
        let core = Rc::new_cyclic(|me| {
            RefCell::new(Core {
                flights: Flights::new(&upstream, Arc::clone(&stats)),
                upstream: Rc::new(upstream),
                me: Weak::clone(me),
                links: Vec::new(),
                privates: HashMap::default(),
                idle: Vec::new(),
                blocking: HashSet::default(),
                dirty: Vec::new(),
                waiting: Vec::new(),
                stats: Arc::clone(&stats),
            })
        });
        (Relay(core), stats)
    }
}

impl Actor for Relay {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.0.borrow_mut().open(Lane { protocol: Protocol::Resp2, db: 0 });
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
        core.flush();
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
pub(super) struct Ask(pub(super) Bytes);

impl Handler<Ask> for Relay {
    type Result = ResponseFuture<Reply>;

    fn handle(&mut self, Ask(request): Ask, _: &mut Self::Context) -> Self::Result {
        let reply = self.0.borrow_mut().ask(&request);
        Box::pin(async move { reply?.await.unwrap_or_else(|_| Err(Error::INTERNAL)) })
    }
}

/// What is to be done with a burst next.
enum Step {
    /// So many of its next requests are sent on, by this link.
    SendOn(usize, usize),
    /// Its next request goes by the connection that its client has for itself.
    SendPrivately(Kind),
    /// Its next request has been answered.
    Go,
    /// Its next request waits for its reply, or is not for this one, or there is no room for the reply.
    Leave,
    /// It waits for room.
    Wait,
}

impl Core {
    /// Sends requests of a burst on, at most so many. It comes back when they have been answered.
    fn run(&mut self, burst: Box<Burst>, mount: MountId, most: usize) {
        let mut next = Some(burst);
        while let Some(mut burst) = next.take() {
            match self.step(&mut burst, mount, most) {
                Step::SendOn(count, link) => self.send_on(burst, mount, count, link),
                Step::Go => next = Some(burst),
                Step::Leave => next = burst.leave(),
                Step::SendPrivately(kind) => self.send_privately(burst, mount, kind),
                Step::Wait => self.waiting.push((burst, mount)),
            }
        }
    }

    fn step(&mut self, burst: &mut Burst, mount: MountId, most: usize) -> Step {
        let (Some((request, first)), Some(client)) = (burst.coming_for(mount).next(), burst.client()) else {
            return Step::Leave;
        };
        // Nobody would be told that this one has gone.
        if !client.is_connected() {
            return Step::Leave;
        }
        let kind = self.kind(burst, request, first.row.index());
        if matches!(kind, Kind::Refused | Kind::Own) {
            refuse(burst, first.row.index());
            return Step::Go;
        }
        if !self.privates.is_empty() && self.has_private(client) {
            return self.step_privately(burst, kind);
        }
        let count = self.count_shared(burst, mount, most);
        if count == 0 {
            self.open_private(&client.clone());
            return self.step_privately(burst, kind);
        }
        let link = self.link_for(client);
        if let Some(reason) = self.links[link].down() {
            let error = self.flights.unsent(reason, 1);
            burst.reject(|_, out| out.error(&error));
            return Step::Go;
        }
        if self.links[link].is_full() { Step::Wait } else { Step::SendOn(count, link) }
    }

    /// How many of its next requests may go by a connection that others use, too.
    fn count_shared(&self, burst: &Burst, mount: MountId, most: usize) -> usize {
        let mut count = 0;
        let mut coming = burst.coming_for(mount);
        while count < most
            && let Some((request, target)) = coming.next()
        {
            count += match self.kind(burst, request, target.row.index()) {
                Kind::Plain | Kind::Exec | Kind::Discard | Kind::Unwatch => 1,
                // A transaction that is there as a whole has no need of a connection of its own.
                Kind::Multi => match self.rest_of_transaction(burst, coming.clone()) {
                    Some(rest) => {
                        coming.nth(rest - 1);
                        1 + rest
                    }
                    None => break,
                },
                _ => break,
            };
        }
        count
    }

    fn kind(&self, burst: &Burst, request: u32, row: usize) -> Kind {
        let kind = kind_of(row);
        if kind == Kind::Plain && !self.blocking.is_empty() {
            let name = burst.call(request).map(|call| call.name().to_ascii_lowercase());
            if name.is_some_and(|name| self.blocking.contains(&name[..])) {
                return Kind::Blocks;
            }
        }
        kind
    }

    /// How many requests a transaction has that has just begun, its end included, if that is there and nothing of it needs a
    /// connection of its own.
    fn rest_of_transaction(
        &self,
        burst: &Burst,
        coming: impl Iterator<Item = (u32, Target)>,
    ) -> Option<usize> {
        for (before, (request, target)) in coming.enumerate() {
            match self.kind(burst, request, target.row.index()) {
                Kind::Exec | Kind::Discard if burst.call(request).is_some_and(|call| call.len() == 1) => {
                    return Some(before + 1);
                }
                Kind::Subscribe(_) | Kind::Unsubscribe(_) | Kind::Refused | Kind::Own => return None,
                _ => {}
            }
        }
        None
    }

    fn send_on(&mut self, mut burst: Box<Burst>, mount: MountId, count: usize, index: usize) {
        let link = &mut self.links[index];
        let (first, count) = (burst.next_request(), count as u32);
        let flight = self.flights.next_id();
        link.announce(flight, count);
        for request in first..first + count {
            if let Some(call) = burst.call(request) {
                link.write(&call);
            }
        }
        burst.send_on();
        let room = burst.room();
        self.flights.depart(flight, Flight::Burst { burst, mount, left: count, count, room });
        self.stats.commands.fetch_add(u64::from(count), Relaxed);
        if self.dirty.last() != Some(&index) {
            self.dirty.push(index);
        }
    }

    /// Sends what has been written.
    fn flush(&mut self) {
        while let Some(index) = self.dirty.pop() {
            self.links[index].flush();
        }
    }

    /// Goes on with what has been answered.
    fn land(&mut self) {
        while let Some(landed) = self.flights.landed.pop_front() {
            let Some(Flight::Burst { burst, mount, count, room, .. }) = self.flights.arrive(landed) else {
                continue;
            };
            let replies = room.saturating_sub(burst.room()).max(1);
            let as_many = (room / (replies / count as usize).max(1)).clamp(1, MOST);
            self.run(burst, mount, as_many);
        }
        self.flush();
    }

    /// Those that wait for room have another try.
    fn retry(&mut self) {
        for (burst, mount) in mem::take(&mut self.waiting) {
            self.run(burst, mount, FIRST);
        }
        self.flush();
    }

    /// The connection that this client shares with others.
    fn link_for(&mut self, client: &Client) -> usize {
        let lane = Lane::of(client);
        let first = match self.links.iter().position(|link| link.lane == lane) {
            Some(first) => first,
            None => self.open(lane),
        };
        first + (client.id() % self.upstream.connections as u64) as usize
    }

    /// Opens the connections of a lane; returns the first.
    fn open(&mut self, lane: Lane) -> usize {
        let first = self.links.len();
        for index in first..first + self.upstream.connections {
            self.links.push(Link::new(lane));
            actix_rt::spawn(keep_up(Weak::clone(&self.me), index));
        }
        first
    }

    fn ask(&mut self, request: &[u8]) -> Result<oneshot::Receiver<Reply>, Error> {
        let link = &mut self.links[0];
        if let Some(reason) = link.down() {
            return Err(self.flights.unsent(reason, 1));
        }
        if link.is_full() {
            return Err(self.flights.unsent(&"it takes no more at the moment".into(), 1));
        }
        let (answer, reply) = oneshot::channel();
        self.flights.launch(link, request, Flight::Ask { reply: Vec::new(), answer });
        self.stats.commands.fetch_add(1, Relaxed);
        Ok(reply)
    }

    /// Gives up connections that have gone silent, and has those that say nothing show that they are there.
    fn tick(&mut self) {
        let longest = u32::try_from(self.upstream.reply_timeout.as_secs().max(1)).unwrap_or(u32::MAX);
        for link in &mut self.links {
            match link.tick() {
                Silence::Waited(seconds) if seconds >= longest => {
                    link.give_up(silence(seconds.into()));
                }
                Silence::Idle(seconds) if seconds >= longest => {
                    self.flights.launch(link, b"*1\r\n$4\r\nPING\r\n", Flight::Nobody);
                }
                _ => {}
            }
        }
        self.retry();
    }

    /// Whether this client has a connection of its own.
    fn has_private(&mut self, client: &Client) -> bool {
        if !self.privates.contains_key(&client.identity()) {
            return false;
        }
        // It has started over: so has what it had.
        if client.is(ClientFlag::StartedOver) {
            self.privates.remove(&client.identity());
        }
        client.set(ClientFlag::StartedOver, false);
        self.privates.contains_key(&client.identity())
    }

    fn open_private(&mut self, client: &Client) {
        let lane = Lane::of(client);
        self.idle.retain_mut(|(_, dialled)| dialled.stream.is_quiet());
        let idle = self.idle.iter().rposition(|(known, _)| *known == lane);
        let dialled = idle.map(|index| self.idle.swap_remove(index).1);
        client.set(ClientFlag::StartedOver, false);
        let private = private::open(
            Weak::clone(&self.me),
            Rc::clone(&self.upstream),
            Arc::clone(&self.stats),
            client,
            lane,
            dialled,
        );
        self.privates.insert(client.identity(), private);
    }

    /// What is to be done with the next request, which is of this kind, of a client that has a connection for itself.
    fn step_privately(&self, burst: &mut Burst, kind: Kind) -> Step {
        if kind != Kind::Blocks {
            return Step::SendPrivately(kind);
        }
        if let Some(private) = self.private_of(burst) {
            self.stats.commands.fetch_add(1, Relaxed);
            burst.step(Some(&Spec::FALLBACK), |call, out| private.send_blocking(call, out));
        }
        Step::Leave
    }

    fn private_of(&self, burst: &Burst) -> Option<&Private> {
        self.privates.get(&burst.client()?.identity())
    }

    fn send_privately(&mut self, mut burst: Box<Burst>, mount: MountId, kind: Kind) {
        burst.send_on();
        if let Some(private) = self.private_of(&burst) {
            self.stats.commands.fetch_add(1, Relaxed);
            private.send(burst, mount, kind);
        }
    }

    /// A burst has a reply that did not come by a link.
    pub(super) fn go_on(&mut self, burst: Box<Burst>, mount: MountId) {
        self.run(burst, mount, FIRST);
        self.flush();
    }

    /// A client does not need its connection any more.
    pub(super) fn end_private(&mut self, client: &Client, lane: Lane, dialled: Option<Dialled>) {
        self.privates.remove(&client.identity());
        if let Some(dialled) = dialled.filter(|_| self.idle.len() < IDLE) {
            self.idle.push((lane, dialled));
        }
    }
}

/// Its next request is not sent on.
fn refuse(burst: &mut Burst, row: usize) {
    burst.reject(|call, out| {
        out.error(&match (call.is("CLIENT"), call.len()) {
            (true, 1) => call.wrong_arity_of(1),
            (true, _) => call.unknown_subcommand("CLIENT"),
            (false, _) => Error::err(format_args!("{} cannot be sent on to an upstream", name_of(row))),
        });
    });
}

impl Drop for Core {
    /// The tasks of the links end when they find that it is not there any more.
    fn drop(&mut self) {
        self.links.iter().for_each(Link::wake);
        let flying = self.flights.flights.drain(..).filter_map(|flight| match flight {
            Some(Flight::Burst { burst, mount, .. }) => Some((burst, mount)),
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

/// Keeps a connection up, as long as there is a relay.
async fn keep_up(core: Weak<RefCell<Core>>, index: usize) {
    let mut backoff = Backoff::default();
    let mut was_told = false;
    loop {
        let Some((upstream, lane)) = core.upgrade().map(|core| {
            let core = core.borrow();
            (Rc::clone(&core.upstream), core.links[index].lane)
        }) else {
            return;
        };
        let lost = match dial(&upstream, lane).await {
            Ok(dialled) => {
                if mem::take(&mut was_told) {
                    tracing::info!(upstream = upstream.address, "the upstream is there again");
                }
                let since = Instant::now();
                let Some(lost) = serve(&core, index, dialled).await else { return };
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
        {
            let mut core = core.borrow_mut();
            let core = &mut *core;
            core.idle.clear();
            core.links[index].disconnected(&lost, &mut core.flights);
            core.land();
            core.retry();
        }
        drop(core);
        sleep(backoff.next()).await;
    }
}

/// Has a connection read and written until it is lost. None: there is no relay any more.
async fn serve(core: &Weak<RefCell<Core>>, index: usize, dialled: Dialled) -> Option<Reason> {
    {
        let core = core.upgrade()?;
        let mut core = core.borrow_mut();
        core.links[index].connected(dialled);
        core.stats.connections.fetch_add(1, Relaxed);
        if index == 0 {
            core.ask_for_commands();
        }
        core.retry();
    }
    let lost = poll_fn(|cx| match core.upgrade() {
        Some(core) => core.borrow_mut().poll_link(index, cx).map(Some),
        None => Poll::Ready(None),
    })
    .await?;
    core.upgrade()?.borrow().stats.connections.fetch_sub(1, Relaxed);
    Some(lost)
}

impl Core {
    fn poll_link(&mut self, index: usize, cx: &mut TaskContext<'_>) -> Poll<Reason> {
        let polled = self.links[index].poll(&mut self.flights, cx);
        if let Some(commands) = self.flights.commands.take() {
            self.blocking = blocking(&commands);
        }
        self.land();
        self.retry();
        polled
    }

    /// Which commands may wait is asked whenever there is a new connection, which may be to another version.
    fn ask_for_commands(&mut self) {
        let commands = Flight::Commands(Vec::new());
        self.flights.launch(&mut self.links[0], b"*1\r\n$7\r\nCOMMAND\r\n", commands);
    }
}
