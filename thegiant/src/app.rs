//! Composes actors, functions and built-in commands into one application.

mod merge;
mod shard_addrs;

use std::{
    any::{Any, type_name},
    fmt,
    marker::PhantomData,
    sync::Arc,
};

use actix::{Actor, Addr, Context, Handler, Recipient, dev::channel::channel};

pub use shard_addrs::ShardAddrs;

use crate::{
    Counter, Gauge, Keyspace, PubSub,
    batch::{ActorId, Actors, RowId},
    client::{Connected, ConnectionEvents, Disconnected},
    command::{Answer, Commands, Request, Row, Spec, split_name},
    conn::ConnectionState,
    dispatch::{
        Consumers, Mountable, MountableAddr, MountedActor, Routes, RunBatches, run_batches, supervise,
    },
    identity::{Authenticate, Authenticator},
    info::{InfoFields, InfoSection},
    middleware::{Installed, Middleware},
    proxy::{
        AllUpstreamStats, Proxy, ProxyActor, PublishedCommands, ServeClients, UpstreamHandle,
        is_behind_builtins,
    },
    server_state::AppConfig,
    workers::StartShard,
};

/// The commands of a server: mounted actors, a fallback function and the built-in commands.
///
/// ```
/// use thegiant::prelude::*;
///
/// #[derive(Default)]
/// struct Counter(i64);
///
/// impl Actor for Counter {
///     type Context = Context<Self>;
/// }
///
/// #[commands]
/// impl Counter {
///     /// Counts one up.
///     #[command("COUNT", write, fast)]
///     fn count(&mut self) -> i64 {
///         self.0 += 1;
///         self.0
///     }
/// }
///
/// # #[thegiant::main]
/// # async fn main() {
/// let app = App::new()
///     .mount(Counter::default().start())
///     .without("QUIT")
///     .fallback(|request: &Request| format!("{} arguments", request.len() - 1));
/// # }
/// ```
///
/// If an actor has a command with the name of a built-in command, it replaces that command and all its
/// subcommands. The fallback gets the commands that neither an actor nor the toolkit has.
#[derive(Default)]
#[must_use]
pub struct App {
    routes: Routes,
    /// The names of built-in commands that `without` removed.
    removed: Vec<String>,
    info: Vec<InfoSection>,
    #[cfg(feature = "metrics")]
    exports: Vec<Box<dyn FnOnce() + Send + Sync>>,
    connection_events: ConnectionEvents,
    authenticator: Option<Authenticator>,
    middleware: Vec<Installed>,
    keyspace: Keyspace,
    /// The actor that sends all other commands on to upstreams.
    proxy: Option<MountedProxy>,
    /// The commands of the upstreams.
    upstream_commands: Arc<PublishedCommands>,
    /// The server emulates a cluster of one instance.
    emulates_cluster: bool,
    /// The number of databases, if the application has set it.
    databases: Option<u16>,
    /// The `Addr` of each supervised actor, and the `ShardAddrs` of each actor with shards.
    addresses: Vec<Box<dyn Any + Send + Sync>>,
    /// Starts the shards.
    shards: Vec<StartShard>,
}

/// The proxy of an application.
enum MountedProxy {
    Shared(ActorId),
    /// Returns the proxy of a worker. The server starts it.
    PerWorker(Arc<dyn Fn() -> Proxy + Send + Sync>),
}

impl App {
    /// Returns an application with only the built-in commands.
    pub fn new() -> Self {
        App::default()
    }

    /// Adds the commands of an actor. `actor` is its address, which `start()` returns.
    ///
    /// The actor can run on this thread, on another arbiter, or in a `SyncArbiter`.
    ///
    /// If the actor ends before the server is stopped, because it panics outside of a command or calls
    /// `context.stop()`, [`Server::run`](crate::Server::run) logs the name of its type, stops gracefully and
    /// returns an error. Its commands are refused with `-ACTORDOWN`. To start the actor again instead, use
    /// [`mount_supervised`](Self::mount_supervised).
    ///
    /// A `SyncArbiter` replaces a member that calls `context.stop()`. It does not replace a member that panics
    /// outside of a command. When all members have panicked, the next command ends the server as above.
    ///
    /// # Panics
    /// Panics if another mounted actor has a command of the same name.
    #[track_caller]
    pub fn mount(mut self, actor: impl MountableAddr) -> Self {
        self.add_actor(actor.into_addr());
        self
    }

    /// Adds the commands of an actor, and starts the actor again whenever it ends.
    ///
    /// `factory` returns a new actor: at once for the first start, and on the same thread after each end. An
    /// actor ends if it panics outside of a command or calls `context.stop()`. Its commands that are waiting
    /// then are refused with `-ACTORDOWN`; later ones wait for the new actor. The delay before a restart is
    /// at most 100 ms; it doubles up to 5 s while the actor does not run for 10 s. Each restart is logged,
    /// and `INFO server` counts them (`thegiant_actor_restarts`).
    ///
    /// ```
    /// use thegiant::prelude::*;
    ///
    /// /// Its values may be lost: another source has them.
    /// #[derive(Default)]
    /// struct Cache(std::collections::HashMap<Bytes, Bytes>);
    ///
    /// impl Actor for Cache {
    ///     type Context = Context<Self>;
    /// }
    ///
    /// #[commands]
    /// impl Cache {
    ///     /// Removes all values.
    ///     #[command("CLEAR", write)]
    ///     fn clear(&mut self, context: &mut Context<Self>) {
    ///         context.stop();
    ///     }
    /// }
    ///
    /// # #[thegiant::main]
    /// # async fn main() {
    /// let app = App::new().mount_supervised(Cache::default);
    /// # }
    /// ```
    ///
    /// [`address`](Self::address) returns an address that stays valid. An address from `context.address()`
    /// belongs to one actor only and ends with it.
    ///
    /// # Panics
    /// Panics if another mounted actor has a command of the same name, or if no actix system is running.
    #[track_caller]
    pub fn mount_supervised<A, F>(mut self, factory: F) -> Self
    where
        A: Mountable + Actor<Context = Context<A>>,
        F: FnMut() -> A + 'static,
    {
        // 0: as many messages as are sent, as in the mailbox of a `SyncArbiter`.
        let (sender, mailbox) = channel(0);
        let address = Addr::new(sender);
        let mount = self.add_actor(address.clone());
        self.addresses.push(Box::new(address));
        let queue = Arc::downgrade(self.routes.queue(mount));
        actix_rt::spawn(supervise(factory, mailbox, queue));
        self
    }

    /// Adds the commands of an actor of which there are several: shards, among which the keys are divided.
    ///
    /// The [slot](crate::slot) of a key decides which shard has it. `factory` is called once for each shard with its
    /// number, from 0 to `shards - 1`, when the server starts. The shards are spread over the threads of
    /// [`Server::workers`](crate::Server::workers), and `factory` runs on the thread of its shard. With one shard or one
    /// thread, everything works the same. [`shards`](Self::shards) returns the addresses of the shards, to which other actors send
    /// messages.
    ///
    /// ```
    /// use std::collections::HashMap;
    /// use thegiant::prelude::*;
    ///
    /// #[derive(Default)]
    /// struct Store(HashMap<Bytes, Bytes>);
    ///
    /// impl Actor for Store {
    ///     type Context = Context<Self>;
    /// }
    ///
    /// #[commands]
    /// impl Store {
    ///     /// Sets a value.
    ///     #[command("SET", write, fast)]
    ///     fn set(&mut self, key: Key, value: Bytes) {
    ///         self.0.insert(key.into(), value);
    ///     }
    ///
    ///     /// Returns the values of several keys.
    ///     #[command("MGET", readonly, fast, split)]
    ///     fn mget(&self, keys: Vec<Key<&[u8]>>) -> Vec<Option<Bytes>> {
    ///         keys.into_iter().map(|key| self.0.get(*key).cloned()).collect()
    ///     }
    ///
    ///     /// Returns the number of keys.
    ///     #[command("DBSIZE", readonly, fast, all = "agg_sum")]
    ///     fn dbsize(&self) -> usize {
    ///         self.0.len()
    ///     }
    /// }
    ///
    /// let server = Server::new(|| App::new().mount_shards(2, |_| Store::default())).workers(2);
    /// ```
    ///
    /// # Several keys
    /// A command with keys of several shards is refused with `-CROSSSLOT`, unless its attribute says how it is split:
    ///
    /// | attribute | the command runs on | reply |
    /// | --- | --- | --- |
    /// | `split` | the shards of its keys, each with its own keys | an array in the order of the keys |
    /// | `split = "agg_sum"` | the same | the sum |
    /// | `split = "all_succeeded"` | the same | the first reply, such as `OK`, or an error |
    /// | `all` | all shards | one array with all elements |
    /// | `all = "agg_sum"`, … | all shards | as above |
    /// | `all = "scan"` | the shard that the cursor names, its first argument | a cursor for the next page, and the page |
    ///
    /// [`ResponsePolicy`](crate::command::ResponsePolicy) has all of them. `COMMAND` shows them to clients and proxies as
    /// [tips](https://redis.io/docs/latest/develop/reference/command-tips/). The parts of a split command are not atomic:
    /// another client can see the effect of one before that of another.
    ///
    /// Any shard runs a command without keys and without `all`.
    ///
    /// # Order
    /// The commands of a client for one shard run in the order of its requests, and its replies arrive in that order.
    /// Commands of one pipeline for different shards run at the same time, and their replies are
    /// sent when all have run. A command with the flag `blocking`, or one whose reply
    /// [may be streamed](crate::command::Answer::MAY_STREAM), runs alone.
    ///
    /// A transaction, with the keys that it watches, belongs to one shard. Others are refused with `-CROSSSLOT`, unless
    /// the application is [`atomic`](Self::atomic).
    ///
    /// # Panics
    /// Panics if `shards` is 0, if another mounted actor has a command of the same name, or if an
    /// [`atomic`](Self::atomic) application would get several shards with group commit.
    #[track_caller]
    pub fn mount_shards<A, F>(mut self, shards: u16, factory: F) -> Self
    where
        A: Mountable + Actor<Context = Context<A>>,
        F: Fn(usize) -> A + Send + Sync + 'static,
    {
        assert!(shards > 0, "an actor has at least one shard");
        let factory = Arc::new(factory);
        let (mut first, mut addresses) = (None, Vec::new());
        for shard in 0..usize::from(shards) {
            // 0: as many messages as are sent. The number of batches bounds them.
            let (sender, mailbox) = channel(0);
            let address = Addr::new(sender);
            let mount = self.add_queue(address.clone());
            addresses.push(address);
            first.get_or_insert(mount);
            let factory = Arc::clone(&factory);
            self.shards.push(Box::new(move || {
                Context::with_receiver(mailbox).run(factory(shard));
            }));
        }
        self.addresses.push(Box::new(ShardAddrs::new(addresses)));
        if let Some(first) = first {
            self.routes.add_shards(first, shards);
            self.add_commands::<A>(first);
            self.check_atomic();
        }
        self
    }

    /// Allows transactions over several [shards](Self::mount_shards).
    ///
    /// `EXEC` then waits until each shard of the transaction has finished its current batch. These shards run nothing
    /// else until all commands of the transaction have run. So a transaction costs its shards a wait for each other, and
    /// a command over several keys is still not atomic by itself.
    ///
    /// ```
    /// # use thegiant::prelude::*;
    /// # struct Store;
    /// # impl Actor for Store { type Context = Context<Self>; }
    /// # #[commands]
    /// # impl Store {
    /// #     #[command("GET")]
    /// #     fn get(&self, _key: Key) {}
    /// # }
    /// let app = || App::new().mount_shards(4, |_| Store).atomic();
    /// ```
    ///
    /// # Panics
    /// Panics if the shards use [group commit](crate::GroupCommit), because their commits are not one.
    #[track_caller]
    pub fn atomic(mut self) -> Self {
        self.routes.set_atomic();
        self.check_atomic();
        self
    }

    #[track_caller]
    fn check_atomic(&self) {
        let is_refused = self.routes.is_atomic() && self.routes.has_shards_with_group_commit();
        assert!(!is_refused, "a transaction over several shards cannot use group commit");
    }

    /// Returns the address of a [supervised](Self::mount_supervised) actor. It stays valid when the actor is
    /// started again.
    ///
    /// ```
    /// # use thegiant::{Connected, prelude::*};
    /// # #[derive(Default)]
    /// # struct Chat;
    /// # impl Actor for Chat { type Context = Context<Self>; }
    /// # #[commands]
    /// # impl Chat {
    /// #     #[command("SAY")]
    /// #     fn say(&self) {}
    /// # }
    /// # impl Handler<Connected> for Chat {
    /// #     type Result = ();
    /// #     fn handle(&mut self, _: Connected, _: &mut Context<Self>) {}
    /// # }
    /// # #[thegiant::main]
    /// # async fn main() {
    /// let app = App::new().mount_supervised(Chat::default);
    /// let chat = app.address::<Chat>();
    /// let app = app.on_connect(chat);
    /// # }
    /// ```
    ///
    /// # Panics
    /// Panics if no supervised actor has this type.
    #[track_caller]
    pub fn address<A: Actor<Context = Context<A>>>(&self) -> Addr<A> {
        let found = self.addresses_of::<Addr<A>>().next();
        let Some(address) = found else { panic!("no supervised actor has the type {}", type_name::<A>()) };
        address.clone()
    }

    /// Returns the addresses of all [shards](Self::mount_shards) of an actor, in the order of their numbers.
    ///
    /// [`of`](ShardAddrs::of) finds the shard of a key. Messages that are sent before the shards start wait for them.
    ///
    /// ```
    /// # use thegiant::{Disconnected, prelude::*};
    /// # struct Chat;
    /// # impl Actor for Chat { type Context = Context<Self>; }
    /// # #[commands]
    /// # impl Chat {
    /// #     #[command("SAY")]
    /// #     fn say(&self, _room: Key) {}
    /// # }
    /// # impl Handler<Disconnected> for Chat {
    /// #     type Result = ();
    /// #     fn handle(&mut self, _: Disconnected, _: &mut Context<Self>) {}
    /// # }
    /// let app = App::new().mount_shards(4, |_| Chat);
    /// let shards = app.shards::<Chat>(); // and `shards.of("lobby")` is the one with the room "lobby"
    /// let app = shards.into_iter().fold(app, App::on_disconnect);
    /// ```
    ///
    /// # Panics
    /// Panics if no actor with shards has this type, or if several have it, because applications were
    /// [merged](Self::merge_with_prefix): call this for each application before that.
    #[track_caller]
    pub fn shards<A: Actor<Context = Context<A>>>(&self) -> ShardAddrs<A> {
        let (mut found, actor) = (self.addresses_of::<ShardAddrs<A>>(), type_name::<A>());
        let Some(shards) = found.next() else { panic!("no actor with shards has the type {actor}") };
        assert!(
            found.next().is_none(),
            "several actors with shards have the type {actor}: call `shards` of each application before it is merged"
        );
        shards.clone()
    }

    /// Returns the addresses of this type: an `Addr` or `ShardAddrs`.
    fn addresses_of<T: 'static>(&self) -> impl Iterator<Item = &T> {
        self.addresses.iter().filter_map(|addresses| addresses.downcast_ref())
    }

    #[track_caller]
    fn add_actor<A: Mountable>(&mut self, actor: Addr<A>) -> ActorId {
        let mount = self.add_queue(actor);
        self.add_commands::<A>(mount);
        mount
    }

    /// Adds the queue of an actor.
    #[track_caller]
    fn add_queue<A: Mountable>(&mut self, actor: Addr<A>) -> ActorId {
        let actor = MountedActor {
            actor_type: type_name::<A>(),
            address: actor.recipient(),
            is_pool: A::Context::MANY,
            uses_group_commit: A::USES_GROUP_COMMIT,
            expires: A::EXPIRES,
        };
        self.routes.add_actor(actor, &self.keyspace)
    }

    #[track_caller]
    fn add_commands<A: Commands>(&mut self, mount: ActorId) {
        for (row, spec) in RowId::all::<A>() {
            self.routes.mount_command(spec, mount, row);
        }
    }

    /// Sets the function that answers all commands without a row.
    ///
    /// Without mounted actors, this function is the whole application. Its parameter is the request
    /// ([`Request`]). It may have state, because it runs in its own actor, one call at a time. It replaces an
    /// earlier fallback or [`proxy`](Self::proxy).
    ///
    /// # Panics
    /// Panics if no actix system is running.
    pub fn fallback<F, R>(mut self, function: F) -> Self
    where
        F: FnMut(&Request<'_>) -> R + Unpin + 'static,
        R: Answer<Function<F, R>> + 'static,
    {
        let actor = Function { function, reply: PhantomData }.start();
        let mount = self
            .routes
            .add_actor(MountedActor::single("fallback function", actor.recipient()), &self.keyspace);
        for (row, spec) in RowId::all::<Function<F, R>>() {
            self.routes.set_fallback(spec, mount, row);
        }
        self.proxy = None;
        self
    }

    /// Forwards all commands without a row to an upstream.
    ///
    /// The proxy changes neither the request nor the reply.
    ///
    /// ```no_run
    /// use thegiant::{prelude::*, proxy::Upstream};
    ///
    /// struct Front;
    ///
    /// impl Actor for Front {
    ///     type Context = Context<Self>;
    /// }
    ///
    /// #[commands]
    /// impl Front {
    ///     /// Refuses to delete all keys.
    ///     #[command("FLUSHALL", write)]
    ///     fn flush_all(&self) -> Result<(), Error> {
    ///         Err(Error::new("NOPERM", "FLUSHALL is disabled"))
    ///     }
    /// }
    ///
    /// #[thegiant::main]
    /// async fn main() -> std::io::Result<()> {
    ///     let redis = Upstream::new("127.0.0.1:6379").start();
    ///     let app = App::new().mount(Front.start()).proxy(redis);
    ///     Server::new(app).bind("127.0.0.1:6380")?.run().await
    /// }
    /// ```
    ///
    /// The server still answers the commands about the client's connection (`HELLO`, `AUTH`, `SELECT`,
    /// `QUIT`, `RESET`, `CLIENT`) and the commands for its operators (`INFO`, `ROLE`, `CONFIG`, `SLOWLOG`, `LATENCY`,
    /// `MONITOR`, `SHUTDOWN`, `DEBUG`). The upstream answers everything else: `PING`, `COMMAND`,
    /// transactions, channels.
    ///
    /// Most requests use multiplexed connections, which clients share. A client gets a dedicated connection
    /// for commands that change the state of a connection:
    ///
    /// - from `WATCH` or `MULTI` to `EXEC`, unless the whole transaction arrives at once;
    /// - from `SUBSCRIBE` until the client has no subscription left;
    /// - for a command that blocks, such as `BLPOP`, according to the upstream's `COMMAND` reply.
    ///
    /// While a client has a dedicated connection, `SELECT` and `HELLO` are errors.
    ///
    /// A command that this server runs itself cannot be in a transaction of the upstream, which would not have its
    /// reply. Between `MULTI` and `EXEC` it is an error, and `EXEC` replies `EXECABORT`.
    ///
    /// When a dedicated connection is lost, the client's commands fail up to the one that ends the
    /// transaction (`EXEC`, `DISCARD`, `UNWATCH`). A client with subscriptions is disconnected, as the
    /// upstream would do.
    ///
    /// A client can use `CLIENT TRACKING`. While one does, and a minute longer, the proxy has a connection with
    /// `CLIENT TRACKING ON BCAST` to each upstream, which reports all keys that change there. The upstreams need RESP3. Differences
    /// from Redis:
    ///
    /// - `NOLOOP` has no effect: the proxy cannot know who has changed a key.
    /// - The keys that a script reads are not tracked, unless the command is `EVAL_RO`, `EVALSHA_RO` or `FCALL_RO`.
    /// - The invalidation of a key follows its value at once if the upstreams do not report changes at that moment, or if the command
    ///   has blocked. When the connection to an upstream is lost, its clients get an invalidation of all keys.
    ///
    /// The proxy refuses `WAIT`, because that command is about the writes of one connection. The proxy
    /// replaces an earlier [`fallback`](Self::fallback). It adds a section `Upstream` to `INFO`.
    pub fn proxy(mut self, upstream: UpstreamHandle) -> Self {
        let proxy = upstream.proxy();
        let actor_id = self.add_queue(proxy.clone());
        self.proxy = Some(MountedProxy::Shared(actor_id));
        proxy.do_send(self.serve_clients(None));
        self.connection_events.disconnected.push(proxy.recipient());
        self.info("Upstream", move |info| upstream.add_to(info))
    }

    /// Forwards all commands without a row, like [`proxy`](Self::proxy), with a proxy for each worker.
    ///
    /// The server calls `factory` on the thread of each [worker](crate::Server::workers). A worker has connections of its
    /// own to the upstreams, so the requests of its clients do not leave its thread.
    ///
    /// ```no_run
    /// use thegiant::{prelude::*, proxy::Upstream};
    ///
    /// #[thegiant::main]
    /// async fn main() -> std::io::Result<()> {
    ///     let app = || App::new().proxy_per_worker(|| Upstream::new("127.0.0.1:6379"));
    ///     Server::new(app).workers(0).bind("127.0.0.1:6380")?.run().await
    /// }
    /// ```
    pub fn proxy_per_worker<P: Into<Proxy>>(
        mut self,
        factory: impl Fn() -> P + Send + Sync + 'static,
    ) -> Self {
        self.proxy = Some(MountedProxy::PerWorker(Arc::new(move || factory().into())));
        self
    }

    /// Removes a built-in command.
    ///
    /// The name can be a command (`"SELECT"`), a subcommand (`"CLIENT SETNAME"`) or a container with all its
    /// subcommands (`"CLIENT"`). Afterwards the command is unknown, or the fallback gets it.
    ///
    /// # Panics
    /// Panics if there is no built-in command of that name.
    #[track_caller]
    pub fn without(mut self, name: &str) -> Self {
        let exists = RowId::all::<ConnectionState>().any(|(_, spec)| is_named(spec, name));
        assert!(exists, "there is no built-in command {name}");
        self.removed.push(name.to_owned());
        self
    }

    /// Lets cluster clients use the server: it replies to `CLUSTER` as a cluster of one node that has all hash slots.
    ///
    /// The node has the address that the client has connected to. So the clients must reach the server at that address,
    /// also through a container or a firewall. [`Server::cluster`](crate::Server::cluster) is for several instances, and for commands whose
    /// keys must have one slot.
    ///
    /// ```
    /// use thegiant::prelude::*;
    ///
    /// let app = || App::new().emulate_cluster().proxy_per_worker(|| thegiant::proxy::Upstream::new("127.0.0.1:6379"));
    /// ```
    pub fn emulate_cluster(mut self) -> Self {
        self.emulates_cluster = true;
        self
    }

    /// Sets the number of databases that `SELECT` accepts (`databases`, default 1).
    ///
    /// An application with more than one database keeps the keys of each apart:
    /// [`Client::db`](crate::Client::db) says which one a command is for. With a [`proxy`](Self::proxy), the
    /// default is 16, as in Redis, and the upstream has the databases.
    ///
    /// ```
    /// use std::collections::HashMap;
    /// use thegiant::prelude::*;
    ///
    /// #[derive(Default)]
    /// struct Store {
    ///     databases: [HashMap<Bytes, Bytes>; 4],
    /// }
    ///
    /// impl Actor for Store {
    ///     type Context = Context<Self>;
    /// }
    ///
    /// #[commands]
    /// impl Store {
    ///     /// Sets the value of a key.
    ///     #[command("SET", write)]
    ///     fn set(&mut self, key: Key, value: Bytes, client: &Client) {
    ///         self.databases[usize::from(client.db())].insert(key.into(), value);
    ///     }
    /// }
    ///
    /// # #[thegiant::main]
    /// # async fn main() {
    /// let app = App::new().mount(Store::default().start()).databases(4);
    /// # }
    /// ```
    ///
    /// # Panics
    /// Panics if the number is 0.
    #[track_caller]
    pub fn databases(mut self, databases: u16) -> Self {
        assert!(databases > 0, "an application has at least one database");
        self.databases = Some(databases);
        self
    }

    /// Returns the descriptions of the commands of all actors that are mounted.
    ///
    /// ```
    /// # use thegiant::prelude::*;
    /// # struct Store;
    /// # impl Actor for Store { type Context = Context<Self>; }
    /// # #[commands]
    /// # impl Store {
    /// #     #[command("GET")]
    /// #     fn get(&self, _key: Key) -> Option<Bytes> { None }
    /// # }
    /// fn app() -> App {
    ///     App::new().mount_shards(2, |_| Store)
    /// }
    /// let replies: Vec<_> = app().commands().map(|spec| (spec.syntax(), spec.reply.to_string())).collect();
    /// assert_eq!(replies, [("GET key".to_owned(), "string, or null".to_owned())]);
    /// ```
    pub fn commands(&self) -> impl Iterator<Item = &'static Spec> + use<> {
        let specs: Vec<_> = self.routes.table().specs().collect();
        specs.into_iter()
    }

    /// Returns the descriptions of the commands that the toolkit answers itself.
    ///
    /// ```
    /// let ping = thegiant::App::builtin_commands().find(|spec| spec.name == "PING").unwrap();
    /// assert_eq!(ping.syntax(), "PING [message]");
    /// ```
    pub fn builtin_commands() -> impl Iterator<Item = &'static Spec> {
        ConnectionState::specs()
    }

    /// Returns a handle to the channels, for actors that publish or subscribe.
    pub fn pubsub(&self) -> PubSub {
        self.keyspace.pubsub()
    }

    /// Returns a handle for actors that change keys outside of a command.
    ///
    /// The actor reports these changes, for `WATCH`, client-side caching and keyspace events.
    pub fn keyspace(&self) -> Keyspace {
        self.keyspace.clone()
    }

    /// Adds fields to a section of `INFO`; a new name adds a section.
    ///
    /// Each `INFO` command calls the function, on the thread of the connection, so it should be fast. An
    /// actor shares its figures with the function, for example in an atomic counter:
    ///
    /// ```
    /// use std::sync::{
    ///     Arc,
    ///     atomic::{AtomicU64, Ordering::Relaxed},
    /// };
    /// use thegiant::App;
    ///
    /// let waiting = Arc::new(AtomicU64::new(0)); // the actor has a clone
    /// let app = App::new().info("Jobs", move |info| {
    ///     info.field("jobs_waiting", waiting.load(Relaxed));
    /// });
    /// ```
    pub fn info<F>(mut self, section: &str, fields: F) -> Self
    where
        F: Fn(&mut InfoFields) + Send + Sync + 'static,
    {
        self.info.push(InfoSection::new(section, fields));
        self
    }

    /// Adds a counter to a section of `INFO`.
    ///
    /// With the feature `metrics`, the server also exports it under this name. By convention, the name begins with that of
    /// the service and ends with `_total`.
    pub fn counter(self, section: &str, name: &'static str, counter: &Counter) -> Self {
        let shown = counter.clone();
        let app = self.info(section, move |info| info.field(name, shown.get()));
        #[cfg(feature = "metrics")]
        let app = app.export({
            let counter = counter.clone();
            move || counter.export(name)
        });
        app
    }

    /// Adds a gauge to a section of `INFO`.
    ///
    /// With the feature `metrics`, the server also exports it under this name.
    pub fn gauge(self, section: &str, name: &'static str, gauge: &Gauge) -> Self {
        let shown = gauge.clone();
        let app = self.info(section, move |info| info.field(name, shown.get()));
        #[cfg(feature = "metrics")]
        let app = app.export({
            let gauge = gauge.clone();
            move || gauge.export(name)
        });
        app
    }

    /// Exports a metric when the server starts: the recorder has to be installed before that.
    #[cfg(feature = "metrics")]
    fn export(mut self, export: impl FnOnce() + Send + Sync + 'static) -> Self {
        self.exports.push(Box::new(export));
        self
    }

    /// Sends the actor a [`Connected`] message for each new client.
    pub fn on_connect(mut self, actor: impl Into<Recipient<Connected>>) -> Self {
        self.connection_events.connected.push(actor.into());
        self
    }

    /// Sends the actor a [`Disconnected`] message for each client that has disconnected.
    pub fn on_disconnect(mut self, actor: impl Into<Recipient<Disconnected>>) -> Self {
        self.connection_events.disconnected.push(actor.into());
        self
    }

    /// Asks an actor who the clients are whom the users of the server do not know.
    ///
    /// A client logs in with `AUTH user password`, with `AUTH password` (the user is then `default`) or with `HELLO … AUTH`.
    /// If no user of the server has this name, or if that user is `on` and has no password, the actor gets an
    /// [`Authenticate`] message. It can take its time, for example to ask another server: the client waits, and
    /// other clients do not.
    ///
    /// ```
    /// use thegiant::{Authenticate, Identity, prelude::*};
    ///
    /// /// Accepts tokens such as `alice:open-sesame`.
    /// struct Tokens;
    ///
    /// impl Actor for Tokens {
    ///     type Context = Context<Self>;
    /// }
    ///
    /// impl Handler<Authenticate> for Tokens {
    ///     type Result = Result<Identity, Error>;
    ///
    ///     fn handle(&mut self, login: Authenticate, _: &mut Context<Self>) -> Self::Result {
    ///         match login.password.as_str().and_then(|token| token.split_once(':')) {
    ///             Some((name, "open-sesame")) => Ok(Identity::with_rules(name, format!("+@all ~{name}:*"))),
    ///             _ => Err(Error::WRONG_PASSWORD),
    ///         }
    ///     }
    /// }
    ///
    /// let app = || App::new().authenticate(Tokens.start());
    /// ```
    ///
    /// With `type Result = ResponseFuture<Result<Identity, Error>>`, the answer comes later. [`Timeouts::reply`](crate::Timeouts::reply)
    /// and [`Timeouts::auth`](crate::Timeouts::auth) limit the wait. An error of the actor counts as a
    /// [failed login](crate::Timeouts::auth_delay), except an [internal](crate::Error::internal) one.
    ///
    /// So that clients have to log in, the user `default` has no password, and is not `nopass` as otherwise; `Server::user("default",
    /// "nopass …")` lets clients in without a login. An actor that has ended makes logins fail with an internal error.
    ///
    /// # Panics
    /// [`merge`](Self::merge) panics if both applications have such an actor.
    pub fn authenticate(mut self, actor: impl Into<Recipient<Authenticate>>) -> Self {
        self.authenticator = Some(actor.into());
        self
    }

    /// Installs a [middleware](crate::middleware), which can refuse or delay each command and sees its outcome.
    ///
    /// The first one that is installed is the outermost.
    ///
    /// ```
    /// use thegiant::{middleware::RateLimit, prelude::*};
    ///
    /// let app = || App::new().middleware(RateLimit::per_client(1000).burst(100));
    /// ```
    pub fn middleware(mut self, middleware: impl Middleware) -> Self {
        self.middleware.push(Installed::new(middleware));
        self
    }

    /// Returns whether the server emulates a cluster of one instance.
    pub(crate) fn emulates_cluster(&self) -> bool {
        self.emulates_cluster
    }

    /// Adds the built-in commands whose names are free. Returns the parts that a server needs, and its shards.
    ///
    /// `is_cluster`: the server is an instance of a cluster.
    pub(crate) fn into_config(mut self, workers: u16, is_cluster: bool) -> (AppConfig, Vec<StartShard>) {
        // The middleware of an application is around that of its parts.
        self.middleware.sort_by_key(|middleware| middleware.depth);
        let proxy = self.proxy.take().map(|proxy| match proxy {
            MountedProxy::Shared(actor_id) => actor_id,
            MountedProxy::PerWorker(factory) => self.add_proxies(workers, &factory),
        });
        self.add_proxy_rows(proxy, is_cluster, |row| !is_behind_builtins(row));
        let is_free = |spec: &Spec| {
            let removed = self.removed.iter().any(|name| is_named(spec, name));
            let is_available = is_cluster || spec.group != CLUSTER_GROUP;
            // An actor's command also replaces the subcommands.
            is_available
                && !removed
                && !self.routes.has(spec.name)
                && !self.routes.has(split_name(spec.name).0)
        };
        let free: Vec<_> = RowId::all::<ConnectionState>().filter(|(_, spec)| is_free(spec)).collect();
        for (row, spec) in free {
            // This cannot fail: the names of built-in commands differ from each other.
            let _ = self.routes.add_command(spec, ActorId::CONNECTION, row);
        }
        self.add_proxy_rows(proxy, is_cluster, is_behind_builtins);
        #[cfg(feature = "metrics")]
        self.exports.into_iter().for_each(|export| export());
        let default = if proxy.is_some() { UPSTREAM_DATABASES } else { 1 };
        let config = AppConfig {
            databases: self.databases.unwrap_or(default),
            routes: self.routes,
            info: self.info,
            connection_events: self.connection_events,
            authenticator: self.authenticator,
            middleware: self.middleware,
            keyspace: self.keyspace,
            upstream_commands: self.upstream_commands,
        };
        (config, self.shards)
    }

    fn serve_clients(&self, worker: Option<u16>) -> ServeClients {
        let (keyspace, commands) = (self.keyspace.clone(), Arc::clone(&self.upstream_commands));
        ServeClients { keyspace, commands, worker }
    }

    /// Adds a proxy for each worker. Returns the first.
    fn add_proxies(&mut self, workers: u16, factory: &Arc<dyn Fn() -> Proxy + Send + Sync>) -> ActorId {
        let stats = AllUpstreamStats::default();
        let mut actors = Vec::new();
        let mut starts: Vec<StartShard> = Vec::new();
        for worker in 0..workers {
            let (sender, mailbox) = channel(0);
            let address = Addr::new(sender);
            address.do_send(self.serve_clients(Some(worker)));
            actors.push(self.add_queue(address.clone()));
            self.connection_events.disconnected_of_worker.push(address.clone().recipient());
            let (factory, stats) = (Arc::clone(factory), stats.clone());
            starts.push(Box::new(move || {
                factory().start_at(address, mailbox, stats);
            }));
        }
        // They come first, so that each worker starts one.
        self.shards.splice(0..0, starts);
        let (first, last) = (actors[0], actors[actors.len() - 1]);
        self.routes.set_per_worker(Actors { first, last });
        self.info.push(InfoSection::new("Upstream", move |info| stats.add_to(info)));
        first
    }

    /// Adds the wanted rows of the proxy whose names are free.
    fn add_proxy_rows(
        &mut self,
        proxy: Option<ActorId>,
        is_cluster: bool,
        is_wanted: impl Fn(usize) -> bool,
    ) {
        let Some(mount) = proxy else { return };
        for (row, spec) in RowId::all::<ProxyActor>().filter(|(row, _)| is_wanted(row.index())) {
            let is_replaced = is_cluster && is_of_cluster(spec.name);
            if row.index() == 0 {
                self.routes.set_fallback(spec, mount, row);
            } else if !is_replaced && !self.routes.has(spec.name) {
                // This cannot fail: the name is free.
                let _ = self.routes.add_command(spec, mount, row);
            }
        }
    }
}

/// An application, or a function that returns it; see [`Server::new`](crate::Server::new).
pub trait IntoApp: 'static {
    /// Returns the application.
    fn into_app(self) -> App;
}

impl IntoApp for App {
    fn into_app(self) -> App {
        self
    }
}

impl<F: FnOnce() -> App + 'static> IntoApp for F {
    fn into_app(self) -> App {
        self()
    }
}

/// The group of the built-in commands that only an instance of a cluster has.
const CLUSTER_GROUP: &str = "cluster";

/// Returns whether the server itself replies to a command when it is an instance of a cluster.
fn is_of_cluster(name: &str) -> bool {
    matches!(split_name(name).0, "CLUSTER" | "ASKING" | "READONLY" | "READWRITE")
}

/// The number of databases that `SELECT` accepts for an upstream, as in Redis.
const UPSTREAM_DATABASES: u16 = 16;

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("routes", &self.routes).finish_non_exhaustive()
    }
}

/// Returns whether `name` is the name of this command or of its container.
fn is_named(spec: &Spec, name: &str) -> bool {
    spec.name.eq_ignore_ascii_case(name) || split_name(spec.name).0.eq_ignore_ascii_case(name)
}

/// Actor of a fallback function, with one row.
#[doc(hidden)]
#[derive(Debug)]
pub struct Function<F, R> {
    function: F,
    reply: PhantomData<fn() -> R>,
}

impl<F: Unpin + 'static, R: 'static> Actor for Function<F, R> {
    type Context = Context<Self>;
}

impl<F, R> Commands for Function<F, R>
where
    F: FnMut(&Request<'_>) -> R + Unpin + 'static,
    R: Answer<Self> + 'static,
{
    const ROWS: &'static [&'static [Row<Self>]] =
        &[&[Row::new(Spec::FALLBACK, |this, request, context, out| {
            (this.function)(request).answer(request, context, out);
        })]];
}

impl<F, R> Handler<RunBatches> for Function<F, R>
where
    F: FnMut(&Request<'_>) -> R + Unpin + 'static,
    R: Answer<Self> + 'static,
{
    type Result = ();

    fn handle(&mut self, message: RunBatches, context: &mut Self::Context) {
        run_batches(self, message, context);
    }
}
