//! Composing actors, functions and built-in commands into one application.

use std::{fmt, marker::PhantomData};

use actix::{Actor, Addr, Context, Handler, Recipient, dev::ToEnvelope};

use crate::{
    Keyspace, PubSub,
    command::{Answer, Call, Commands, Row, RowId, Spec, split_name},
    connection::{
        ActorId, Connected, ConnectionEvents, ConnectionState, Consumers, Disconnected, Routes, RunBatches,
        run_batches,
    },
    info::{InfoFields, InfoSection},
    upstream::{Proxy, UpstreamHandle, is_behind_builtins},
};

/// The commands of a server, and who answers them: actors, a function, the toolkit itself.
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
/// # #[actix::main]
/// # async fn main() {
/// let app = App::new()
///     .mount(Counter::default().start())
///     .without("QUIT")
///     .fallback(|call: &Call| format!("{} arguments", call.len() - 1));
/// # }
/// ```
///
/// Where a name is known more than once, an actor's command comes before the toolkit's own, with all
/// its subcommands; what no row names goes to the fallback.
#[derive(Default)]
#[must_use]
pub struct App {
    routes: Routes,
    /// Names of built-in commands.
    removed: Vec<String>,
    info: Vec<InfoSection>,
    connection_events: ConnectionEvents,
    keyspace: Keyspace,
    /// What other commands are sent on to.
    proxy: Option<ActorId>,
}

impl App {
    /// An application of nothing but the built-in commands.
    pub fn new() -> Self {
        App::default()
    }

    /// Adds the commands of an actor.
    ///
    /// The actor runs wherever it was started: on this thread, on an arbiter of its own, or in a
    /// `SyncArbiter`.
    ///
    /// # Panics
    /// If another mounted actor has a command of the same name.
    #[track_caller]
    pub fn mount<A>(mut self, actor: Addr<A>) -> Self
    where
        A: Actor + Commands + Handler<RunBatches>,
        A::Context: Consumers + ToEnvelope<A, RunBatches>,
    {
        let mount = self.routes.add_actor(actor.recipient(), A::Context::MANY, A::USES_GROUP_COMMIT);
        for (row, spec) in RowId::all::<A>() {
            if let Err(name) = self.routes.add_command(spec, mount, row) {
                panic!("the command {name} is mounted already");
            }
        }
        self
    }

    /// Has a function answer every command that no row names. With nothing mounted, that function
    /// is the whole application.
    ///
    /// It sees the arguments and the client ([`Call`]), and may keep state: it runs in an actor of
    /// its own, one call at a time. A later fallback takes the place of an earlier one, and of a
    /// [`proxy`](Self::proxy).
    ///
    /// # Panics
    /// If there is no actix system running.
    pub fn fallback<F, R>(mut self, function: F) -> Self
    where
        F: FnMut(&Call<'_>) -> R + Unpin + 'static,
        R: Answer<Function<F, R>> + 'static,
    {
        let actor = Function { function, reply: PhantomData }.start();
        let mount = self.routes.add_actor(actor.recipient(), false, false);
        for (row, spec) in RowId::all::<Function<F, R>>() {
            self.routes.set_fallback(spec, mount, row);
        }
        self.proxy = None;
        self
    }

    /// Sends every command on that no row names, as it came, to another server; its reply comes back as it was sent.
    ///
    /// ```no_run
    /// use thegiant::{Upstream, prelude::*};
    ///
    /// struct Front;
    ///
    /// impl Actor for Front {
    ///     type Context = Context<Self>;
    /// }
    ///
    /// #[commands]
    /// impl Front {
    ///     /// Is not for everybody.
    ///     #[command("FLUSHALL", write)]
    ///     fn flush_all(&self) -> Result<(), Error> {
    ///         Err(Error::new("NOPERM", "nobody flushes this one"))
    ///     }
    /// }
    ///
    /// #[actix::main]
    /// async fn main() -> std::io::Result<()> {
    ///     let redis = Upstream::new("127.0.0.1:6379").start();
    ///     let app = App::new().mount(Front.start()).proxy(redis);
    ///     Server::new(app).bind("127.0.0.1:6380")?.run().await
    /// }
    /// ```
    ///
    /// The server itself goes on answering what is about a connection to it (`HELLO`, `AUTH`, `SELECT`, `QUIT`, `RESET`,
    /// `CLIENT`), and what its operators need (`INFO`, `CONFIG`, `SLOWLOG`, `LATENCY`, `MONITOR`, `SHUTDOWN`, `DEBUG`). All
    /// else is the upstream's: `PING`, `COMMAND`, transactions, channels. There is no `CLIENT TRACKING`.
    ///
    /// What changes a connection has one of its own, for as long as it is needed: after `WATCH` or `MULTI` up to `EXEC`,
    /// unless the whole transaction comes at once; after `SUBSCRIBE` until nothing is subscribed to; and a command that
    /// waits, such as `BLPOP` or whatever the upstream's `COMMAND` says so of. There, `SELECT` and `HELLO` have to come
    /// before, and commands of actors are run at once, also between `MULTI` and `EXEC`. If it is lost, all
    /// commands are told up to the one that ends what was begun (`EXEC`, `DISCARD`, `UNWATCH`); a client that listens is
    /// disconnected, as it would be by the upstream.
    ///
    /// `WAIT` is refused, as it would wait for what another connection has written. It takes the place of a
    /// [`fallback`](Self::fallback). `INFO` has a section `Upstream`.
    pub fn proxy(mut self, upstream: UpstreamHandle) -> Self {
        let proxy = upstream.proxy();
        let mount = self.routes.add_actor(proxy.clone().recipient(), false, false);
        self.proxy = Some(mount);
        self.connection_events.disconnected.push(proxy.recipient());
        self.info("Upstream", move |info| upstream.add_to(info))
    }

    /// Removes a built-in command, `"SELECT"`, a subcommand, `"CLIENT SETNAME"`, or a whole
    /// container, `"CLIENT"`. What is removed is unknown, or goes to the fallback.
    ///
    /// # Panics
    /// If there is no built-in command of that name.
    #[track_caller]
    pub fn without(mut self, name: &str) -> Self {
        let is_named = |(_, spec): (_, &'static Spec)| names(spec, name);
        assert!(RowId::all::<ConnectionState>().any(is_named), "there is no built-in command {name}");
        self.removed.push(name.to_owned());
        self
    }

    /// The channels that clients subscribe to: for actors that publish, or subscribe themselves.
    pub fn pubsub(&self) -> PubSub {
        self.keyspace.pubsub()
    }

    /// Who watches keys, keeps them or wants to know what happens to them: for actors that change keys by themselves.
    pub fn keyspace(&self) -> Keyspace {
        self.keyspace.clone()
    }

    /// Adds fields to a section of `INFO`, or a section of its own.
    ///
    /// They are asked for whenever a client asks, so they should be quick to tell. An actor keeps
    /// what it wants to show where both can reach it, in an atomic counter for example:
    ///
    /// ```
    /// use std::sync::{
    ///     Arc,
    ///     atomic::{AtomicU64, Ordering::Relaxed},
    /// };
    /// use thegiant::App;
    ///
    /// let waiting = Arc::new(AtomicU64::new(0)); // the actor has it, too
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

    /// Has an actor told when a client connects, by the message [`Connected`].
    pub fn connected(mut self, actor: impl Into<Recipient<Connected>>) -> Self {
        self.connection_events.connected.push(actor.into());
        self
    }

    /// Has an actor told when a client has gone, by the message [`Disconnected`].
    pub fn disconnected(mut self, actor: impl Into<Recipient<Disconnected>>) -> Self {
        self.connection_events.disconnected.push(actor.into());
        self
    }

    /// What a server needs, with the built-in commands where nothing else has their names.
    pub(crate) fn into_parts(mut self) -> AppConfig {
        self.add_proxy(|row| !is_behind_builtins(row));
        let is_free = |spec: &Spec| {
            let removed = self.removed.iter().any(|name| names(spec, name));
            // Whoever has a command has its subcommands, too.
            !removed && !self.routes.has(spec.name) && !self.routes.has(split_name(spec.name).0)
        };
        let free: Vec<_> = RowId::all::<ConnectionState>().filter(|(_, spec)| is_free(spec)).collect();
        for (row, spec) in free {
            // The names of built-in commands differ from each other.
            let _ = self.routes.add_command(spec, ActorId::CONNECTION, row);
        }
        self.add_proxy(is_behind_builtins);
        AppConfig {
            routes: self.routes,
            info: self.info,
            connection_events: self.connection_events,
            keyspace: self.keyspace,
        }
    }

    /// Adds those rows of what other commands are sent on to whose names are not in use.
    fn add_proxy(&mut self, is_wanted: impl Fn(usize) -> bool) {
        let Some(mount) = self.proxy else { return };
        for (row, spec) in RowId::all::<Proxy>().filter(|(row, _)| is_wanted(row.index())) {
            if row.index() == 0 {
                self.routes.set_fallback(spec, mount, row);
            } else if !self.routes.has(spec.name) {
                // It is not in use.
                let _ = self.routes.add_command(spec, mount, row);
            }
        }
    }
}

/// What a server needs of an application.
pub(crate) struct AppConfig {
    pub(crate) routes: Routes,
    pub(crate) info: Vec<InfoSection>,
    pub(crate) connection_events: ConnectionEvents,
    pub(crate) keyspace: Keyspace,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("routes", &self.routes).finish_non_exhaustive()
    }
}

/// Whether `name` means this command, or the container that it is in.
fn names(spec: &Spec, name: &str) -> bool {
    spec.name.eq_ignore_ascii_case(name) || split_name(spec.name).0.eq_ignore_ascii_case(name)
}

/// A function as an actor with one row.
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
    F: FnMut(&Call<'_>) -> R + Unpin + 'static,
    R: Answer<Self> + 'static,
{
    const ROWS: &'static [&'static [Row<Self>]] =
        &[&[Row::new(Spec::FALLBACK, |this, call, context, out| {
            (this.function)(call).answer(call, context, out);
        })]];
}

impl<F, R> Handler<RunBatches> for Function<F, R>
where
    F: FnMut(&Call<'_>) -> R + Unpin + 'static,
    R: Answer<Self> + 'static,
{
    type Result = ();

    fn handle(&mut self, message: RunBatches, context: &mut Self::Context) {
        run_batches(self, message, context);
    }
}
