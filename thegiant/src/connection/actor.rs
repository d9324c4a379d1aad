//! The actor per client: reads requests, runs them or sends them to their actors, and writes the replies.

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

/// All reads of a thread go through one buffer of this size.
const SCRATCH: usize = 64 * 1024;

/// How long a client may take none of its replies before its requests are read all the same, and how
/// many bytes of them: see [`Connection::read_up_to`].
const STUCK: Duration = Duration::from_secs(1);
const READ_AHEAD: usize = 64 * 1024 * 1024;

/// So many bytes are read behind a request that waits for its reply.
const BEHIND_WAITING: usize = 64 * 1024;

/// Of a lot that has been read ahead, requests of so many bytes make a batch.
const MAX_BATCH: usize = 4 * 1024 * 1024;

/// How long a connection that is to be closed is read, for its client to notice.
const LINGER: Duration = Duration::from_secs(1);

thread_local! {
    static SCRATCH_BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
}

/// Reads into the buffer of this thread, and has that looked at.
pub(crate) fn with_scratch<T>(read: impl FnOnce(&mut [u8]) -> T) -> T {
    SCRATCH_BUFFER.with_borrow_mut(|scratch| read(scratch))
}

/// A client's connection.
///
/// It goes round in stages: a batch is read, run (by itself or by handler actors), and its replies
/// are written; then the next one is read. So replies keep the order of requests, and a client that
/// does not read its replies is not read either, but for the rest of a long pipeline.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: Stream,
    pub(super) state: ConnectionState,
    decoder: Decoder,
    stage: Stage,
    /// Until it is woken.
    waits: bool,
    /// The beginning of a request; an idle connection has none.
    incoming: Option<Box<Batch>>,
    /// There may be whole requests in it.
    undecoded: bool,
    /// Why nothing more can be read; said when what came before has been answered.
    broken: Option<ProtocolError>,
    /// The client knows whom to wake.
    watching: bool,
    /// A batch is with an actor, or waits for a reply, whatever is sent in the meantime.
    is_dispatched: bool,
}

#[derive(Debug)]
pub(super) enum Stage {
    /// BlockedCommand for requests.
    Reading,
    /// Requests of the batch are to be run.
    Running(Box<Batch>),
    /// The batch is with a handler actor, or waits for the reply to its next request.
    Dispatched,
    /// The replies are being sent.
    Writing(Box<Batch>),
    /// All has been sent. What the client still sends is read until then, and forgotten: to close a
    /// socket with unread input would take back what it has not received yet.
    Closing(Option<Pin<Box<Sleep>>>),
    /// The connection is over.
    Ended,
}

/// Whether requests may be run.
enum Admission {
    Run,
    /// Not before the client has said who it is.
    NeedsAuth,
    /// Not while the client listens.
    PubSubOnly,
    /// Not before `EXEC`.
    Queue,
    /// Not yet.
    BlockedCommand,
}

/// What has been read ahead.
enum ReadAhead {
    More,
    /// All that there will ever be.
    End,
}

impl Connection {
    /// Starts serving a client.
    pub(crate) fn start(stream: Stream, server: Arc<ServerState>, client: Client) {
        let state = ConnectionState::new(server, client);
        let connection = Connection {
            stream,
            decoder: Decoder::new(state.decode_limits()),
            state,
            stage: Stage::Reading,
            waits: false,
            incoming: None,
            undecoded: false,
            broken: None,
            watching: false,
            is_dispatched: false,
        };
        Actor::start(connection);
    }

    /// Goes on as far as it can. It is ready when the connection is over.
    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        if !self.watching {
            self.state.client.watch(cx.waker());
            self.watching = true;
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
            if mem::take(&mut self.waits) {
                self.stage = stage;
                return Poll::Pending;
            }
        }
    }

    /// Goes on with this stage when it is woken.
    fn wait(&mut self, stage: Stage) -> Stage {
        self.waits = true;
        stage
    }

    fn read(&mut self, cx: &mut TaskContext<'_>) -> io::Result<Stage> {
        if self.state.client.is_pushed_to() {
            return Ok(Stage::Writing(self.take_pushed(Batch::new())));
        }
        if mem::take(&mut self.undecoded) {
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

    /// Puts what is no reply behind the replies of a batch.
    #[cold]
    fn take_pushed(&mut self, mut batch: Box<Batch>) -> Box<Batch> {
        self.state.take_pushed(batch.out.encoder_mut());
        batch
    }

    #[inline(always)]
    fn poll_read(&mut self, cx: &mut TaskContext<'_>) -> Poll<io::Result<usize>> {
        if let Some(partial_bulk) = self.incoming.as_mut().and_then(|batch| batch.partial_bulk.as_mut()) {
            return self.stream.poll_fill(partial_bulk, cx);
        }
        with_scratch(|scratch| {
            let read = ready!(self.stream.poll_read(scratch, cx))?;
            if read > 0 {
                let batch = self.incoming.get_or_insert_with(Batch::new);
                batch.input.extend_from_slice(&scratch[..read]);
            }
            Poll::Ready(Ok(read))
        })
    }

    /// Makes requests of what has been read. If there are any, they are run next.
    fn decode(&mut self) -> io::Result<Stage> {
        let Some(mut batch) = self.incoming.take() else { return Ok(Stage::Reading) };
        batch.belong_to(&self.state.client);
        self.state.client.active(self.state.server.now());
        self.decoder.set_limits(self.state.decode_limits());
        let from = self.decoder.start();
        let is_usual = self.state.is_authenticated() && batch.input.len() <= MAX_BATCH;
        let routes = &self.state.server.routes;
        self.broken = loop {
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
            if is_usual {
                continue;
            }
            let read = self.decoder.start();
            // What a client may send behind its password is known when that has been looked at.
            if !self.state.is_authenticated() && batch.has_requests() {
                return Ok(self.serve_one(batch, from..read));
            }
            if read > MAX_BATCH {
                self.undecoded = true;
                break None;
            }
        };
        self.state.note_command(&batch);
        if self.broken.is_some() {
            return Ok(Stage::Running(batch));
        }
        self.set_incomplete_aside(batch)
    }

    /// Has one request run, which takes this part of what has arrived; the rest stays where it is.
    fn serve_one(&mut self, mut arrived: Box<Batch>, part: Range<usize>) -> Stage {
        let mut one = arrived.copy_requests(part);
        one.belong_to(&self.state.client);
        self.state.note_command(&one);
        self.state.account_input(arrived.unread_len(), true);
        self.incoming = Some(arrived);
        self.undecoded = true;
        Stage::Running(one)
    }

    /// ServerConfig the complete requests from the beginning of the next one.
    fn set_incomplete_aside(&mut self, mut batch: Box<Batch>) -> io::Result<Stage> {
        let start = self.decoder.start();
        let step = if start == 0 {
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
                "closed: a request is over the query buffer limit"
            );
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        Ok(step)
    }

    /// Runs requests until the batch has to be sent away or its replies have to be sent.
    fn run(&mut self, mut batch: Box<Batch>, cx: &mut TaskContext<'_>) -> Stage {
        if batch.is_waiting() {
            return self.block(batch);
        }
        if batch.is_observed() {
            batch.tell_of_keys();
        }
        // An earlier batch may have changed these since this one was read.
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
                        Admission::NeedsAuth => self.refuse_unknown(target, &mut batch),
                        Admission::PubSubOnly => {
                            let command = self.state.server.routes.command(target.command);
                            batch.reject(|_, out| out.error(&not_for_listeners(command)));
                        }
                        Admission::Queue => self.queue(&mut batch),
                        Admission::BlockedCommand => return self.wait_for_unpause(batch),
                    },
                    uncommon => self.answer_uncommon(uncommon, &mut batch),
                }
                if self.state.closing && !batch.is_transaction() {
                    batch.abandon_requests();
                }
            }
            let next = if batch.is_waiting() {
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
            self.state.note_queued();
        }
        if !batch.has_requests() && !batch.is_streaming() {
            self.say_what_is_broken(&mut batch);
            // Before the replies are sent: who has them finds them counted, and who leaves is counted too.
            self.state.tally(&mut batch);
            self.state.replies = batch.out.mode();
            if self.state.client.is_pushed_to() && !self.state.closing {
                return Stage::Writing(self.take_pushed(batch));
            }
        }
        self.state.replies = batch.out.mode();
        Stage::Writing(batch)
    }

    /// Whether the next requests, as far as they have the same target, may be run now.
    fn admission(&self, batch: &mut Batch, target: CommandRef) -> Admission {
        if self.state.is_free() && !self.state.server.hooks.is_any() {
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
        // Until it has said who it is, a client has a batch for each request.
        let command = self.state.server.routes.command(target.command);
        if !self.state.is_authenticated() && !command.flags.contains(Flags::NO_AUTH) {
            return Admission::NeedsAuth;
        }
        if self.state.is_listener_only() && !FOR_LISTENERS.contains(&command.name) {
            return Admission::PubSubOnly;
        }
        let is_paused = hooks.is(Hook::Pause) && self.is_paused(batch, target);
        self.state.client.set(ClientFlag::Paused, is_paused);
        if is_paused {
            return Admission::BlockedCommand;
        }
        if self.state.transaction.takes(target, command) {
            return Admission::Queue;
        }
        self.observe(batch);
        // A transaction is shown as it is run, and then what has run it.
        if !is_exec(command) || !self.state.can_execute() {
            self.show(batch, target.actor_id);
        }
        Admission::Run
    }

    /// Sees to it that what is run next is timed, and told of, if somebody wants to know.
    pub(super) fn observe(&self, batch: &mut Batch) {
        let hooks = &self.state.server.hooks;
        batch.is_timed = hooks.is(Hook::Time);
        if hooks.is(Hook::Keys) {
            batch.observe();
        }
    }

    /// Shows what this mount is going to run next to those who want to see all.
    pub(super) fn show(&self, batch: &mut Batch, actor_id: ActorId) {
        if self.state.server.hooks.is(Hook::Monitor) {
            batch.show(actor_id, |call, command| self.state.show(call, command));
        }
    }

    /// Whether these requests have to wait. What operators need goes on, and so does a connection
    /// that is to finish.
    fn is_paused(&self, batch: &Batch, target: CommandRef) -> bool {
        let Some(pause) = self.state.server.paused() else { return false };
        let waits = |flags: Flags| match pause.writes_only {
            true => flags.contains(Flags::WRITE) || flags.contains(Flags::MAY_REPLICATE),
            false => !flags.contains(Flags::ADMIN),
        };
        let routes = &self.state.server.routes;
        let mut commands = batch.coming(target.actor_id).map(|(_, target)| routes.command(target.command));
        let queued = self.state.transaction.flags();
        let flags = |command: &Spec| command.flags.union(if is_exec(command) { queued } else { Flags::NONE });
        self.state.client.close_request() == CloseRequest::None
            && commands.any(|command| waits(flags(command)))
    }

    /// The next request has to wait; what has been answered before it has not.
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
        self.state.client.busy();
        // The client knows the waker already; it is called even if the answer is there.
        self.state.server.routes.send(batch, actor_id);
        self.wait(Stage::Dispatched)
    }

    /// A client that has not said who it is may not do this.
    #[cold]
    fn refuse_unknown(&self, target: CommandRef, batch: &mut Batch) {
        let is_exec = is_exec(self.state.server.routes.command(target.command));
        let error = if is_exec { aborted_by(&Error::NO_AUTH) } else { Error::NO_AUTH };
        batch.reject(|_, out| out.error(&error));
    }

    /// The next request waits for its reply, unless that has come by now. What comes before it is sent
    /// first.
    pub(super) fn block(&mut self, batch: Box<Batch>) -> Stage {
        match self.state.client.block(batch, false) {
            Some(batch) if batch.is_waiting() => Stage::Writing(batch),
            Some(mut batch) => {
                batch.belong_to(&self.state.client);
                Stage::Running(batch)
            }
            None => {
                self.is_dispatched = true;
                self.state.client.busy();
                Stage::Dispatched
            }
        }
    }

    /// Answers a request that was resolved to no command.
    fn answer_uncommon(&mut self, resolved: Resolved<CommandRef>, batch: &mut Batch) {
        let routes = &self.state.server.routes;
        match resolved {
            Resolved::CrossProtocol => {
                self.state.server.warn_of_cross_protocol(&self.state.client);
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

    /// Runs a command of the connection itself.
    fn answer(&mut self, target: CommandRef, batch: &mut Batch) {
        let row = target.row.get::<ConnectionState>();
        batch.begin();
        batch.step(Some(&row.spec), |call, out| (row.run)(&mut self.state, call, &mut (), out));
        batch.out.encoder_mut().set_protocol(self.state.client.protocol());
        if batch.is_observed() {
            batch.tell_of_keys();
        }
    }

    fn say_what_is_broken(&mut self, batch: &mut Batch) {
        let Some(error) = self.broken.take().filter(|_| !self.state.closing) else { return };
        let client = &self.state.client;
        tracing::info!(id = client.id(), client = %client.addr(), %error, "closed");
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
                client.active(self.state.server.now());
                if batch.has_requests() || batch.is_observed() {
                    batch.belong_to(client);
                }
                self.state.replies = batch.out.mode();
                Ok(Stage::Running(batch))
            }
            Collected::Dispatched => Ok(self.wait(Stage::Dispatched)),
            Collected::Blocked => self.wait_for_reply(cx),
        }
    }

    /// A request waits for its reply: until that is there, pushes are sent, and a client that leaves is
    /// noticed.
    #[cold]
    fn wait_for_reply(&mut self, cx: &mut TaskContext<'_>) -> io::Result<Stage> {
        if self.state.client.is_pushed_to() {
            return Ok(Stage::Writing(self.take_pushed(Batch::new())));
        }
        match self.read_up_to(BEHIND_WAITING, cx)? {
            ReadAhead::End => Ok(Stage::Ended),
            ReadAhead::More => Ok(self.wait(Stage::Dispatched)),
        }
    }

    fn write(&mut self, mut batch: Box<Batch>, cx: &mut TaskContext<'_>) -> io::Result<Stage> {
        let before = batch.sent;
        let written = self.stream.poll_write(batch.out.encoder(), &mut batch.sent, cx)?;
        let progress = batch.sent - before;
        self.state.server.stats.sent(progress);
        if written.is_pending() {
            self.wait_for_room(&mut batch, progress > 0, cx)?;
            return Ok(self.wait(Stage::Writing(batch)));
        }
        self.state.account_output(0);
        self.state.client.note_sent();
        if batch.is_streaming() {
            batch.forget_replies();
            return self.write_streaming(batch, cx);
        }
        if batch.has_requests() {
            batch.forget_replies();
            return Ok(Stage::Running(batch));
        }
        batch.recycle();
        if self.is_dispatched {
            return Ok(Stage::Dispatched);
        }
        self.state.wait_for_rest();
        Ok(if self.state.closing { Stage::Closing(None) } else { Stage::Reading })
    }

    /// A reply has a rest: some of that is sent next.
    #[cold]
    fn write_streaming(&mut self, mut batch: Box<Batch>, cx: &mut TaskContext<'_>) -> io::Result<Stage> {
        self.state.client.active(self.state.server.now());
        match batch.poll_streaming(cx)? {
            Poll::Ready(true) => Ok(Stage::Running(batch)),
            Poll::Ready(false) => {
                // Others have their turn between two parts.
                cx.waker().wake_by_ref();
                Ok(self.wait(Stage::Writing(batch)))
            }
            Poll::Pending if !batch.out.encoder().is_empty() => Ok(Stage::Writing(batch)),
            Poll::Pending => {
                self.state.client.busy();
                match self.read_up_to(BEHIND_WAITING, cx)? {
                    ReadAhead::End => Ok(Stage::Ended),
                    ReadAhead::More => Ok(self.wait(Stage::Writing(batch))),
                }
            }
        }
    }

    /// The client does not take its replies as fast as they could be sent.
    #[cold]
    fn wait_for_room(
        &mut self,
        batch: &mut Batch,
        progress: bool,
        cx: &mut TaskContext<'_>,
    ) -> io::Result<()> {
        let waiting = batch.out.encoder().len() - batch.sent;
        self.state.account_output(waiting);
        self.state.client.note_sent_up_to(batch.sent);
        if progress {
            self.state.client.active(self.state.server.now());
            batch.stuck = None;
        }
        let stuck = batch.stuck.get_or_insert_with(|| Box::pin(sleep(STUCK)));
        let is_stuck = stuck.as_mut().poll(cx).is_ready();
        if self.state.is_output_over(waiting, is_stuck) {
            let client = &self.state.client;
            tracing::warn!(
                id = client.id(), client = %client.addr(), waiting,
                "closed: it does not read its replies"
            );
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        if is_stuck {
            self.read_up_to(READ_AHEAD, cx)?;
        }
        Ok(())
    }

    /// Reads requests that are run later. A client that writes a whole pipeline before it reads any
    /// of the replies, as many do, would otherwise wait for this server, and this server for it. One
    /// that waits for a reply may leave.
    #[cold]
    fn read_up_to(&mut self, most: usize, cx: &mut TaskContext<'_>) -> io::Result<ReadAhead> {
        let mut ahead = ReadAhead::More;
        while self.unread() < most && !self.closes_bulk() {
            match self.poll_read(cx)? {
                Poll::Ready(0) => {
                    ahead = ReadAhead::End;
                    break;
                }
                Poll::Ready(read) => self.state.server.stats.received(read),
                Poll::Pending => break,
            }
            self.undecoded = true;
        }
        // It is the client that waits, and not the server for the rest of a request.
        self.state.account_input(self.unread(), true);
        Ok(ahead)
    }

    /// Bytes of requests that have arrived and are not part of a batch that is run.
    fn unread(&self) -> usize {
        self.incoming.as_ref().map_or(0, |incoming| incoming.unread_len())
    }

    /// A large bulk has arrived whole: what comes next is to be decoded.
    fn closes_bulk(&self) -> bool {
        let partial_bulk = self.incoming.as_ref().and_then(|batch| batch.partial_bulk.as_ref());
        partial_bulk.is_some_and(|partial_bulk| partial_bulk.missing == 0)
    }

    /// Ends the connection in order: when the client has ended its side, when it has nothing more to
    /// say, or after a while.
    fn close(&mut self, until: Option<Pin<Box<Sleep>>>, cx: &mut TaskContext<'_>) -> Stage {
        self.stream.shutdown(cx);
        let mut is_sending = until.is_some();
        while let Poll::Ready(read) = with_scratch(|scratch| self.stream.poll_read(scratch, cx)) {
            match read {
                Ok(0) | Err(_) => return Stage::Ended,
                Ok(_) => is_sending = true,
            }
        }
        if !is_sending {
            return Stage::Ended;
        }
        let mut until = until.unwrap_or_else(|| Box::pin(sleep(LINGER)));
        match until.as_mut().poll(cx) {
            Poll::Ready(()) => Stage::Ended,
            Poll::Pending => self.wait(Stage::Closing(Some(until))),
        }
    }

    /// A handshake that fails may be a matter of this server's certificate, or of a client that nobody knows. Who connects
    /// and leaves again has not begun one.
    #[cfg(feature = "tls")]
    fn tell_of_handshake(&self, end: &io::Result<()>) {
        use io::ErrorKind::{InvalidData, TimedOut};
        if let (Stream::Tls(tls), Err(error)) = (&self.stream, end)
            && tls.has_failed()
            && matches!(error.kind(), InvalidData | TimedOut)
        {
            let client = &self.state.client;
            tracing::info!(id = client.id(), client = %client.addr(), %error, "closed: its TLS handshake has failed");
        }
    }

    /// Why it is over.
    fn reason(&self, end: io::Result<()>) -> String {
        if let Err(error) = end {
            return error.to_string();
        }
        let reason = match self.state.client.close_request() {
            CloseRequest::Now => "it was killed",
            CloseRequest::Graceful => "the server stops",
            CloseRequest::None if self.state.closing => "it has its last reply",
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

/// The life of a connection, as a future of its actor.
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
        connection.tell_of_handshake(&end);
        let client = &connection.state.client;
        let reason = || connection.reason(end);
        tracing::debug!(id = client.id(), client = %client.addr(), reason = reason(), "connection closed");
        context.stop();
        Poll::Ready(())
    }
}
