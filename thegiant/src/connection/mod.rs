//! The actor per client: reads requests, has them run, writes the replies.

mod address;
mod burst;
mod client;
mod clients;
mod door;
mod group;
mod inbox;
mod pool;
mod presence;
mod responder;
mod routes;
mod session;
mod settle;
mod shared;
mod stream;
mod sweep;
mod transaction;
mod waiting;

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

use actix::{Actor, ActorContext, AsyncContext, Context, fut::ActorFuture};
use actix_rt::time::{Sleep, sleep};

pub use address::Address;
pub(crate) use burst::{Burst, MountId, NOT_ALLOWED, Queue, Target, Transaction};
pub use client::Client;
use client::Collected;
pub(crate) use client::{ClientFlag, Ends, Wish};
pub(crate) use clients::Clients;
pub(crate) use group::Settled;
pub use group::drain_settled;
pub use inbox::{Consumers, Drain, drain};
pub(crate) use inbox::{Inbox, STOPPED};
pub(crate) use presence::Presence;
pub use presence::{Connected, Disconnected};
pub use responder::{Responder, responder};
pub(crate) use routes::{CommandId, Routes};
pub(crate) use session::Session;
pub use settle::{Settle, Settlement};
pub(crate) use shared::{Parts, Pause, Shared};
pub(crate) use stream::Stream;
pub(crate) use sweep::Sweep;

use crate::{
    Error,
    builtin::{
        pubsub::{FOR_LISTENERS, not_for_listeners},
        transaction::{aborted_by, is_exec},
    },
    command::{Flags, Resolved, Spec},
    observe::Look,
    resp::{Decoder, Progress, ProtocolError, Replies},
};

/// All reads of a thread go through one buffer of this size.
const SCRATCH: usize = 64 * 1024;

/// How long a client may take none of its replies before its requests are read all the same, and how
/// many bytes of them: see [`Connection::read_up_to`].
const STUCK: Duration = Duration::from_secs(1);
const READ_AHEAD: usize = 64 * 1024 * 1024;

/// So many bytes are read behind a request that waits for its reply.
const BEHIND_WAITING: usize = 64 * 1024;

/// Of a lot that has been read ahead, requests of so many bytes make a burst.
const MAX_BURST: usize = 4 * 1024 * 1024;

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
/// It goes round in stages: a burst is read, run (by itself or by handler actors), and its replies
/// are written; then the next one is read. So replies keep the order of requests, and a client that
/// does not read its replies is not read either, but for the rest of a long pipeline.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: Stream,
    session: Session,
    decoder: Decoder,
    stage: Stage,
    /// Until it is woken.
    waits: bool,
    /// The beginning of a request; an idle connection has none.
    incoming: Option<Box<Burst>>,
    /// There may be whole requests in it.
    undecoded: bool,
    /// Why nothing more can be read; said when what came before has been answered.
    broken: Option<ProtocolError>,
    /// The client knows whom to wake.
    watching: bool,
    /// A burst is with an actor, or waits for a reply, whatever is sent in the meantime.
    is_away: bool,
}

#[derive(Debug)]
enum Stage {
    /// Waiting for requests.
    Reading,
    /// Requests of the burst are to be run.
    Running(Box<Burst>),
    /// The burst is with a handler actor, or waits for the reply to its next request.
    Away,
    /// The replies are being sent.
    Writing(Box<Burst>),
    /// All has been sent. What the client still sends is read until then, and forgotten: to close a
    /// socket with unread input would take back what it has not received yet.
    Closing(Option<Pin<Box<Sleep>>>),
    /// The connection is over.
    Ended,
}

/// Whether requests may be run.
enum Gate {
    Open,
    /// Not before the client has said who it is.
    Closed,
    /// Not while the client listens.
    Listening,
    /// Not before `EXEC`.
    Queueing,
    /// Not yet.
    Waiting,
}

/// What has been read ahead.
enum Ahead {
    More,
    /// All that there will ever be.
    End,
}

impl Connection {
    /// Starts serving a client.
    pub(crate) fn start(stream: Stream, shared: Arc<Shared>, client: Client) {
        let session = Session::new(shared, client);
        let connection = Connection {
            stream,
            decoder: Decoder::new(session.decode_limits()),
            session,
            stage: Stage::Reading,
            waits: false,
            incoming: None,
            undecoded: false,
            broken: None,
            watching: false,
            is_away: false,
        };
        Actor::start(connection);
    }

    /// Goes on as far as it can. It is ready when the connection is over.
    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        if !self.watching {
            self.session.client.watch(cx.waker());
            self.watching = true;
        }
        let mut stage = mem::replace(&mut self.stage, Stage::Away);
        loop {
            let wish = self.session.client.wish();
            stage = match stage {
                Stage::Ended => return Poll::Ready(Ok(())),
                _ if wish == Wish::Die => Stage::Ended,
                Stage::Reading if wish == Wish::Finish => Stage::Closing(None),
                Stage::Reading => self.read(cx)?,
                Stage::Running(burst) => match self.run(burst, cx) {
                    Stage::Writing(burst) if burst.has_tail() => self.write_tail(burst, cx)?,
                    stage => stage,
                },
                Stage::Away => self.collect(wish, cx)?,
                Stage::Writing(burst) => self.write(burst, cx)?,
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
        if self.session.client.is_pushed_to() {
            return Ok(Stage::Writing(self.take_pushed(Burst::new())));
        }
        if mem::take(&mut self.undecoded) {
            return self.decode();
        }
        match self.poll_read(cx)? {
            Poll::Ready(0) => Ok(Stage::Ended),
            Poll::Ready(read) => {
                self.session.shared.stats.received(read);
                self.decode()
            }
            Poll::Pending => Ok(self.wait(Stage::Reading)),
        }
    }

    /// Puts what is no reply behind the replies of a burst.
    #[cold]
    fn take_pushed(&mut self, mut burst: Box<Burst>) -> Box<Burst> {
        self.session.take_pushed(&mut burst.out);
        burst
    }

    #[inline(always)]
    fn poll_read(&mut self, cx: &mut TaskContext<'_>) -> Poll<io::Result<usize>> {
        if let Some(filling) = self.incoming.as_mut().and_then(|burst| burst.filling.as_mut()) {
            return self.stream.poll_fill(filling, cx);
        }
        with_scratch(|scratch| {
            let read = ready!(self.stream.poll_read(scratch, cx))?;
            if read > 0 {
                let burst = self.incoming.get_or_insert_with(Burst::new);
                burst.input.extend_from_slice(&scratch[..read]);
            }
            Poll::Ready(Ok(read))
        })
    }

    /// Makes requests of what has been read. If there are any, they are run next.
    fn decode(&mut self) -> io::Result<Stage> {
        let Some(mut burst) = self.incoming.take() else { return Ok(Stage::Reading) };
        burst.belong_to(&self.session.client);
        self.session.client.active(self.session.shared.now());
        self.decoder.set_limits(self.session.decode_limits());
        let from = self.decoder.start();
        let is_usual = self.session.is_authenticated() && burst.input.len() <= MAX_BURST;
        let routes = &self.session.shared.routes;
        self.broken = loop {
            if burst.filling.as_ref().is_some_and(|filling| filling.missing > 0) {
                break None;
            }
            if let Some(filling) = burst.filling.take() {
                let index = burst.push_large(filling.bytes.into());
                self.decoder.large_bulk_taken(index, &mut burst.spans);
            }
            match self.decoder.decode(&mut burst.input, &mut burst.spans) {
                Ok(Progress::Request) => {
                    burst.push_request(|call| routes.resolve(call));
                    if self.decoder.start() == burst.input.len() {
                        break None;
                    }
                }
                Ok(Progress::Incomplete) => break None,
                Ok(Progress::Large(len)) => burst.begin_large(self.decoder.position(), len),
                Err(error) => break Some(error),
            }
            if is_usual {
                continue;
            }
            let read = self.decoder.start();
            // What a client may send behind its password is known when that has been looked at.
            if !self.session.is_authenticated() && burst.has_requests() {
                return Ok(self.serve_one(burst, from..read));
            }
            if read > MAX_BURST {
                self.undecoded = true;
                break None;
            }
        };
        self.session.note_command(&burst);
        if self.broken.is_some() {
            return Ok(Stage::Running(burst));
        }
        self.set_incomplete_aside(burst)
    }

    /// Has one request run, which takes this part of what has arrived; the rest stays where it is.
    fn serve_one(&mut self, mut arrived: Box<Burst>, part: Range<usize>) -> Stage {
        let mut one = arrived.copy_requests(part);
        one.belong_to(&self.session.client);
        self.session.note_command(&one);
        self.session.account_input(arrived.unread_len(), true);
        self.incoming = Some(arrived);
        self.undecoded = true;
        Stage::Running(one)
    }

    /// Parts the complete requests from the beginning of the next one.
    fn set_incomplete_aside(&mut self, mut burst: Box<Burst>) -> io::Result<Stage> {
        let start = self.decoder.start();
        let step = if start == 0 {
            self.incoming = Some(burst);
            Stage::Reading
        } else {
            self.incoming = burst.split_off(start);
            self.decoder.rebase();
            Stage::Running(burst)
        };
        let unread = self.unread();
        self.session.account_input(unread, start > 0);
        let limit = self.session.query_buffer_limit();
        if unread + self.session.queued_len() > limit {
            let client = &self.session.client;
            tracing::warn!(
                id = client.id(), client = %client.addr(), limit,
                "closed: a request is over the query buffer limit"
            );
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        Ok(step)
    }

    /// Runs requests until the burst has to be sent away or its replies have to be sent.
    fn run(&mut self, mut burst: Box<Burst>, cx: &mut TaskContext<'_>) -> Stage {
        if burst.is_waiting() {
            return self.park(burst);
        }
        if burst.is_observed() {
            burst.tell_of_keys();
        }
        // An earlier burst may have changed these since this one was read.
        burst.out.set_protocol(self.session.client.protocol());
        burst.out.set_replies(self.session.replies);
        loop {
            while let Some(target) = burst.next_target() {
                match target {
                    Resolved::Command(target) => match self.gate(&mut burst, target) {
                        Gate::Open if target.mount == MountId::SESSION => self.answer(target, &mut burst),
                        Gate::Open => return self.send_away(burst, target, cx),
                        Gate::Closed => self.refuse_unknown(target, &mut burst),
                        Gate::Listening => {
                            let command = self.session.shared.routes.command(target.command);
                            burst.reject(|_, out| out.error(&not_for_listeners(command)));
                        }
                        Gate::Queueing => self.queue(&mut burst),
                        Gate::Waiting => return self.wait_for_gate(burst),
                    },
                    uncommon => self.answer_uncommon(uncommon, &mut burst),
                }
                if self.session.closing && !burst.is_transaction() {
                    burst.abandon_requests();
                }
            }
            let next = if burst.is_waiting() {
                self.run_transaction(burst)
            } else if burst.is_transaction() {
                self.end_transaction(burst)
            } else {
                break;
            };
            burst = match next {
                Ok(next) => next,
                Err(stage) => return stage,
            };
        }
        if !self.session.transaction.is_none() {
            self.session.note_queued();
        }
        if !burst.has_requests() && !burst.has_tail() {
            self.say_what_is_broken(&mut burst);
            // Before the replies are sent: who has them finds them counted, and who leaves is counted too.
            self.session.tally(&mut burst);
            self.session.replies = burst.out.replies();
            if self.session.client.is_pushed_to() && !self.session.closing {
                return Stage::Writing(self.take_pushed(burst));
            }
        }
        self.session.replies = burst.out.replies();
        Stage::Writing(burst)
    }

    /// Whether the next requests, as far as they have the same target, may be run now.
    fn gate(&self, burst: &mut Burst, target: Target) -> Gate {
        if self.session.is_free() && !self.session.shared.attention.is_any() {
            return Gate::Open;
        }
        self.guarded_gate(burst, target)
    }

    #[cold]
    fn guarded_gate(&self, burst: &mut Burst, target: Target) -> Gate {
        if self.session.transaction.is_running() {
            self.observe(burst);
            self.show(burst, target.mount);
            return Gate::Open;
        }
        let attention = &self.session.shared.attention;
        // Until it has said who it is, a client has a burst for each request.
        let command = self.session.shared.routes.command(target.command);
        if !self.session.is_authenticated() && !command.flags.contains(Flags::NO_AUTH) {
            return Gate::Closed;
        }
        if self.session.is_listener_only() && !FOR_LISTENERS.contains(&command.name) {
            return Gate::Listening;
        }
        let is_paused = attention.is(Look::Pause) && self.is_paused(burst, target);
        self.session.client.set(ClientFlag::Paused, is_paused);
        if is_paused {
            return Gate::Waiting;
        }
        if self.session.transaction.takes(target, command) {
            return Gate::Queueing;
        }
        self.observe(burst);
        // A transaction is shown as it is run, and then what has run it.
        if !is_exec(command) || !self.session.can_execute() {
            self.show(burst, target.mount);
        }
        Gate::Open
    }

    /// Sees to it that what is run next is timed, and told of, if somebody wants to know.
    fn observe(&self, burst: &mut Burst) {
        let attention = &self.session.shared.attention;
        burst.is_timed = attention.is(Look::Time);
        if attention.is(Look::Keys) {
            burst.observe();
        }
    }

    /// Shows what this mount is going to run next to those who want to see all.
    fn show(&self, burst: &mut Burst, mount: MountId) {
        if self.session.shared.attention.is(Look::Monitor) {
            burst.show(mount, |call, command| self.session.show(call, command));
        }
    }

    /// Whether these requests have to wait. What operators need goes on, and so does a connection
    /// that is to finish.
    fn is_paused(&self, burst: &Burst, target: Target) -> bool {
        let Some(pause) = self.session.shared.paused() else { return false };
        let waits = |flags: Flags| match pause.writes_only {
            true => flags.contains(Flags::WRITE) || flags.contains(Flags::MAY_REPLICATE),
            false => !flags.contains(Flags::ADMIN),
        };
        let routes = &self.session.shared.routes;
        let mut commands = burst.coming(target.mount).map(|(_, target)| routes.command(target.command));
        let queued = self.session.transaction.flags();
        let flags = |command: &Spec| command.flags.union(if is_exec(command) { queued } else { Flags::NONE });
        self.session.client.wish() == Wish::Live && commands.any(|command| waits(flags(command)))
    }

    /// The next request has to wait; what has been answered before it has not.
    fn wait_for_gate(&mut self, burst: Box<Burst>) -> Stage {
        self.session.replies = burst.out.replies();
        if !burst.out.is_empty() {
            return Stage::Writing(burst);
        }
        self.wait(Stage::Running(burst))
    }

    fn send_away(&mut self, burst: Box<Burst>, target: Target, cx: &mut TaskContext<'_>) -> Stage {
        let may_wait = self.session.shared.routes.command(target.command).flags.contains(Flags::BLOCKING);
        self.session.client.set_watched(may_wait && self.stream.watch(cx).is_pending());
        self.send_to(target.mount, burst)
    }

    fn send_to(&mut self, mount: MountId, burst: Box<Burst>) -> Stage {
        self.is_away = true;
        self.session.client.busy();
        // The client knows the waker already; it is called even if the answer is there.
        self.session.shared.routes.send(burst, mount);
        self.wait(Stage::Away)
    }

    /// A client that has not said who it is may not do this.
    #[cold]
    fn refuse_unknown(&self, target: Target, burst: &mut Burst) {
        let is_exec = is_exec(self.session.shared.routes.command(target.command));
        let error = if is_exec { aborted_by(&Error::NO_AUTH) } else { Error::NO_AUTH };
        burst.reject(|_, out| out.error(&error));
    }

    /// The next request waits for its reply, unless that has come by now. What comes before it is sent
    /// first.
    fn park(&mut self, burst: Box<Burst>) -> Stage {
        match self.session.client.park(burst, false) {
            Some(burst) if burst.is_waiting() => Stage::Writing(burst),
            Some(mut burst) => {
                burst.belong_to(&self.session.client);
                Stage::Running(burst)
            }
            None => {
                self.is_away = true;
                self.session.client.busy();
                Stage::Away
            }
        }
    }

    /// Answers a request that was resolved to no command.
    fn answer_uncommon(&mut self, resolved: Resolved<Target>, burst: &mut Burst) {
        let routes = &self.session.shared.routes;
        match resolved {
            Resolved::CrossProtocol => {
                self.session.shared.warn_of_cross_protocol(&self.session.client);
                self.session.closing = true;
            }
            Resolved::Help(_) if !self.session.is_authenticated() => {
                burst.reject(|_, out| out.error(&Error::NO_AUTH));
            }
            Resolved::Help(_) if self.session.transaction.queue().is_some() => self.queue(burst),
            Resolved::WrongArity(Target { mount: MountId::SESSION, command, .. }, _)
                if is_exec(routes.command(command)) =>
            {
                burst.reject(|call, out| out.error(&aborted_by(&call.wrong_arity_of(1))));
                self.session.end_transaction();
            }
            rejected => {
                burst.reject(|call, out| routes.table().answer(rejected, call, out));
                self.session.transaction.queue().into_iter().for_each(Queue::spoil);
            }
        }
    }

    /// Runs a command of the connection itself.
    fn answer(&mut self, target: Target, burst: &mut Burst) {
        let row = target.row.get::<Session>();
        burst.begin();
        burst.step(Some(&row.spec), |call, out| (row.run)(&mut self.session, call, &mut (), out));
        burst.out.set_protocol(self.session.client.protocol());
        if burst.is_observed() {
            burst.tell_of_keys();
        }
    }

    fn say_what_is_broken(&mut self, burst: &mut Burst) {
        let Some(error) = self.broken.take().filter(|_| !self.session.closing) else { return };
        let client = &self.session.client;
        tracing::info!(id = client.id(), client = %client.addr(), %error, "closed");
        let reply = error.reply();
        self.session.shared.stats.count_error(reply.code());
        if burst.out.replies() == Replies::On {
            burst.out.error(&reply);
        }
        self.session.closing = true;
    }

    fn collect(&mut self, wish: Wish, cx: &mut TaskContext<'_>) -> io::Result<Stage> {
        let client = &self.session.client;
        match client.collect(wish == Wish::Finish, cx) {
            Collected::Answered(mut burst) => {
                self.is_away = false;
                client.active(self.session.shared.now());
                if burst.has_requests() || burst.is_observed() {
                    burst.belong_to(client);
                }
                self.session.replies = burst.out.replies();
                Ok(Stage::Running(burst))
            }
            Collected::Away => Ok(self.wait(Stage::Away)),
            Collected::Parked => self.wait_for_reply(cx),
        }
    }

    /// A request waits for its reply: until that is there, pushes are sent, and a client that leaves is
    /// noticed.
    #[cold]
    fn wait_for_reply(&mut self, cx: &mut TaskContext<'_>) -> io::Result<Stage> {
        if self.session.client.is_pushed_to() {
            return Ok(Stage::Writing(self.take_pushed(Burst::new())));
        }
        match self.read_up_to(BEHIND_WAITING, cx)? {
            Ahead::End => Ok(Stage::Ended),
            Ahead::More => Ok(self.wait(Stage::Away)),
        }
    }

    fn write(&mut self, mut burst: Box<Burst>, cx: &mut TaskContext<'_>) -> io::Result<Stage> {
        let before = burst.sent;
        let written = self.stream.poll_write(&burst.out, &mut burst.sent, cx)?;
        let progress = burst.sent - before;
        self.session.shared.stats.sent(progress);
        if written.is_pending() {
            self.wait_for_room(&mut burst, progress > 0, cx)?;
            return Ok(self.wait(Stage::Writing(burst)));
        }
        self.session.account_output(0);
        self.session.client.note_sent();
        if burst.has_tail() {
            burst.forget_replies();
            return self.write_tail(burst, cx);
        }
        if burst.has_requests() {
            burst.forget_replies();
            return Ok(Stage::Running(burst));
        }
        burst.recycle();
        if self.is_away {
            return Ok(Stage::Away);
        }
        self.session.wait_for_rest();
        Ok(if self.session.closing { Stage::Closing(None) } else { Stage::Reading })
    }

    /// A reply has a rest: some of that is sent next.
    #[cold]
    fn write_tail(&mut self, mut burst: Box<Burst>, cx: &mut TaskContext<'_>) -> io::Result<Stage> {
        self.session.client.active(self.session.shared.now());
        match burst.poll_tail(cx)? {
            Poll::Ready(true) => Ok(Stage::Running(burst)),
            Poll::Ready(false) => {
                // Others have their turn between two parts.
                cx.waker().wake_by_ref();
                Ok(self.wait(Stage::Writing(burst)))
            }
            Poll::Pending if !burst.out.is_empty() => Ok(Stage::Writing(burst)),
            Poll::Pending => {
                self.session.client.busy();
                match self.read_up_to(BEHIND_WAITING, cx)? {
                    Ahead::End => Ok(Stage::Ended),
                    Ahead::More => Ok(self.wait(Stage::Writing(burst))),
                }
            }
        }
    }

    /// The client does not take its replies as fast as they could be sent.
    #[cold]
    fn wait_for_room(
        &mut self,
        burst: &mut Burst,
        progress: bool,
        cx: &mut TaskContext<'_>,
    ) -> io::Result<()> {
        let waiting = burst.out.len() - burst.sent;
        self.session.account_output(waiting);
        self.session.client.note_sent_up_to(burst.sent);
        if progress {
            self.session.client.active(self.session.shared.now());
            burst.stuck = None;
        }
        let stuck = burst.stuck.get_or_insert_with(|| Box::pin(sleep(STUCK)));
        let is_stuck = stuck.as_mut().poll(cx).is_ready();
        if self.session.is_output_over(waiting, is_stuck) {
            let client = &self.session.client;
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
    fn read_up_to(&mut self, most: usize, cx: &mut TaskContext<'_>) -> io::Result<Ahead> {
        let mut ahead = Ahead::More;
        while self.unread() < most && !self.closes_bulk() {
            match self.poll_read(cx)? {
                Poll::Ready(0) => {
                    ahead = Ahead::End;
                    break;
                }
                Poll::Ready(read) => self.session.shared.stats.received(read),
                Poll::Pending => break,
            }
            self.undecoded = true;
        }
        // It is the client that waits, and not the server for the rest of a request.
        self.session.account_input(self.unread(), true);
        Ok(ahead)
    }

    /// Bytes of requests that have arrived and are not part of a burst that is run.
    fn unread(&self) -> usize {
        self.incoming.as_ref().map_or(0, |incoming| incoming.unread_len())
    }

    /// A large bulk has arrived whole: what comes next is to be decoded.
    fn closes_bulk(&self) -> bool {
        let filling = self.incoming.as_ref().and_then(|burst| burst.filling.as_ref());
        filling.is_some_and(|filling| filling.missing == 0)
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
            let client = &self.session.client;
            tracing::info!(id = client.id(), client = %client.addr(), %error, "closed: its TLS handshake has failed");
        }
    }

    /// Why it is over.
    fn reason(&self, end: io::Result<()>) -> String {
        if let Err(error) = end {
            return error.to_string();
        }
        let reason = match self.session.client.wish() {
            Wish::Die => "it was killed",
            Wish::Finish => "the server stops",
            Wish::Live if self.session.closing => "it has its last reply",
            Wish::Live => "the client has left",
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
        let client = &connection.session.client;
        let reason = || connection.reason(end);
        tracing::debug!(id = client.id(), client = %client.addr(), reason = reason(), "connection closed");
        context.stop();
        Poll::Ready(())
    }
}
