//! Composing actors, functions and built-in commands into one application.

use std::{fmt, marker::PhantomData, sync::Arc};

use actix::{Actor, Addr, Context, Handler, Recipient, dev::ToEnvelope};

use crate::{
    command::{Call, Commands, IntoReply, Resolved, Row, RowId, Spec, Table},
    connection::{Burst, Drain, Inbox, MountId, Session, Target, drain},
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
/// Where a name is known more than once, an actor's command comes before the toolkit's own; what no
/// row names goes to the fallback.
#[derive(Default)]
#[must_use]
pub struct App {
    table: Table<Target>,
    actors: Vec<Mounted>,
    removed: Vec<String>,
    fallback: Option<Target>,
}

/// An actor that bursts can be sent to.
struct Mounted {
    inbox: Arc<Inbox>,
    actor: Recipient<Drain>,
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
        A: Actor + Commands + Handler<Drain>,
        A::Context: ToEnvelope<A, Drain>,
    {
        let mount = self.add(actor.recipient());
        for (row, spec) in RowId::all::<A>() {
            if let Err(name) = self.table.insert(spec, Target { mount, row }) {
                panic!("the command {name} is mounted already");
            }
        }
        self
    }

    /// Has a function answer every command that no row names. With nothing mounted, that function
    /// is the whole application.
    ///
    /// It sees the arguments and the client ([`Call`]), and may keep state: it runs in an actor of
    /// its own, one call at a time. A later fallback takes the place of an earlier one.
    ///
    /// # Panics
    /// If there is no actix system running.
    pub fn fallback<F, R>(mut self, function: F) -> Self
    where
        F: FnMut(&Call<'_>) -> R + Unpin + 'static,
        R: IntoReply + 'static,
    {
        let actor = Function { function, reply: PhantomData }.start();
        let mount = self.add(actor.recipient());
        self.fallback = RowId::all::<Function<F, R>>().map(|(row, _)| Target { mount, row }).next();
        self
    }

    /// Removes a built-in command, `"SELECT"`, a subcommand, `"CLIENT SETNAME"`, or a whole
    /// container, `"CLIENT"`. What is removed is unknown, or goes to the fallback.
    ///
    /// # Panics
    /// If there is no built-in command of that name.
    #[track_caller]
    pub fn without(mut self, name: &str) -> Self {
        let is_named = |(_, spec): (_, &'static Spec)| names(spec, name);
        assert!(RowId::all::<Session>().any(is_named), "there is no built-in command {name}");
        self.removed.push(name.to_owned());
        self
    }

    /// Adds the built-in commands where nothing else has their names.
    pub(crate) fn build(mut self) -> BuiltApp {
        for (row, spec) in RowId::all::<Session>() {
            let removed = self.removed.iter().any(|name| names(spec, name));
            let mut words = spec.name.splitn(2, ' ').map(str::as_bytes);
            let taken = self.table.has(words.next().unwrap_or_default(), words.next());
            if !removed && !taken {
                // A built-in name is free: they differ from each other.
                let _ = self.table.insert(spec, Target { mount: MountId::SESSION, row });
            }
        }
        BuiltApp { table: self.table, actors: self.actors, fallback: self.fallback }
    }

    #[track_caller]
    fn add(&mut self, actor: Recipient<Drain>) -> MountId {
        let next = u16::try_from(self.actors.len()).map(MountId);
        let Some(mount) = next.ok().filter(|mount| *mount != MountId::SESSION) else {
            panic!("more than 65,534 actors are mounted");
        };
        self.actors.push(Mounted { inbox: Inbox::new(mount), actor });
        mount
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("actors", &self.actors.len()).finish_non_exhaustive()
    }
}

/// Whether `name` means this command, or the container that it is in.
fn names(spec: &Spec, name: &str) -> bool {
    let container = spec.name.split(' ').next().unwrap_or_default();
    spec.name.eq_ignore_ascii_case(name) || container.eq_ignore_ascii_case(name)
}

/// An application as connections use it.
pub(crate) struct BuiltApp {
    pub(crate) table: Table<Target>,
    actors: Vec<Mounted>,
    fallback: Option<Target>,
}

impl BuiltApp {
    /// Who answers a request.
    pub(crate) fn resolve(&self, call: &Call<'_>) -> Resolved<Target> {
        match (self.table.resolve(call), self.fallback) {
            (Resolved::Unknown, Some(fallback)) => Resolved::Command(fallback),
            (resolved, _) => resolved,
        }
    }

    /// Sends a burst to the actor that runs its next request.
    pub(crate) fn send(&self, burst: Box<Burst>, mount: MountId) {
        let Mounted { inbox, actor } = &self.actors[usize::from(mount.0)];
        inbox.push(burst, actor);
    }
}

impl fmt::Debug for BuiltApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BuiltApp").field("table", &self.table).finish_non_exhaustive()
    }
}

/// A function as an actor with one row.
struct Function<F, R> {
    function: F,
    reply: PhantomData<fn() -> R>,
}

impl<F: Unpin + 'static, R: 'static> Actor for Function<F, R> {
    type Context = Context<Self>;
}

impl<F, R> Commands for Function<F, R>
where
    F: FnMut(&Call<'_>) -> R + Unpin + 'static,
    R: IntoReply + 'static,
{
    const ROWS: &'static [&'static [Row<Self>]] = &[&[Row::new(Spec::FALLBACK, |this, call, _, out| {
        (this.function)(call).into_reply(out);
    })]];
}

impl<F, R> Handler<Drain> for Function<F, R>
where
    F: FnMut(&Call<'_>) -> R + Unpin + 'static,
    R: IntoReply + 'static,
{
    type Result = ();

    fn handle(&mut self, message: Drain, context: &mut Self::Context) {
        drain(self, message, context);
    }
}
