//! A connection to an upstream that many clients share.

use std::{
    collections::VecDeque,
    mem,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use super::{
    CallError, Dialled, PoolKey, UpstreamStats,
    in_flight::{InFlightId, InFlightTable, Retry, RetryReason},
    outgoing::Outgoing,
};
use crate::{
    proxy::wire::{LossReason, ReplyReader, Words, as_resp3},
    stream::{Stream, with_read_buffer},
};

/// A multiplexed connection in any state: open, lost, or not opened yet.
pub(crate) struct MultiplexedConnection {
    pub(crate) server: usize,
    pub(crate) key: PoolKey,
    pub(crate) stats: Arc<UpstreamStats>,
    state: State,
    outgoing: Outgoing,
    awaited: Awaited,
    /// The server is forgotten, and the task waits until another server takes its number.
    pub(crate) is_suspended: bool,
    /// Wakes the task that connects, reads and writes.
    waker: Option<Waker>,
    /// Whether bytes have arrived, or the connection has ceased to be idle, since the last tick.
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

/// The requests without a reply, and the state of the reply that is being read.
struct Awaited {
    /// The requests without a reply, in the order in which they were written.
    queue: VecDeque<Pending>,
    reader: ReplyReader,
    /// The current reply, if it is passed on as a whole.
    whole: Option<Vec<u8>>,
    /// See [`Dialled::is_older`].
    is_older: bool,
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
pub(crate) enum Silence {
    /// No connection.
    Down,
    /// No request waits for a reply.
    Idle(u32),
    /// Requests wait for their replies.
    Waited(u32),
}

/// Maximum number of reads before other tasks of the thread run.
const MAX_READS: usize = 16;

/// Capacity of the queue of an idle connection, in requests.
const MAX_IDLE_QUEUE: usize = 2048;

/// Maximum number of unsent bytes. Further batches wait until the upstream has accepted some.
const HIGH_WATER: usize = 4 * 1024 * 1024;

impl MultiplexedConnection {
    pub(crate) fn new(server: usize, key: PoolKey, stats: Arc<UpstreamStats>, max_reply_len: usize) -> Self {
        MultiplexedConnection {
            server,
            key,
            stats,
            state: State::New,
            outgoing: Outgoing::default(),
            awaited: Awaited {
                queue: VecDeque::new(),
                reader: ReplyReader::new(max_reply_len),
                whole: None,
                is_older: false,
            },
            is_suspended: false,
            waker: None,
            was_active: true,
            silence: 0,
        }
    }

    /// Returns the reason why the connection is down, or `None` if it accepts requests.
    pub(crate) fn down(&self) -> Option<&LossReason> {
        match &self.state {
            State::New | State::Up(_) => None,
            State::Broken(reason) | State::Down(reason) => Some(reason),
        }
    }

    /// Returns whether the connection is open.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, State::Up(_))
    }

    /// Returns the error for a request that cannot be sent.
    pub(crate) fn refuse(&self) -> CallError {
        self.stats.unsent(self.down().unwrap_or(&"there is no connection".into()), 1)
    }

    /// Adds a number of requests to the statistics.
    pub(crate) fn count(&self, requests: u32) {
        self.stats.commands.add(requests.into());
    }

    /// Returns whether the connection has too many unsent bytes for another request.
    pub(crate) fn is_full(&self) -> bool {
        self.outgoing.unsent() > HIGH_WATER
    }

    /// Appends a request to the unsent bytes.
    pub(crate) fn write(&mut self, id: InFlightId, position: u32, is_in_transaction: bool, words: Words<'_>) {
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
        self.outgoing.push(words);
    }

    /// Sends the written requests. The task sends the bytes that the socket does not accept now.
    pub(crate) fn flush(&mut self) {
        let State::Up(stream) = &mut self.state else { return };
        // If the socket is full, `wake` below lets the task register its own waker.
        match self.outgoing.poll_write(stream, &mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => {}
            // The task reads the remaining replies first, and then gets the same error.
            Poll::Ready(Err(_)) | Poll::Pending => self.wake(),
        }
    }

    pub(crate) fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    /// Lets the task close the connection.
    pub(crate) fn give_up(&mut self, reason: LossReason) {
        if let State::Up(_) = self.state {
            self.state = State::Broken(reason);
            self.wake();
        }
    }

    /// Starts to use an open connection, and sends the requests that waited for it.
    pub(crate) fn connected(&mut self, Dialled { stream, is_older }: Dialled) {
        self.state = State::Up(stream);
        self.awaited.is_older = is_older;
        self.was_active = true;
        self.silence = 0;
        self.flush();
    }

    /// Returns the id of the oldest request that was sent and has no reply.
    pub(crate) fn oldest(&self) -> Option<InFlightId> {
        self.awaited_and_sent().next().map(|pending| pending.id)
    }

    /// Returns whether one of the requests that were sent and have no reply is slow by nature.
    ///
    /// An upstream may send the replies to several requests together, so the slow one is not always the oldest.
    pub(crate) fn waits_for_slow(&self, in_flight: &InFlightTable) -> bool {
        let mut requests = self.awaited_and_sent().flat_map(|pending| {
            (pending.position..pending.position + pending.count).map(|position| (pending.id, position))
        });
        requests.any(|(id, position)| in_flight.is_slow(id, position))
    }

    fn awaited_and_sent(&self) -> impl Iterator<Item = &Pending> {
        let sent = self.outgoing.sent();
        self.awaited.queue.iter().take_while(move |pending| pending.from < sent)
    }

    /// Returns the open connection with its requests. Another one will take its place.
    pub(crate) fn detach(&mut self) -> Self {
        let mut other = MultiplexedConnection::new(
            self.server,
            self.key,
            Arc::clone(&self.stats),
            self.awaited.reader.max_len(),
        );
        other.state = State::Broken(LossReason::Detached);
        other.waker = self.waker.take();
        other.wake();
        mem::replace(self, other)
    }

    /// Returns whether all requests have their replies.
    pub(crate) fn is_answered(&self) -> bool {
        self.awaited.queue.is_empty()
    }

    /// Returns the number of bytes that the socket has accepted.
    pub(crate) fn sent(&self) -> u64 {
        self.outgoing.sent()
    }

    /// Returns the open connection.
    pub(crate) fn into_dialled(self) -> Option<Dialled> {
        match self.state {
            State::Up(stream) => Some(Dialled { stream, is_older: self.awaited.is_older }),
            _ => None,
        }
    }

    /// Handles the loss of the connection. Sent requests fail. Unsent requests wait for the next connection.
    pub(crate) fn lost(&mut self, reason: &LossReason, in_flight: &mut InFlightTable) {
        self.state = State::New;
        let sent = self.outgoing.sent();
        let mut sent_requests = self.awaited.reset();
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
    pub(crate) fn disconnected(&mut self, reason: &LossReason, in_flight: &mut InFlightTable) {
        self.lost(reason, in_flight);
        self.state = State::Down(reason.clone());
        self.outgoing = Outgoing::default();
        for Pending { id, position, count, is_in_transaction, .. } in mem::take(&mut self.awaited.queue) {
            if in_flight.may_move(id) {
                let error = self.stats.unsent(reason, 0);
                for position in position..position + count {
                    let reason = RetryReason::Unsent(error.clone());
                    in_flight.retries.push_back(Retry::new(id, position, is_in_transaction, reason));
                }
            } else {
                let client_requests = if in_flight.has_requester(id) { count } else { 0 };
                let error = self.stats.unsent(reason, client_requests);
                for position in position..position + count {
                    in_flight.fail(id, position, &error);
                }
            }
        }
    }

    /// Accepts requests again, because an attempt to connect is about to begin.
    pub(crate) fn reconnecting(&mut self) {
        if let State::Down(_) = self.state {
            self.state = State::New;
        }
    }

    /// Measures the silence. The proxy calls this method once a second.
    pub(crate) fn tick(&mut self) -> Silence {
        if !matches!(self.state, State::Up(_)) {
            return Silence::Down;
        }
        self.silence = if mem::take(&mut self.was_active) { 0 } else { self.silence + 1 };
        if self.awaited.queue.is_empty() {
            self.awaited.queue.shrink_to(MAX_IDLE_QUEUE);
            Silence::Idle(self.silence)
        } else {
            Silence::Waited(self.silence)
        }
    }

    /// Reads and writes until the socket would block. Returns `Ready` when the connection is lost.
    pub(crate) fn poll(&mut self, in_flight: &mut InFlightTable, cx: &mut Context<'_>) -> Poll<LossReason> {
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
            State::Broken(reason) => return Err(reason.clone()),
            State::New | State::Down(_) => return Ok(()),
        };
        let written = self.outgoing.poll_write(stream, cx);
        for _ in 0..MAX_READS {
            if self.poll_read(in_flight, cx)?.is_pending() {
                // The replies come before the write error: they may contain the reason for it.
                return match written {
                    Poll::Ready(written) => written.map_err(LossReason::from),
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
        let (awaited, from) = (&mut self.awaited, (self.server, &*self.stats));
        let read = with_read_buffer(|scratch| {
            let read = ready!(stream.poll_read(scratch, cx)).map_err(LossReason::from);
            Poll::Ready(read.and_then(|read| match read {
                0 => Err(LossReason::closed()),
                read => awaited.take(&scratch[..read], in_flight, from),
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

impl Awaited {
    /// Prepares for another connection, and returns the requests without a reply.
    fn reset(&mut self) -> VecDeque<Pending> {
        self.reader.reset();
        (self.whole, self.is_older) = (None, false);
        mem::take(&mut self.queue)
    }

    /// Takes replies apart, and passes each to its request.
    fn take(
        &mut self,
        mut input: &[u8],
        in_flight: &mut InFlightTable,
        (server, stats): (usize, &UpstreamStats),
    ) -> Result<(), LossReason> {
        while let Some(part) = self.reader.next_part(&mut input)? {
            // Pushes are discarded: the upstream cannot know the clients that share this connection.
            if part.is_push {
                continue;
            }
            let Some(pending) = self.queue.front() else { return Err(UNEXPECTED.into()) };
            let Pending { id, position, is_in_transaction, .. } = *pending;
            // Errors may be redirects, and replies in RESP2 have to be converted.
            if part.is_first && (self.is_older || part.bytes.starts_with(b"-")) {
                self.whole = Some(Vec::new());
            }
            match &mut self.whole {
                _ if part.is_too_long => {}
                Some(whole) => whole.extend_from_slice(part.bytes),
                None => in_flight.append(id, position, part.bytes),
            }
            if !part.is_last {
                continue;
            }
            self.count_reply();
            match self.whole.take() {
                _ if part.is_too_long => in_flight.reply_error(id, position, &stats.too_long()),
                None => in_flight.end(id, position),
                Some(error) if error.starts_with(b"-") && in_flight.may_move(id) => {
                    let reason = RetryReason::Replied(server, error);
                    in_flight.retries.push_back(Retry::new(id, position, is_in_transaction, reason));
                }
                Some(reply) if self.is_older => in_flight.reply(id, position, &as_resp3(reply)),
                Some(error) => in_flight.reply(id, position, &error),
            }
        }
        Ok(())
    }

    /// Removes the oldest request, whose reply is complete.
    fn count_reply(&mut self) {
        if let Some(pending) = self.queue.front_mut() {
            pending.count -= 1;
            pending.position += 1;
            if pending.count == 0 {
                self.queue.pop_front();
            }
        }
    }
}

const UNEXPECTED: &str = "unexpected reply from upstream";
