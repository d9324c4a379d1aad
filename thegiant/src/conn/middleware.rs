//! The part of a connection that lets requests pass through the middleware.

use std::{mem, time::Instant};

use actix_rt::{
    task::JoinHandle,
    time::{Instant as TimerInstant, sleep_until},
};

use super::{Connection, ConnectionState};
use crate::{
    batch::{Actors, Batch, CommandRef, Resolved},
    client::{Client, ClientFlag, CloseRequest},
    command::Flags,
    dispatch::Transaction,
    middleware::{Completed, Held, Installed, Position, Run},
    server_state::ServerState,
};

/// How far the requests of a connection have come in the middleware.
///
/// Connections of a server without middleware have none.
#[derive(Debug)]
pub(crate) struct MiddlewareCursor {
    /// Indexed by middleware.
    positions: Vec<Position>,
    /// The first request behind the run of requests that pass together.
    run_end: u32,
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
            run_end: 0,
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
        self.run_end = 0;
        self.passed = 0;
        self.reported = 0;
        self.refused.clear();
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
        let is_new_run = self.run_end <= next;
        if is_new_run {
            self.run_end = next + batch.run_len(actors);
        }
        let mut end = self.run_end;
        let mut holds = false;
        for (index, (middleware, position)) in server.middleware.iter().zip(&mut self.positions).enumerate() {
            if position.held.is_none() {
                let (routes, commands) = (&server.routes, middleware.commands());
                // A held request has stopped the others at different requests of the run.
                position.next = if is_new_run { next } else { position.next.max(next) };
                middleware.before(&mut Run {
                    batch,
                    client,
                    routes,
                    position,
                    end,
                    middleware: index,
                    commands,
                });
            }
            end = position.next;
            if position.held.is_some() {
                // Inner middleware does not see the held request yet.
                end -= 1;
                holds = true;
            }
        }
        self.passed = end;
        self.started = Instant::now();
        if holds {
            self.held = batch.requests.replace_target(self.passed, Resolved::Held);
        }
        self.passed > next
    }

    /// Reports the outcomes of the requests that have their replies, to the innermost middleware first.
    ///
    /// The last report of a batch prepares for the next batch.
    #[inline(never)]
    fn report(&mut self, server: &ServerState, client: &Client, batch: &mut Batch) {
        let end = batch.next_request();
        // The commands of a transaction have passed as requests of another batch.
        let (passed, refused): (_, &[_]) = match batch.is_transaction() {
            true => (0..end, &[]),
            // The server has rejected the others before they came to the middleware.
            false => (mem::replace(&mut self.reported, end)..end.min(self.passed), &self.refused),
        };
        for (index, middleware) in server.middleware.iter().enumerate().rev() {
            middleware.after(Completed {
                batch,
                client,
                routes: &server.routes,
                next: passed.start,
                end: passed.end,
                started: self.started,
                refused,
                middleware: index,
                commands: middleware.commands(),
            });
        }
        if batch.stats.has_spans() {
            batch.stats.close_spans_before(end);
        }
        if !batch.has_requests() && !batch.is_transaction() {
            self.reset();
        }
    }
}

impl ConnectionState {
    /// Reports the outcomes of the requests of a batch that have their replies.
    ///
    /// Those of a transaction follow when all of it has run.
    #[inline]
    pub(super) fn report_outcomes(&mut self, batch: &mut Batch) {
        let ConnectionState { server, client, middleware: Some(cursor), .. } = self else { return };
        cursor.report(server, client, batch);
    }
}

impl Connection {
    /// Lets the next requests with the same target pass through the middleware.
    ///
    /// Returns whether the next request may run. Otherwise it is [held](Resolved::Held).
    #[inline(never)]
    pub(super) fn pass_middleware(&mut self, batch: &mut Batch, target: Option<CommandRef>) -> bool {
        let ConnectionState { server, client, middleware: Some(cursor), transaction, .. } = &mut self.state
        else {
            return true;
        };
        let next = batch.next_request();
        if next < cursor.passed {
            return true;
        }
        if cursor.reported < next {
            cursor.report(server, client, batch);
        }
        let actors = target.map(|target| server.routes.with_shards(target.actor_id));
        let executes = !transaction.is_none() && target.is_some_and(|target| server.routes.executes(target));
        if executes {
            client.set_queued_flags(transaction.flags());
        }
        let may_run = cursor.pass(server, client, batch, actors);
        if executes {
            client.set_queued_flags(Flags::NONE);
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
            Some(Held::Refused(_))
                if target
                    .and_then(Resolved::target)
                    .is_some_and(|target| self.ends_proxied_transaction(target)) =>
            {
                self.abort_transaction();
            }
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
    pub(super) fn ends_proxied_transaction(&self, target: CommandRef) -> bool {
        self.executes(target) && matches!(self.state.transaction, Transaction::Proxied)
    }
}
