//! The peer of a connection, as everybody else sees it.

use std::{
    fmt,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, AtomicU16, AtomicU32, Ordering::Relaxed},
    },
    task::Waker,
};

use super::Burst;
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
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

struct Inner {
    id: u64,
    addr: Address,
    db: AtomicU16,
    protocol: AtomicU8,
    /// What the connection is asked to do, see `Wish`.
    wish: AtomicU8,
    /// Sweeps of the idle timer since it was last active, or `BUSY`.
    idle: AtomicU32,
    door: Mutex<Door>,
}

/// In place of a count of sweeps.
const BUSY: u32 = u32::MAX;

/// Where a connection and the rest of the program meet.
#[derive(Default)]
struct Door {
    /// Wakes the connection.
    waker: Option<Waker>,
    /// A burst that has been answered.
    answered: Option<Box<Burst>>,
    /// Nobody will come for it any more.
    closed: bool,
    names: Option<Box<Names>>,
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
    pub(crate) fn new(id: u64, addr: Address) -> Self {
        Client(Arc::new(Inner {
            id,
            addr,
            db: AtomicU16::new(0),
            protocol: AtomicU8::new(2),
            wish: AtomicU8::new(Wish::Live as u8),
            idle: AtomicU32::new(0),
            door: Mutex::default(),
        }))
    }

    /// A number that no other connection of this server ever has (`CLIENT ID`).
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// Where the client is; over a unix socket, the path of the listener.
    pub fn addr(&self) -> &Address {
        &self.0.addr
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
            if let Some(waker) = &door.waker {
                waker.wake_by_ref();
            }
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

    /// No burst is collected any more.
    pub(crate) fn close(&self) {
        let mut door = self.door();
        door.closed = true;
        door.answered = None;
        door.waker = None;
    }

    pub(crate) fn wish(&self) -> Wish {
        match self.0.wish.load(Relaxed) {
            0 => Wish::Live,
            1 => Wish::Finish,
            _ => Wish::Die,
        }
    }

    /// Asks the connection for more than it was asked before.
    pub(crate) fn ask(&self, wish: Wish) {
        self.0.wish.fetch_max(wish as u8, Relaxed);
        if let Some(waker) = &self.door().waker {
            waker.wake_by_ref();
        }
    }

    pub(crate) fn not_idle(&self) {
        self.0.idle.store(0, Relaxed);
    }

    /// Its requests are being run: it is not idle until they are answered.
    pub(crate) fn busy(&self) {
        self.0.idle.store(BUSY, Relaxed);
    }

    /// Counts a sweep of the idle timer; returns how many there were since it was last active.
    pub(crate) fn idle_sweep(&self) -> u32 {
        let counted = |sweeps: u32| (sweeps != BUSY).then(|| sweeps.saturating_add(1).min(BUSY - 1));
        self.0.idle.fetch_update(Relaxed, Relaxed, counted).map_or(0, |before| before + 1)
    }

    fn door(&self) -> MutexGuard<'_, Door> {
        // Nothing panics while it is held.
        self.0.door.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Door {
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
