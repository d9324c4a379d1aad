//! The installed middleware, and the runs of requests that pass through it.

use std::{
    cell::Cell,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use actix_rt::time::Instant as TimerInstant;

use super::{Decision, Middleware, Outcome};
use crate::{
    Client, Error,
    batch::{Actors, Batch, CommandRef, Resolved},
    command::{Request, Spec},
    dispatch::Routes,
};

/// A middleware of an application.
pub(crate) struct Installed {
    middleware: Box<dyn AnyMiddleware>,
    /// The commands that concern it, by [`CommandId`](crate::batch::CommandId); `None` for all requests of the server.
    commands: Option<Range<usize>>,
    /// The number of applications around the one that has installed it.
    pub(crate) depth: u16,
}

/// The methods of [`Middleware`] for many requests, so that one virtual call serves a whole run of requests.
trait AnyMiddleware: Send + Sync {
    fn before(&self, run: &mut Run<'_>) -> Option<Held>;
    fn after(&self, completed: &Completed<'_>);
}

/// The next requests of a batch that go to the same place.
pub(crate) struct Run<'a> {
    pub(crate) batch: &'a mut Batch,
    pub(crate) client: &'a Client,
    pub(crate) routes: &'a Routes,
    /// The next request to decide about.
    pub(crate) next: u32,
    /// The first request behind the run; `None` if the actors decide it.
    pub(crate) end: Option<u32>,
    /// The actors that run the requests; `None` for a request that no actor runs.
    pub(crate) actors: Option<Actors>,
    /// The index of the middleware.
    pub(crate) middleware: usize,
    /// The commands that concern the middleware; `None` for all.
    pub(crate) commands: Option<&'a Range<usize>>,
}

/// The reason why a request does not run.
#[derive(Debug)]
pub(crate) enum Held {
    Refused(Error),
    /// It waits until this time.
    Delayed(TimerInstant),
}

/// Requests of a batch that have their replies.
#[derive(Clone, Copy)]
pub(crate) struct Completed<'a> {
    pub(crate) batch: &'a Batch,
    pub(crate) client: &'a Client,
    pub(crate) routes: &'a Routes,
    /// The next request to report.
    pub(crate) next: &'a Cell<u32>,
    pub(crate) end: u32,
    /// The time when the requests began to run.
    pub(crate) started: Instant,
    /// The refused requests in order, each with the index of the middleware that has refused it.
    pub(crate) refused: &'a [(u32, usize)],
    /// The index of the middleware.
    pub(crate) middleware: usize,
    /// The commands that concern the middleware; `None` for all.
    pub(crate) commands: Option<&'a Range<usize>>,
}

impl Installed {
    pub(crate) fn new(middleware: impl Middleware) -> Self {
        Installed { middleware: Box::new(middleware), commands: None, depth: 0 }
    }

    /// Limits the middleware to the commands of its application, which becomes a part of another one.
    ///
    /// `base` is the number of commands that the other application has already, and `count` that of this one.
    pub(crate) fn nest(&mut self, base: usize, count: usize) {
        let commands = self.commands.take().unwrap_or(0..count);
        self.commands = Some(base + commands.start..base + commands.end);
        self.depth += 1;
    }

    /// Returns the commands that concern the middleware; `None` for all.
    pub(crate) fn commands(&self) -> Option<&Range<usize>> {
        self.commands.as_ref()
    }

    /// Decides about the requests of a run, up to the first one that may not run now.
    ///
    /// Returns the reason for that request, which is the one before `run.next`.
    pub(crate) fn before(&self, run: &mut Run<'_>) -> Option<Held> {
        match catch_unwind(AssertUnwindSafe(|| self.middleware.before(run))) {
            Ok(held) => held,
            Err(_) => {
                tracing::error!(id = run.client.id(), client = %run.client.addr(), "a middleware panicked");
                Some(Held::Refused(Error::INTERNAL))
            }
        }
    }

    /// Reports the outcomes of requests.
    pub(crate) fn after(&self, completed: &Completed<'_>) {
        while catch_unwind(AssertUnwindSafe(|| self.middleware.after(completed))).is_err() {
            let client = completed.client;
            tracing::error!(id = client.id(), client = %client.addr(), "a middleware panicked after a command");
        }
    }
}

impl<M: Middleware> AnyMiddleware for M {
    fn before(&self, run: &mut Run<'_>) -> Option<Held> {
        loop {
            let decision = run.ask(|request| Middleware::before(self, request))?;
            if let Some(held) = run.apply(decision) {
                return Some(held);
            }
        }
    }

    fn after(&self, completed: &Completed<'_>) {
        completed.report(|request, outcome| Middleware::after(self, request, outcome));
    }
}

impl Run<'_> {
    /// Asks about each request of the run, up to the first decision that is not to run it.
    #[inline]
    fn ask(&mut self, ask: impl Fn(&Request<'_>) -> Decision) -> Option<Decision> {
        let Run { batch, client, routes, next, end, actors, commands, .. } = self;
        for (index, words, target) in batch.requests.from(*next) {
            let is_of_run = match actors {
                Some(actors) => target.target().is_some_and(|target| actors.has(target.actor_id)),
                None => true,
            };
            if !is_of_run || end.is_some_and(|end| index >= end) {
                return None;
            }
            // First: if the middleware panics, the request is the one that is refused.
            *next = index + 1;
            if concerns(*commands, target) {
                let request = Request { spec: spec(routes, target), words, client };
                match ask(&request) {
                    Decision::Run => {}
                    decision => return Some(decision),
                }
            }
        }
        None
    }

    /// Applies a decision about the last request other than to run it.
    #[cold]
    fn apply(&mut self, decision: Decision) -> Option<Held> {
        match decision {
            Decision::Run => None,
            Decision::RunIn(span) => {
                self.batch.stats.open_span(self.next - 1, self.middleware, span);
                None
            }
            Decision::Refuse(error) => Some(Held::Refused(error)),
            Decision::Delay(delay) if delay.is_zero() => None,
            Decision::Delay(delay) => {
                let now = TimerInstant::now();
                // A time that the clock cannot name never comes.
                Some(Held::Delayed(now.checked_add(delay).unwrap_or(now + FOREVER)))
            }
        }
    }
}

/// A delay that does not end while a server runs.
const FOREVER: std::time::Duration = std::time::Duration::from_secs(100 * 365 * 24 * 60 * 60);

impl Completed<'_> {
    /// Reports each request that concerns the middleware.
    #[inline]
    fn report(&self, report: impl Fn(&Request<'_>, &Outcome<'_>)) {
        let Completed { batch, client, routes, end, started, middleware, commands, .. } = *self;
        for (index, words, target) in batch.requests.from(self.next.get()) {
            if index >= end {
                return;
            }
            self.next.set(index + 1);
            if concerns(commands, target) && !matches!(target, Resolved::Queued) && !self.is_hidden(index) {
                let request = Request { spec: spec(routes, target), words, client };
                report(&request, &Outcome { batch, request: index, middleware, started });
            }
        }
    }

    /// Returns whether this middleware has refused the request, or one around it, so that this one has not seen it.
    #[inline]
    fn is_hidden(&self, request: u32) -> bool {
        if self.refused.is_empty() {
            return false;
        }
        let found = self.refused.binary_search_by_key(&request, |(refused, _)| *refused);
        found.is_ok_and(|found| self.refused[found].1 <= self.middleware)
    }
}

/// Returns whether a command is one of these.
#[inline]
fn concerns(commands: Option<&Range<usize>>, target: Resolved<CommandRef>) -> bool {
    let is_one = |commands: &Range<usize>| {
        target.command().is_some_and(|command| commands.contains(&usize::from(command.0)))
    };
    commands.is_none_or(is_one)
}

#[inline]
fn spec(routes: &Routes, target: Resolved<CommandRef>) -> Option<&'static Spec> {
    routes.commands().get(usize::from(target.command()?.0)).copied()
}
