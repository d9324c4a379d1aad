//! The requests that one read of a socket brought in, and their replies.

mod checkpoint;
mod proxied;
mod streaming;
mod transaction;

use std::{
    fmt, mem,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
};

use actix_rt::time::Sleep;
use bytes::Bytes;
use tracing::{debug_span, level_filters::LevelFilter};

pub(crate) use checkpoint::BatchCheckpoint;
pub(crate) use transaction::{NOT_ALLOWED, Queue, Transaction};

use super::{Client, CommandId, batch_pool, batch_queue::Exclusive};
use crate::{
    Error,
    command::{Call, Commands, ReplyBuffer, ReplyMode, Resolved, RowId, Spec, StreamingReply},
    keyspace::Ran,
    observe::{BatchStats, Failure},
    resp::{BufferPosition, Encoder, Span},
};

/// The requests that one read of a socket brought in, and the replies to those that have run.
///
/// A batch is owned by the connection, or by the actor that runs its next request. The actor writes the
/// replies into the batch and returns it.
pub(crate) struct Batch {
    /// The bytes of the requests, without the large bulk strings.
    pub(crate) input: Vec<u8>,
    /// The arguments of all requests, in order.
    pub(crate) spans: Vec<Span>,
    /// Large bulk strings, each in its own buffer.
    large: Vec<Bytes>,
    large_len: usize,
    /// A large bulk string that is still being read.
    pub(crate) partial_bulk: Option<Box<PartialBulk>>,
    requests: Vec<Request>,
    /// The index of the next request to run, and of its first span.
    next: usize,
    next_span: usize,
    /// The replies.
    pub(crate) out: ReplyBuffer,
    /// Bytes of the replies that the socket has taken.
    pub(crate) sent: usize,
    /// Fires when the socket has taken nothing for too long.
    pub(crate) stuck: Option<Pin<Box<Sleep>>>,
    /// Requests run while the replies have fewer bytes than this. It is 0 while the batch is blocked or has a
    /// streaming reply.
    room: usize,
    /// The streaming reply to the last request that has run.
    streaming: Option<Box<dyn StreamingReply>>,
    /// The end of the replies to all requests before the next one.
    mark: BufferPosition,
    /// The client that sent the requests.
    client: Option<Client>,
    /// The time of each request is measured.
    pub(crate) is_timed: bool,
    /// The keys that the requests read and write are reported to the keyspace.
    is_observed: bool,
    /// Number of requests whose keys were reported.
    reported: usize,
    /// The batch is a transaction. Its replies form one array.
    is_transaction: bool,
    /// Exclusive access to an actor, while the rest of a transaction is pending.
    pub(crate) exclusive: Option<Exclusive>,
    /// Times and errors of single requests.
    pub(crate) stats: BatchStats,
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("requests", &self.len()).finish_non_exhaustive()
    }
}

impl Default for Batch {
    fn default() -> Self {
        Batch {
            input: Vec::new(),
            spans: Vec::new(),
            large: Vec::new(),
            large_len: 0,
            partial_bulk: None,
            requests: Vec::new(),
            next: 0,
            next_span: 0,
            out: ReplyBuffer::default(),
            sent: 0,
            stuck: None,
            room: MAX_UNSENT,
            streaming: None,
            mark: BufferPosition::default(),
            client: None,
            is_timed: false,
            is_observed: false,
            reported: 0,
            is_transaction: false,
            exclusive: None,
            stats: BatchStats::default(),
        }
    }
}

/// A large bulk string, and the number of its bytes that are missing.
pub(crate) struct PartialBulk {
    pub(crate) bytes: Vec<u8>,
    pub(crate) missing: usize,
}

struct Request {
    /// The end of the request in `spans`. 32 bits are enough, because the input has at most 2 GiB.
    end: u32,
    target: Resolved<CommandRef>,
}

/// A reference to a command: its actor, its row and its id.
///
/// The alignment lets it be copied as one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(align(8))]
pub(crate) struct CommandRef {
    /// The actor that runs the command, or [`ActorId::CONNECTION`].
    pub(crate) actor_id: ActorId,
    /// The row of the command.
    pub(crate) row: RowId,
    /// The id of the command, unique within the server.
    pub(crate) command: CommandId,
}

/// Identifies a mounted actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ActorId(pub(crate) u16);

/// Maximum size of unsent replies before the next request runs.
///
/// It bounds the memory of a client that does not read.
const MAX_UNSENT: usize = 1024 * 1024;

/// A blocked batch keeps its buffers if they take no more than this many bytes.
const MAX_BLOCKED_BYTES: usize = 1024;

impl ActorId {
    /// The connection itself, which runs the built-in commands.
    pub(crate) const CONNECTION: ActorId = ActorId(u16::MAX);
}

impl Batch {
    /// Returns an empty batch, from the batch pool if possible.
    pub(crate) fn new() -> Box<Batch> {
        batch_pool::take()
    }

    /// Clears the batch and returns it to the batch pool.
    pub(crate) fn recycle(mut self: Box<Batch>) {
        self.client = None;
        self.partial_bulk = None;
        if !self.large.is_empty() {
            self.large = Vec::new();
            self.large_len = 0;
        }
        self.input.clear();
        self.spans.clear();
        self.requests.clear();
        self.input.shrink_to(batch_pool::MAX_KEPT_BYTES);
        self.spans.shrink_to(batch_pool::MAX_KEPT_BYTES / size_of::<Span>());
        self.requests.shrink_to(batch_pool::MAX_KEPT_BYTES / size_of::<Request>());
        self.clear_replies();
        self.next = 0;
        self.next_span = 0;
        self.is_timed = false;
        self.is_observed = false;
        self.is_transaction = false;
        self.exclusive = None;
        self.streaming = None;
        self.out.set_timed(false);
        self.out.set_mode(ReplyMode::On);
        self.stats.clear();
        self.room = MAX_UNSENT;
        batch_pool::put(self);
    }

    /// Returns the allocated memory in bytes.
    pub(crate) fn capacity(&self) -> usize {
        size_of::<Self>()
            + self.input.capacity()
            + self.spans.capacity() * size_of::<Span>()
            + self.requests.capacity() * size_of::<Request>()
            + self.out.encoder().capacity()
    }

    /// Sets the client, if the batch has none.
    ///
    /// A batch has no client while it waits in the slot.
    pub(crate) fn set_client(&mut self, client: &Client) {
        self.client.get_or_insert_with(|| client.clone());
    }

    /// Adds the request whose spans were appended to `spans`.
    pub(crate) fn push_request(&mut self, resolve: impl FnOnce(&Call<'_>) -> Resolved<CommandRef>) {
        let start = self.end_of_requests();
        let Some(client) = &self.client else { return };
        let call =
            Call { spec: None, spans: &self.spans[start..], input: &self.input, large: &self.large, client };
        let target = resolve(&call);
        self.requests.push(Request { end: self.spans.len() as u32, target });
    }

    /// Returns the end of the complete requests in `spans`.
    fn end_of_requests(&self) -> usize {
        self.requests.last().map_or(0, |request| request.end as usize)
    }

    /// Starts a large bulk string of `len` bytes at this position of the input.
    ///
    /// Bytes that have arrived move to its own buffer.
    pub(crate) fn begin_large(&mut self, position: usize, len: usize) {
        let arrived = (self.input.len() - position).min(len);
        let bytes = self.input.drain(position..position + arrived).collect();
        self.partial_bulk = Some(Box::new(PartialBulk { bytes, missing: len - arrived }));
    }

    /// Adds a large bulk string. Returns its index.
    pub(crate) fn push_large(&mut self, bytes: Bytes) -> usize {
        self.large_len += bytes.len();
        self.large.push(bytes);
        self.large.len() - 1
    }

    /// Returns the memory of the requests in bytes.
    pub(crate) fn request_bytes(&self) -> usize {
        let partial_bulk = self.partial_bulk.as_ref().map_or(0, |partial_bulk| partial_bulk.bytes.len());
        self.input.len() + self.spans.len() * size_of::<Span>() + self.large_len + partial_bulk
    }

    /// Returns the number of requests.
    pub(crate) fn len(&self) -> usize {
        self.requests.len()
    }

    /// Returns whether there are requests that have not run.
    pub(crate) fn has_requests(&self) -> bool {
        self.next < self.requests.len()
    }

    /// Returns the command of the next request.
    ///
    /// Returns `None` while unsent replies have to be sent first, or while the batch is blocked.
    pub(crate) fn next_target(&self) -> Option<Resolved<CommandRef>> {
        let request = self.requests.get(self.next)?;
        (self.out.encoder().len() < self.room).then_some(request.target)
    }

    /// Returns whether the next request has run and waits for its reply.
    pub(crate) fn is_blocked(&self) -> bool {
        self.room == 0 && self.streaming.is_none()
    }

    /// Returns the command of a request.
    pub(crate) fn target(&self, request: u32) -> Option<Resolved<CommandRef>> {
        self.requests.get(request as usize).map(|request| request.target)
    }

    /// Returns the last command of the batch.
    pub(crate) fn last_command(&self) -> Option<CommandId> {
        self.requests.iter().rev().find_map(Request::command)
    }

    /// Counts the calls of each command. Consecutive calls of one command are reported together.
    pub(crate) fn count_calls(&self, mut count: impl FnMut(CommandId, u64)) {
        let mut start = 0;
        for failure in self.stats.failures().iter().filter(|failure| failure.is_rejection) {
            let rejected = failure.request as usize;
            count_runs(&self.requests[start..rejected], &mut count);
            start = rejected + 1;
        }
        count_runs(&self.requests[start..self.next], &mut count);
    }

    /// Returns the arguments of a request.
    pub(crate) fn call(&self, request: u32) -> Option<Call<'_>> {
        let index = request as usize;
        let start = index.checked_sub(1).map_or(0, |before| self.requests[before].end as usize);
        let end = self.requests.get(index)?.end as usize;
        let client = self.client.as_ref()?;
        Some(Call {
            spec: None,
            spans: &self.spans[start..end],
            input: &self.input,
            large: &self.large,
            client,
        })
    }

    /// Returns the requests that this actor runs next, up to the first request for another actor.
    ///
    /// The connection itself runs one request at a time.
    pub(crate) fn upcoming(&self, actor_id: ActorId) -> impl Iterator<Item = (u32, CommandRef)> + Clone {
        let max = if actor_id == ActorId::CONNECTION { 1 } else { usize::MAX };
        let requests = self.requests.iter().zip(0..).skip(self.next).take(max);
        requests.map_while(move |(request, index)| match request.target {
            Resolved::Command(target) if target.actor_id == actor_id => Some((index, target)),
            _ => None,
        })
    }

    /// Starts the observation of keys with the next request.
    pub(crate) fn observe(&mut self) {
        if !mem::replace(&mut self.is_observed, true) {
            self.reported = self.next;
        }
    }

    pub(crate) fn is_observed(&self) -> bool {
        self.is_observed
    }

    /// Reports the keys that were read and written since the last report.
    #[cold]
    pub(crate) fn report_keys(&mut self) {
        let reported = mem::replace(&mut self.reported, self.next);
        if reported == self.next {
            return;
        }
        let Some(client) = &self.client else { return };
        let Some(server) = client.server() else { return };
        let failures = self.stats.failures();
        let ran = (reported..self.next).filter_map(|index| {
            let command = server.routes.command(self.requests[index].command()?);
            let request = index as u32;
            let has_written = failures.binary_search_by_key(&request, |failure| failure.request).is_err();
            Some(Ran { command, call: self.call(request)?, has_written })
        });
        server.keyspace.ran(&server, client, ran, !self.is_transaction);
    }

    /// Reports the keys that the next requests read, before they run.
    ///
    /// An actor pool needs this: another actor of the pool may change a key during the read.
    #[cold]
    pub(crate) fn report_reads(&self, actor_id: ActorId) {
        let Some(client) = &self.client else { return };
        let Some(server) = client.server() else { return };
        let reads = self.upcoming(actor_id).filter_map(|(request, target)| {
            Some(Ran {
                command: server.routes.command(target.command),
                call: self.call(request)?,
                has_written: false,
            })
        });
        server.keyspace.ran(&server, client, reads, false);
    }

    /// Passes the requests that this actor runs next to `show`, for `MONITOR`.
    ///
    /// Each request is shown once.
    pub(crate) fn show(&mut self, actor_id: ActorId, mut show: impl FnMut(&Call<'_>, CommandId)) {
        let before = self.stats.shown();
        let mut shown = before;
        for (index, target) in self.upcoming(actor_id).filter(|(index, _)| *index >= before) {
            if let Some(call) = self.call(index) {
                show(&call, target.command);
            }
            shown = index + 1;
        }
        self.stats.note_shown(shown);
    }

    /// Clears the replies after they were sent.
    pub(crate) fn clear_replies(&mut self) {
        self.out.clear(batch_pool::MAX_KEPT_BYTES);
        self.sent = 0;
        self.stuck = None;
        self.mark = BufferPosition::default();
    }

    /// Drops the requests that have not run.
    pub(crate) fn abandon_requests(&mut self) {
        self.requests.truncate(self.next);
    }

    /// Runs the next requests, up to the first one for another actor.
    ///
    /// If a handler panics, the client gets an internal error and the other requests still run.
    pub(crate) fn run<A: Commands>(
        &mut self,
        actor_id: ActorId,
        actor: &mut A,
        context: &mut A::CommandContext,
    ) {
        if self.is_transaction {
            self.abort_if_dirty();
        }
        // Check the level once per batch: a span that nothing records would still cost time.
        if LevelFilter::current() >= LevelFilter::DEBUG {
            self.run_in_span(actor_id, actor, context);
        } else {
            self.run_all(actor_id, actor, context);
        }
        if self.is_observed {
            self.report_keys();
        }
    }

    /// Runs the requests inside a tracing span with the id and the address of the client.
    ///
    /// The target of the span, `thegiant::batch`, lets an operator filter for it.
    #[cold]
    fn run_in_span<A: Commands>(
        &mut self,
        actor_id: ActorId,
        actor: &mut A,
        context: &mut A::CommandContext,
    ) {
        let Some(client) = &self.client else { return };
        let span = debug_span!(target: "thegiant::batch", "batch", id = client.id(), client = %client.addr());
        span.in_scope(|| self.run_all(actor_id, actor, context));
    }

    fn run_all<A: Commands>(&mut self, actor_id: ActorId, actor: &mut A, context: &mut A::CommandContext) {
        self.begin();
        while self.next_row(actor_id).is_some() {
            let guarded = catch_unwind(AssertUnwindSafe(|| {
                while let Some(row) = self.next_row(actor_id) {
                    let row = row.get::<A>();
                    self.step(Some(&row.spec), |call, out| (row.run)(actor, call, context, out));
                }
            }));
            if guarded.is_err() {
                let spec = self.next_row(actor_id).map(|row| &row.get::<A>().spec);
                self.answer_panic(spec);
            }
        }
    }

    /// Answers the next request, whose handler panicked, with an error.
    #[cold]
    fn answer_panic(&mut self, spec: Option<&'static Spec>) {
        self.out.rewind(self.mark);
        if self.out.take_deferred()
            && let Some(client) = &self.client
        {
            client.cancel_wait();
        }
        self.step(spec, |call, out| {
            let client = call.client();
            let command = call.quoted_name();
            tracing::error!(id = client.id(), client = %client.addr(), ?command, "a handler panicked");
            out.error(&Error::INTERNAL);
        });
    }

    /// Starts the clock, if the requests are timed.
    pub(crate) fn begin(&mut self) {
        if self.is_timed {
            self.stats.begin();
            self.out.set_timed(true);
        }
    }

    /// Answers the next request without running it.
    pub(crate) fn reject(&mut self, answer: impl FnOnce(&Call<'_>, &mut Encoder)) {
        self.step(None, |call, out| answer(call, out.encoder_mut()));
    }

    /// Runs the next request with `run`. `spec` is `None` if the request is rejected.
    pub(crate) fn step(
        &mut self,
        spec: Option<&'static Spec>,
        run: impl FnOnce(&Call<'_>, &mut ReplyBuffer),
    ) {
        let (Some(request), Some(client)) = (self.requests.get(self.next), &self.client) else { return };
        let call = Call {
            spec,
            spans: &self.spans[self.next_span..request.end as usize],
            input: &self.input,
            large: &self.large,
            client,
        };
        run(&call, &mut self.out);
        if !self.out.is_noteworthy(self.mark) || self.complete_special_reply(spec.is_none()) {
            self.advance();
        }
    }

    /// Takes the awaited reply to the next request.
    pub(crate) fn take_reply(&mut self, mut reply: Box<Batch>) {
        self.out.encoder_mut().append(reply.out.encoder_mut());
        reply.recycle();
        self.room = if self.is_transaction { usize::MAX } else { MAX_UNSENT };
        if self.out.is_noteworthy(self.mark) {
            self.complete_special_reply(false);
        }
        self.advance();
    }

    /// Handles a reply with special properties: an error, a later reply, a streaming reply, or one that the
    /// client switched off.
    ///
    /// Returns whether the request has its reply.
    #[cold]
    fn complete_special_reply(&mut self, is_rejection: bool) -> bool {
        let is_deferred = self.out.take_deferred();
        self.note_failure(self.next, is_rejection);
        self.stats.note_end(self.next as u32, is_rejection);
        if is_deferred {
            // The wait for the reply is not part of the handler's time.
            self.stats.stop();
            self.room = 0;
            return false;
        }
        let reply = self.out.take_kept(self.mark);
        match self.out.mode() {
            ReplyMode::On => {}
            ReplyMode::Off => self.out.rewind(reply),
            ReplyMode::SkipNext => self.out.set_mode(ReplyMode::Skip),
            ReplyMode::Skip => {
                self.out.rewind(reply);
                self.out.set_mode(ReplyMode::On);
            }
        }
        if let Some(streaming) = self.out.take_streaming() {
            self.begin_streaming(streaming);
        }
        true
    }

    fn note_failure(&mut self, request: usize, is_rejection: bool) {
        let Some(line) = self.out.encoder().error_at(self.mark) else { return };
        let code = line.split(|byte| *byte == b' ').next().unwrap_or_default();
        let code = String::from_utf8_lossy(code).into();
        self.stats.note_failure(Failure { request: request as u32, code, is_rejection });
    }

    /// Answers the next requests with `error`, up to the first one for another actor.
    pub(crate) fn refuse(&mut self, actor_id: ActorId, error: &Error) {
        while self.next_row(actor_id).is_some() {
            self.reject(|_, out| out.error(error));
        }
    }

    /// Gives the batch to its connection, or blocks it in the client slot if it waits for a reply.
    ///
    /// Returns the batch if that reply is there already.
    pub(crate) fn return_to_client(mut self: Box<Self>) -> Option<Box<Self>> {
        // The client slot owns the batch now, so the batch must not own the client.
        let client = self.client.take()?;
        if !self.is_blocked() {
            client.hand_back(self);
            return None;
        }
        if self.is_transaction {
            self.end_wait(&client);
        }
        let mut batch = client.block(self, true)?;
        if batch.is_blocked() {
            client.hand_back(batch);
            return None;
        }
        batch.client = Some(client);
        Some(batch)
    }

    /// Prepares the batch for a wait of unknown length: frees unused memory and drops the client, whose slot
    /// owns the batch.
    pub(crate) fn shrink(&mut self) {
        self.client = None;
        if !self.is_transaction && self.capacity() > size_of::<Self>() + MAX_BLOCKED_BYTES {
            self.input.shrink_to_fit();
            self.spans.shrink_to_fit();
            self.requests.shrink_to_fit();
            self.out.clear(0);
        }
    }

    /// Splits the input at `start`, behind the last complete request.
    ///
    /// Returns the rest as a new batch, if there is any.
    ///
    /// The new batch has buffers of minimal size, since its client may take a long time to complete the
    /// request.
    pub(crate) fn split_off(&mut self, start: usize) -> Option<Box<Batch>> {
        let complete = self.end_of_requests();
        if start == self.input.len() && complete == self.spans.len() && self.partial_bulk.is_none() {
            return None;
        }
        let mut rest = Box::new(Batch {
            input: self.input.split_off(start),
            spans: self.spans.split_off(complete),
            partial_bulk: self.partial_bulk.take(),
            ..Batch::default()
        });
        let is_large = |span: &&Span| matches!(span, Span::Large(_));
        let kept_large = self.large.len() - rest.spans.iter().filter(is_large).count();
        rest.large = self.large.split_off(kept_large);
        rest.large_len = rest.large.iter().map(Bytes::len).sum();
        self.large_len -= rest.large_len;
        for span in &mut rest.spans {
            span.rebase(start, kept_large);
        }
        Some(rest)
    }

    /// Moves the requests, whose bytes are this part of the input, to a new batch.
    ///
    /// The input itself does not change.
    pub(crate) fn copy_requests(&mut self, part: Range<usize>) -> Box<Batch> {
        let mut copy = Batch::new();
        copy.input.extend_from_slice(&self.input[part.clone()]);
        copy.spans.append(&mut self.spans);
        copy.requests.append(&mut self.requests);
        copy.large = mem::take(&mut self.large);
        copy.large_len = mem::take(&mut self.large_len);
        copy.spans.iter_mut().for_each(|span| span.rebase(part.start, 0));
        copy
    }

    fn next_row(&self, actor_id: ActorId) -> Option<RowId> {
        match self.next_target()? {
            Resolved::Command(target) if target.actor_id == actor_id => Some(target.row),
            _ => None,
        }
    }

    fn advance(&mut self) {
        self.next_span = self.requests[self.next].end as usize;
        self.next += 1;
        self.mark = self.out.encoder().position();
    }
}

/// Counts the calls of each command. Consecutive calls of one command are counted together.
fn count_runs(mut requests: &[Request], count: &mut impl FnMut(CommandId, u64)) {
    while let Some(first) = requests.first() {
        let command = first.command();
        let others = requests.iter().position(|request| request.command() != command);
        let (same, rest) = requests.split_at(others.unwrap_or(requests.len()));
        if let Some(command) = command {
            count(command, same.len() as u64);
        }
        requests = rest;
    }
}

impl Request {
    fn command(&self) -> Option<CommandId> {
        match self.target {
            Resolved::Command(target) => Some(target.command),
            _ => None,
        }
    }
}
