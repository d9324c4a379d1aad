//! A connection to an upstream that the requests of many clients share.

use std::{
    collections::VecDeque,
    io, mem,
    task::{Context, Poll, Waker, ready},
};

use super::{
    dial::{Dialled, Lane, Reason, as_resp3, reason},
    flights::{FlightId, Flights},
};
use crate::{
    command::Call,
    connection::{Stream, with_scratch},
    resp::{Encoder, Frames},
};

/// A connection, or the attempts to have one.
pub(super) struct Link {
    pub(super) lane: Lane,
    state: State,
    outgoing: Outgoing,
    awaited: Awaited,
    /// Of the task that reads, writes and connects.
    waker: Option<Waker>,
    /// Whether something has come, or has begun to be waited for, since the last second; and for how many seconds not.
    has_moved: bool,
    silence: u32,
}

enum State {
    /// It has never been there: what is to be sent waits.
    New,
    Up(Stream),
    /// It is to be given up.
    Broken(Reason),
    Down(Reason),
}

/// What is to be written.
#[derive(Default)]
struct Outgoing {
    /// What is being written, and how much of it has been; and what comes behind it.
    writing: Encoder,
    written: usize,
    behind: Encoder,
    /// Where what is being written begins in all that has ever been.
    base: u64,
}

/// The replies that are to come.
#[derive(Default)]
struct Awaited {
    /// The requests that wait for them, in their order.
    queue: VecDeque<Pending>,
    frames: Frames,
    /// Bytes of the reply that has begun; and these, if it has to be put in other words.
    begun: usize,
    older: Option<Vec<u8>>,
}

/// Requests in a row that are of one flight.
struct Pending {
    flight: FlightId,
    left: u32,
    /// Where they begin in all that is ever written.
    from: u64,
}

/// For how many seconds nothing has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// There is no connection.
    Down,
    /// Nothing was waited for.
    Idle(u32),
    /// It was waited for.
    Waited(u32),
}

/// So many reads in a row, then others have their turn.
const READS: usize = 16;

/// Buffers of more bytes are not kept.
const KEPT: usize = 64 * 1024;

/// So many bytes may wait to be written; who wants to send more has to wait.
const HIGH_WATER: usize = 4 * 1024 * 1024;

impl Link {
    pub(super) fn new(lane: Lane) -> Self {
        Link {
            lane,
            state: State::New,
            outgoing: Outgoing::default(),
            awaited: Awaited::default(),
            waker: None,
            has_moved: true,
            silence: 0,
        }
    }

    /// Why nothing can be sent, if so.
    pub(super) fn down(&self) -> Option<&Reason> {
        match &self.state {
            State::New | State::Up(_) => None,
            State::Broken(reason) | State::Down(reason) => Some(reason),
        }
    }

    /// Whether so much waits to be written that more has to wait.
    pub(super) fn is_full(&self) -> bool {
        let Outgoing { writing, written, behind, .. } = &self.outgoing;
        writing.len() - written + behind.len() > HIGH_WATER
    }

    /// So many requests of a flight are written next.
    pub(super) fn announce(&mut self, flight: FlightId, left: u32) {
        if self.awaited.queue.is_empty() {
            self.has_moved = true;
        }
        self.awaited.queue.push_back(Pending { flight, left, from: self.outgoing.end() });
    }

    /// Writes a request that has been announced.
    pub(super) fn write(&mut self, call: &Call<'_>) {
        call.write(&mut self.outgoing.behind);
    }

    /// Writes an announced request that is encoded already.
    pub(super) fn write_raw(&mut self, request: &[u8]) {
        self.outgoing.behind.raw(request);
    }

    /// Sends what has been written; what the socket does not take now is left to the task.
    pub(super) fn flush(&mut self) {
        let State::Up(stream) = &mut self.state else { return };
        // The task is woken to have its own waker known.
        match self.outgoing.poll_write(stream, &mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => self.give_up(reason(error)),
            Poll::Pending => self.wake(),
        }
    }

    pub(super) fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    /// It is of no use any more.
    pub(super) fn give_up(&mut self, reason: Reason) {
        if let State::Up(_) = self.state {
            self.state = State::Broken(reason);
            self.wake();
        }
    }

    /// There is a connection.
    pub(super) fn connected(&mut self, Dialled { stream, is_older }: Dialled) {
        self.state = State::Up(stream);
        self.awaited.older = is_older.then(Vec::new);
        self.has_moved = true;
        self.silence = 0;
        self.flush();
    }

    /// There is none. What waits for its reply is told.
    pub(super) fn disconnected(&mut self, reason: &Reason, flights: &mut Flights) {
        self.state = State::Down(Reason::clone(reason));
        let sent = mem::take(&mut self.outgoing).sent();
        for pending in mem::take(&mut self.awaited).queue {
            flights.fail(pending.flight, pending.left, reason, pending.from < sent);
        }
    }

    /// A second has gone.
    pub(super) fn tick(&mut self) -> Silence {
        if !matches!(self.state, State::Up(_)) {
            return Silence::Down;
        }
        self.silence = if mem::take(&mut self.has_moved) { 0 } else { self.silence + 1 };
        if self.awaited.queue.is_empty() {
            Silence::Idle(self.silence)
        } else {
            Silence::Waited(self.silence)
        }
    }

    /// Reads and writes as far as it can; is ready when the connection is lost.
    pub(super) fn poll(&mut self, flights: &mut Flights, cx: &mut Context<'_>) -> Poll<Reason> {
        if self.waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
        match self.try_poll(flights, cx) {
            Ok(()) => Poll::Pending,
            Err(reason) => Poll::Ready(reason),
        }
    }

    fn try_poll(&mut self, flights: &mut Flights, cx: &mut Context<'_>) -> Result<(), Reason> {
        let stream = match &mut self.state {
            State::Up(stream) => stream,
            State::Broken(reason) => return Err(Reason::clone(reason)),
            State::New | State::Down(_) => return Ok(()),
        };
        if let Poll::Ready(written) = self.outgoing.poll_write(stream, cx) {
            written.map_err(reason)?;
        }
        for _ in 0..READS {
            if self.poll_read(flights, cx)?.is_pending() {
                return Ok(());
            }
        }
        cx.waker().wake_by_ref();
        Ok(())
    }

    fn poll_read(&mut self, flights: &mut Flights, cx: &mut Context<'_>) -> Result<Poll<()>, Reason> {
        let State::Up(stream) = &mut self.state else { return Ok(Poll::Pending) };
        let awaited = &mut self.awaited;
        let read = with_scratch(|scratch| {
            let read = ready!(stream.poll_read(scratch, cx)).map_err(reason);
            Poll::Ready(read.and_then(|read| match read {
                0 => Err("it has closed the connection".into()),
                read => awaited.take(&scratch[..read], flights),
            }))
        });
        match read {
            Poll::Pending => Ok(Poll::Pending),
            Poll::Ready(taken) => {
                self.has_moved = true;
                taken.map(Poll::Ready)
            }
        }
    }
}

impl Outgoing {
    /// Where what is written next begins, in all that has ever been.
    fn end(&self) -> u64 {
        self.base + (self.writing.len() + self.behind.len()) as u64
    }

    /// Of what comes behind these bytes, nothing has been sent.
    fn sent(&self) -> u64 {
        self.base + self.written as u64
    }

    /// Writes until there is nothing more or the socket is full.
    fn poll_write(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(stream.poll_write(&self.writing, &mut self.written, cx))?;
            if self.behind.is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.base += mem::take(&mut self.written) as u64;
            self.writing.clear(KEPT);
            mem::swap(&mut self.writing, &mut self.behind);
        }
    }
}

impl Awaited {
    /// Gives replies to whom they are for.
    fn take(&mut self, mut input: &[u8], flights: &mut Flights) -> Result<(), Reason> {
        while !input.is_empty() {
            let (used, done) = self.frames.advance(input).map_err(|malformed| malformed.to_string())?;
            let (part, rest) = input.split_at(used);
            input = rest;
            // What it says unasked is for nobody: it has not been told who is behind this connection.
            if self.frames.is_push() {
                continue;
            }
            let Some(pending) = self.queue.front_mut() else {
                return Err("it has replied to what was not asked".into());
            };
            self.begun += used;
            match &mut self.older {
                None => flights.take(pending.flight, part, self.begun, done),
                Some(reply) => {
                    if flights.is_wanted(self.begun) {
                        reply.extend_from_slice(part);
                    }
                    if done {
                        flights.take(pending.flight, &as_resp3(mem::take(reply)), self.begun, true);
                    }
                }
            }
            if done {
                self.begun = 0;
                pending.left -= 1;
                if pending.left == 0 {
                    self.queue.pop_front();
                }
            }
        }
        Ok(())
    }
}
