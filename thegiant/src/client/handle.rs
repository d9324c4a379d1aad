//! The handle to a connected client.

use std::{
    any::{Any, TypeId},
    fmt,
    sync::{Arc, LazyLock, PoisonError, Weak},
    time::Duration,
};

use bytes::Bytes;
#[cfg(feature = "tls")]
use thegiant_tls::ClientCertificate;

use super::{
    Address, ClientFlag, CloseRequest, Endpoints,
    flags::CLOSED,
    slot::{ClientSlot, PushId},
    times::ClientTimes,
};
use crate::{
    command::Push,
    resp::{Encoder, Protocol},
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU8, AtomicU16, AtomicU32, Ordering::Relaxed},
    },
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
/// An actor can [push](Self::push) a message to a client with RESP3 at any time.
/// [`App::on_connect`](crate::App::on_connect) and [`App::on_disconnect`](crate::App::on_disconnect) send an
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
///     fn read(&mut self, client: Client) -> Result<(), Error> {
///         if !client.can_receive_pushes() {
///             return Err(Error::err("use RESP3: send HELLO 3 first"));
///         }
///         self.readers.push(client);
///         Ok(())
///     }
///
///     /// Sends the news to all readers, and returns how many can receive it.
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
/// # #[thegiant::main]
/// # async fn main() {
/// let news = News::default().start();
/// let app = App::new().mount(news.clone()).on_disconnect(news);
/// # }
/// ```
#[derive(Clone)]
pub struct Client(pub(super) Arc<ClientInner>);

/// The server, as its clients see it.
pub(crate) trait ClientHost: Send + Sync {
    /// Returns the client with this id.
    fn client(&self, id: u64) -> Option<Client>;

    /// Sends a push to a client.
    ///
    /// Returns its id, or `None` if the client has disconnected.
    ///
    /// If the pushes exceed the output limit, the client is closed or loses the oldest ones.
    fn push(&self, client: &Client, piece: Bytes) -> Option<PushId>;

    /// Sends each client a push, which is encoded once per protocol. Returns the number of clients that were connected.
    ///
    /// The memory is accounted for once for all pushes.
    fn push_to_all(&self, clients: &[Client], encode: &dyn Fn(Protocol) -> Bytes) -> usize;

    /// Accounts for a change in the buffers of a client.
    fn account(&self, client: &Client, before: usize, after: usize);

    /// Closes a client whose unsent replies exceed the output limit.
    fn limit_output(&self, client: &Client, output: usize);

    /// Returns the reply timeout of blocked commands.
    fn reply_timeout(&self) -> Option<Duration>;

    /// Returns the positions of the keys in a request that a proxy sends on.
    fn upstream_keys(&self, words: &[&[u8]]) -> Vec<usize>;
}

pub(super) struct ClientInner {
    pub(super) id: u64,
    pub(super) endpoints: Endpoints,
    pub(super) times: ClientTimes,
    pub(super) db: AtomicU16,
    pub(super) protocol: AtomicU8,
    /// A `CloseRequest`, and the bits below.
    pub(super) signals: AtomicU8,
    pub(super) flags: AtomicU16,
    /// The last command that the client sent, or `NO_COMMAND`.
    pub(super) command: AtomicU32,
    /// Bytes of incomplete requests, and of replies that were not sent. Both saturate at 4 GiB.
    pub(super) input: AtomicU32,
    pub(super) output: AtomicU32,
    /// The place where the proxy keeps the requests of the client that it has sent on last. Saturates.
    pub(super) in_flight: AtomicU32,
    host: Weak<dyn ClientHost>,
    slot: Mutex<ClientSlot>,
}

const NO_COMMAND: u32 = u32::MAX;

/// The name of the user of clients that have not authenticated as another one.
pub(crate) const DEFAULT_USER: &[u8] = b"default";

/// Returns the name as an `Arc`, without an allocation for each client.
fn default_user() -> Arc<[u8]> {
    static NAME: LazyLock<Arc<[u8]>> = LazyLock::new(|| DEFAULT_USER.into());
    Arc::clone(&NAME)
}

impl Client {
    pub(crate) fn new(id: u64, endpoints: Endpoints, now: u32, host: Weak<dyn ClientHost>) -> Self {
        Client(Arc::new(ClientInner {
            id,
            endpoints,
            times: ClientTimes::new(now),
            db: AtomicU16::new(0),
            protocol: AtomicU8::new(2),
            signals: AtomicU8::new(CloseRequest::None as u8),
            flags: AtomicU16::new(0),
            command: AtomicU32::new(NO_COMMAND),
            input: AtomicU32::new(0),
            output: AtomicU32::new(0),
            in_flight: AtomicU32::new(u32::MAX),
            host,
            slot: Mutex::default(),
        }))
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
    ///
    /// It is less than [`App::databases`](crate::App::databases).
    pub fn db(&self) -> u16 {
        self.0.db.load(Relaxed)
    }

    /// Returns the protocol that the client has selected with `HELLO` (default RESP2).
    pub fn protocol(&self) -> Protocol {
        if self.0.protocol.load(Relaxed) == 3 { Protocol::Resp3 } else { Protocol::Resp2 }
    }

    /// Returns the name of the user as whom the client has authenticated, or `default`.
    pub fn user(&self) -> String {
        String::from_utf8_lossy(&self.user_name()).into_owned()
    }

    /// Returns the name of the user as the users of the server have it.
    pub(crate) fn user_name(&self) -> Arc<[u8]> {
        self.slot().extra().and_then(|extra| extra.user.clone()).unwrap_or_else(default_user)
    }

    /// *Feature `tls`:* returns the certificate of the client, which the server has verified.
    ///
    /// It returns `None` if the client has sent none, and until the TLS handshake is complete:
    /// [`Connected`](crate::Connected) comes earlier. A login and `RESET` do not change it.
    ///
    /// ```
    /// use thegiant::prelude::*;
    ///
    /// struct Vault;
    ///
    /// impl Actor for Vault {
    ///     type Context = Context<Self>;
    /// }
    ///
    /// #[commands]
    /// impl Vault {
    ///     /// Returns the secret of the team that the certificate of the client names.
    ///     #[command("SECRET", readonly)]
    ///     fn secret(&self, client: &Client) -> Result<String, Error> {
    ///         let certificate = client.certificate().ok_or(Error::err("a client needs a certificate"))?;
    ///         let team = certificate.uris().find_map(|uri| uri.strip_prefix("spiffe://example.org/team/"));
    ///         team.map(|team| format!("the secret of {team}")).ok_or(Error::err("the certificate names no team"))
    ///     }
    /// }
    /// ```
    #[cfg(feature = "tls")]
    pub fn certificate(&self) -> Option<Arc<ClientCertificate>> {
        self.slot().extra()?.certificate.clone()
    }

    /// Returns the prefix of all keys and channels of the client, or an empty one.
    ///
    /// [`Server::key_prefix`](crate::Server::key_prefix) sets it. The keys in the requests of the client begin with it, and replies
    /// of the type [`Key`](crate::Key) are written without it. These commands need this method:
    ///
    /// | the command | does with the prefix |
    /// | --- | --- |
    /// | is about all keys | ignores keys that do not begin with it |
    /// | has an error whose text names a key | removes it from the key |
    /// | publishes events | puts it before the channel, and leaves it out of the message |
    /// | sends a message to another actor, which does one of these | puts it into the message |
    ///
    /// ```
    /// use std::collections::HashMap;
    /// use thegiant::prelude::*;
    ///
    /// struct Store(HashMap<Bytes, Bytes>);
    ///
    /// impl Actor for Store {
    ///     type Context = Context<Self>;
    /// }
    ///
    /// #[commands]
    /// impl Store {
    ///     /// Returns the number of keys.
    ///     #[command("DBSIZE", readonly, tenant_safe)]
    ///     fn dbsize(&self, client: &Client) -> usize {
    ///         let prefix = client.key_prefix();
    ///         self.0.keys().filter(|key| key.starts_with(&prefix)).count()
    ///     }
    /// }
    /// ```
    pub fn key_prefix(&self) -> Bytes {
        if !self.is(ClientFlag::Tenant) {
            return Bytes::new();
        }
        self.slot().extra().map(|extra| extra.key_prefix.clone()).unwrap_or_default()
    }

    /// Returns an encoder for a reply or push to the client.
    pub(crate) fn encoder(&self) -> Encoder {
        let mut out = Encoder::new(self.protocol());
        out.set_key_prefix(&self.key_prefix());
        out
    }

    /// Returns the connection name, as set by `CLIENT SETNAME`.
    pub fn name(&self) -> Option<String> {
        self.slot().extra()?.names.as_ref()?.connection.clone()
    }

    /// Returns the name of the client library (`lib-name`), as set by `CLIENT SETINFO`.
    pub fn lib_name(&self) -> Option<String> {
        self.slot().extra()?.names.as_ref()?.library.clone()
    }

    /// Returns the version of the client library (`lib-ver`), as set by `CLIENT SETINFO`.
    pub fn lib_ver(&self) -> Option<String> {
        self.slot().extra()?.names.as_ref()?.library_version.clone()
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

    /// Returns whether [pushes](Self::push) can be sent to the client.
    ///
    /// It must be connected, and use RESP3 or have subscribed to a channel. Without a subscription, a client with RESP2 would
    /// take a push for the reply to its next command.
    ///
    /// ```
    /// use thegiant::prelude::*;
    ///
    /// /// Refuses a client that could not be told.
    /// fn check(client: &Client) -> Result<(), Error> {
    ///     if client.can_receive_pushes() { Ok(()) } else { Err(Error::err("use RESP3: send HELLO 3 first")) }
    /// }
    /// ```
    pub fn can_receive_pushes(&self) -> bool {
        self.is_connected() && (self.protocol() == Protocol::Resp3 || self.is_subscriber())
    }

    /// Sends a message that is not a reply: a push in RESP3.
    ///
    /// By convention the first element names the kind of the message.
    ///
    /// Returns the id of the push, for [`has_taken`](Self::has_taken), or `None` if the client
    /// [cannot receive it](Self::can_receive_pushes): it has disconnected, or it uses RESP2 and has not subscribed. A
    /// RESP2 client with subscriptions gets an array, as it gets messages of channels.
    ///
    /// Pushes keep their order. The connection sends them between two replies, or while a command is blocked,
    /// but not while an actor runs a batch of this client.
    ///
    /// [`Limits::output_buffer`](crate::Limits::output_buffer) bounds the bytes of unsent pushes.
    /// [`Limits::slow_consumers`](crate::Limits::slow_consumers) chooses between disconnecting a client that
    /// exceeds the limit and dropping its oldest pushes.
    pub fn push<P: Push>(&self, message: P) -> Option<PushId> {
        const { assert!(P::IS_ARRAY, "a push is an array, and a list of `u8` is a string: push a tuple") };
        if !self.can_receive_pushes() {
            return None;
        }
        let mut out = self.encoder();
        message.write_to(&mut out);
        let protocol = out.protocol();
        let mut push = out.into_vec();
        if protocol == Protocol::Resp3
            && let Some(kind) = push.first_mut()
        {
            // The message is encoded as an array.
            *kind = b'>';
        }
        self.push_encoded(push.into())
    }

    /// Sends a message that an upstream has encoded for the protocol of the client.
    pub(crate) fn push_encoded(&self, message: Bytes) -> Option<PushId> {
        if !self.is_connected() {
            return None;
        }
        self.host()?.push(self, message)
    }

    /// Stores a value of any type with the client.
    ///
    /// It replaces an earlier value of the same type. It is dropped with the last handle of the client, or when
    /// the client sends `RESET`.
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

    /// Disconnects the client: later batches and pushes are dropped.
    ///
    /// Returns the bytes of its buffers.
    pub(crate) fn close(&self) -> usize {
        let mut slot = self.slot();
        self.0.signals.fetch_or(CLOSED, Relaxed);
        let answered = slot.answered.take();
        let blocked = slot.end_waits();
        let memory = self.input() + self.replace_output(0) + slot.close();
        // A batch may have exclusive access to an actor. Its drop then locks a batch queue.
        drop(slot);
        drop((answered, blocked));
        memory
    }

    /// Wakes the connection.
    pub(crate) fn wake(&self) {
        self.slot().wake();
    }

    pub(super) fn slot(&self) -> MutexGuard<'_, ClientSlot> {
        // No code panics while it holds the lock.
        self.0.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops the [attached](Self::attach) value of this type.
    pub(crate) fn detach<T: Any>(&self) {
        let mut slot = self.slot();
        let position = |attached: &[(TypeId, Arc<dyn Any + Send + Sync>)]| {
            attached.iter().position(|(known, _)| *known == TypeId::of::<T>())
        };
        if let Some(index) = slot.extra().and_then(|extra| position(&extra.attached)) {
            let (_, value) = slot.extra_mut().attached.swap_remove(index);
            drop(slot);
            drop(value);
        }
    }

    /// Drops all attached values.
    pub(crate) fn detach_all(&self) {
        let mut slot = self.slot();
        if slot.extra().is_some_and(|extra| !extra.attached.is_empty()) {
            let attached = std::mem::take(&mut slot.extra_mut().attached);
            // The destructors of the values may use the client, so they must not run under the lock.
            drop(slot);
            drop(attached);
        }
    }

    /// Returns the server, while it exists.
    pub(crate) fn host(&self) -> Option<Arc<dyn ClientHost>> {
        self.0.host.upgrade()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("id", &self.id()).field("addr", self.addr()).finish_non_exhaustive()
    }
}
