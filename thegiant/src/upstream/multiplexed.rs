//! A connection to an upstream that many clients share.

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
    resp::{Encoder, FramePart, FrameScanner},
    stream::{Stream, with_read_buffer},
};

/// A multiplexed connection in any state: open, lost, or not opened yet.
pub(super) struct MultiplexedConnection {
    pub(super) server: usize,
    pub(super) key: PoolKey,
    pub(super) stats: Arc<UpstreamStats>,
    state: State,
    outgoing: Outgoing,
    awaited: Awaited,
    /// The server is forgotten, and the task waits until another server takes its number.
    pub(super) is_suspended: bool,
    /// Wakes the task that connects, reads and writes.
    waker: Option<Waker>,
    /// Since the last tick, bytes arrived or the connection ceased to be idle.
    was_active: bool,
    /// Number of ticks without activity.
    silence: u32,
}

enum State {
    /// The connection is about to be opened. Written requests wait for it.
    New,
    Up(Stream),
    /// The task has to close the connection.
    Broken(LossReason),
    /// The last attempt to connect failed.
    Down(LossReason),
}

/// The requests that the socket has not accepted yet.
#[derive(Default)]
struct Outgoing {
    /// The bytes that are being written to the socket.
    writing: Encoder,
    /// Number of bytes of `writing` that the socket has accepted.
    written: usize,
    /// The bytes that follow `writing`.
    next: Encoder,
    /// Offset of `writing` in the stream of all bytes of all requests.
    base: u64,
}

/// The requests without a reply, and the state of the reply that is being read.
#[derive(Default)]
struct Awaited {
    /// The requests without a reply, in the order in which they were written.
    queue: VecDeque<Pending>,
    frames: FrameScanner,
    /// Number of bytes of the current reply that have arrived.
    reply_len: usize,
    /// The current reply, if it is passed on as a whole.
    ///
    /// This applies to errors, and to replies that have to be converted to RESP3.
    buffered: Vec<u8>,
    is_buffered: bool,
    /// See [`Dialled::is_older`].
    is_older: bool,
    /// Maximum length of a reply, in bytes.
    max_len: usize,
}

/// Requests with consecutive positions in one entry of the [`InFlightTable`].
struct Pending {
    id: InFlightId,
    /// Position of the first request without a complete reply.
    position: u32,
    /// Number of requests without a complete reply.
    count: u32,
    /// The requests of a transaction cannot be sent to another upstream one by one.
    is_in_transaction: bool,
    /// Offset of the first byte in the stream of all bytes of all requests.
    from: u64,
}

/// The number of seconds in which nothing has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// There is no connection.
    Down,
    /// No request waits for a reply.
    Idle(u32),
    /// Requests wait for their replies.
    Waited(u32),
}

/// Maximum number of reads before other tasks of the thread run.
const MAX_READS: usize = 16;

/// Maximum capacity of a buffer that is kept while the connection is idle, in bytes.
const MAX_IDLE_CAPACITY: usize = 64 * 1024;

/// Maximum number of unsent bytes. Further batches wait until the upstream has accepted some.
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
            is_suspended: false,
            waker: None,
            was_active: true,
            silence: 0,
        }
    }

    /// Returns the reason why the connection is down, or `None` if it accepts requests.
    pub(super) fn down(&self) -> Option<&LossReason> {
        match &self.state {
            State::New | State::Up(_) => None,
            State::Broken(reason) | State::Down(reason) => Some(reason),
        }
    }

    /// Returns the error for a request that cannot be sent.
    pub(super) fn refuse(&self) -> Error {
        self.stats.unsent(self.down().unwrap_or(&"there is no connection".into()), 1)
    }

    /// Adds a number of requests to the statistics.
    pub(super) fn count(&self, requests: u32) {
        self.stats.commands.fetch_add(requests.into(), Relaxed);
    }

    /// Returns whether the connection has too many unsent bytes for another request.
    pub(super) fn is_full(&self) -> bool {
        let Outgoing { writing, written, next, .. } = &self.outgoing;
        writing.len() - written + next.len() > HIGH_WATER
    }

    /// Appends a request to the unsent bytes.
    pub(super) fn write(&mut self, id: InFlightId, position: u32, is_in_transaction: bool, words: Words<'_>) {
        match self.awaited.queue.back_mut() {
            Some(last)
                if last.id == id
                    && last.position + last.count == position
                    && last.is_in_transaction == is_in_transaction =>
            {
                last.count += 1;
            }
            last => {
                if last.is_none() {
                    self.was_active = true;
                }
                let from = self.outgoing.end();
                self.awaited.queue.push_back(Pending { id, position, count: 1, is_in_transaction, from });
            }
        }
        words.write(&mut self.outgoing.next);
    }

    /// Sends the written requests. The task sends the bytes that the socket does not accept now.
    pub(super) fn flush(&mut self) {
        let State::Up(stream) = &mut self.state else { return };
        // If the socket is full, `wake` below lets the task register its own waker.
        match self.outgoing.poll_write(stream, &mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => {}
            // The task reads the remaining replies first, and then gets the same error.
            Poll::Ready(Err(_)) | Poll::Pending => self.wake(),
        }
    }

    pub(super) fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    /// Lets the task close the connection.
    pub(super) fn give_up(&mut self, reason: LossReason) {
        if let State::Up(_) = self.state {
            self.state = State::Broken(reason);
            self.wake();
        }
    }

    /// Starts to use an open connection, and sends the requests that waited for it.
    pub(super) fn connected(&mut self, Dialled { stream, is_older }: Dialled) {
        self.state = State::Up(stream);
        self.awaited.is_older = is_older;
        self.was_active = true;
        self.silence = 0;
        self.flush();
    }

    /// Returns the id of the oldest request that was sent and has no reply.
    pub(super) fn oldest(&self) -> Option<InFlightId> {
        let sent = self.outgoing.sent();
        self.awaited.queue.front().filter(|pending| pending.from < sent).map(|pending| pending.id)
    }

    /// Returns whether all requests have their replies.
    pub(super) fn is_answered(&self) -> bool {
        self.awaited.queue.is_empty()
    }

    /// Returns the number of bytes that the socket has accepted.
    pub(super) fn sent(&self) -> u64 {
        self.outgoing.sent()
    }

    /// Returns the open connection.
    pub(super) fn into_dialled(self) -> Option<Dialled> {
        match self.state {
            State::Up(stream) => Some(Dialled { stream, is_older: self.awaited.is_older }),
            _ => None,
        }
    }

    /// Handles the loss of the connection. Sent requests fail. Unsent requests wait for the next connection.
    pub(super) fn lost(&mut self, reason: &LossReason, in_flight: &mut InFlightTable) {
        self.state = State::New;
        let sent = self.outgoing.sent();
        let max_len = self.awaited.max_len;
        let awaited = mem::replace(&mut self.awaited, Awaited { max_len, ..Awaited::default() });
        let mut sent_requests = awaited.queue;
        let first_unsent = sent_requests.partition_point(|pending| pending.from < sent);
        self.awaited.queue = sent_requests.split_off(first_unsent);
        let first_byte = self.awaited.queue.front().map(|pending| pending.from);
        self.outgoing = first_byte.map(|from| self.outgoing.starting_at(from)).unwrap_or_default();
        for Pending { id, position, count, .. } in sent_requests {
            let client_requests = if in_flight.has_requester(id) { count } else { 0 };
            let error = self.stats.lost(reason, client_requests);
            for position in position..position + count {
                in_flight.fail(id, position, &error);
            }
        }
    }

    /// Handles a failed attempt to connect.
    ///
    /// All requests fail, except unsent ones that another upstream may be able to answer.
    pub(super) fn disconnected(&mut self, reason: &LossReason, in_flight: &mut InFlightTable) {
        self.lost(reason, in_flight);
        self.state = State::Down(LossReason::clone(reason));
        self.outgoing = Outgoing::default();
        for Pending { id, position, count, is_in_transaction, .. } in mem::take(&mut self.awaited.queue) {
            let client_requests = if in_flight.has_requester(id) { count } else { 0 };
            if in_flight.has_router && client_requests > 0 {
                let error = self.stats.unsent(reason, 0);
                for position in position..position + count {
                    let reason = RetryReason::Unsent(error.clone());
                    in_flight.retries.push_back(Retry {
                        id,
                        position,
                        is_in_transaction,
                        reason,
                        refreshes: 0,
                    });
                }
                continue;
            }
            let error = self.stats.unsent(reason, client_requests);
            for position in position..position + count {
                in_flight.fail(id, position, &error);
            }
        }
    }

    /// Accepts requests again, because an attempt to connect is about to begin.
    pub(super) fn reconnecting(&mut self) {
        if let State::Down(_) = self.state {
            self.state = State::New;
        }
    }

    /// Measures the silence. The proxy calls this method once a second.
    pub(super) fn tick(&mut self) -> Silence {
        if !matches!(self.state, State::Up(_)) {
            return Silence::Down;
        }
        self.silence = if mem::take(&mut self.was_active) { 0 } else { self.silence + 1 };
        if self.awaited.queue.is_empty() {
            self.awaited.queue.shrink_to(MAX_IDLE_CAPACITY / size_of::<Pending>());
            Silence::Idle(self.silence)
        } else {
            Silence::Waited(self.silence)
        }
    }

    /// Reads and writes until the socket would block. Returns `Ready` when the connection is lost.
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
        for _ in 0..MAX_READS {
            if self.poll_read(in_flight, cx)?.is_pending() {
                // The replies come before the write error: they may contain the reason for it.
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
                self.was_active = true;
                taken.map(Poll::Ready)
            }
        }
    }
}

impl Outgoing {
    /// Returns the offset of the next request in the stream of all bytes.
    fn end(&self) -> u64 {
        self.base + (self.writing.len() + self.next.len()) as u64
    }

    /// Returns the unsent bytes from this offset on, for another connection.
    fn starting_at(&self, from: u64) -> Self {
        let start = usize::try_from(from - self.base).unwrap_or(usize::MAX);
        let mut next = Encoder::default();
        for (part, start) in [(&self.writing, start), (&self.next, start.saturating_sub(self.writing.len()))]
        {
            let bytes = part.to_vec();
            next.raw(bytes.get(start..).unwrap_or_default());
        }
        Outgoing { next, base: from, ..Outgoing::default() }
    }

    /// Returns the number of bytes that the socket has accepted.
    fn sent(&self) -> u64 {
        self.base + self.written as u64
    }

    /// Writes until all bytes are sent or the socket would block.
    fn poll_write(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(stream.poll_write(&self.writing, &mut self.written, cx))?;
            if self.next.is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.base += mem::take(&mut self.written) as u64;
            self.writing.clear();
            self.writing.shrink_to(MAX_IDLE_CAPACITY);
            mem::swap(&mut self.writing, &mut self.next);
        }
    }
}

impl Awaited {
    /// Takes replies apart, and passes each to its request.
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
            // Pushes are discarded: the upstream cannot know the clients that share this connection.
            if self.frames.is_push() {
                continue;
            }
            let Some(pending) = self.queue.front_mut() else {
                return Err("unexpected reply from upstream".into());
            };
            if self.reply_len == 0 {
                self.is_buffered = self.is_older || part.starts_with(b"-");
            }
            self.reply_len += len;
            let fits = self.reply_len <= self.max_len;
            match (self.is_buffered, fits) {
                (false, true) => in_flight.append(pending.id, pending.position, part),
                (true, true) => self.buffered.extend_from_slice(part),
                (_, false) => {}
            }
            if is_complete {
                let Pending { id, position, is_in_transaction, .. } = *pending;
                pending.count -= 1;
                pending.position += 1;
                if pending.count == 0 {
                    self.queue.pop_front();
                }
                self.reply_len = 0;
                let buffered = mem::take(&mut self.buffered);
                if !fits {
                    in_flight.fail(id, position, &too_long(&stats.address));
                } else if in_flight.has_router && buffered.starts_with(b"-") && in_flight.has_requester(id) {
                    let reason = RetryReason::Replied(buffered);
                    in_flight.retries.push_back(Retry {
                        id,
                        position,
                        is_in_transaction,
                        reason,
                        refreshes: 0,
                    });
                } else {
                    self.end(id, position, buffered, in_flight);
                }
            }
        }
        Ok(())
    }

    /// Completes a reply, after passing on the part that was buffered.
    fn end(&self, id: InFlightId, position: u32, buffered: Vec<u8>, in_flight: &mut InFlightTable) {
        if self.is_buffered {
            let buffered = if self.is_older { as_resp3(buffered) } else { buffered };
            in_flight.append(id, position, &buffered);
        }
        in_flight.end(id, position);
    }
}

fn too_long(address: &str) -> Error {
    Error::new("UPSTREAM", format_args!("the reply of {address} is too long"))
}
