//! The peer of a connection, as everybody else sees it.

use std::{
    any::{Any, TypeId},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU8, AtomicU16, AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;

use super::{
    Address, Batch, CommandId, ServerState,
    blocked::LATE,
    client_slot::{ClientSlot, SlotExtras},
    commit_group::ReplyHolder,
};
use crate::{
    Error,
    command::IntoPush,
    resp::{Encoder, Protocol},
    settings::Setting,
};

/// Who sent a command: a handle that is cheap to clone and can be kept.
///
/// A `#[command]` method that has a parameter `client: &Client` gets it, or with `client: Client` one to
/// keep. What is kept stays valid when the client has gone, and says so.
///
/// ```
/// use thegiant::prelude::*;
///
/// struct Greeter;
///
/// impl Actor for Greeter {
///     type Context = Context<Self>;
/// }
///
/// #[commands]
/// impl Greeter {
///     /// Says who you are.
///     #[command("WHOAMI")]
///     fn who(&self, client: &Client) -> String {
///         format!("client {} at {}", client.id(), client.addr())
///     }
/// }
/// ```
///
/// # Pushes
/// A client can be [sent](Self::push) what it has not asked for at that moment. An actor that wants to know when
/// clients come and leave is told by [`App::connected`](crate::App::connected) and
/// [`App::disconnected`](crate::App::disconnected).
///
/// ```
/// use thegiant::{Disconnected, prelude::*};
///
/// #[derive(Default)]
/// struct News {
///     readers: Vec<Client>,
/// }
///
/// impl Actor for News {
///     type Context = Context<Self>;
/// }
///
/// #[commands]
/// impl News {
///     /// Has you told the news.
///     #[command("READ")]
///     fn read(&mut self, client: Client) {
///         self.readers.push(client);
///     }
///
///     /// Tells everybody.
///     #[command("TELL")]
///     fn tell(&self, news: &str) -> usize {
///         self.readers.iter().filter(|reader| reader.push(("news", news)).is_some()).count()
///     }
/// }
///
/// impl Handler<Disconnected> for News {
///     type Result = ();
///
///     fn handle(&mut self, Disconnected(client): Disconnected, _: &mut Context<Self>) {
///         self.readers.retain(|reader| reader.id() != client.id());
///     }
/// }
///
/// # #[actix::main]
/// # async fn main() {
/// let news = News::default().start();
/// let app = App::new().mount(news.clone()).disconnected(news);
/// # }
/// ```
#[derive(Clone)]
pub struct Client(Arc<ClientInner>);

/// Both ends of a connection, and the number of its socket.
#[derive(Clone, Debug)]
pub(crate) struct Ends {
    pub(crate) peer: Address,
    /// The same for most connections of a server.
    pub(crate) local: Arc<Address>,
    pub(crate) descriptor: i32,
}

struct ClientInner {
    id: u64,
    ends: Ends,
    /// When it came, in seconds of the server's clock; so are all times here.
    since: u32,
    db: AtomicU16,
    protocol: AtomicU8,
    /// What the connection is to do, see `CloseRequest`, and whether there is something to be pushed.
    signals: AtomicU8,
    flags: AtomicU8,
    /// When it was last active, or `BUSY`.
    active: AtomicU32,
    /// Since when a password is asked for, or `NEVER`.
    unauthenticated_since: AtomicU32,
    /// Since when the rest of a request is waited for, or `NEVER`.
    request_since: AtomicU32,
    /// The command that it sent last, or `NONE`.
    command: AtomicU32,
    /// Bytes of requests that have not arrived whole, and of replies that wait to be sent: up to 4 GiB
    /// are told apart.
    input: AtomicU32,
    output: AtomicU32,
    server: Weak<ServerState>,
    slot: Mutex<ClientSlot>,
}

/// In place of a time or a command.
const BUSY: u32 = u32::MAX;
const NEVER: u32 = u32::MAX;
const NONE: u32 = u32::MAX;

/// The bits of `signals` that hold a `CloseRequest`, and those that say that something is to be pushed, that
/// something that was is being sent, and that the connection is no more.
const CLOSE_REQUEST: u8 = 0b0_0011;
const PUSHED: u8 = 0b0_0100;
const LEAVING: u8 = 0b0_1000;
const CLOSED: u8 = 0b1_0000;

/// What is set for a client, a bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientFlag {
    /// `CLIENT NO-EVICT`: it is not closed when all clients take too much memory.
    NoEvict = 1,
    /// `MONITOR`: it is shown all commands.
    Monitor = 1 << 1,
    /// It waits for the end of a `CLIENT PAUSE`.
    Paused = 1 << 2,
    /// `CLIENT NO-TOUCH`: what it does is no use of a key.
    NoTouch = 1 << 3,
    /// Its connection is woken when it sends something or goes.
    Watched = 1 << 4,
    /// `WATCH`: a key that it watches has changed.
    Dirty = 1 << 5,
    /// `CLIENT TRACKING`: it is told when what it has read has changed.
    Tracking = 1 << 6,
    /// `RESET`: what it had of others is of the time before.
    StartedOver = 1 << 7,
}

/// What a connection finds when it looks for its batch.
pub(crate) enum Collected {
    Answered(Box<Batch>),
    /// It is with an actor.
    Dispatched,
    /// It waits for the reply to its next command.
    Blocked,
}

/// What waits to be pushed to a client.
pub(crate) struct PendingPushes {
    /// The number of the last piece.
    pub(crate) number: u64,
    /// Bytes of all.
    pub(crate) len: usize,
}

/// The reply to a command that waits when the server stops.
const ENDING: Error = Error::from_static("UNBLOCKED the server stops");

/// What a connection is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseRequest {
    None = 0,
    /// Answer what has been read, then close.
    Graceful = 1,
    /// Close at once.
    Now = 2,
}

impl Client {
    pub(crate) fn new(id: u64, ends: Ends, now: u32, server: Weak<ServerState>) -> Self {
        Client(Arc::new(ClientInner {
            id,
            ends,
            since: now,
            db: AtomicU16::new(0),
            protocol: AtomicU8::new(2),
            signals: AtomicU8::new(CloseRequest::None as u8),
            flags: AtomicU8::new(0),
            active: AtomicU32::new(now),
            unauthenticated_since: AtomicU32::new(NEVER),
            request_since: AtomicU32::new(NEVER),
            command: AtomicU32::new(NONE),
            input: AtomicU32::new(0),
            output: AtomicU32::new(0),
            server,
            slot: Mutex::default(),
        }))
    }

    /// A number that no other connection of this server ever has (`CLIENT ID`).
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// A number that no other client has, of whatever server, as long as there is a handle of this one.
    pub(crate) fn identity(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    /// Where the client is; over a unix socket, the path of the listener.
    pub fn addr(&self) -> &Address {
        &self.0.ends.peer
    }

    /// The address of the server that the client has connected to.
    pub fn local_addr(&self) -> &Address {
        &self.0.ends.local
    }

    /// The database chosen with `SELECT`, 0 at first.
    pub fn db(&self) -> u16 {
        self.0.db.load(Relaxed)
    }

    /// The protocol agreed on with `HELLO`.
    pub fn protocol(&self) -> Protocol {
        if self.0.protocol.load(Relaxed) == 3 { Protocol::Resp3 } else { Protocol::Resp2 }
    }

    /// The user it is authenticated as: always `default`, since there is no other yet.
    pub fn user(&self) -> &str {
        "default"
    }

    /// The name given with `CLIENT SETNAME`.
    pub fn name(&self) -> Option<String> {
        self.slot().extra()?.names.as_ref()?.connection.clone()
    }

    /// Name and version of the client library, from `CLIENT SETINFO`.
    pub fn library(&self) -> (Option<String>, Option<String>) {
        let slot = self.slot();
        let names = slot.extra().and_then(|extra| extra.names.as_deref());
        let name = names.and_then(|names| names.library.clone());
        (name, names.and_then(|names| names.library_version.clone()))
    }

    /// Whether it has asked, with `CLIENT NO-TOUCH on`, that its commands do not count as uses of
    /// their keys: for an application that forgets what is not used.
    pub fn is_no_touch(&self) -> bool {
        self.is(ClientFlag::NoTouch)
    }

    /// Whether it is there. When it has gone, nothing can be sent to it any more.
    pub fn is_connected(&self) -> bool {
        self.0.signals.load(Relaxed) & CLOSED == 0
    }

    /// Closes the connection at once, whatever waits to be sent.
    pub fn kill(&self) {
        self.ask(CloseRequest::Now);
    }

    /// Sends the client something that is no reply: a push in RESP3, the same as an array in RESP2. By
    /// custom the first element says what it is about.
    ///
    /// Pushes keep their order. They leave between two replies, and while a command waits for its
    /// reply; not while a handler runs. Returns the number of this push on its connection, from 1,
    /// or `None` if the client has gone.
    ///
    /// What waits to be sent is bounded: [`Server::output_limit`](crate::Server::output_limit) says by how
    /// much, and [`Server::slow_consumers`](crate::Server::slow_consumers) what happens to a client that does
    /// not keep up.
    ///
    /// A client of RESP2 takes what arrives while it waits for a reply to be that reply. So it is
    /// pushed to only when it has asked for it, and knows that it gets nothing else.
    pub fn push(&self, message: impl IntoPush) -> Option<u64> {
        if !self.is_connected() {
            return None;
        }
        let mut out = Encoder::new(self.protocol());
        message.into_reply(&mut out);
        let protocol = out.protocol();
        let mut push = out.into_vec();
        if protocol == Protocol::Resp3
            && let Some(kind) = push.first_mut()
        {
            // The message is encoded as an array.
            *kind = b'>';
        }
        self.0.server.upgrade()?.push(self, push.into())
    }

    /// The number of the last push that the socket has taken whole; 0 if there is none. It can still
    /// be asked for when the client has gone: what was pushed behind that has not been sent.
    pub fn pushes_taken(&self) -> u64 {
        self.slot().extra().map_or(0, |extra| extra.pushed.taken())
    }

    /// Keeps a value with the client, for whoever asks for one of that type. It takes the place of
    /// an earlier one of the same type, and goes with the last handle of the client.
    ///
    /// ```
    /// # use thegiant::Client;
    /// struct Subscriptions(u32);
    ///
    /// fn count(client: &Client) -> u32 {
    ///     let before = client.attached::<Subscriptions>().map_or(0, |known| known.0);
    ///     client.attach(Subscriptions(before + 1));
    ///     before + 1
    /// }
    /// ```
    pub fn attach<T: Any + Send + Sync>(&self, value: T) {
        let mut slot = self.slot();
        let attached = &mut slot.extra_mut().attached;
        let value: Arc<dyn Any + Send + Sync> = Arc::new(value);
        let before = match attached.iter_mut().find(|(known, _)| *known == TypeId::of::<T>()) {
            Some((_, before)) => Some(std::mem::replace(before, value)),
            None => {
                attached.push((TypeId::of::<T>(), value));
                None
            }
        };
        // What is dropped may want to know something of the client.
        drop(slot);
        drop(before);
    }

    /// The value of this type that is [attached](Self::attach).
    pub fn attached<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let slot = self.slot();
        let (_, value) = slot.extra()?.attached.iter().find(|(known, _)| *known == TypeId::of::<T>())?;
        Arc::clone(value).downcast().ok()
    }

    pub(crate) fn set_db(&self, db: u16) {
        self.0.db.store(db, Relaxed);
    }

    pub(crate) fn set_protocol(&self, protocol: Protocol) {
        self.0.protocol.store(if protocol == Protocol::Resp3 { 3 } else { 2 }, Relaxed);
    }

    pub(crate) fn set_name(&self, name: Option<String>) {
        let mut slot = self.slot();
        // Most have none, and take none back.
        if name.is_some() || slot.extra().is_some() {
            slot.names().connection = name;
        }
    }

    pub(crate) fn set_library(&self, name: &str) {
        self.slot().names().library = Some(name.to_owned());
    }

    pub(crate) fn set_library_version(&self, version: &str) {
        self.slot().names().library_version = Some(version.to_owned());
    }

    /// Puts an answered batch where the connection finds it, and wakes it.
    pub(crate) fn hand_back(&self, batch: Box<Batch>) {
        let mut slot = self.slot();
        if !slot.closed {
            slot.answered = Some(batch);
            slot.wake();
        }
    }

    /// Takes the answered batch, or has the connection woken when there is one. One that is to finish
    /// does not wait any longer.
    pub(crate) fn collect(&self, is_ending: bool, cx: &mut Context<'_>) -> Collected {
        let mut slot = self.slot();
        if let Some(answered) = slot.answered.take() {
            return Collected::Answered(answered);
        }
        slot.watch(cx.waker());
        if slot.extra().is_none_or(|extra| !extra.waiting.has_batch()) {
            self.set_watched(false);
            return Collected::Dispatched;
        }
        let waiting = &mut slot.extra_mut().waiting;
        let answered = if waiting.is_held() {
            None
        } else if is_ending {
            waiting.answer(self.reply(|out| out.error(&ENDING)))
        } else if waiting.is_late() {
            let late = self.reply(|out| waiting.timeout_reply(out, |out| out.error(&LATE)));
            waiting.answer(late)
        } else {
            waiting.set_alarm(cx);
            None
        };
        answered.map_or(Collected::Blocked, Collected::Answered)
    }

    /// Has `waker` called when the connection is asked for something.
    pub(crate) fn watch(&self, waker: &Waker) {
        self.slot().watch(waker);
    }

    /// No batch is collected any more, and nothing is pushed. Returns the bytes of its buffers.
    pub(crate) fn close(&self) -> usize {
        let mut slot = self.slot();
        self.0.signals.fetch_or(CLOSED, Relaxed);
        let answered = slot.answered.take();
        let memory = self.input() + self.output() + slot.close();
        // It may hold an inbox, and so have to do with others.
        drop(slot);
        drop(answered);
        memory
    }

    /// A command begins to wait for its reply. Returns the ticket that the reply is to bring.
    pub(crate) fn begin_wait(&self, timeout: Option<Duration>) -> u32 {
        let timeout = timeout.or_else(|| self.0.server.upgrade()?.settings.seconds(Setting::ReplyTimeout));
        self.slot().extra_mut().waiting.begin(timeout)
    }

    /// The command that waits, or was about to, has been answered otherwise.
    pub(crate) fn cancel_wait(&self) {
        self.slot().extra_mut().waiting.end();
    }

    /// A batch whose next command waits for its reply. It is given back if it need not. Otherwise, if somebody else
    /// than the connection calls this, that is woken when it has to see to its socket or its alarm.
    pub(crate) fn block(&self, batch: Box<Batch>, wakes: bool) -> Option<Box<Batch>> {
        let mut slot = self.slot();
        if slot.closed {
            return None;
        }
        let waiting = &mut slot.extra_mut().waiting;
        let blocked = waiting.block(batch);
        if blocked.is_none() && wakes && (waiting.is_alarm_due() || !self.is(ClientFlag::Watched)) {
            slot.wake();
        }
        blocked
    }

    /// Has the reply that its command waits for come by way of this keeper; unless it is there: then it is returned.
    pub(crate) fn hold_reply_by(&self, reply_holder: ReplyHolder) -> Option<Box<Batch>> {
        let mut slot = self.slot();
        if slot.closed { None } else { slot.extra_mut().waiting.hold_reply_by(reply_holder) }
    }

    /// Whether the command with this ticket waits.
    pub(crate) fn is_waiting(&self, wait_id: u32) -> bool {
        self.slot().extra().is_some_and(|extra| extra.waiting.is_asked(wait_id))
    }

    /// Whether a command of it waits, for its reply or for the end of a pause.
    pub(crate) fn is_blocked(&self) -> bool {
        self.is(ClientFlag::Paused)
            || self.slot().extra().is_some_and(|extra| extra.waiting.wait_id().is_some())
    }

    /// Answers the command with this ticket; `false` if it does not wait.
    pub(crate) fn answer(&self, wait_id: u32, reply: Box<Batch>) -> bool {
        let mut slot = self.slot();
        let waiting = &mut slot.extra_mut().waiting;
        if !waiting.is_asked(wait_id) {
            return false;
        }
        if let Some(reply_holder) = waiting.take_reply_holder() {
            drop(slot);
            reply_holder.keep(self.clone(), wait_id, reply);
            return true;
        }
        if let Some(answered) = waiting.answer(reply) {
            slot.answered = Some(answered);
            slot.wake();
        }
        true
    }

    /// Answers the command with this ticket with what a keeper has kept.
    pub(crate) fn answer_held(&self, wait_id: u32, reply: Box<Batch>) {
        self.slot().extra_mut().waiting.let_in(wait_id);
        self.answer(wait_id, reply);
    }

    /// Has the command with this ticket end by itself, with this reply.
    pub(crate) fn set_timeout(&self, wait_id: u32, after: Duration, timeout_reply: Bytes) {
        let mut slot = self.slot();
        let waiting = &mut slot.extra_mut().waiting;
        if waiting.is_asked(wait_id) {
            waiting.set_timeout(after, timeout_reply);
            if waiting.has_batch() {
                slot.wake();
            }
        }
    }

    /// Is ready when the command with this ticket does not wait any more.
    pub(crate) fn poll_answered(&self, wait_id: u32, cx: &mut Context<'_>) -> Poll<()> {
        let mut slot = self.slot();
        let waiting = &mut slot.extra_mut().waiting;
        if !waiting.is_asked(wait_id) {
            return Poll::Ready(());
        }
        waiting.watch(cx.waker());
        Poll::Pending
    }

    /// Ends the waiting of its command, as if its time were over or with an error (`CLIENT UNBLOCK`);
    /// `false` if none waits.
    pub(crate) fn unblock(&self, error: Option<&Error>) -> bool {
        let (wait_id, reply) = {
            let slot = self.slot();
            let Some(waiting) = slot.extra().map(|extra| &extra.waiting) else { return false };
            let Some(wait_id) = waiting.wait_id() else { return false };
            let reply = match error {
                Some(error) => self.reply(|out| out.error(error)),
                None => self.reply(|out| waiting.timeout_reply(out, Encoder::null)),
            };
            (wait_id, reply)
        };
        self.answer(wait_id, reply)
    }

    /// A reply that is on its way to its batch.
    pub(crate) fn reply(&self, write: impl FnOnce(&mut Encoder)) -> Box<Batch> {
        let mut reply = Batch::new();
        reply.out.encoder_mut().set_protocol(self.protocol());
        write(reply.out.encoder_mut());
        reply
    }

    /// What is to be done before anything else.
    pub(crate) fn close_request(&self) -> CloseRequest {
        match self.0.signals.load(Relaxed) & CLOSE_REQUEST {
            0 => CloseRequest::None,
            1 => CloseRequest::Graceful,
            _ => CloseRequest::Now,
        }
    }

    /// Asks the connection for more than it was asked before.
    pub(crate) fn ask(&self, close_request: CloseRequest) {
        let more = |signals: u8| {
            Some((signals & !CLOSE_REQUEST) | (signals & CLOSE_REQUEST).max(close_request as u8))
        };
        let _ = self.0.signals.fetch_update(Relaxed, Relaxed, more);
        self.wake();
    }

    /// Has the connection look at its state.
    pub(crate) fn wake(&self) {
        self.slot().wake();
    }

    /// Adds to what is to be sent between two replies. A client that has gone gets nothing.
    pub(crate) fn push_piece(&self, piece: Bytes) -> Option<PendingPushes> {
        let mut slot = self.slot();
        if slot.closed {
            return None;
        }
        let pushed = &mut slot.extra_mut().pushed;
        let number = pushed.add(piece);
        let len = pushed.len();
        // It has been woken for those that wait already, and takes all of them.
        if !self.is_pushed_to() {
            self.0.signals.fetch_or(PUSHED, Relaxed);
            slot.wake();
        }
        Some(PendingPushes { number, len })
    }

    /// Drops the oldest of what is to be pushed, until at most so many bytes are left; returns how
    /// many were dropped.
    pub(crate) fn drop_oldest(&self, most: usize) -> usize {
        let mut slot = self.slot();
        let pushed = &mut slot.extra_mut().pushed;
        let before = pushed.len();
        pushed.drop_oldest(most);
        before - pushed.len()
    }

    /// Whether it need not say anything to be of use: it has subscribed, or has ever been pushed anything.
    pub(crate) fn is_listening(&self) -> bool {
        let is_listening = |extra: &SlotExtras| extra.subscribed != [0; 3] || extra.pushed.is_any();
        self.slot().extra().is_some_and(is_listening)
    }

    /// Whether it has subscribed to anything.
    pub(crate) fn is_subscriber(&self) -> bool {
        self.subscribed() != [0; 3]
    }

    /// To how many channels, patterns and channels of shards it has subscribed.
    pub(crate) fn subscribed(&self) -> [usize; 3] {
        self.slot().extra().map_or([0; 3], |extra| extra.subscribed)
    }

    pub(crate) fn set_subscribed(&self, subscribed: [usize; 3]) {
        self.slot().extra_mut().subscribed = subscribed;
    }

    /// How many requests wait in its transaction, if it has begun one, and the bytes that these take.
    pub(crate) fn queued(&self) -> Option<(u32, usize)> {
        self.slot().extra()?.queued
    }

    pub(crate) fn set_queued(&self, queued: Option<(u32, usize)>) {
        self.slot().extra_mut().queued = queued;
    }

    /// How many keys it watches.
    pub(crate) fn watched_keys(&self) -> usize {
        self.slot().extra().map_or(0, |extra| extra.watched)
    }

    pub(crate) fn set_watched_keys(&self, watched: usize) {
        self.slot().extra_mut().watched = watched;
    }

    /// What it has subscribed to, watches or has queued takes more memory, or less.
    pub(crate) fn account(&self, before: usize, after: usize) {
        {
            let mut slot = self.slot();
            let memory = &mut slot.extra_mut().memory;
            *memory = *memory - before + after;
        }
        if let Some(server) = self.server() {
            server.account(before, after);
        }
    }

    /// The server that it is of, while that is there.
    pub(crate) fn server(&self) -> Option<Arc<ServerState>> {
        self.0.server.upgrade()
    }

    /// Whether something is to be pushed.
    pub(crate) fn is_pushed_to(&self) -> bool {
        self.0.signals.load(Relaxed) & PUSHED != 0
    }

    /// Moves what is to be pushed behind what has been written. Returns its bytes.
    pub(crate) fn take_pushed(&self, out: &mut Encoder) -> usize {
        let mut slot = self.slot();
        self.0.signals.fetch_and(!PUSHED, Relaxed);
        self.0.signals.fetch_or(LEAVING, Relaxed);
        slot.extra_mut().pushed.take(out)
    }

    /// The socket has taken so many bytes of what is to be sent.
    pub(crate) fn note_sent_up_to(&self, sent: usize) {
        if self.0.signals.load(Relaxed) & LEAVING != 0 {
            self.slot().extra_mut().pushed.sent_up_to(sent);
        }
    }

    /// The socket has taken all that was to be sent.
    pub(crate) fn note_sent(&self) {
        if self.0.signals.load(Relaxed) & LEAVING != 0 {
            self.0.signals.fetch_and(!LEAVING, Relaxed);
            self.slot().extra_mut().pushed.sent();
        }
    }

    /// Bytes that wait to be pushed.
    pub(crate) fn pushed_len(&self) -> usize {
        if !self.is_pushed_to() {
            return 0;
        }
        self.slot().extra().map_or(0, |extra| extra.pushed.len())
    }

    pub(crate) fn is(&self, flag: ClientFlag) -> bool {
        self.0.flags.load(Relaxed) & flag as u8 != 0
    }

    pub(crate) fn set(&self, flag: ClientFlag, on: bool) {
        if on {
            self.0.flags.fetch_or(flag as u8, Relaxed);
        } else {
            self.0.flags.fetch_and(!(flag as u8), Relaxed);
        }
    }

    /// Whether its connection is going to be woken when it sends something or goes: if not, the connection has to be
    /// woken when a command of it begins to wait.
    pub(crate) fn set_watched(&self, watched: bool) {
        // Most are never watched, and an addition that others see takes its time.
        if self.is(ClientFlag::Watched) != watched {
            self.set(ClientFlag::Watched, watched);
        }
    }

    /// How long it has been there, in seconds.
    pub(crate) fn age(&self, now: u32) -> u32 {
        now.saturating_sub(self.0.since)
    }

    /// It has sent or taken something.
    pub(crate) fn active(&self, now: u32) {
        self.0.active.store(now, Relaxed);
    }

    /// Its requests are being run: it is not idle until they are answered.
    pub(crate) fn busy(&self) {
        self.0.active.store(BUSY, Relaxed);
    }

    /// How long it has been idle, in seconds.
    pub(crate) fn idle(&self, now: u32) -> u32 {
        match self.0.active.load(Relaxed) {
            BUSY => 0,
            active => now.saturating_sub(active),
        }
    }

    /// A password is asked for; or not, or not any more.
    pub(crate) fn unauthenticated_since(&self, since: Option<u32>) {
        self.0.unauthenticated_since.store(since.unwrap_or(NEVER), Relaxed);
    }

    /// For how long it has been asked for a password, in seconds.
    pub(crate) fn unauthenticated_age(&self, now: u32) -> Option<u32> {
        age(&self.0.unauthenticated_since, now)
    }

    /// The rest of a request is waited for; or not, or not any more.
    pub(crate) fn request_since(&self, since: Option<u32>) {
        self.0.request_since.store(since.unwrap_or(NEVER), Relaxed);
    }

    /// For how long the rest of a request has been waited for, in seconds.
    pub(crate) fn request_age(&self, now: u32) -> Option<u32> {
        age(&self.0.request_since, now)
    }

    pub(crate) fn set_last_command(&self, command: CommandId) {
        self.0.command.store(u32::from(command.0), Relaxed);
    }

    pub(crate) fn last_command(&self) -> Option<CommandId> {
        u16::try_from(self.0.command.load(Relaxed)).ok().map(CommandId)
    }

    /// The number of its socket.
    pub(crate) fn descriptor(&self) -> i32 {
        self.0.ends.descriptor
    }

    /// Bytes of requests that have not arrived whole.
    pub(crate) fn input(&self) -> usize {
        self.0.input.load(Relaxed) as usize
    }

    /// Bytes of replies that wait to be sent, those to be pushed aside.
    pub(crate) fn output(&self) -> usize {
        self.0.output.load(Relaxed) as usize
    }

    /// Returns the number as it can be told.
    pub(crate) fn set_input(&self, input: usize) -> usize {
        self.0.input.store(told(input), Relaxed);
        self.input()
    }

    /// Returns the number as it can be told.
    pub(crate) fn set_output(&self, output: usize) -> usize {
        self.0.output.store(told(output), Relaxed);
        self.output()
    }

    /// Bytes of memory that it takes, beyond what every connection does.
    pub(crate) fn memory(&self) -> usize {
        let extra = self.slot().extra().map_or(0, |extra| extra.memory);
        self.input() + self.output() + self.pushed_len() + extra
    }

    fn slot(&self) -> MutexGuard<'_, ClientSlot> {
        // Nothing panics while it is held.
        self.0.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn told(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// How long ago that was, unless it was never.
fn age(since: &AtomicU32, now: u32) -> Option<u32> {
    let since = since.load(Relaxed);
    (since != NEVER).then(|| now.saturating_sub(since))
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("id", &self.id()).field("addr", self.addr()).finish_non_exhaustive()
    }
}
