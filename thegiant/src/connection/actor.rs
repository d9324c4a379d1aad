//! The actor of one client: reads requests, runs them or sends them to their actors, and writes the replies.

use super::Client;
use super::ConnectionState;
use super::ServerState;
use super::Stream;
use super::client::Collected;
use super::{ActorId, Batch, CommandRef, Queue};
use super::{ClientFlag, CloseRequest};
use crate::{
    Error,
    builtin::{
        pubsub::{FOR_LISTENERS, not_for_listeners},
        transaction::{aborted_by, is_exec},
    },
    command::{Flags, ReplyMode, Resolved, Spec},
    observe::Hook,
    resp::{Decoder, Progress, ProtocolError},
};
use actix::{Actor, ActorContext, AsyncContext, Context, fut::ActorFuture};
use actix_rt::time::{Sleep, sleep};
use std::{
    cell::RefCell,
    future::Future,
    io, mem,
    ops::Range,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll, ready},
    time::Duration,
};

/// Size of the read buffer that all connections of a thread share.
const READ_BUFFER_SIZE: usize = 64 * 1024;

/// Time without write progress after which requests are read in spite of unsent replies.
///
/// See [`Connection::read_ahead`].
const STUCK_AFTER: Duration = Duration::from_secs(1);

/// Maximum input in bytes to read while the client does not take its replies.
const MAX_READ_AHEAD: usize = 64 * 1024 * 1024;

/// Maximum input in bytes to read while a command is blocked.
const MAX_READ_WHILE_BLOCKED: usize = 64 * 1024;

/// Maximum input in bytes of one batch, when more was read ahead.
const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Maximum time to read from a client after the outgoing side of its socket was shut down.
const LINGER: Duration = Duration::from_secs(1);

thread_local! {
    static READ_BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BUFFER_SIZE]);
}

/// Lends the read buffer of this thread to `read`.
pub(crate) fn with_read_buffer<T>(read: impl FnOnce(&mut [u8]) -> T) -> T {
    READ_BUFFER.with_borrow_mut(|buffer| read(buffer))
}

/// The connection of a client.
///
/// Its stages form a cycle. It reads a batch, runs it (itself or through actors), writes the replies, and
/// reads the next batch. The replies therefore keep the order of the requests. While a client does not read
/// its replies, the connection does not read its requests; see [`Connection::read_ahead`] for the exception.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: Stream,
    pub(super) state: ConnectionState,
    decoder: Decoder,
    stage: Stage,
    /// Set by [`Connection::wait`]: nothing can be done before the next wake-up.
    is_pending: bool,
    /// Input that is not part of a running batch. An idle connection has none.
    incoming: Option<Box<Batch>>,
    /// `incoming` may contain complete requests.
    has_undecoded: bool,
    /// The protocol error that ends the connection. It is sent after the replies to all earlier requests.
    protocol_error: Option<ProtocolError>,
    /// The client slot has the waker of this connection.
    has_waker_set: bool,
    /// A batch is with an actor or blocked, even while this connection writes pushes.
    is_dispatched: bool,
}

#[derive(Debug)]
pub(super) enum Stage {
    /// Waits for requests.
    Reading,
    /// Runs the requests of the batch.
    Running(Box<Batch>),
    /// The batch is with an actor, or blocked.
    Dispatched,
    /// Sends the replies of the batch.
    Writing(Box<Batch>),
    /// Has sent everything, and reads and discards the rest of the input until the timer fires. To close a
    /// socket with unread input would send a reset, and the client could lose replies.
    Closing(Option<Pin<Box<Sleep>>>),
    /// The connection is closed.
    Ended,
}

/// The decision whether the connection may run its next request.
enum Admission {
    Run,
    /// Refuse: the client must authenticate first.
    NeedsAuth,
    /// Refuse: a RESP2 client that has subscribed may only use the pub/sub commands.
    PubSubOnly,
    /// Queue the request for `EXEC`.
    Queue,
    /// Wait for the end of `CLIENT PAUSE`.
    Paused,
}

/// The outcome of reading ahead.
enum ReadAhead {
    /// The client is still connected.
    Open,
    /// The client has closed its side.
    End,
}

impl Connection {
    /// Starts the connection of a client.
    pub(crate) fn start(stream: Stream, server: Arc<ServerState>, client: Client) {
        let state = ConnectionState::new(server, client);
        let connection = Connection {
            stream,
            decoder: Decoder::new(state.decode_limits()),
            state,
            stage: Stage::Reading,
            is_pending: false,
            incoming: None,
            has_undecoded: false,
            protocol_error: None,
            has_waker_set: false,
            is_dispatched: false,
        };
        Actor::start(connection);
    }

    /// Runs the stages until one has to wait.
    ///
    /// Returns `Ready` when the connection is closed.
    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        if !self.has_waker_set {
            self.state.client.watch(cx.waker());
            self.has_waker_set = true;
        }
        let mut stage = mem::replace(&mut self.stage, Stage::Dispatched);
        loop {
            let close_request = self.state.client.close_request();
            stage = match stage {
                Stage::Ended => return Poll::Ready(Ok(())),
                _ if close_request == CloseRequest::Now => Stage::Ended,
                Stage::Reading if close_request == CloseRequest::Graceful => Stage::Closing(None),
                Stage::Reading => self.read(cx)?,
                Stage::Running(batch) => match self.run(batch, cx) {
                    Stage::Writing(batch) if batch.is_streaming() => self.write_streaming(batch, cx)?,
                    stage => stage,
                },
                Stage::Dispatched => self.collect(close_request, cx)?,
                Stage::Writing(batch) => self.write(batch, cx)?,
                Stage::Closing(until) => self.close(until, cx),
            };
            if mem::take(&mut self.is_pending) {
                self.stage = stage;
                return Poll::Pending;
            }
        }
    }

    /// Makes `poll` return `Pending`; `poll` continues with `stage` at the next wake-up.
    fn wait(&mut self, stage: Stage) -> Stage {
        self.is_pending = true;
        stage
    }

    fn read(&mut self, cx: &mut TaskContext<'_>) -> io::Result<Stage> {
        if self.state.client.has_pending_pushes() {
            return Ok(Stage::Writing(self.take_pushes(Batch::new())));
        }
        if mem::take(&mut self.has_undecoded) {
            return self.decode();
        }
        match self.poll_read(cx)? {
            Poll::Ready(0) => Ok(Stage::Ended),
            Poll::Ready(read) => {
                self.state.server.stats.received(read);
                self.decode()
            }
            Poll::Pending => Ok(self.wait(Stage::Reading)),
        }
    }

    /// Appends the pending pushes to the replies of a batch.
    #[cold]
    fn take_pushes(&mut self, mut batch: Box<Batch>) -> Box<Batch> {
        self.state.take_pushes(batch.out.encoder_mut());
        batch
    }

    #[inline(always)]
    fn poll_read(&mut self, cx: &mut TaskContext<'_>) -> Poll<io::Result<usize>> {
        if let Some(partial_bulk) = self.incoming.as_mut().and_then(|batch| batch.partial_bulk.as_mut()) {
            return self.stream.poll_fill(partial_bulk, cx);
        }
        with_read_buffer(|buffer| {
            let read = ready!(self.stream.poll_read(buffer, cx))?;
            if read > 0 {
                let batch = self.incoming.get_or_insert_with(Batch::new);
                batch.input.extend_from_slice(&buffer[..read]);
            }
            Poll::Ready(Ok(read))
        })
    }

    /// Decodes requests from the input. If there are any, they run next.
    fn decode(&mut self) -> io::Result<Stage> {
        let Some(mut batch) = self.incoming.take() else { return Ok(Stage::Reading) };
        batch.set_client(&self.state.client);
        self.state.client.set_active(self.state.server.now());
        self.decoder.set_limits(self.state.decode_limits());
        let from = self.decoder.start();
        let can_run_all = self.state.is_authenticated() && batch.input.len() <= MAX_BATCH_BYTES;
        let routes = &self.state.server.routes;
        self.protocol_error = loop {
            if batch.partial_bulk.as_ref().is_some_and(|partial_bulk| partial_bulk.missing > 0) {
                break None;
            }
            if let Some(partial_bulk) = batch.partial_bulk.take() {
                let index = batch.push_large(partial_bulk.bytes.into());
                self.decoder.large_bulk_taken(index, &mut batch.spans);
            }
            match self.decoder.decode(&mut batch.input, &mut batch.spans) {
                Ok(Progress::Request) => {
                    batch.push_request(|call| routes.resolve(call));
                    if self.decoder.start() == batch.input.len() {
                        break None;
                    }
                }
                Ok(Progress::Incomplete) => break None,
                Ok(Progress::Large(len)) => batch.begin_large(self.decoder.position(), len),
                Err(error) => break Some(error),
            }
            if can_run_all {
                continue;
            }
            let read = self.decoder.start();
            // The decode limits of the requests behind `AUTH` depend on its result.
            if !self.state.is_authenticated() && batch.has_requests() {
                return Ok(self.run_one(batch, from..read));
            }
            if read > MAX_BATCH_BYTES {
                self.has_undecoded = true;
                break None;
            }
        };
        self.state.publish_last_command(&batch);
        if self.protocol_error.is_some() {
            return Ok(Stage::Running(batch));
        }
        self.split_incomplete(batch)
    }

    /// Runs the one request in this range of the input.
    ///
    /// The input behind it stays in `incoming`.
    fn run_one(&mut self, mut incoming: Box<Batch>, part: Range<usize>) -> Stage {
        let mut one = incoming.copy_requests(part);
        one.set_client(&self.state.client);
        self.state.publish_last_command(&one);
        self.state.account_input(incoming.request_bytes(), true);
        self.incoming = Some(incoming);
        self.has_undecoded = true;
        Stage::Running(one)
    }

    /// Separates the complete requests from the beginning of the next one.
    fn split_incomplete(&mut self, mut batch: Box<Batch>) -> io::Result<Stage> {
        let start = self.decoder.start();
        let stage = if start == 0 {
            self.incoming = Some(batch);
            Stage::Reading
        } else {
            self.incoming = batch.split_off(start);
            self.decoder.rebase();
            Stage::Running(batch)
        };
        let unread = self.unread();
        self.state.account_input(unread, start > 0);
        let limit = self.state.query_buffer_limit();
        if unread + self.state.queued_len() > limit {
            let client = &self.state.client;
            tracing::warn!(
                id = client.id(), client = %client.addr(), limit,
                "closed: the query buffer limit was exceeded"
            );
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        Ok(stage)
    }

    /// Runs requests until the batch has to go to an actor or its replies have to be sent.
    fn run(&mut self, mut batch: Box<Batch>, cx: &mut TaskContext<'_>) -> Stage {
        if batch.is_blocked() {
            return self.block(batch);
        }
        if batch.is_observed() {
            batch.report_keys();
        }
        // An earlier batch may have changed the protocol and the reply mode after this one was decoded.
        batch.out.encoder_mut().set_protocol(self.state.client.protocol());
        batch.out.set_mode(self.state.replies);
        loop {
            while let Some(target) = batch.next_target() {
                match target {
                    Resolved::Command(target) => match self.admission(&mut batch, target) {
                        Admission::Run if target.actor_id == ActorId::CONNECTION => {
                            self.answer(target, &mut batch)
                        }
                        Admission::Run => return self.dispatch(batch, target, cx),
                        Admission::NeedsAuth => self.refuse_unauthenticated(target, &mut batch),
                        Admission::PubSubOnly => {
                            let command = self.state.server.routes.command(target.command);
                            batch.reject(|_, out| out.error(&not_for_listeners(command)));
                        }
                        Admission::Queue => self.queue(&mut batch),
                        Admission::Paused => return self.wait_for_unpause(batch),
                    },
                    non_command => self.answer_non_command(non_command, &mut batch),
                }
                if self.state.closing && !batch.is_transaction() {
                    batch.abandon_requests();
                }
            }
            let next = if batch.is_blocked() {
                self.run_transaction(batch)
            } else if batch.is_transaction() {
                self.end_transaction(batch)
            } else {
                break;
            };
            batch = match next {
                Ok(next) => next,
                Err(stage) => return stage,
            };
        }
        if !self.state.transaction.is_none() {
            self.state.publish_queued();
        }
        if !batch.has_requests() && !batch.is_streaming() {
            self.reply_protocol_error(&mut batch);
            // Count first: a client that has its reply must find the command in the statistics.
            self.state.record_stats(&mut batch);
            self.state.replies = batch.out.mode();
            if self.state.client.has_pending_pushes() && !self.state.closing {
                return Stage::Writing(self.take_pushes(batch));
            }
        }
        self.state.replies = batch.out.mode();
        Stage::Writing(batch)
    }

    /// Decides whether the next requests with the same target may run now.
    fn admission(&self, batch: &mut Batch, target: CommandRef) -> Admission {
        if self.state.is_unrestricted() && !self.state.server.hooks.is_any() {
            return Admission::Run;
        }
        self.check_admission(batch, target)
    }

    #[cold]
    fn check_admission(&self, batch: &mut Batch, target: CommandRef) -> Admission {
        if self.state.transaction.is_running() {
            self.observe(batch);
            self.show(batch, target.actor_id);
            return Admission::Run;
        }
        let hooks = &self.state.server.hooks;
        // One check covers the whole run of requests, since an unauthenticated client has one request per
        // batch.
        let command = self.state.server.routes.command(target.command);
        if !self.state.is_authenticated() && !command.flags.contains(Flags::NO_AUTH) {
            return Admission::NeedsAuth;
        }
        if self.state.is_pubsub_only() && !FOR_LISTENERS.contains(&command.name) {
            return Admission::PubSubOnly;
        }
        let is_paused = hooks.is(Hook::Pause) && self.is_paused(batch, target);
        self.state.client.set(ClientFlag::Paused, is_paused);
        if is_paused {
            return Admission::Paused;
        }
        if self.state.transaction.must_queue(target, command) {
            return Admission::Queue;
        }
        self.observe(batch);
        // `MONITOR` shows the commands of a transaction before its `EXEC`.
        if !is_exec(command) || !self.state.can_execute() {
            self.show(batch, target.actor_id);
        }
        Admission::Run
    }

    /// Switches timing and key observation on for the next requests, as the hooks ask for it.
    pub(super) fn observe(&self, batch: &mut Batch) {
        let hooks = &self.state.server.hooks;
        batch.is_timed = hooks.is(Hook::Time);
        if hooks.is(Hook::Keys) {
            batch.observe();
        }
    }

    /// Shows the requests that this actor runs next to the `MONITOR` clients.
    pub(super) fn show(&self, batch: &mut Batch, actor_id: ActorId) {
        if self.state.server.hooks.is(Hook::Monitor) {
            batch.show(actor_id, |call, command| self.state.show(call, command));
        }
    }

    /// Returns whether these requests have to wait for the end of a pause.
    ///
    /// Commands for operators do not wait, nor does a connection that closes gracefully.
    fn is_paused(&self, batch: &Batch, target: CommandRef) -> bool {
        let Some(pause) = self.state.server.paused() else { return false };
        let must_wait = |flags: Flags| match pause.writes_only {
            true => flags.contains(Flags::WRITE) || flags.contains(Flags::MAY_REPLICATE),
            false => !flags.contains(Flags::ADMIN),
        };
        let routes = &self.state.server.routes;
        let mut commands = batch.upcoming(target.actor_id).map(|(_, target)| routes.command(target.command));
        let queued = self.state.transaction.flags();
        let flags = |command: &Spec| command.flags.union(if is_exec(command) { queued } else { Flags::NONE });
        self.state.client.close_request() == CloseRequest::None
            && commands.any(|command| must_wait(flags(command)))
    }

    /// Waits for the end of a pause. Replies to earlier requests are sent first.
    fn wait_for_unpause(&mut self, batch: Box<Batch>) -> Stage {
        self.state.replies = batch.out.mode();
        if !batch.out.encoder().is_empty() {
            return Stage::Writing(batch);
        }
        self.wait(Stage::Running(batch))
    }

    fn dispatch(&mut self, batch: Box<Batch>, target: CommandRef, cx: &mut TaskContext<'_>) -> Stage {
        let may_wait = self.state.server.routes.command(target.command).flags.contains(Flags::BLOCKING);
        self.state.client.set_watched(may_wait && self.stream.watch(cx).is_pending());
        self.send_to(target.actor_id, batch)
    }

    pub(super) fn send_to(&mut self, actor_id: ActorId, batch: Box<Batch>) -> Stage {
        self.is_dispatched = true;
        self.state.client.set_busy();
        // The waker is registered already. The actor calls it even if the reply arrives before this returns.
        self.state.server.routes.send(batch, actor_id);
        self.wait(Stage::Dispatched)
    }

    /// Answers a request of an unauthenticated client with an error.
    #[cold]
    fn refuse_unauthenticated(&self, target: CommandRef, batch: &mut Batch) {
        let is_exec = is_exec(self.state.server.routes.command(target.command));
        let error = if is_exec { aborted_by(&Error::NO_AUTH) } else { Error::NO_AUTH };
        batch.reject(|_, out| out.error(&error));
    }

    /// Blocks the client until its next request has its reply, unless the reply is there.
    ///
    /// Replies to earlier requests are sent first.
    pub(super) fn block(&mut self, batch: Box<Batch>) -> Stage {
        match self.state.client.block(batch, false) {
            Some(batch) if batch.is_blocked() => Stage::Writing(batch),
            Some(mut batch) => {
                batch.set_client(&self.state.client);
                Stage::Running(batch)
            }
            None => {
                self.is_dispatched = true;
                self.state.client.set_busy();
                Stage::Dispatched
            }
        }
    }

    /// Answers a request that was resolved to no command, such as an unknown name.
    fn answer_non_command(&mut self, resolved: Resolved<CommandRef>, batch: &mut Batch) {
        let routes = &self.state.server.routes;
        match resolved {
            Resolved::CrossProtocol => {
                self.state.server.log_cross_protocol(&self.state.client);
                self.state.closing = true;
            }
            Resolved::Help(_) if !self.state.is_authenticated() => {
                batch.reject(|_, out| out.error(&Error::NO_AUTH));
            }
            Resolved::Help(_) if self.state.transaction.queue().is_some() => self.queue(batch),
            Resolved::WrongArity(CommandRef { actor_id: ActorId::CONNECTION, command, .. }, _)
                if is_exec(routes.command(command)) =>
            {
                batch.reject(|call, out| out.error(&aborted_by(&call.wrong_arity_of(1))));
                self.state.end_transaction();
            }
            rejected => {
                batch.reject(|call, out| routes.table().answer(rejected, call, out));
                self.state.transaction.queue().into_iter().for_each(Queue::abort);
            }
        }
    }

    /// Runs a built-in command.
    fn answer(&mut self, target: CommandRef, batch: &mut Batch) {
        let row = target.row.get::<ConnectionState>();
        batch.begin();
        batch.step(Some(&row.spec), |call, out| (row.run)(&mut self.state, call, &mut (), out));
        batch.out.encoder_mut().set_protocol(self.state.client.protocol());
        if batch.is_observed() {
            batch.report_keys();
        }
    }

    fn reply_protocol_error(&mut self, batch: &mut Batch) {
        let Some(error) = self.protocol_error.take().filter(|_| !self.state.closing) else { return };
        let client = &self.state.client;
        tracing::info!(id = client.id(), client = %client.addr(), %error, "closed: protocol error");
        let reply = error.reply();
        self.state.server.stats.count_error(reply.code());
        if batch.out.mode() == ReplyMode::On {
            batch.out.error(&reply);
        }
        self.state.closing = true;
    }

    fn collect(&mut self, close_request: CloseRequest, cx: &mut TaskContext<'_>) -> io::Result<Stage> {
        let client = &self.state.client;
        match client.collect(close_request == CloseRequest::Graceful, cx) {
            Collected::Answered(mut batch) => {
                self.is_dispatched = false;
                client.set_active(self.state.server.now());
                if batch.has_requests() || batch.is_observed() {
                    batch.set_client(client);
                }
                self.state.replies = batch.out.mode();
                Ok(Stage::Running(batch))
            }
            Collected::Dispatched => Ok(self.wait(Stage::Dispatched)),
            Collected::Blocked => self.wait_for_reply(cx),
        }
    }

    /// Sends pushes while the client is blocked, and notices when the client leaves.
    #[cold]
    fn wait_for_reply(&mut self, cx: &mut TaskContext<'_>) -> io::Result<Stage> {
        if self.state.client.has_pending_pushes() {
            return Ok(Stage::Writing(self.take_pushes(Batch::new())));
        }
        match self.read_ahead(MAX_READ_WHILE_BLOCKED, cx)? {
            ReadAhead::End => Ok(Stage::Ended),
            ReadAhead::Open => Ok(self.wait(Stage::Dispatched)),
        }
    }

    fn write(&mut self, mut batch: Box<Batch>, cx: &mut TaskContext<'_>) -> io::Result<Stage> {
        let before = batch.sent;
        let written = self.stream.poll_write(batch.out.encoder(), &mut batch.sent, cx)?;
        let progress = batch.sent - before;
        self.state.server.stats.sent(progress);
        if written.is_pending() {
            self.wait_until_writable(&mut batch, progress > 0, cx)?;
            return Ok(self.wait(Stage::Writing(batch)));
        }
        self.state.account_output(0);
        self.state.client.record_sent();
        if batch.is_streaming() {
            batch.clear_replies();
            return self.write_streaming(batch, cx);
        }
        if batch.has_requests() {
            batch.clear_replies();
            return Ok(Stage::Running(batch));
        }
        batch.recycle();
        if self.is_dispatched {
            return Ok(Stage::Dispatched);
        }
        self.state.start_request_timeout();
        Ok(if self.state.closing { Stage::Closing(None) } else { Stage::Reading })
    }

    /// Writes the next part of a streaming reply.
    #[cold]
    fn write_streaming(&mut self, mut batch: Box<Batch>, cx: &mut TaskContext<'_>) -> io::Result<Stage> {
        self.state.client.set_active(self.state.server.now());
        match batch.poll_streaming(cx)? {
            Poll::Ready(true) => Ok(Stage::Running(batch)),
            Poll::Ready(false) => {
                // Yield between two parts, so that other connections make progress.
                cx.waker().wake_by_ref();
                Ok(self.wait(Stage::Writing(batch)))
            }
            Poll::Pending if !batch.out.encoder().is_empty() => Ok(Stage::Writing(batch)),
            Poll::Pending => {
                self.state.client.set_busy();
                match self.read_ahead(MAX_READ_WHILE_BLOCKED, cx)? {
                    ReadAhead::End => Ok(Stage::Ended),
                    ReadAhead::Open => Ok(self.wait(Stage::Writing(batch))),
                }
            }
        }
    }

    /// Accounts for unsent replies, and closes the connection if they exceed a limit.
    ///
    /// It reads ahead when the client has taken nothing for [`STUCK_AFTER`].
    #[cold]
    fn wait_until_writable(
        &mut self,
        batch: &mut Batch,
        progress: bool,
        cx: &mut TaskContext<'_>,
    ) -> io::Result<()> {
        let waiting = batch.out.encoder().len() - batch.sent;
        self.state.account_output(waiting);
        self.state.client.record_sent_up_to(batch.sent);
        if progress {
            self.state.client.set_active(self.state.server.now());
            batch.stuck = None;
        }
        let stuck = batch.stuck.get_or_insert_with(|| Box::pin(sleep(STUCK_AFTER)));
        let is_stuck = stuck.as_mut().poll(cx).is_ready();
        if self.state.is_output_over(waiting, is_stuck) {
            let client = &self.state.client;
            tracing::warn!(
                id = client.id(), client = %client.addr(), waiting,
                "closed: the output buffer limit was exceeded"
            );
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        if is_stuck {
            self.read_ahead(MAX_READ_AHEAD, cx)?;
        }
        Ok(())
    }

    /// Reads up to `max` bytes of requests that run later.
    ///
    /// Many clients write a whole pipeline before they read a reply. Without this, such a client and the
    /// server would wait for each other. A blocked client may also leave, which only a read notices.
    #[cold]
    fn read_ahead(&mut self, max: usize, cx: &mut TaskContext<'_>) -> io::Result<ReadAhead> {
        let mut outcome = ReadAhead::Open;
        while self.unread() < max && !self.has_complete_bulk() {
            match self.poll_read(cx)? {
                Poll::Ready(0) => {
                    outcome = ReadAhead::End;
                    break;
                }
                Poll::Ready(read) => self.state.server.stats.received(read),
                Poll::Pending => break,
            }
            self.has_undecoded = true;
        }
        // The client waits for the server here, so the request timeout must not run.
        self.state.account_input(self.unread(), true);
        Ok(outcome)
    }

    /// Returns the bytes of input that are not part of a running batch.
    fn unread(&self) -> usize {
        self.incoming.as_ref().map_or(0, |incoming| incoming.request_bytes())
    }

    /// Returns whether a large bulk string has arrived completely and has to be decoded next.
    fn has_complete_bulk(&self) -> bool {
        let partial_bulk = self.incoming.as_ref().and_then(|batch| batch.partial_bulk.as_ref());
        partial_bulk.is_some_and(|partial_bulk| partial_bulk.missing == 0)
    }

    /// Closes the connection gracefully: when the client has closed its side, when it sends nothing, or after
    /// [`LINGER`].
    fn close(&mut self, until: Option<Pin<Box<Sleep>>>, cx: &mut TaskContext<'_>) -> Stage {
        self.stream.shutdown(cx);
        let mut has_sent = until.is_some();
        while let Poll::Ready(read) = with_read_buffer(|buffer| self.stream.poll_read(buffer, cx)) {
            match read {
                Ok(0) | Err(_) => return Stage::Ended,
                Ok(_) => has_sent = true,
            }
        }
        if !has_sent {
            return Stage::Ended;
        }
        let mut until = until.unwrap_or_else(|| Box::pin(sleep(LINGER)));
        match until.as_mut().poll(cx) {
            Poll::Ready(()) => Stage::Ended,
            Poll::Pending => self.wait(Stage::Closing(Some(until))),
        }
    }

    /// Logs a failed TLS handshake: the certificate may be wrong, or the client unknown.
    ///
    /// A client that leaves before its handshake is not logged.
    #[cfg(feature = "tls")]
    fn log_failed_handshake(&self, end: &io::Result<()>) {
        use io::ErrorKind::{InvalidData, TimedOut};
        if let (Stream::Tls(tls), Err(error)) = (&self.stream, end)
            && tls.has_failed()
            && matches!(error.kind(), InvalidData | TimedOut)
        {
            let client = &self.state.client;
            tracing::info!(id = client.id(), client = %client.addr(), %error, "closed: the TLS handshake failed");
        }
    }

    /// Returns the reason of the close for the log.
    fn reason(&self, end: io::Result<()>) -> String {
        if let Err(error) = end {
            return error.to_string();
        }
        let reason = match self.state.client.close_request() {
            CloseRequest::Now => "the client was killed",
            CloseRequest::Graceful => "the server is shutting down",
            CloseRequest::None if self.state.closing => "the last reply was sent",
            CloseRequest::None => "the client has left",
        };
        reason.to_owned()
    }
}

impl Actor for Connection {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.spawn(Serve);
    }
}

/// Drives the connection: the one future of its actor.
struct Serve;

impl ActorFuture<Connection> for Serve {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        connection: &mut Connection,
        context: &mut Context<Connection>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<()> {
        let end = ready!(connection.poll(cx));
        #[cfg(feature = "tls")]
        connection.log_failed_handshake(&end);
        let client = &connection.state.client;
        let reason = || connection.reason(end);
        tracing::debug!(id = client.id(), client = %client.addr(), reason = reason(), "connection closed");
        context.stop();
        Poll::Ready(())
    }
}
