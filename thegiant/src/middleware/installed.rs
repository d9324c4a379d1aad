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
    batch::{Actors, Batch, CommandRef, Failure, Resolved},
    command::Request,
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
pub(crate) struct Completed<'a> {
    pub(crate) batch: &'a Batch,
    pub(crate) client: &'a Client,
    pub(crate) routes: &'a Routes,
    /// The next request to report.
    pub(crate) next: Cell<u32>,
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
        while let Some(target) = run.upcoming() {
            // First: if the middleware panics, the request is the one that is refused.
            run.next += 1;
            let Some(request) = run.request(run.next - 1, target) else { continue };
            match Middleware::before(self, &request) {
                Decision::Run => {}
                decision => {
                    let held = run.apply(decision);
                    if held.is_some() {
                        return held;
                    }
                }
            }
        }
        None
    }

    fn after(&self, completed: &Completed<'_>) {
        while let Some((request, outcome)) = completed.take_next() {
            if let Some(request) = request {
                Middleware::after(self, &request, &outcome);
            }
        }
    }
}

impl Run<'_> {
    /// Returns the command of the next request of the run.
    #[inline]
    fn upcoming(&self) -> Option<Resolved<CommandRef>> {
        if self.end.is_some_and(|end| self.next >= end) {
            return None;
        }
        let resolved = self.batch.requests.target(self.next)?;
        match self.actors {
            Some(actors) => resolved.target().filter(|target| actors.has(target.actor_id)).map(|_| resolved),
            None => Some(resolved),
        }
    }

    /// Returns a request that concerns the middleware.
    #[inline]
    fn request(&self, index: u32, target: Resolved<CommandRef>) -> Option<Request<'_>> {
        request(self.batch, self.client, self.routes, self.commands, index, target)
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
    /// Returns the next request, if it concerns the middleware, and its outcome.
    #[inline]
    fn take_next(&self) -> Option<(Option<Request<'_>>, Outcome<'_>)> {
        let index = self.next.get();
        if index >= self.end {
            return None;
        }
        self.next.set(index + 1);
        let request = self.request(index).filter(|_| !self.is_refused_outside(index));
        let outcome = Outcome { failure: self.failure(index), started: self.started, span: self.span(index) };
        Some((request, outcome))
    }

    #[inline]
    fn request(&self, index: u32) -> Option<Request<'_>> {
        let target = self.batch.requests.target(index)?;
        if matches!(target, Resolved::Queued) {
            return None;
        }
        request(self.batch, self.client, self.routes, self.commands, index, target)
    }

    /// Returns whether this middleware, or one around it, has refused the request.
    #[inline]
    fn is_refused_outside(&self, index: u32) -> bool {
        let found = self.refused.binary_search_by_key(&index, |(request, _)| *request);
        found.is_ok_and(|found| self.refused[found].1 <= self.middleware)
    }

    #[inline]
    fn failure(&self, index: u32) -> Option<&Failure> {
        let failures = self.batch.stats.failures();
        let found = failures.binary_search_by_key(&index, |failure| failure.request);
        found.ok().map(|found| &failures[found])
    }

    #[inline]
    fn span(&self, index: u32) -> Option<&tracing::Span> {
        let stats = &self.batch.stats;
        if stats.has_spans() { stats.span(index, self.middleware) } else { None }
    }
}

/// Returns a request, if its command is one of these.
#[inline]
fn request<'a>(
    batch: &'a Batch,
    client: &'a Client,
    routes: &'a Routes,
    commands: Option<&Range<usize>>,
    index: u32,
    target: Resolved<CommandRef>,
) -> Option<Request<'a>> {
    let command = target.command();
    let concerns =
        |commands: &Range<usize>| command.is_some_and(|command| commands.contains(&usize::from(command.0)));
    if !commands.is_none_or(concerns) {
        return None;
    }
    let spec = command.map(|command| routes.command(command));
    Some(Request { spec, words: batch.requests.words(index)?, client })
}
