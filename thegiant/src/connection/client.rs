//! The peer of a connection, as everybody else sees it.

use std::{
    fmt,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicUsize, Ordering::Relaxed},
    },
    task::Waker,
};

use bytes::Bytes;

use super::{Burst, CommandId};
use crate::resp::Protocol;

/// Who sent a command: a handle that is cheap to clone and can be kept.
///
/// A `#[command]` method that has a parameter `client: &Client` gets it.
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
#[derive(Clone)]
pub struct Client(Arc<Inner>);

/// The address of a peer or of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Address {
    /// An address and a port. Displays as `127.0.0.1:6380`.
    Tcp(SocketAddr),
    /// The path of a unix socket. Displays as `unix:/run/app.sock`.
    Unix(Arc<Path>),
}

impl Address {
    /// The port; a unix socket has none.
    pub fn port(&self) -> Option<u16> {
        match self {
            Address::Tcp(address) => Some(address.port()),
            Address::Unix(_) => None,
        }
    }

    /// As `CLIENT LIST` has it: that of a unix socket looks as if it had a port.
    pub(crate) fn listed(&self) -> String {
        match self {
            Address::Unix(path) => format!("{}:0", path.display()),
            Address::Tcp(address) => address.to_string(),
        }
    }

    /// Whether it is on this machine: a loopback address or a unix socket.
    pub(crate) fn is_local(&self) -> bool {
        match self {
            Address::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Address::Unix(_) => true,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Both ends of a connection, and the number of its socket.
#[derive(Clone, Debug)]
pub(crate) struct Ends {
    pub(crate) peer: Address,
    /// The same for most connections of a server.
    pub(crate) local: Arc<Address>,
    pub(crate) descriptor: i32,
}

struct Inner {
    id: u64,
    ends: Ends,
    /// When it came, in seconds of the server's clock; so are all times here.
    since: u32,
    db: AtomicU16,
    protocol: AtomicU8,
    /// What the connection is to do, see `Wish`, and whether there is something to be pushed.
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
    /// Bytes of requests that have not arrived whole, and of replies that wait to be sent.
    input: AtomicUsize,
    output: AtomicUsize,
    door: Mutex<Door>,
}

/// In place of a time or a command.
const BUSY: u32 = u32::MAX;
const NEVER: u32 = u32::MAX;
const NONE: u32 = u32::MAX;

/// The bits of `signals` that hold a `Wish`, and the one that says that something is to be pushed.
const WISH: u8 = 0b011;
const PUSHED: u8 = 0b100;

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
}

/// Where a connection and the rest of the program meet.
#[derive(Default)]
struct Door {
    /// Wakes the connection.
    waker: Option<Waker>,
    /// A burst that has been answered.
    answered: Option<Box<Burst>>,
    /// What is to be sent that is no reply.
    pushed: Option<Box<Pushed>>,
    /// Nobody will come for it any more.
    closed: bool,
    names: Option<Box<Names>>,
}

/// What waits to be pushed, each piece whole.
#[derive(Debug, Default)]
pub(crate) struct Pushed {
    pub(crate) pieces: Vec<Bytes>,
    /// Bytes in all.
    pub(crate) len: usize,
}

/// What the client says of itself; most say nothing.
#[derive(Clone, Debug, Default)]
struct Names {
    connection: Option<String>,
    library: Option<String>,
    library_version: Option<String>,
}

/// What a connection is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Live = 0,
    /// Answer what has been read, then close.
    Finish = 1,
    /// Close at once.
    Die = 2,
}

impl Client {
    pub(crate) fn new(id: u64, ends: Ends, now: u32) -> Self {
        Client(Arc::new(Inner {
            id,
            ends,
            since: now,
            db: AtomicU16::new(0),
            protocol: AtomicU8::new(2),
            signals: AtomicU8::new(Wish::Live as u8),
            flags: AtomicU8::new(0),
            active: AtomicU32::new(now),
            unauthenticated_since: AtomicU32::new(NEVER),
            request_since: AtomicU32::new(NEVER),
            command: AtomicU32::new(NONE),
            input: AtomicUsize::new(0),
            output: AtomicUsize::new(0),
            door: Mutex::default(),
        }))
    }

    /// A number that no other connection of this server ever has (`CLIENT ID`).
    pub fn id(&self) -> u64 {
        self.0.id
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
        self.door().names.as_ref()?.connection.clone()
    }

    /// Name and version of the client library, from `CLIENT SETINFO`.
    pub fn library(&self) -> (Option<String>, Option<String>) {
        let door = self.door();
        let names = door.names.as_deref();
        let part = |part: fn(&Names) -> &Option<String>| names.and_then(|names| part(names).clone());
        (part(|names| &names.library), part(|names| &names.library_version))
    }

    /// Whether it has asked, with `CLIENT NO-TOUCH on`, that its commands do not count as uses of
    /// their keys: for an application that forgets what is not used.
    pub fn is_no_touch(&self) -> bool {
        self.is(ClientFlag::NoTouch)
    }

    pub(crate) fn set_db(&self, db: u16) {
        self.0.db.store(db, Relaxed);
    }

    pub(crate) fn set_protocol(&self, protocol: Protocol) {
        self.0.protocol.store(if protocol == Protocol::Resp3 { 3 } else { 2 }, Relaxed);
    }

    pub(crate) fn set_name(&self, name: Option<String>) {
        self.door().names.get_or_insert_default().connection = name;
    }

    pub(crate) fn set_library(&self, name: &str) {
        self.door().names.get_or_insert_default().library = Some(name.to_owned());
    }

    pub(crate) fn set_library_version(&self, version: &str) {
        self.door().names.get_or_insert_default().library_version = Some(version.to_owned());
    }

    /// Puts an answered burst where the connection finds it, and wakes it.
    pub(crate) fn hand_back(&self, burst: Box<Burst>) {
        let mut door = self.door();
        if !door.closed {
            door.answered = Some(burst);
            door.wake();
        }
    }

    /// Takes the answered burst, or has `waker` called when there is one.
    pub(crate) fn collect(&self, waker: &Waker) -> Option<Box<Burst>> {
        let mut door = self.door();
        let answered = door.answered.take();
        if answered.is_none() {
            door.watch(waker);
        }
        answered
    }

    /// Has `waker` called when the connection is asked for something.
    pub(crate) fn watch(&self, waker: &Waker) {
        self.door().watch(waker);
    }

    /// No burst is collected any more, and nothing is pushed. Returns the bytes of its buffers.
    pub(crate) fn close(&self) -> usize {
        let mut door = self.door();
        door.closed = true;
        door.answered = None;
        door.waker = None;
        let pushed = door.pushed.take().map_or(0, |pushed| pushed.len);
        self.input() + self.output() + pushed
    }

    /// What is to be done before anything else.
    pub(crate) fn wish(&self) -> Wish {
        match self.0.signals.load(Relaxed) & WISH {
            0 => Wish::Live,
            1 => Wish::Finish,
            _ => Wish::Die,
        }
    }

    /// Asks the connection for more than it was asked before.
    pub(crate) fn ask(&self, wish: Wish) {
        let more = |signals: u8| Some((signals & !WISH) | (signals & WISH).max(wish as u8));
        let _ = self.0.signals.fetch_update(Relaxed, Relaxed, more);
        self.wake();
    }

    /// Has the connection look at its state.
    pub(crate) fn wake(&self) {
        self.door().wake();
    }

    /// Adds to what is to be sent between two replies; returns how many bytes of that wait now. A
    /// client that has gone gets nothing.
    pub(crate) fn push(&self, piece: Bytes) -> Option<usize> {
        let mut door = self.door();
        if door.closed {
            return None;
        }
        let pushed = door.pushed.get_or_insert_default();
        pushed.len += piece.len();
        pushed.pieces.push(piece);
        let waiting = pushed.len;
        self.0.signals.fetch_or(PUSHED, Relaxed);
        door.wake();
        Some(waiting)
    }

    /// Takes what is to be pushed, if there is anything.
    pub(crate) fn take_pushed(&self) -> Option<Box<Pushed>> {
        if self.0.signals.load(Relaxed) & PUSHED == 0 {
            return None;
        }
        let mut door = self.door();
        self.0.signals.fetch_and(!PUSHED, Relaxed);
        door.pushed.take()
    }

    /// Bytes that wait to be pushed.
    pub(crate) fn pushed_len(&self) -> usize {
        if self.0.signals.load(Relaxed) & PUSHED == 0 {
            return 0;
        }
        self.door().pushed.as_ref().map_or(0, |pushed| pushed.len)
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
        self.0.input.load(Relaxed)
    }

    /// Bytes of replies that wait to be sent, those to be pushed aside.
    pub(crate) fn output(&self) -> usize {
        self.0.output.load(Relaxed)
    }

    pub(crate) fn set_input(&self, input: usize) {
        self.0.input.store(input, Relaxed);
    }

    pub(crate) fn set_output(&self, output: usize) {
        self.0.output.store(output, Relaxed);
    }

    /// Bytes of memory that it takes, beyond what every connection does.
    pub(crate) fn memory(&self) -> usize {
        self.input() + self.output() + self.pushed_len()
    }

    fn door(&self) -> MutexGuard<'_, Door> {
        // Nothing panics while it is held.
        self.0.door.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long ago that was, unless it was never.
fn age(since: &AtomicU32, now: u32) -> Option<u32> {
    let since = since.load(Relaxed);
    (since != NEVER).then(|| now.saturating_sub(since))
}

impl Door {
    fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    fn watch(&mut self, waker: &Waker) {
        match &self.waker {
            Some(known) if known.will_wake(waker) => {}
            _ => self.waker = Some(waker.clone()),
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("id", &self.id()).field("addr", self.addr()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_addresses_and_unix_sockets_are_local() {
        let tcp = |address: &str| Address::Tcp(address.parse().expect("an address"));
        for local in ["127.0.0.1:1", "127.8.8.8:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert!(tcp(local).is_local(), "{local}");
        }
        for other in
            ["192.0.2.1:1", "0.0.0.0:1", "10.0.0.1:1", "[2001:db8::1]:1", "[::ffff:192.0.2.1]:1", "[::]:1"]
        {
            assert!(!tcp(other).is_local(), "{other}");
        }
        assert!(Address::Unix(Path::new("/run/app.sock").into()).is_local());
    }
}
