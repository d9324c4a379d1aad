//! The installed middleware, and the runs of requests that pass through it.

use std::{
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use actix_rt::time::Instant as TimerInstant;

use super::{Decision, Middleware, Outcome};
use crate::{
    Client, Error,
    batch::{Batch, CommandRef, Resolved},
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
    fn before(&self, run: &mut Run<'_>);
    fn after(&self, completed: &mut Completed<'_>);
}

/// The next requests of a batch that go to the same place.
pub(crate) struct Run<'a> {
    pub(crate) batch: &'a mut Batch,
    pub(crate) client: &'a Client,
    pub(crate) routes: &'a Routes,
    /// The position of the middleware in the batch.
    pub(crate) position: &'a mut Position,
    /// The first request behind the run.
    pub(crate) end: u32,
    /// The index of the middleware.
    pub(crate) middleware: usize,
    /// The commands that concern the middleware; `None` for all.
    pub(crate) commands: Option<&'a Range<usize>>,
}

/// The position of a middleware in a batch.
#[derive(Debug, Default)]
pub(crate) struct Position {
    /// The first request that it has not seen.
    pub(crate) next: u32,
    /// The reason why the request before that one does not run, if it does not.
    pub(crate) held: Option<Held>,
}

/// The reason why a request does not run.
#[derive(Debug)]
pub(crate) enum Held {
    Refused(Error),
    /// Waits until this time.
    Delayed(TimerInstant),
}

/// Requests of a batch that have their replies.
pub(crate) struct Completed<'a> {
    pub(crate) batch: &'a Batch,
    pub(crate) client: &'a Client,
    pub(crate) routes: &'a Routes,
    /// The next request to report.
    pub(crate) next: u32,
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

    /// Decides about the requests of a run, up to the first one that may not run now, which is then held.
    pub(crate) fn before(&self, run: &mut Run<'_>) {
        if catch_unwind(AssertUnwindSafe(|| self.middleware.before(run))).is_err() {
            log_panic(run.client, "a middleware panicked");
            run.position.held = Some(Held::Refused(Error::INTERNAL));
        }
    }

    /// Reports the outcomes of requests.
    pub(crate) fn after(&self, mut completed: Completed<'_>) {
        while catch_unwind(AssertUnwindSafe(|| self.middleware.after(&mut completed))).is_err() {
            log_panic(completed.client, "a middleware panicked after a command");
        }
    }
}

#[cold]
fn log_panic(client: &Client, message: &str) {
    tracing::error!(id = client.id(), client = %client.addr(), "{message}");
}

impl<M: Middleware> AnyMiddleware for M {
    fn before(&self, run: &mut Run<'_>) {
        while let Some(decision) = run.ask(|request| Middleware::before(self, request)) {
            run.position.held = run.apply(decision);
            if run.position.held.is_some() {
                return;
            }
        }
    }

    fn after(&self, completed: &mut Completed<'_>) {
        completed.report(|request, outcome| Middleware::after(self, request, outcome));
    }
}

impl Run<'_> {
    /// Asks about each request of the run, up to the first decision that is not to run it.
    #[inline]
    fn ask(&mut self, ask: impl Fn(&Request<'_>) -> Decision) -> Option<Decision> {
        let Run { batch, client, routes, position, end, commands, .. } = self;
        let mut seen = Seen::new(&mut position.next);
        for (index, words, target) in batch.requests.range(seen.next..*end) {
            // First: if the middleware panics, the request is the one that is refused.
            seen.next = index + 1;
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
                self.batch.stats.open_span(self.position.next - 1, self.middleware, span);
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
    fn report(&mut self, report: impl Fn(&Request<'_>, &Outcome<'_>)) {
        let Completed { batch, client, routes, end, started, refused, middleware, commands, .. } = *self;
        let mut seen = Seen::new(&mut self.next);
        for (index, words, target) in batch.requests.range(seen.next..end) {
            seen.next = index + 1;
            if concerns(commands, target)
                && !matches!(target, Resolved::Queued)
                && !is_hidden(refused, index, middleware)
            {
                let request = Request { spec: spec(routes, target), words, client };
                report(&request, &Outcome { batch, request: index, middleware, started });
            }
        }
    }
}

/// The next request for a middleware. It is stored at the end, even if the middleware panics.
///
/// A loop that counts in here is no loop for a middleware that does nothing.
struct Seen<'a> {
    next: u32,
    stored: &'a mut u32,
}

impl<'a> Seen<'a> {
    #[inline]
    fn new(stored: &'a mut u32) -> Self {
        Seen { next: *stored, stored }
    }
}

impl Drop for Seen<'_> {
    #[inline]
    fn drop(&mut self) {
        *self.stored = self.next;
    }
}

/// Returns whether a middleware has refused a request, or one around it, so that this one has not seen it.
#[inline]
fn is_hidden(refused: &[(u32, usize)], request: u32, middleware: usize) -> bool {
    if refused.is_empty() {
        return false;
    }
    let found = refused.binary_search_by_key(&request, |(refused, _)| *refused);
    found.is_ok_and(|found| refused.get(found).is_some_and(|(_, by)| *by <= middleware))
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
