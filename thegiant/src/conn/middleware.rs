//! The part of a connection that lets requests pass through the middleware.

use std::{cell::Cell, ops::Range, time::Instant};

use actix_rt::{
    task::JoinHandle,
    time::{Instant as TimerInstant, sleep_until},
};

use super::{Connection, ConnectionState};
use crate::{
    batch::{ActorId, Actors, Batch, CommandRef, Resolved},
    client::{Client, ClientFlag, CloseRequest},
    command::Flags,
    dispatch::Transaction,
    middleware::{Completed, Held, Installed, Run},
    server_state::ServerState,
};

/// How far the requests of a connection have come in the middleware.
///
/// Connections of a server without middleware have none.
#[derive(Debug)]
pub(crate) struct MiddlewareCursor {
    /// Indexed by middleware.
    positions: Vec<Position>,
    /// The first request that has not passed all middleware.
    passed: u32,
    /// The first request whose outcome was not reported.
    reported: u32,
    /// The time when the requests that have passed last began to run.
    started: Instant,
    /// The command of the request that is held.
    held: Option<Resolved<CommandRef>>,
    /// The refused requests in order, each with the index of the middleware that has refused it.
    refused: Vec<(u32, usize)>,
    /// Wakes the connection at the end of a delay.
    timer: Option<Timer>,
}

/// The position of one middleware in the batch.
#[derive(Debug, Default)]
struct Position {
    /// The first request that it has not seen.
    next: u32,
    /// The reason why the request before that one does not run, if it does not.
    held: Option<Held>,
}

/// A task that wakes the connection. Dropping it ends the task.
#[derive(Debug)]
struct Timer(JoinHandle<()>);

impl Drop for Timer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl MiddlewareCursor {
    pub(super) fn new(middleware: &[Installed]) -> Option<Box<Self>> {
        if middleware.is_empty() {
            return None;
        }
        Some(Box::new(MiddlewareCursor {
            positions: middleware.iter().map(|_| Position::default()).collect(),
            passed: 0,
            reported: 0,
            started: Instant::now(),
            held: None,
            refused: Vec::new(),
            timer: None,
        }))
    }

    /// Begins the next batch.
    fn reset(&mut self) {
        self.passed = 0;
        self.reported = 0;
        self.refused.clear();
        for position in &mut self.positions {
            position.next = 0;
        }
        // Most batches end after all of their requests have run.
        if self.held.take().is_some() {
            self.timer = None;
            self.positions.iter_mut().for_each(|position| position.held = None);
        }
    }

    /// Lets the next requests pass, up to the first one that a middleware refuses or delays.
    ///
    /// `actors` is `None` for a request that no actor runs. Returns whether the next request may run.
    fn pass(
        &mut self,
        server: &ServerState,
        client: &Client,
        batch: &mut Batch,
        actors: Option<Actors>,
    ) -> bool {
        let next = batch.next_request();
        // The connection itself runs one request at a time.
        let is_single = actors.is_none_or(|actors| actors.first == ActorId::CONNECTION);
        let mut end = is_single.then_some(next + 1);
        let mut holds = false;
        for (index, (middleware, position)) in server.middleware.iter().zip(&mut self.positions).enumerate() {
            if position.held.is_none() {
                let start = position.next.max(next);
                let (routes, commands) = (&server.routes, middleware.commands());
                let mut run =
                    Run { batch, client, routes, next: start, end, actors, middleware: index, commands };
                position.held = middleware.before(&mut run);
                position.next = run.next;
            }
            holds |= position.held.is_some();
            // Inner middleware does not see the held request yet.
            end = Some(position.next - u32::from(position.held.is_some()));
        }
        self.passed = end.unwrap_or(next);
        self.started = Instant::now();
        if holds {
            self.held = batch.requests.replace_target(self.passed, Resolved::Held);
        }
        self.passed > next
    }

    /// Reports the outcomes of the requests that have their replies.
    fn report(&mut self, server: &ServerState, client: &Client, batch: &Batch) {
        let end = batch.next_request();
        // The server has rejected the others before they came to the middleware.
        let passed = end.min(self.passed);
        if self.reported < passed {
            report(self, server, client, batch, self.reported..passed);
        }
        self.reported = end;
    }
}

/// Reports the outcomes of requests, to the innermost middleware first.
fn report(
    cursor: &MiddlewareCursor,
    server: &ServerState,
    client: &Client,
    batch: &Batch,
    requests: Range<u32>,
) {
    for (index, middleware) in server.middleware.iter().enumerate().rev() {
        middleware.after(&Completed {
            batch,
            client,
            routes: &server.routes,
            next: &Cell::new(requests.start),
            end: requests.end,
            started: cursor.started,
            refused: if batch.is_transaction() { &[] } else { &cursor.refused },
            middleware: index,
            commands: middleware.commands(),
        });
    }
}

impl ConnectionState {
    /// Returns whether requests of a batch have replies that the middleware does not know yet.
    ///
    /// A transaction reports its own when it has run.
    #[inline]
    pub(super) fn has_outcomes(&self, batch: &Batch) -> bool {
        let has =
            |cursor: &MiddlewareCursor| cursor.reported < batch.next_request() && !batch.is_transaction();
        self.middleware.as_deref().is_some_and(has)
    }

    /// Reports the outcomes of the requests of a batch that have their replies.
    #[inline(never)]
    pub(super) fn report_outcomes(&mut self, batch: &mut Batch) {
        let ConnectionState { server, client, middleware: Some(cursor), .. } = self else { return };
        cursor.report(server, client, batch);
        if batch.stats.has_spans() {
            batch.stats.close_spans_before(batch.next_request());
        }
    }

    /// Reports the outcomes of the commands of a transaction that has run.
    pub(super) fn report_transaction(&mut self, transaction: &Batch) {
        let ConnectionState { server, client, middleware: Some(cursor), .. } = self else { return };
        report(cursor, server, client, transaction, 0..transaction.next_request());
    }
}

impl Connection {
    /// Reports the last outcomes of a batch, and prepares for the next batch.
    #[inline(never)]
    pub(super) fn end_middleware(&mut self, batch: &mut Batch) {
        if self.state.has_outcomes(batch) {
            self.state.report_outcomes(batch);
        }
        if let Some(cursor) = &mut self.state.middleware {
            cursor.reset();
        }
    }

    /// Lets the next requests with the same target pass through the middleware.
    ///
    /// Returns whether the next request may run. Otherwise it is [held](Resolved::Held).
    #[inline(never)]
    pub(super) fn pass_middleware(&mut self, batch: &mut Batch, target: Option<CommandRef>) -> bool {
        let next = batch.next_request();
        if self.state.middleware.as_ref().is_none_or(|cursor| next < cursor.passed) {
            return true;
        }
        if self.state.has_outcomes(batch) {
            self.state.report_outcomes(batch);
        }
        let routes = &self.state.server.routes;
        let actors = target.map(|target| routes.with_shards(target.actor_id));
        let executes =
            !self.state.transaction.is_none() && target.is_some_and(|target| self.executes(target));
        if executes {
            self.client.set_queued_flags(self.state.transaction.flags());
        }
        let ConnectionState { server, client, middleware, .. } = &mut self.state;
        let Some(cursor) = middleware else { return true };
        let may_run = cursor.pass(server, client, batch, actors);
        if executes {
            self.client.set_queued_flags(Flags::NONE);
        }
        may_run
    }

    /// Returns whether the next request, which is no command, may be answered: all middleware has let it pass.
    #[inline(never)]
    pub(super) fn may_answer_non_command(&mut self, batch: &mut Batch) -> bool {
        self.state.middleware.is_none()
            || self.state.transaction.is_running()
            || !self.state.is_authenticated()
            || self.pass_middleware(batch, None)
    }

    /// Answers the held request if it is refused, or lets it go on if its delay is over.
    ///
    /// Returns whether the client has to wait.
    #[cold]
    pub(super) fn must_wait_for_middleware(&mut self, batch: &mut Batch) -> bool {
        let next = batch.next_request();
        let Some(cursor) = &mut self.state.middleware else { return false };
        let is_held = |position: &Position| position.held.is_some() && position.next == next + 1;
        let Some(index) = cursor.positions.iter().position(is_held) else { return false };
        let held = &mut cursor.positions[index].held;
        if let Some(Held::Delayed(until)) = held
            && *until > TimerInstant::now()
            && self.client.close_request() == CloseRequest::None
        {
            if cursor.timer.is_none() {
                let (until, client) = (*until, self.client.clone());
                cursor.timer = Some(Timer(actix_rt::spawn(async move {
                    sleep_until(until).await;
                    client.wake();
                })));
            }
            self.client.set(ClientFlag::Paused, true);
            return true;
        }
        let held = held.take();
        cursor.timer = None;
        let target = cursor.held.take();
        if let Some(target) = target {
            batch.requests.replace_target(next, target);
        }
        match held {
            // The upstream has to discard its transaction: `EXEC` runs, and replies `EXECABORT`.
            Some(Held::Refused(_)) if self.ends_proxied_transaction(target) => self.abort_transaction(),
            Some(Held::Refused(error)) => {
                if let Some(cursor) = &mut self.state.middleware {
                    cursor.refused.push((next, index));
                    cursor.passed = next + 1;
                }
                self.refuse(target.and_then(Resolved::target), batch, &error);
            }
            _ => self.client.set(ClientFlag::Paused, false),
        }
        false
    }

    /// Returns whether the command is the `EXEC` of a transaction on an upstream.
    fn ends_proxied_transaction(&self, target: Option<Resolved<CommandRef>>) -> bool {
        let executes = target.and_then(Resolved::target).is_some_and(|target| self.executes(target));
        executes && matches!(self.state.transaction, Transaction::Proxied)
    }
}
