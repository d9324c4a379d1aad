//! A connection to an upstream that the requests of many clients share.

use std::{
    collections::VecDeque,
    mem,
    task::{Context, Poll, Waker, ready},
};

use super::{
    dial::{Dialled, Lane, Reason, as_resp3, reason},
    relay::{FlightId, Flights},
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
    /// What is being written, and how much of it has been; and what comes behind it.
    writing: Encoder,
    written: usize,
    behind: Encoder,
    /// Where what is being written begins in all that has ever been.
    base: u64,
    /// The requests that wait for their replies, in their order.
    queue: VecDeque<Pending>,
    frames: Frames,
    /// Bytes of the reply that has begun; and these, if it has to be put in other words.
    begun: usize,
    older: Option<Vec<u8>>,
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
            writing: Encoder::default(),
            written: 0,
            behind: Encoder::default(),
            base: 0,
            queue: VecDeque::new(),
            frames: Frames::default(),
            begun: 0,
            older: None,
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
        self.writing.len() - self.written + self.behind.len() > HIGH_WATER
    }

    /// So many requests of a flight are written next.
    pub(super) fn announce(&mut self, flight: FlightId, left: u32) {
        if self.queue.is_empty() {
            self.has_moved = true;
        }
        let from = self.base + (self.writing.len() + self.behind.len()) as u64;
        self.queue.push_back(Pending { flight, left, from });
    }

    /// Writes a request that has been announced.
    pub(super) fn write(&mut self, call: &Call<'_>) {
        self.behind.array(call.len());
        for index in 0..call.len() {
            match call.large(index) {
                Some(large) => self.behind.bulk_bytes(large),
                None => self.behind.bulk(call.get(index).unwrap_or_default()),
            }
        }
    }

    /// Writes an announced request that is encoded already.
    pub(super) fn write_raw(&mut self, request: &[u8]) {
        self.behind.raw(request);
    }

    /// Sends what has been written; what the socket does not take now is left to the task.
    pub(super) fn flush(&mut self) {
        let State::Up(stream) = &self.state else { return };
        loop {
            match stream.write_now(&self.writing, &mut self.written) {
                Ok(true) if self.behind.is_empty() => return,
                Ok(true) => turn(&mut self.base, &mut self.writing, &mut self.written, &mut self.behind),
                Ok(false) => break self.wake(),
                Err(error) => return self.give_up(reason(error)),
            }
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
        self.older = is_older.then(Vec::new);
        self.has_moved = true;
        self.silence = 0;
        self.flush();
    }

    /// There is none. What waits for its reply is told.
    pub(super) fn disconnected(&mut self, reason: &Reason, flights: &mut Flights) {
        self.state = State::Down(Reason::clone(reason));
        // Of what comes behind these bytes, nothing has been sent.
        let written = self.base + self.written as u64;
        for pending in mem::take(&mut self.queue) {
            flights.fail(pending.flight, pending.left, reason, pending.from < written);
        }
        self.writing = Encoder::default();
        self.behind = Encoder::default();
        self.base = 0;
        self.written = 0;
        self.frames = Frames::default();
        self.begun = 0;
    }

    /// A second has gone.
    pub(super) fn tick(&mut self) -> Silence {
        if !matches!(self.state, State::Up(_)) {
            return Silence::Down;
        }
        self.silence = if mem::take(&mut self.has_moved) { 0 } else { self.silence + 1 };
        if self.queue.is_empty() { Silence::Idle(self.silence) } else { Silence::Waited(self.silence) }
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
        while stream.poll_write(&self.writing, &mut self.written, cx).map_err(reason)?.is_ready()
            && !self.behind.is_empty()
        {
            turn(&mut self.base, &mut self.writing, &mut self.written, &mut self.behind);
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
        let (frames, queue, begun, older) =
            (&mut self.frames, &mut self.queue, &mut self.begun, &mut self.older);
        let read = with_scratch(|scratch| {
            let read = ready!(stream.poll_read(scratch, cx)).map_err(reason);
            let taken = read.and_then(|read| match read {
                0 => Err("it has closed the connection".into()),
                read => take(&scratch[..read], frames, queue, begun, older, flights),
            });
            Poll::Ready(taken)
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

/// All has been written: what is behind it is next.
fn turn(base: &mut u64, writing: &mut Encoder, written: &mut usize, behind: &mut Encoder) {
    *base += mem::take(written) as u64;
    writing.clear(KEPT);
    mem::swap(writing, behind);
}

/// Gives replies to whom they are for.
fn take(
    mut input: &[u8],
    frames: &mut Frames,
    queue: &mut VecDeque<Pending>,
    begun: &mut usize,
    older: &mut Option<Vec<u8>>,
    flights: &mut Flights,
) -> Result<(), Reason> {
    while !input.is_empty() {
        let (used, done) = frames.advance(input).map_err(|malformed| malformed.to_string())?;
        let (part, rest) = input.split_at(used);
        input = rest;
        // What it says unasked is for nobody: it has not been told who is behind this connection.
        if frames.is_push() {
            continue;
        }
        let Some(pending) = queue.front_mut() else {
            return Err("it has replied to what was not asked".into());
        };
        *begun += used;
        match older {
            None => flights.take(pending.flight, part, *begun, done),
            Some(reply) => {
                if flights.is_wanted(*begun) {
                    reply.extend_from_slice(part);
                }
                if done {
                    flights.take(pending.flight, &as_resp3(mem::take(reply)), *begun, true);
                }
            }
        }
        if done {
            *begun = 0;
            pending.left -= 1;
            if pending.left == 0 {
                queue.pop_front();
            }
        }
    }
    Ok(())
}
