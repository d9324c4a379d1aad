//! A connection to an upstream that the requests of many clients share.

use std::{
    collections::VecDeque,
    io, mem,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, Waker, ready},
};

use super::{
    dial::{Dialled, LossReason, PoolKey, as_resp3, reason},
    handle::UpstreamStats,
    in_flight::{InFlightId, InFlightTable, Retry, RetryReason},
    router::Words,
};
use crate::{
    Error,
    connection::{Stream, with_read_buffer},
    resp::{Encoder, FramePart, FrameScanner},
};

/// A connection, or the attempts to have one.
pub(super) struct MultiplexedConnection {
    pub(super) server: usize,
    pub(super) key: PoolKey,
    pub(super) stats: Arc<UpstreamStats>,
    state: State,
    outgoing: Outgoing,
    awaited: Awaited,
    /// The server is forgotten, and the task waits for another server that takes its number.
    pub(super) has_batch: bool,
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
    Broken(LossReason),
    Down(LossReason),
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
    frames: FrameScanner,
    /// Bytes of the reply that has begun.
    begun: usize,
    /// These are held until all of it is there: it is an error, or has to be put in other words.
    held: Vec<u8>,
    is_held: bool,
    is_older: bool,
    max_len: usize,
}

/// Requests whose slots in one flight are in a row.
struct Pending {
    entry: InFlightId,
    slot: u32,
    left: u32,
    /// They belong together, and cannot be sent elsewhere one by one.
    is_bound: bool,
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

impl MultiplexedConnection {
    pub(super) fn new(server: usize, key: PoolKey, stats: Arc<UpstreamStats>, max_reply_len: usize) -> Self {
        MultiplexedConnection {
            server,
            key,
            stats,
            state: State::New,
            outgoing: Outgoing::default(),
            awaited: Awaited { max_len: max_reply_len, ..Awaited::default() },
            has_batch: false,
            waker: None,
            has_moved: true,
            silence: 0,
        }
    }

    /// RetryReason nothing can be sent, if so.
    pub(super) fn down(&self) -> Option<&LossReason> {
        match &self.state {
            State::New | State::Up(_) => None,
            State::Broken(reason) | State::Down(reason) => Some(reason),
        }
    }

    /// What is answered to a request that cannot be sent.
    pub(super) fn refuse(&self) -> Error {
        self.stats.unsent(self.down().unwrap_or(&"there is no connection".into()), 1)
    }

    /// So many requests are sent by it.
    pub(super) fn count(&self, requests: u32) {
        self.stats.commands.fetch_add(requests.into(), Relaxed);
    }

    /// Whether so much waits to be written that more has to wait.
    pub(super) fn is_full(&self) -> bool {
        let Outgoing { writing, written, behind, .. } = &self.outgoing;
        writing.len() - written + behind.len() > HIGH_WATER
    }

    /// Writes a request. If it is bound, it belongs to those of the same flight that come before and behind it.
    pub(super) fn write(&mut self, entry: InFlightId, slot: u32, is_bound: bool, words: Words<'_>) {
        match self.awaited.queue.back_mut() {
            Some(last)
                if last.entry == entry && last.slot + last.left == slot && last.is_bound == is_bound =>
            {
                last.left += 1;
            }
            last => {
                if last.is_none() {
                    self.has_moved = true;
                }
                let from = self.outgoing.end();
                self.awaited.queue.push_back(Pending { entry, slot, left: 1, is_bound, from });
            }
        }
        words.write(&mut self.outgoing.behind);
    }

    /// Sends what has been written; what the socket does not take now is left to the task.
    pub(super) fn flush(&mut self) {
        let State::Up(stream) = &mut self.state else { return };
        // The task is woken to have its own waker known.
        match self.outgoing.poll_write(stream, &mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => {}
            // The task reads what has come, and finds the same error.
            Poll::Ready(Err(_)) | Poll::Pending => self.wake(),
        }
    }

    pub(super) fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    /// It is of no use any more.
    pub(super) fn give_up(&mut self, reason: LossReason) {
        if let State::Up(_) = self.state {
            self.state = State::Broken(reason);
            self.wake();
        }
    }

    /// There is a connection.
    pub(super) fn connected(&mut self, Dialled { stream, is_older }: Dialled) {
        self.state = State::Up(stream);
        self.awaited.is_older = is_older;
        self.has_moved = true;
        self.silence = 0;
        self.flush();
    }

    /// The flight of the oldest request that has been sent and not been answered.
    pub(super) fn oldest(&self) -> Option<InFlightId> {
        let sent = self.outgoing.sent();
        self.awaited.queue.front().filter(|pending| pending.from < sent).map(|pending| pending.entry)
    }

    /// Whether all requests have been answered.
    pub(super) fn is_answered(&self) -> bool {
        self.awaited.queue.is_empty()
    }

    /// How many bytes the socket has taken.
    pub(super) fn sent(&self) -> u64 {
        self.outgoing.sent()
    }

    /// Takes the connection away.
    pub(super) fn take(self) -> Option<Dialled> {
        match self.state {
            State::Up(stream) => Some(Dialled { stream, is_older: self.awaited.is_older }),
            _ => None,
        }
    }

    /// The connection is lost, and there will be another one. The requests that have been sent fail, and the others wait.
    pub(super) fn lost(&mut self, reason: &LossReason, in_flight: &mut InFlightTable) {
        self.state = State::New;
        let sent = self.outgoing.sent();
        let max_len = self.awaited.max_len;
        let awaited = mem::replace(&mut self.awaited, Awaited { max_len, ..Awaited::default() });
        let mut were_sent = awaited.queue;
        let first_unsent = were_sent.partition_point(|pending| pending.from < sent);
        self.awaited.queue = were_sent.split_off(first_unsent);
        let rest = self.awaited.queue.front().map(|pending| pending.from);
        self.outgoing = rest.map(|from| self.outgoing.behind(from)).unwrap_or_default();
        for Pending { entry, slot, left, .. } in were_sent {
            let count = if in_flight.is_asked_for(entry) { left } else { 0 };
            let error = self.stats.lost(reason, count);
            for slot in slot..slot + left {
                in_flight.fail(entry, slot, &error);
            }
        }
    }

    /// There is no connection, and there will be none soon. All requests fail, or go elsewhere if they have not been sent.
    pub(super) fn disconnected(&mut self, reason: &LossReason, in_flight: &mut InFlightTable) {
        self.lost(reason, in_flight);
        self.state = State::Down(LossReason::clone(reason));
        self.outgoing = Outgoing::default();
        for Pending { entry, slot, left, is_bound, .. } in mem::take(&mut self.awaited.queue) {
            let count = if in_flight.is_asked_for(entry) { left } else { 0 };
            if in_flight.has_router && count > 0 {
                let error = self.stats.unsent(reason, 0);
                for slot in slot..slot + left {
                    let why = RetryReason::Unsent(error.clone());
                    in_flight.retries.push_back(Retry { entry, slot, is_bound, why, refreshes: 0 });
                }
                continue;
            }
            let error = self.stats.unsent(reason, count);
            for slot in slot..slot + left {
                in_flight.fail(entry, slot, &error);
            }
        }
    }

    /// There was no connection, but there soon will be: what is to be sent waits for it.
    pub(super) fn expect(&mut self) {
        if let State::Down(_) = self.state {
            self.state = State::New;
        }
    }

    /// A second has gone.
    pub(super) fn tick(&mut self) -> Silence {
        if !matches!(self.state, State::Up(_)) {
            return Silence::Down;
        }
        self.silence = if mem::take(&mut self.has_moved) { 0 } else { self.silence + 1 };
        if self.awaited.queue.is_empty() {
            self.awaited.queue.shrink_to(KEPT / size_of::<Pending>());
            Silence::Idle(self.silence)
        } else {
            Silence::Waited(self.silence)
        }
    }

    /// Reads and writes as far as it can; is ready when the connection is lost.
    pub(super) fn poll(&mut self, in_flight: &mut InFlightTable, cx: &mut Context<'_>) -> Poll<LossReason> {
        if self.waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
        match self.try_poll(in_flight, cx) {
            Ok(()) => Poll::Pending,
            Err(reason) => Poll::Ready(reason),
        }
    }

    fn try_poll(&mut self, in_flight: &mut InFlightTable, cx: &mut Context<'_>) -> Result<(), LossReason> {
        let stream = match &mut self.state {
            State::Up(stream) => stream,
            State::Broken(reason) => return Err(LossReason::clone(reason)),
            State::New | State::Down(_) => return Ok(()),
        };
        let written = self.outgoing.poll_write(stream, cx);
        for _ in 0..READS {
            if self.poll_read(in_flight, cx)?.is_pending() {
                // An upstream that takes no more may have replied why.
                return match written {
                    Poll::Ready(written) => written.map_err(reason),
                    Poll::Pending => Ok(()),
                };
            }
        }
        cx.waker().wake_by_ref();
        Ok(())
    }

    fn poll_read(
        &mut self,
        in_flight: &mut InFlightTable,
        cx: &mut Context<'_>,
    ) -> Result<Poll<()>, LossReason> {
        let State::Up(stream) = &mut self.state else { return Ok(Poll::Pending) };
        let (awaited, stats) = (&mut self.awaited, &self.stats);
        let read = with_read_buffer(|scratch| {
            let read = ready!(stream.poll_read(scratch, cx)).map_err(reason);
            Poll::Ready(read.and_then(|read| match read {
                0 => Err("it has closed the connection".into()),
                read => awaited.take(&scratch[..read], in_flight, stats),
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

    /// What begins at this place in all that has ever been written.
    fn behind(&self, from: u64) -> Self {
        let at = usize::try_from(from - self.base).unwrap_or(usize::MAX);
        let mut behind = Encoder::default();
        for (part, at) in [(&self.writing, at), (&self.behind, at.saturating_sub(self.writing.len()))] {
            let bytes = part.to_vec();
            behind.raw(bytes.get(at..).unwrap_or_default());
        }
        Outgoing { behind, base: from, ..Outgoing::default() }
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
            self.writing.clear();
            self.writing.shrink_to(KEPT);
            mem::swap(&mut self.writing, &mut self.behind);
        }
    }
}

impl Awaited {
    /// Gives replies to whom they are for.
    fn take(
        &mut self,
        mut input: &[u8],
        in_flight: &mut InFlightTable,
        stats: &UpstreamStats,
    ) -> Result<(), LossReason> {
        while !input.is_empty() {
            let FramePart { len, is_complete } =
                self.frames.advance(input).map_err(|error| error.to_string())?;
            let (part, rest) = input.split_at(len);
            input = rest;
            // What it says unasked is for nobody: it has not been told who is behind this connection.
            if self.frames.is_push() {
                continue;
            }
            let Some(pending) = self.queue.front_mut() else {
                return Err("it has replied to what was not asked".into());
            };
            if self.begun == 0 {
                self.is_held = self.is_older || part.starts_with(b"-");
            }
            self.begun += len;
            let is_wanted = self.begun <= self.max_len;
            match (self.is_held, is_wanted) {
                (false, true) => in_flight.part(pending.entry, pending.slot, part),
                (true, true) => self.held.extend_from_slice(part),
                (_, false) => {}
            }
            if is_complete {
                let Pending { entry, slot, is_bound, .. } = *pending;
                pending.left -= 1;
                pending.slot += 1;
                if pending.left == 0 {
                    self.queue.pop_front();
                }
                self.begun = 0;
                let held = mem::take(&mut self.held);
                if !is_wanted {
                    in_flight.fail(entry, slot, &too_long(&stats.address));
                } else if in_flight.has_router && held.starts_with(b"-") && in_flight.is_asked_for(entry) {
                    let why = RetryReason::Replied(held);
                    in_flight.retries.push_back(Retry { entry, slot, is_bound, why, refreshes: 0 });
                } else {
                    self.end(entry, slot, held, in_flight);
                }
            }
        }
        Ok(())
    }

    /// A reply is there, of which what has been held has not been given yet.
    fn end(&self, entry: InFlightId, slot: u32, held: Vec<u8>, in_flight: &mut InFlightTable) {
        if self.is_held {
            let held = if self.is_older { as_resp3(held) } else { held };
            in_flight.part(entry, slot, &held);
        }
        in_flight.end(entry, slot);
    }
}

fn too_long(address: &str) -> Error {
    Error::new("UPSTREAM", format_args!("the reply of {address} is too long"))
}
