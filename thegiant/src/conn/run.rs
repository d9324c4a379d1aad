//! The part of a connection that runs requests, or sends them to their actors.

use std::{io, task::Context as TaskContext};

use super::{
    Connection, ConnectionState,
    admission::Admission,
    connection::{Next, Stage},
    read::ReadAhead,
};
use crate::{
    Error,
    batch::{ActorId, Batch, CommandRef, ReplyMode, Resolved},
    client::{CloseRequest, Collected},
    command::Flags,
    dispatch::{ClientBatch, Transaction, report_keys, step},
};

const UNDESCRIBED: Error =
    Error::from_static("UPSTREAMDOWN no upstream has described its commands yet: the command was not sent");

impl Connection {
    /// Runs requests until the batch has to go to an actor or its replies have to be sent.
    pub(super) fn run(&mut self, mut batch: Box<Batch>, cx: &mut TaskContext<'_>) -> io::Result<Next> {
        // An earlier batch may have changed the protocol and the reply mode after this one was decoded.
        batch.out.encoder_mut().set_protocol(self.client.protocol());
        batch.out.set_mode(self.state.replies);
        loop {
            if batch.is_observed() {
                self.after_requests(&mut batch);
            }
            while let Some(target) = batch.next_target() {
                match target {
                    Resolved::Command(target) | Resolved::Split(target) => {
                        match self.admission(&mut batch, target) {
                            Admission::Run if target.actor_id == ActorId::CONNECTION => {
                                if !self.answer(target, &mut batch) {
                                    return self.wait_for_login(batch, cx);
                                }
                            }
                            Admission::Run => return Ok(self.dispatch(batch, target, cx)),
                            Admission::Denied(denied) => self.refuse_denied(denied, target, &mut batch),
                            Admission::Misdirected(misdirected) => {
                                self.refuse_misdirected(misdirected, target, &mut batch);
                            }
                            Admission::NotMaster(not_master) => {
                                self.refuse(Some(target), &mut batch, &not_master.error());
                            }
                            Admission::NotForTenants => self.refuse_for_tenants(target, &mut batch),
                            Admission::NeedsAuth => self.refuse_unauthenticated(target, &mut batch),
                            Admission::PubSubOnly => self.refuse_in_pubsub_mode(target, &mut batch),
                            Admission::NotProxied => self.refuse_in_proxied_transaction(target, &mut batch),
                            Admission::Queue => self.queue(&mut batch),
                            Admission::Undescribed => self.refuse(Some(target), &mut batch, &UNDESCRIBED),
                            Admission::Wait => return self.wait(batch, cx),
                            Admission::Held => {}
                        }
                    }
                    Resolved::Held => {
                        if self.must_wait_for_middleware(&mut batch) {
                            return Ok(self.wait_until_woken(batch));
                        }
                    }
                    Resolved::Denied => self.answer_denied(&mut batch),
                    _ if !self.may_answer_non_command(&mut batch) => {}
                    non_command => self.answer_non_command(non_command, &mut batch),
                }
                if self.state.closing && !batch.is_transaction() {
                    batch.abandon_requests();
                }
            }
            let next = if batch.is_blocked() {
                self.run_transaction(batch)
            } else if let Some(actor_id) = batch.next_wanted() {
                return Ok(self.send_to(actor_id, batch));
            } else if batch.is_transaction() {
                self.end_transaction(batch)
            } else {
                break;
            };
            batch = match next {
                Ok(next) => next,
                Err(next) => return Ok(next),
            };
        }
        if !self.state.transaction.is_none() {
            self.state.publish_queued();
        }
        self.state.report_outcomes(&mut batch);
        if batch.is_streaming() {
            self.state.replies = batch.out.mode();
            return self.write_streaming(batch, cx);
        }
        if !batch.has_requests() {
            self.end_batch(&mut batch);
        }
        self.state.replies = batch.out.mode();
        Ok(Stage::Writing(batch).into())
    }

    /// Runs a built-in command.
    ///
    /// Returns `false` if the command waits for a login. It is then the next one again.
    fn answer(&mut self, target: CommandRef, batch: &mut Batch) -> bool {
        let row = target.row.get::<ConnectionState>();
        // All commands that log in have this flag.
        let before = row.spec.flags.contains(Flags::NO_AUTH).then(|| batch.checkpoint());
        batch.begin();
        step(batch, &self.client, Some(&row.spec), |request, out| {
            (row.run)(&mut self.state, request, &mut (), out)
        });
        if let Some(before) = before
            && self.state.login.is_some()
        {
            batch.go_back(before);
            return false;
        }
        batch.out.encoder_mut().set_protocol(self.client.protocol());
        if batch.is_observed() {
            self.after_requests(batch);
        }
        true
    }

    /// Reports the keys of the requests that have run. The pushes that they have caused follow their replies.
    #[cold]
    fn after_requests(&self, batch: &mut Batch) {
        let server = &self.state.server;
        report_keys(batch, &self.client, &server.keyspace, |resolved| {
            Some(server.routes.command(resolved.command()?))
        });
        if !batch.runs_one_by_one() {
            return;
        }
        server.keyspace.broadcast();
        if self.client.has_pending_pushes() && !batch.is_streaming() && !self.state.closing {
            batch.append_pushes(|out| self.state.take_pushes(out));
        }
    }

    /// Completes a batch whose requests all have replies.
    fn end_batch(&mut self, batch: &mut Batch) {
        self.reply_protocol_error(batch);
        // Count first: a client that has its reply must find the command in the statistics.
        self.state.record_stats(batch);
        self.state.replies = batch.out.mode();
        if self.client.has_pending_pushes() && !self.state.closing {
            self.state.take_pushes(batch.out.encoder_mut());
        }
    }

    fn reply_protocol_error(&mut self, batch: &mut Batch) {
        let Some(error) = self.protocol_error.take().filter(|_| !self.state.closing) else { return };
        tracing::info!(id = self.client.id(), client = %self.client.addr(), %error, "closed: protocol error");
        let reply = error.reply();
        self.state.server.stats.count_error(reply.code());
        if batch.out.mode() == ReplyMode::On {
            batch.out.error(&reply);
        }
        self.state.closing = true;
    }

    /// Waits until the client is woken, or leaves. Replies to earlier requests are sent first.
    #[cold]
    fn wait(&mut self, batch: Box<Batch>, cx: &mut TaskContext<'_>) -> io::Result<Next> {
        match self.wait_until_woken(batch) {
            Next::Wait(_) if matches!(self.read_ahead(cx)?, ReadAhead::End) => Ok(Stage::Ended.into()),
            next => Ok(next),
        }
    }

    /// Waits until the client is woken. Replies to earlier requests are sent first.
    #[cold]
    fn wait_until_woken(&mut self, batch: Box<Batch>) -> Next {
        self.state.replies = batch.out.mode();
        if !batch.out.encoder().is_empty() {
            return Stage::Writing(batch).into();
        }
        Next::Wait(Stage::Running(batch))
    }

    fn dispatch(&mut self, batch: Box<Batch>, target: CommandRef, cx: &mut TaskContext<'_>) -> Next {
        let may_wait = self.state.server.routes.command(target.command).flags.contains(Flags::BLOCKING);
        self.client.set_watched(may_wait && self.stream.watch(cx).is_pending());
        self.send_to(target.actor_id, batch)
    }

    pub(super) fn send_to(&mut self, actor_id: ActorId, batch: Box<Batch>) -> Next {
        self.client.set_busy();
        // The waker is registered already. The actor calls it even if the reply arrives before this returns.
        self.state.server.routes.send(ClientBatch::new(self.client.clone(), batch), actor_id);
        Next::Wait(Stage::Dispatched)
    }

    /// Blocks the client until its next request has its reply, unless the reply is there.
    ///
    /// Replies to earlier requests are sent first.
    pub(super) fn block(&mut self, batch: Box<Batch>) -> Stage {
        match self.client.block(batch, None, false) {
            Some(batch) if batch.is_blocked() => Stage::Writing(batch),
            Some(batch) => Stage::Running(batch),
            None => {
                self.client.set_busy();
                Stage::Dispatched
            }
        }
    }

    /// Takes the batch back from its actor, or from the slot of a blocked client.
    pub(super) fn collect(
        &mut self,
        close_request: CloseRequest,
        cx: &mut TaskContext<'_>,
    ) -> io::Result<Next> {
        match self.client.collect(close_request == CloseRequest::Graceful, cx) {
            Collected::Answered(mut batch) => {
                if batch.join().is_some() {
                    self.join_replies(&mut batch);
                }
                self.client.set_active(self.state.server.now());
                self.state.follow_upstream();
                self.state.replies = batch.out.mode();
                // The others follow at once, in `run`.
                if batch.has_requests() && !batch.is_transaction() {
                    self.state.report_outcomes(&mut batch);
                }
                // A blocked batch has earlier replies to send.
                Ok(if batch.is_blocked() { self.block(batch) } else { Stage::Running(batch) }.into())
            }
            Collected::Dispatched => Ok(Next::Wait(Stage::Dispatched)),
            Collected::Blocked => self.wait_for_reply(cx),
        }
    }

    /// Moves the replies of the parts of a batch to the batch.
    #[inline(never)]
    fn join_replies(&self, batch: &mut Batch) {
        let server = &self.state.server;
        // Another client may have begun to observe keys since the parts were sent.
        if server.keyspace.is_observed() && !batch.is_observed() {
            batch.observe(false);
        }
        batch.join_replies();
        // The parts have reported the keys of all other requests.
        report_keys(batch, &self.client, &server.keyspace, |resolved| match resolved {
            Resolved::Split(target) => Some(server.routes.command(target.command)),
            _ => None,
        });
    }

    /// Sends pushes while the client is blocked, and notices when the client leaves.
    #[cold]
    fn wait_for_reply(&mut self, cx: &mut TaskContext<'_>) -> io::Result<Next> {
        if self.client.has_pending_pushes() {
            let mut pushes = Batch::new();
            if let Transaction::Running(batch) = &mut self.state.transaction {
                // The replies before `EXEC` may contain earlier pushes.
                batch.move_replies(&mut pushes);
            }
            return Ok(Stage::Pushing(self.take_pushes(pushes)).into());
        }
        match self.read_ahead(cx)? {
            ReadAhead::End => Ok(Stage::Ended.into()),
            ReadAhead::Open => Ok(Next::Wait(Stage::Dispatched)),
        }
    }
}
