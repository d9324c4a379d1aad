//! The handle to a connected client, and the state of it that other threads see.

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
    blocked::TIMED_OUT,
    client_memory::ClientMemory,
    client_slot::{ClientNames, ClientSlot, SlotExtras},
    commit_group::ReplyHolder,
};
use crate::{
    Error,
    command::IntoPush,
    resp::{Encoder, Protocol},
    settings::Setting,
};

/// A handle to a connected client. It is cheap to clone.
///
/// A `#[command]` method can take a parameter `client: &Client`, or `client: Client` to keep the handle. The
/// handle stays valid after the client has disconnected; see [`is_connected`](Self::is_connected).
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
///     /// Returns the id and the address of the client.
///     #[command("WHOAMI")]
///     fn who_am_i(&self, client: &Client) -> String {
///         format!("client {} at {}", client.id(), client.addr())
///     }
/// }
/// ```
///
/// # Pushes
/// An actor can [push](Self::push) a message to a client at any time.
/// [`App::connected`](crate::App::connected) and [`App::disconnected`](crate::App::disconnected) send an
/// actor a message when a client connects or disconnects.
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
///     /// Subscribes the client to the news.
///     #[command("READ")]
///     fn read(&mut self, client: Client) {
///         self.readers.push(client);
///     }
///
///     /// Sends the news to all readers, and returns how many are connected.
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

/// The addresses of both ends of a connection, and the file descriptor of its socket.
#[derive(Clone, Debug)]
pub(crate) struct Endpoints {
    pub(crate) peer: Address,
    /// Shared, because most connections of a server have the same local address.
    pub(crate) local: Arc<Address>,
    pub(crate) descriptor: i32,
}

struct ClientInner {
    id: u64,
    endpoints: Endpoints,
    /// The time of the connect, in seconds of the server's clock. All times in this struct have this unit.
    since: u32,
    db: AtomicU16,
    protocol: AtomicU8,
    /// A `CloseRequest`, and the bits below.
    signals: AtomicU8,
    flags: AtomicU8,
    /// The time of the last activity, or `BUSY`.
    active: AtomicU32,
    /// The time since which the client has had to authenticate, or `NEVER`.
    unauthenticated_since: AtomicU32,
    /// The time since which the rest of a request is missing, or `NEVER`.
    request_since: AtomicU32,
    /// The last command that the client sent, or `NONE`.
    command: AtomicU32,
    /// Bytes of incomplete requests, and of replies that were not sent. Both saturate at 4 GiB.
    input: AtomicU32,
    output: AtomicU32,
    server: Weak<ServerState>,
    slot: Mutex<ClientSlot>,
}

/// Special values of a time or a command.
const BUSY: u32 = u32::MAX;
const NEVER: u32 = u32::MAX;
const NONE: u32 = u32::MAX;

/// The bits of `signals`: the `CloseRequest`; pushes are pending; the replies that are being written contain
/// pushes; the client is disconnected.
const CLOSE_REQUEST: u8 = 0b0_0011;
const PUSHES_PENDING: u8 = 0b0_0100;
const SENDING_PUSHES: u8 = 0b0_1000;
const CLOSED: u8 = 0b1_0000;

/// Flags of a client, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientFlag {
    /// `CLIENT NO-EVICT`: the server does not close the client when all clients together use too much memory.
    NoEvict = 1,
    /// `MONITOR`: the client receives all commands.
    Monitor = 1 << 1,
    /// The client waits for the end of a `CLIENT PAUSE`.
    Paused = 1 << 2,
    /// `CLIENT NO-TOUCH`: the commands of the client do not count as uses of their keys.
    NoTouch = 1 << 3,
    /// The connection wakes when the client sends something or disconnects.
    Watched = 1 << 4,
    /// `WATCH`: a key that the client watches has changed.
    Dirty = 1 << 5,
    /// `CLIENT TRACKING`: the client receives invalidations of the keys that it has read.
    Tracking = 1 << 6,
    /// `RESET`: the state that upstreams keep for the client is out of date.
    WasReset = 1 << 7,
}

/// The state of a batch that is away from its connection.
pub(crate) enum Collected {
    /// The batch is back.
    Answered(Box<Batch>),
    /// The batch is with an actor.
    Dispatched,
    /// The batch is blocked.
    Blocked,
}

/// The pushes that wait to be sent to a client.
pub(crate) struct PendingPushes {
    /// The number of the last push.
    pub(crate) number: u64,
    /// Bytes of all pushes.
    pub(crate) len: usize,
    /// `CLIENT NO-EVICT` was on when the push was added.
    pub(crate) no_evict: bool,
}

/// Pushes that were dropped.
pub(crate) struct DroppedPushes {
    /// Bytes of the pushes.
    pub(crate) len: usize,
    /// `CLIENT NO-EVICT` was on when the pushes were dropped.
    pub(crate) no_evict: bool,
}

/// The reply to a blocked command when the server stops.
const SHUTTING_DOWN: Error = Error::from_static("UNBLOCKED the server is shutting down");

/// Asks a connection to close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseRequest {
    None = 0,
    /// Answer the requests that have been read, then close.
    Graceful = 1,
    /// Close at once.
    Now = 2,
}

impl Client {
    pub(crate) fn new(id: u64, endpoints: Endpoints, now: u32, server: Weak<ServerState>) -> Self {
        Client(Arc::new(ClientInner {
            id,
            endpoints,
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

    /// Returns a client without a server and without a connection.
    #[cfg(test)]
    pub(crate) fn unconnected(id: u64) -> Self {
        let local = Arc::new(Address::Unix(std::path::Path::new("test").into()));
        let endpoints = Endpoints { peer: Address::clone(&local), local, descriptor: -1 };
        Client::new(id, endpoints, 0, Weak::new())
    }

    /// Returns the id of the client (`CLIENT ID`): a number that is never reused by this server.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// Returns a number that is unique in the process, among all servers, while a handle of this client
    /// exists.
    pub(crate) fn identity(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    /// Returns the address of the client.
    ///
    /// For a unix socket this is the path of the listener.
    pub fn addr(&self) -> &Address {
        &self.0.endpoints.peer
    }

    /// Returns the address of the server to which the client has connected.
    pub fn local_addr(&self) -> &Address {
        &self.0.endpoints.local
    }

    /// Returns the database that the client has selected with `SELECT` (default 0).
    pub fn db(&self) -> u16 {
        self.0.db.load(Relaxed)
    }

    /// Returns the protocol that the client has selected with `HELLO` (default RESP2).
    pub fn protocol(&self) -> Protocol {
        if self.0.protocol.load(Relaxed) == 3 { Protocol::Resp3 } else { Protocol::Resp2 }
    }

    /// Returns the user name of the client.
    ///
    /// It is always `default`, since there are no other users.
    pub fn user(&self) -> &str {
        "default"
    }

    /// Returns the connection name, as set by `CLIENT SETNAME`.
    pub fn name(&self) -> Option<String> {
        self.slot().extra()?.names.as_ref()?.connection.clone()
    }

    /// Returns the name and the version of the client library, as set by `CLIENT SETINFO`.
    pub fn library(&self) -> (Option<String>, Option<String>) {
        let slot = self.slot();
        let names = slot.extra().and_then(|extra| extra.names.as_deref());
        let name = names.and_then(|names| names.library.clone());
        (name, names.and_then(|names| names.library_version.clone()))
    }

    /// Returns whether `CLIENT NO-TOUCH` is on: commands of this client do not count as uses of their keys.
    ///
    /// An application that evicts unused keys should respect this flag.
    pub fn is_no_touch(&self) -> bool {
        self.is(ClientFlag::NoTouch)
    }

    /// Returns whether the client is connected. A client that has disconnected cannot receive anything.
    pub fn is_connected(&self) -> bool {
        self.0.signals.load(Relaxed) & CLOSED == 0
    }

    /// Closes the connection at once, and discards unsent replies.
    pub fn kill(&self) {
        self.request_close(CloseRequest::Now);
    }

    /// Sends a message that is not a reply: a push in RESP3, an array in RESP2.
    ///
    /// By convention the first element names the kind of the message.
    ///
    /// Returns the number of this push on its connection, from 1, or `None` if the client has disconnected.
    /// Pushes keep their order. The connection sends them between two replies, or while a command is blocked,
    /// but not while an actor runs a batch of this client.
    ///
    /// [`Server::output_limit`](crate::Server::output_limit) bounds the bytes of unsent pushes.
    /// [`Server::slow_consumers`](crate::Server::slow_consumers) chooses between disconnecting a client that
    /// exceeds the limit and dropping its oldest pushes.
    ///
    /// A RESP2 client takes a push for the reply to its next command. Push to such a client only after it has
    /// subscribed to something, as with `SUBSCRIBE`, and expects no other replies.
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

    /// Returns the number of the last push that was written to the socket completely; 0 if there is none.
    ///
    /// It remains available after the client has disconnected: pushes with higher numbers were not sent.
    pub fn pushes_taken(&self) -> u64 {
        self.slot().extra().map_or(0, |extra| extra.pushed.taken())
    }

    /// Stores a value of any type with the client.
    ///
    /// It replaces an earlier value of the same type. It is dropped with the last handle of the client.
    ///
    /// ```
    /// # use thegiant::Client;
    /// struct Subscriptions(u32);
    ///
    /// fn count(client: &Client) -> u32 {
    ///     let before = client.attached::<Subscriptions>().map_or(0, |subscriptions| subscriptions.0);
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
        // The destructor of the value may use the client, so it must not run under the lock.
        drop(slot);
        drop(before);
    }

    /// Returns the [attached](Self::attach) value of this type.
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
        // Avoid the allocation of the names for a client that never had one.
        if name.is_some() || self.name().is_some() {
            self.change_names(|names| names.connection = name);
        }
    }

    pub(crate) fn set_library(&self, name: &str) {
        self.change_names(|names| names.library = Some(name.to_owned()));
    }

    pub(crate) fn set_library_version(&self, version: &str) {
        self.change_names(|names| names.library_version = Some(version.to_owned()));
    }

    /// Changes the names, and accounts for their memory.
    fn change_names(&self, change: impl FnOnce(&mut ClientNames)) {
        let (before, after) = {
            let mut slot = self.slot();
            let names = slot.names();
            let before = names.memory();
            change(names);
            (before, names.memory())
        };
        self.account(before, after);
    }

    /// Returns an answered batch to the connection and wakes it.
    pub(crate) fn hand_back(&self, batch: Box<Batch>) {
        let mut slot = self.slot();
        if !slot.closed {
            slot.answered = Some(batch);
            slot.wake();
        }
    }

    /// Takes the answered batch, or registers the waker of the connection.
    ///
    /// A connection that closes gracefully (`is_closing`) does not wait for a blocked command any longer.
    pub(crate) fn collect(&self, is_closing: bool, cx: &mut Context<'_>) -> Collected {
        let mut slot = self.slot();
        if let Some(answered) = slot.answered.take() {
            return Collected::Answered(answered);
        }
        slot.watch(cx.waker());
        if slot.extra().is_none_or(|extra| !extra.blocked.has_batch()) {
            self.set_watched(false);
            return Collected::Dispatched;
        }
        let blocked = &mut slot.extra_mut().blocked;
        let answered = if blocked.is_held() {
            None
        } else if is_closing {
            blocked.answer(self.reply(|out| out.error(&SHUTTING_DOWN)))
        } else if blocked.is_timed_out() {
            let reply = self.reply(|out| blocked.timeout_reply(out, |out| out.error(&TIMED_OUT)));
            blocked.answer(reply)
        } else {
            blocked.set_alarm(cx);
            None
        };
        answered.map_or(Collected::Blocked, Collected::Answered)
    }

    /// Registers the waker of the connection.
    pub(crate) fn watch(&self, waker: &Waker) {
        self.slot().watch(waker);
    }

    /// Disconnects the client: later batches and pushes are dropped.
    ///
    /// Returns the bytes of its buffers.
    pub(crate) fn close(&self) -> usize {
        let mut slot = self.slot();
        self.0.signals.fetch_or(CLOSED, Relaxed);
        let answered = slot.answered.take();
        let memory = self.input() + self.output() + slot.close();
        // The batch may have exclusive access to an actor. Its drop then locks a batch queue.
        drop(slot);
        drop(answered);
        memory
    }

    /// Starts the wait of a command for its reply.
    ///
    /// Returns the wait id that the reply must carry.
    pub(crate) fn begin_wait(&self, timeout: Option<Duration>) -> u32 {
        let timeout = timeout.or_else(|| self.0.server.upgrade()?.settings.time(Setting::ReplyTimeout));
        self.slot().extra_mut().blocked.begin(timeout)
    }

    /// Ends the wait of a command that was answered in another way.
    pub(crate) fn cancel_wait(&self) {
        self.slot().extra_mut().blocked.end();
    }

    /// Blocks a batch until its next command has its reply.
    ///
    /// Returns the batch if it need not wait.
    ///
    /// With `wakes`, this wakes the connection if it has to watch its socket or set its alarm. The connection
    /// itself passes `false`.
    pub(crate) fn block(&self, batch: Box<Batch>, wakes: bool) -> Option<Box<Batch>> {
        let mut slot = self.slot();
        if slot.closed {
            return None;
        }
        let blocked = &mut slot.extra_mut().blocked;
        let returned = blocked.block(batch);
        if returned.is_none() && wakes && (blocked.needs_alarm() || !self.is(ClientFlag::Watched)) {
            slot.wake();
        }
        returned
    }

    /// Routes the awaited reply through `reply_holder`, or returns the reply if it has arrived.
    pub(crate) fn hold_reply_by(&self, reply_holder: ReplyHolder) -> Option<Box<Batch>> {
        let mut slot = self.slot();
        if slot.closed { None } else { slot.extra_mut().blocked.hold_reply_by(reply_holder) }
    }

    /// Returns whether the command with this wait id is waiting.
    pub(crate) fn is_waiting(&self, wait_id: u32) -> bool {
        self.slot().extra().is_some_and(|extra| extra.blocked.is_waiting_for(wait_id))
    }

    /// Returns whether a command is blocked or waits for the end of a pause.
    pub(crate) fn is_blocked(&self) -> bool {
        self.is(ClientFlag::Paused)
            || self.slot().extra().is_some_and(|extra| extra.blocked.wait_id().is_some())
    }

    /// Answers the command with this wait id. Returns `false` if it does not wait.
    pub(crate) fn answer(&self, wait_id: u32, reply: Box<Batch>) -> bool {
        let mut slot = self.slot();
        let blocked = &mut slot.extra_mut().blocked;
        if !blocked.is_waiting_for(wait_id) {
            return false;
        }
        if let Some(reply_holder) = blocked.take_reply_holder() {
            drop(slot);
            reply_holder.hold(self.clone(), wait_id, reply);
            return true;
        }
        if let Some(answered) = blocked.answer(reply) {
            slot.answered = Some(answered);
            slot.wake();
        }
        true
    }

    /// Answers the command with this wait id with a reply that its holder has released.
    pub(crate) fn answer_held(&self, wait_id: u32, reply: Box<Batch>) {
        self.slot().extra_mut().blocked.accept_held(wait_id);
        self.answer(wait_id, reply);
    }

    /// Sets the timeout of the command with this wait id, and the reply after that time.
    pub(crate) fn set_timeout(&self, wait_id: u32, after: Duration, timeout_reply: Bytes) {
        let mut slot = self.slot();
        let blocked = &mut slot.extra_mut().blocked;
        if blocked.is_waiting_for(wait_id) {
            blocked.set_timeout(after, timeout_reply);
            if blocked.has_batch() {
                slot.wake();
            }
        }
    }

    /// Returns `Ready` when the command with this wait id does not wait any longer.
    pub(crate) fn poll_answered(&self, wait_id: u32, cx: &mut Context<'_>) -> Poll<()> {
        let mut slot = self.slot();
        let blocked = &mut slot.extra_mut().blocked;
        if !blocked.is_waiting_for(wait_id) {
            return Poll::Ready(());
        }
        blocked.watch(cx.waker());
        Poll::Pending
    }

    /// Unblocks the client with an error, or as if its command had timed out (`CLIENT UNBLOCK`).
    ///
    /// Returns `false` if the client is not blocked.
    pub(crate) fn unblock(&self, error: Option<&Error>) -> bool {
        let (wait_id, reply) = {
            let slot = self.slot();
            let Some(blocked) = slot.extra().map(|extra| &extra.blocked) else { return false };
            let Some(wait_id) = blocked.wait_id() else { return false };
            let reply = match error {
                Some(error) => self.reply(|out| out.error(error)),
                None => self.reply(|out| blocked.timeout_reply(out, Encoder::null)),
            };
            (wait_id, reply)
        };
        self.answer(wait_id, reply)
    }

    /// Encodes a reply into a batch, to be merged into the blocked batch.
    pub(crate) fn reply(&self, write: impl FnOnce(&mut Encoder)) -> Box<Batch> {
        let mut reply = Batch::new();
        reply.out.encoder_mut().set_protocol(self.protocol());
        write(reply.out.encoder_mut());
        reply
    }

    /// Returns the strongest close request so far.
    pub(crate) fn close_request(&self) -> CloseRequest {
        match self.0.signals.load(Relaxed) & CLOSE_REQUEST {
            0 => CloseRequest::None,
            1 => CloseRequest::Graceful,
            _ => CloseRequest::Now,
        }
    }

    /// Asks the connection to close. A weaker request does not replace a stronger one.
    pub(crate) fn request_close(&self, close_request: CloseRequest) {
        let strengthen = |signals: u8| {
            Some((signals & !CLOSE_REQUEST) | (signals & CLOSE_REQUEST).max(close_request as u8))
        };
        let _ = self.0.signals.fetch_update(Relaxed, Relaxed, strengthen);
        self.wake();
    }

    /// Wakes the connection.
    pub(crate) fn wake(&self) {
        self.slot().wake();
    }

    /// Adds a push to the queue. Returns `None` if the client has disconnected.
    pub(crate) fn push_piece(&self, piece: Bytes) -> Option<PendingPushes> {
        let mut slot = self.slot();
        if slot.closed {
            return None;
        }
        let pushed = &mut slot.extra_mut().pushed;
        let number = pushed.add(piece);
        let len = pushed.len();
        // Pending pushes have woken the connection already, and it will take all of them.
        if !self.has_pending_pushes() {
            self.0.signals.fetch_or(PUSHES_PENDING, Relaxed);
            slot.wake();
        }
        Some(PendingPushes { number, len, no_evict: self.is(ClientFlag::NoEvict) })
    }

    /// Drops the oldest pushes until at most `max_bytes` are left.
    pub(crate) fn drop_oldest(&self, max_bytes: usize) -> DroppedPushes {
        let mut slot = self.slot();
        let pushed = &mut slot.extra_mut().pushed;
        let before = pushed.len();
        pushed.drop_oldest(max_bytes);
        DroppedPushes { len: before - pushed.len(), no_evict: self.is(ClientFlag::NoEvict) }
    }

    /// Returns whether the client may stay silent: it has subscribed, or was ever sent a push.
    pub(crate) fn is_listening(&self) -> bool {
        let is_listening = |extra: &SlotExtras| extra.subscribed != [0; 3] || extra.pushed.was_used();
        self.slot().extra().is_some_and(is_listening)
    }

    /// Returns whether the client has any subscription.
    pub(crate) fn is_subscriber(&self) -> bool {
        self.subscribed() != [0; 3]
    }

    /// Returns the numbers of subscribed channels, patterns and shard channels.
    pub(crate) fn subscribed(&self) -> [usize; 3] {
        self.slot().extra().map_or([0; 3], |extra| extra.subscribed)
    }

    pub(crate) fn set_subscribed(&self, subscribed: [usize; 3]) {
        self.slot().extra_mut().subscribed = subscribed;
    }

    /// Returns the number of queued commands of a transaction, and their size in bytes.
    pub(crate) fn queued(&self) -> Option<(u32, usize)> {
        self.slot().extra()?.queued
    }

    pub(crate) fn set_queued(&self, queued: Option<(u32, usize)>) {
        self.slot().extra_mut().queued = queued;
    }

    /// Returns the number of watched keys.
    pub(crate) fn watched_keys(&self) -> usize {
        self.slot().extra().map_or(0, |extra| extra.watched_keys)
    }

    pub(crate) fn set_watched_keys(&self, watched_keys: usize) {
        self.slot().extra_mut().watched_keys = watched_keys;
    }

    /// Accounts for a change in the memory of names, subscriptions, watched keys, tracking prefixes or queued commands.
    pub(crate) fn account(&self, before: usize, after: usize) {
        {
            let mut slot = self.slot();
            let memory = &mut slot.extra_mut().memory;
            *memory = *memory - before + after;
        }
        if let Some(server) = self.server() {
            server.account(self, before, after);
        }
    }

    /// Switches `CLIENT NO-EVICT` on or off, and moves the memory of the client to the other sum of `memory`.
    pub(super) fn set_no_evict(&self, on: bool, memory: &ClientMemory) {
        // The lock holds up pushes: each is counted as the flag was when it was added.
        let slot = self.slot();
        if self.is(ClientFlag::NoEvict) != on {
            self.set(ClientFlag::NoEvict, on);
            memory.switch_no_evict(on, self.memory_with(&slot));
        }
    }

    /// Returns the server, while it exists.
    pub(crate) fn server(&self) -> Option<Arc<ServerState>> {
        self.0.server.upgrade()
    }

    /// Returns whether pushes wait to be sent.
    pub(crate) fn has_pending_pushes(&self) -> bool {
        self.0.signals.load(Relaxed) & PUSHES_PENDING != 0
    }

    /// Moves all pending pushes to the end of `out`. Returns their size in bytes.
    pub(crate) fn take_pushes(&self, out: &mut Encoder) -> usize {
        let mut slot = self.slot();
        self.0.signals.fetch_and(!PUSHES_PENDING, Relaxed);
        self.0.signals.fetch_or(SENDING_PUSHES, Relaxed);
        slot.extra_mut().pushed.take(out)
    }

    /// Records that the socket has taken the first `sent` bytes of the replies.
    pub(crate) fn record_sent_up_to(&self, sent: usize) {
        if self.0.signals.load(Relaxed) & SENDING_PUSHES != 0 {
            self.slot().extra_mut().pushed.sent_up_to(sent);
        }
    }

    /// Records that the socket has taken all replies.
    pub(crate) fn record_sent(&self) {
        if self.0.signals.load(Relaxed) & SENDING_PUSHES != 0 {
            self.0.signals.fetch_and(!SENDING_PUSHES, Relaxed);
            self.slot().extra_mut().pushed.sent();
        }
    }

    /// Returns the bytes of pending pushes.
    pub(crate) fn pushed_len(&self) -> usize {
        if !self.has_pending_pushes() {
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

    /// Sets whether the connection wakes when the client sends something or disconnects.
    ///
    /// If not, a command that blocks has to wake the connection.
    pub(crate) fn set_watched(&self, watched: bool) {
        // Most connections are never watched, and a read of the flag is cheaper than an atomic write.
        if self.is(ClientFlag::Watched) != watched {
            self.set(ClientFlag::Watched, watched);
        }
    }

    /// Returns the age of the connection, in seconds.
    pub(crate) fn age(&self, now: u32) -> u32 {
        now.saturating_sub(self.0.since)
    }

    /// Records activity: the client has sent or taken something.
    pub(crate) fn set_active(&self, now: u32) {
        self.0.active.store(now, Relaxed);
    }

    /// Marks the client as busy: it is not idle until its requests are answered.
    pub(crate) fn set_busy(&self) {
        self.0.active.store(BUSY, Relaxed);
    }

    /// Returns the idle time, in seconds.
    pub(crate) fn idle(&self, now: u32) -> u32 {
        match self.0.active.load(Relaxed) {
            BUSY => 0,
            active => now.saturating_sub(active),
        }
    }

    /// Sets the time since which the client has had to authenticate.
    pub(crate) fn set_unauthenticated_since(&self, since: Option<u32>) {
        self.0.unauthenticated_since.store(since.unwrap_or(NEVER), Relaxed);
    }

    /// Returns for how long the client has been unauthenticated, in seconds.
    pub(crate) fn unauthenticated_age(&self, now: u32) -> Option<u32> {
        age(&self.0.unauthenticated_since, now)
    }

    /// Sets the time since which the rest of a request is missing.
    pub(crate) fn set_request_since(&self, since: Option<u32>) {
        self.0.request_since.store(since.unwrap_or(NEVER), Relaxed);
    }

    /// Returns for how long the rest of a request has been missing, in seconds.
    pub(crate) fn request_age(&self, now: u32) -> Option<u32> {
        age(&self.0.request_since, now)
    }

    pub(crate) fn set_last_command(&self, command: CommandId) {
        self.0.command.store(u32::from(command.0), Relaxed);
    }

    pub(crate) fn last_command(&self) -> Option<CommandId> {
        u16::try_from(self.0.command.load(Relaxed)).ok().map(CommandId)
    }

    /// Returns the file descriptor of the socket.
    pub(crate) fn descriptor(&self) -> i32 {
        self.0.endpoints.descriptor
    }

    /// Returns the bytes of incomplete requests.
    pub(crate) fn input(&self) -> usize {
        self.0.input.load(Relaxed) as usize
    }

    /// Returns the bytes of unsent replies, without the pending pushes.
    pub(crate) fn output(&self) -> usize {
        self.0.output.load(Relaxed) as usize
    }

    /// Sets the bytes of incomplete requests. Returns the value that was stored, which saturates.
    pub(crate) fn set_input(&self, input: usize) -> usize {
        self.0.input.store(saturate(input), Relaxed);
        self.input()
    }

    /// Sets the bytes of unsent replies. Returns the value that was stored, which saturates.
    pub(crate) fn set_output(&self, output: usize) -> usize {
        self.0.output.store(saturate(output), Relaxed);
        self.output()
    }

    /// Returns the memory of the client in bytes, beyond the fixed size of a connection.
    pub(crate) fn memory(&self) -> usize {
        self.memory_with(&self.slot())
    }

    fn memory_with(&self, slot: &ClientSlot) -> usize {
        self.input() + self.output() + slot.extra().map_or(0, |extra| extra.pushed.len() + extra.memory)
    }

    fn slot(&self) -> MutexGuard<'_, ClientSlot> {
        // No code panics while it holds the lock.
        self.0.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn saturate(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// Returns the seconds since `since`, or `None` for `NEVER`.
fn age(since: &AtomicU32, now: u32) -> Option<u32> {
    let since = since.load(Relaxed);
    (since != NEVER).then(|| now.saturating_sub(since))
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("id", &self.id()).field("addr", self.addr()).finish_non_exhaustive()
    }
}
