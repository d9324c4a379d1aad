//! The actor per client: reads requests, has them run, writes the replies.

mod burst;
mod client;
mod inbox;
mod pool;
mod routes;
mod session;
mod shared;
mod stream;

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll, ready},
};

use actix::{Actor, ActorContext, AsyncContext, Context, fut::ActorFuture};

pub(crate) use burst::{Burst, MountId, Target};
pub(crate) use client::Wish;
pub use client::{Address, Client};
pub(crate) use inbox::Inbox;
pub use inbox::{Drain, drain};
pub(crate) use routes::Routes;
pub(crate) use session::Session;
pub(crate) use shared::Shared;
pub(crate) use stream::Stream;

use crate::{
    command::Resolved,
    resp::{Decoder, Progress, ProtocolError},
};

/// All reads of a thread go through one buffer of this size.
const SCRATCH: usize = 64 * 1024;

thread_local! {
    static SCRATCH_BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
}

/// A client's connection.
///
/// It goes round in four stages: a burst is read, run (by itself or by handler actors), and its
/// replies are written; then the next one is read. So replies keep the order of requests, and a
/// client that does not read its replies is not read either.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: Stream,
    session: Session,
    decoder: Decoder,
    stage: Stage,
    /// The burst that is being read, run or written; an idle connection has none.
    burst: Option<Box<Burst>>,
    /// The beginning of a request that came behind it.
    tail: Option<Box<Burst>>,
    /// Why nothing more can be read; said when the burst has been run.
    broken: Option<ProtocolError>,
    /// The client knows whom to wake.
    watching: bool,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Waiting for requests.
    Reading,
    /// Requests of the burst are to be run.
    Running,
    /// The burst is with a handler actor.
    Away,
    /// This much of the replies has been sent.
    Writing(usize),
}

impl Connection {
    /// Starts serving a client.
    pub(crate) fn start(stream: Stream, shared: Arc<Shared>, client: Client) {
        let decoder = Decoder::new(shared.options.decode_limits());
        let connection = Connection {
            stream,
            session: Session { shared, client, closing: false },
            decoder,
            stage: Stage::Reading,
            burst: None,
            tail: None,
            broken: None,
            watching: false,
        };
        Actor::start(connection);
    }

    /// Goes on as far as it can. It is ready when the connection is over.
    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        if !self.watching {
            self.session.client.watch(cx.waker());
            self.watching = true;
        }
        loop {
            match self.session.client.wish() {
                Wish::Finish if matches!(self.stage, Stage::Reading) => return Poll::Ready(Ok(())),
                Wish::Die => return Poll::Ready(Ok(())),
                Wish::Live | Wish::Finish => {}
            }
            match self.stage {
                Stage::Reading => {
                    if ready!(self.poll_read(cx))? == 0 {
                        return Poll::Ready(Ok(()));
                    }
                    self.decode()?;
                }
                Stage::Running => ready!(self.poll_run(cx)),
                Stage::Away => ready!(self.poll_collect(cx)),
                Stage::Writing(sent) => {
                    ready!(self.poll_write(sent, cx))?;
                    if self.session.closing {
                        return Poll::Ready(Ok(()));
                    }
                }
            }
        }
    }

    fn poll_read(&mut self, cx: &mut TaskContext<'_>) -> Poll<io::Result<usize>> {
        if let Some(filling) = self.burst.as_mut().and_then(|burst| burst.filling.as_mut()) {
            return self.stream.poll_fill(filling, cx);
        }
        SCRATCH_BUFFER.with_borrow_mut(|scratch| {
            let read = ready!(self.stream.poll_read(scratch, cx))?;
            if read > 0 {
                let client = &self.session.client;
                let burst = self.burst.get_or_insert_with(|| Burst::new(client));
                burst.input.extend_from_slice(&scratch[..read]);
            }
            Poll::Ready(Ok(read))
        })
    }

    /// Makes requests of what has been read. If there are any, they are run next.
    fn decode(&mut self) -> io::Result<()> {
        let Some(burst) = &mut self.burst else { return Ok(()) };
        self.session.client.not_idle();
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
                Ok(Progress::Request) => burst.push_request(|call| routes.resolve(call)),
                Ok(Progress::Incomplete) => break None,
                Ok(Progress::Large(len)) => burst.begin_large(self.decoder.position(), len),
                Err(error) => break Some(error),
            }
        };
        if self.broken.is_some() {
            self.stage = Stage::Running;
            return Ok(());
        }
        self.set_tail_aside();
        self.check_query_buffer()
    }

    /// Parts the complete requests from the beginning of the next one.
    fn set_tail_aside(&mut self) {
        let start = self.decoder.start();
        if start == 0 {
            return;
        }
        let Some(mut burst) = self.burst.take() else { return };
        let tail = burst.split_off(start);
        self.decoder.rebase();
        if burst.has_requests() {
            self.stage = Stage::Running;
            self.burst = Some(burst);
            self.tail = tail;
        } else {
            // Nothing but blank lines.
            burst.recycle();
            self.burst = tail;
        }
    }

    /// Closes the connection of a client whose request has no end in sight.
    fn check_query_buffer(&self) -> io::Result<()> {
        let Some(incomplete) = self.tail.as_ref().or(self.burst.as_ref()) else { return Ok(()) };
        let limit = self.session.shared.options.query_buffer_limit;
        if incomplete.unread_len() <= limit {
            return Ok(());
        }
        let client = self.session.client.addr();
        tracing::warn!(%client, limit, "closed: a request is over the query buffer limit");
        Err(io::ErrorKind::QuotaExceeded.into())
    }

    /// Runs requests until the burst has to be sent away, or has been answered.
    fn poll_run(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        let Some(mut burst) = self.burst.take() else { return Poll::Ready(()) };
        loop {
            if self.session.closing {
                burst.abandon_requests();
            }
            match burst.next_target() {
                None => break,
                Some(Resolved::Command(target)) if target.mount == MountId::SESSION => {
                    self.answer(target, &mut burst);
                }
                Some(Resolved::Command(target)) => {
                    self.stage = Stage::Away;
                    self.session.shared.routes.send(burst, target.mount);
                    // The client knows the waker already; it is called even if the answer is there.
                    self.stream.watch(cx);
                    return Poll::Pending;
                }
                Some(rejected) => {
                    let table = self.session.shared.routes.table();
                    burst.step(None, |call, out| table.answer(rejected, call, out));
                }
            }
        }
        if let Some(error) = self.broken.take().filter(|_| !self.session.closing) {
            let client = self.session.client.addr();
            tracing::info!(%client, %error, "closed");
            burst.out.error(&error.reply());
            self.session.closing = true;
        }
        self.stage = Stage::Writing(0);
        self.burst = Some(burst);
        Poll::Ready(())
    }

    /// Runs a command of the connection itself.
    fn answer(&mut self, target: Target, burst: &mut Burst) {
        let row = target.row.get::<Session>();
        burst.step(Some(&row.spec), |call, out| (row.run)(&mut self.session, call, &mut (), out));
        burst.out.set_protocol(self.session.client.protocol());
    }

    fn poll_collect(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        let Some(mut burst) = self.session.client.collect(cx.waker()) else {
            return Poll::Pending;
        };
        if burst.has_requests() {
            burst.belong_to(&self.session.client);
        }
        self.burst = Some(burst);
        self.stage = Stage::Running;
        Poll::Ready(())
    }

    fn poll_write(&mut self, mut sent: usize, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        let Some(burst) = &self.burst else { return Poll::Ready(Ok(())) };
        let written = self.stream.poll_write(&burst.out, &mut sent, cx);
        self.stage = Stage::Writing(sent);
        ready!(written)?;
        if let Some(burst) = std::mem::replace(&mut self.burst, self.tail.take()) {
            burst.recycle();
        }
        self.stage = Stage::Reading;
        Poll::Ready(Ok(()))
    }
}

impl Actor for Connection {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.spawn(Serve);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        tracing::debug!(client = %self.session.client.addr(), "connection closed");
        self.session.client.close();
        self.session.shared.forget(&self.session.client);
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
        if let Err(error) = ready!(connection.poll(cx)) {
            tracing::debug!(client = %connection.session.client.addr(), %error, "connection failed");
        }
        context.stop();
        Poll::Ready(())
    }
}
