//! What one read brought in.

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

/// The requests that one read brought in, and the replies to those that have been run.
///
/// A batch belongs to whoever runs its next request: the connection, or the handler actor that it
/// was sent to. It is answered in place and comes back.
pub(crate) struct Batch {
    /// The bytes of the requests, large bulk strings aside.
    pub(crate) input: Vec<u8>,
    /// The words of all requests, one after the other.
    pub(crate) spans: Vec<Span>,
    /// Bulk strings that have a buffer of their own.
    large: Vec<Bytes>,
    large_len: usize,
    /// A large bulk string that is being read.
    pub(crate) partial_bulk: Option<Box<PartialBulk>>,
    requests: Vec<Request>,
    /// The request to be run next, and its first word.
    next: usize,
    next_span: usize,
    /// The replies.
    pub(crate) out: ReplyBuffer,
    /// Bytes of them that the socket has taken.
    pub(crate) sent: usize,
    /// The socket takes nothing, since a while ago; this is when it is said to be stuck.
    pub(crate) stuck: Option<Pin<Box<Sleep>>>,
    /// Requests are run as long as there are less bytes of replies: none while one waits for its reply, or for the rest
    /// of it.
    room: usize,
    /// The rest of the reply to the request before the next one.
    streaming: Option<Box<dyn StreamingReply>>,
    /// Where the replies to requests before the next one end.
    mark: BufferPosition,
    /// Who sent it.
    client: Option<Client>,
    /// Each request is timed.
    pub(crate) is_timed: bool,
    /// Somebody wants to know which keys are read and changed; told it is of the requests before this one.
    is_observed: bool,
    told: usize,
    /// It is a transaction, whose replies make up one array.
    is_transaction: bool,
    /// Of a transaction that has begun with an actor, and goes on with it later.
    pub(crate) exclusive: Option<Exclusive>,
    /// What is noted of single requests.
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
            room: HIGH_WATER,
            streaming: None,
            mark: BufferPosition::default(),
            client: None,
            is_timed: false,
            is_observed: false,
            told: 0,
            is_transaction: false,
            exclusive: None,
            stats: BatchStats::default(),
        }
    }
}

/// A large bulk string, and the bytes of it that are still to come.
pub(crate) struct PartialBulk {
    pub(crate) bytes: Vec<u8>,
    pub(crate) missing: usize,
}

struct Request {
    /// The end of its words in `spans`: these have less than 32 bits, since places in the input do.
    end: u32,
    target: Resolved<CommandRef>,
}

/// Who runs a command. It is aligned to be copied at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(align(8))]
pub(crate) struct CommandRef {
    /// The connection itself, or a handler actor.
    pub(crate) actor_id: ActorId,
    /// The row among those of the mount.
    pub(crate) row: RowId,
    /// The number among all commands.
    pub(crate) command: CommandId,
}

/// A number that tells mounted actors apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ActorId(pub(crate) u16);

/// With so many bytes of replies, they are sent before more requests are run: a client that does
/// not read them cannot have them pile up.
const HIGH_WATER: usize = 1024 * 1024;

/// A batch that waits may have buffers of so many bytes, whatever it needs of them.
const SMALL: usize = 1024;

impl ActorId {
    /// The connection itself.
    pub(crate) const CONNECTION: ActorId = ActorId(u16::MAX);
}

impl Batch {
    /// An empty batch, with the allocations of an earlier one if there is any.
    pub(crate) fn new() -> Box<Batch> {
        batch_pool::take()
    }

    /// Keeps the allocations for another batch.
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
        self.input.shrink_to(batch_pool::KEPT_BYTES);
        self.spans.shrink_to(batch_pool::KEPT_BYTES / size_of::<Span>());
        self.requests.shrink_to(batch_pool::KEPT_BYTES / size_of::<Request>());
        self.forget_replies();
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
        self.room = HIGH_WATER;
        batch_pool::put(self);
    }

    /// Bytes that it holds on to.
    pub(crate) fn capacity(&self) -> usize {
        size_of::<Self>()
            + self.input.capacity()
            + self.spans.capacity() * size_of::<Span>()
            + self.requests.capacity() * size_of::<Request>()
            + self.out.encoder().capacity()
    }

    /// ClientNames the client; it is nobody's while it waits to be collected.
    pub(crate) fn belong_to(&mut self, client: &Client) {
        self.client.get_or_insert_with(|| client.clone());
    }

    /// Adds the request whose words have been appended to `spans`.
    pub(crate) fn push_request(&mut self, resolve: impl FnOnce(&Call<'_>) -> Resolved<CommandRef>) {
        let start = self.end_of_requests();
        let Some(client) = &self.client else { return };
        let call =
            Call { spec: None, spans: &self.spans[start..], input: &self.input, large: &self.large, client };
        let target = resolve(&call);
        self.requests.push(Request { end: self.spans.len() as u32, target });
    }

    /// The end of the words of complete requests in `spans`.
    fn end_of_requests(&self) -> usize {
        self.requests.last().map_or(0, |request| request.end as usize)
    }

    /// The next `len` bytes from `position` of the input are a bulk to be read into a buffer of its
    /// own; those that have arrived are moved there.
    pub(crate) fn begin_large(&mut self, position: usize, len: usize) {
        let arrived = (self.input.len() - position).min(len);
        let bytes = self.input.drain(position..position + arrived).collect();
        self.partial_bulk = Some(Box::new(PartialBulk { bytes, missing: len - arrived }));
    }

    /// Takes in a large bulk that has been read; returns its index.
    pub(crate) fn push_large(&mut self, bytes: Bytes) -> usize {
        self.large_len += bytes.len();
        self.large.push(bytes);
        self.large.len() - 1
    }

    /// Bytes of memory that its requests take.
    pub(crate) fn unread_len(&self) -> usize {
        let partial_bulk = self.partial_bulk.as_ref().map_or(0, |partial_bulk| partial_bulk.bytes.len());
        self.input.len() + self.spans.len() * size_of::<Span>() + self.large_len + partial_bulk
    }

    /// How many requests it has.
    pub(crate) fn len(&self) -> usize {
        self.requests.len()
    }

    /// Whether there are requests that have not been run.
    pub(crate) fn has_requests(&self) -> bool {
        self.next < self.requests.len()
    }

    /// What the request to be run next was resolved to; none while there are so many replies that
    /// they have to be sent first, or the one before it waits for its reply.
    pub(crate) fn next_target(&self) -> Option<Resolved<CommandRef>> {
        let request = self.requests.get(self.next)?;
        (self.out.encoder().len() < self.room).then_some(request.target)
    }

    /// Whether its next request has been run and waits for its reply.
    pub(crate) fn is_waiting(&self) -> bool {
        self.room == 0 && self.streaming.is_none()
    }

    /// What a request was resolved to.
    pub(crate) fn target(&self, request: u32) -> Option<Resolved<CommandRef>> {
        self.requests.get(request as usize).map(|request| request.target)
    }

    /// The last command in it.
    pub(crate) fn last_command(&self) -> Option<CommandId> {
        self.requests.iter().rev().find_map(Request::command)
    }

    /// Which commands were run, how often: those of the same name in a row come as one.
    pub(crate) fn count_calls(&self, mut count: impl FnMut(CommandId, u64)) {
        let mut start = 0;
        for failure in self.stats.failures().iter().filter(|failure| failure.is_rejection) {
            let rejected = failure.request as usize;
            count_in_a_row(&self.requests[start..rejected], &mut count);
            start = rejected + 1;
        }
        count_in_a_row(&self.requests[start..self.next], &mut count);
    }

    /// A request, as it was sent.
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

    /// The requests that `mount` is going to run next, without being asked again in between: the
    /// connection itself runs one at a time.
    pub(crate) fn coming(&self, actor_id: ActorId) -> impl Iterator<Item = (u32, CommandRef)> + Clone {
        let most = if actor_id == ActorId::CONNECTION { 1 } else { usize::MAX };
        let requests = self.requests.iter().zip(0..).skip(self.next).take(most);
        requests.map_while(move |(request, index)| match request.target {
            Resolved::Command(target) if target.actor_id == actor_id => Some((index, target)),
            _ => None,
        })
    }

    /// From its next request on, it is told which keys are read and changed.
    pub(crate) fn observe(&mut self) {
        if !mem::replace(&mut self.is_observed, true) {
            self.told = self.next;
        }
    }

    pub(crate) fn is_observed(&self) -> bool {
        self.is_observed
    }

    /// Tells which keys have been read and changed by what has been run since this was last done.
    #[cold]
    pub(crate) fn tell_of_keys(&mut self) {
        let told = mem::replace(&mut self.told, self.next);
        if told == self.next {
            return;
        }
        let Some(client) = &self.client else { return };
        let Some(server) = client.server() else { return };
        let failures = self.stats.failures();
        let ran = (told..self.next).filter_map(|index| {
            let command = server.routes.command(self.requests[index].command()?);
            let request = index as u32;
            let has_written = failures.binary_search_by_key(&request, |failure| failure.request).is_err();
            Some(Ran { command, call: self.call(request)?, has_written })
        });
        server.keyspace.ran(&server, client, ran, !self.is_transaction);
    }

    /// Tells which keys a member of a pool is going to read, where others change them meanwhile.
    #[cold]
    pub(crate) fn tell_of_reads(&self, actor_id: ActorId) {
        let Some(client) = &self.client else { return };
        let Some(server) = client.server() else { return };
        let reads = self.coming(actor_id).filter_map(|(request, target)| {
            Some(Ran {
                command: server.routes.command(target.command),
                call: self.call(request)?,
                has_written: false,
            })
        });
        server.keyspace.ran(&server, client, reads, false);
    }

    /// Has `show` see the requests that `mount` is going to run next, unless it has seen them.
    pub(crate) fn show(&mut self, actor_id: ActorId, mut show: impl FnMut(&Call<'_>, CommandId)) {
        let before = self.stats.shown();
        let mut shown = before;
        for (index, target) in self.coming(actor_id).filter(|(index, _)| *index >= before) {
            if let Some(call) = self.call(index) {
                show(&call, target.command);
            }
            shown = index + 1;
        }
        self.stats.note_shown(shown);
    }

    /// The replies have been sent, and there are requests that have not been run.
    pub(crate) fn forget_replies(&mut self) {
        self.out.clear(batch_pool::KEPT_BYTES);
        self.sent = 0;
        self.stuck = None;
        self.mark = BufferPosition::default();
    }

    /// Drops the requests that have not been run.
    pub(crate) fn abandon_requests(&mut self) {
        self.requests.truncate(self.next);
    }

    /// Runs the next request and those behind it as long as they are for `mount`.
    ///
    /// A handler that panics is answered with an internal error; the rest goes on.
    pub(crate) fn run<A: Commands>(
        &mut self,
        actor_id: ActorId,
        actor: &mut A,
        context: &mut A::CommandContext,
    ) {
        if self.is_transaction {
            self.give_up_if_dirty();
        }
        // One look at the level, once for all of them: a span that is made for nobody costs more.
        if LevelFilter::current() >= LevelFilter::DEBUG {
            self.run_in_span(actor_id, actor, context);
        } else {
            self.run_all(actor_id, actor, context);
        }
        if self.is_observed {
            self.tell_of_keys();
        }
    }

    /// What handlers log is said to be about this client. The span has a target of its own, so that an
    /// operator can ask for it alone.
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

    /// The handler of the next request has panicked.
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

    /// Requests are going to be run, without a pause between them.
    pub(crate) fn begin(&mut self) {
        if self.is_timed {
            self.stats.begin();
            self.out.set_timed(true);
        }
    }

    /// Answers the next request with `answer` instead of running it.
    pub(crate) fn reject(&mut self, answer: impl FnOnce(&Call<'_>, &mut Encoder)) {
        self.step(None, |call, out| answer(call, out.encoder_mut()));
    }

    /// Runs the next request with `run`; with no row, that refuses it.
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
        if !self.out.is_noteworthy(self.mark) || self.take_note(spec.is_none()) {
            self.advance();
        }
    }

    /// Takes the reply that its next request has waited for.
    pub(crate) fn take_reply(&mut self, mut reply: Box<Batch>) {
        self.out.encoder_mut().append(reply.out.encoder_mut());
        reply.recycle();
        self.room = if self.is_transaction { usize::MAX } else { HIGH_WATER };
        if self.out.is_noteworthy(self.mark) {
            self.take_note(false);
        }
        self.advance();
    }

    /// Of a request that is not like most. Returns whether it has been answered.
    #[cold]
    fn take_note(&mut self, is_rejection: bool) -> bool {
        let is_deferred = self.out.take_deferred();
        self.note_failure(self.next, is_rejection);
        self.stats.note_end(self.next as u32, is_rejection);
        if is_deferred {
            // It has been timed: what it waits for is not the handler's doing.
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

    /// Answers the next request and those behind it, as long as they are for `mount`, with `error`.
    pub(crate) fn refuse(&mut self, actor_id: ActorId, error: &Error) {
        while self.next_row(actor_id).is_some() {
            self.reject(|_, out| out.error(error));
        }
    }

    /// Leaves the one who has run it: for its connection, or, if a request waits for its reply, for
    /// where it is waited for. It stays if that reply is there.
    pub(crate) fn leave(mut self: Box<Self>) -> Option<Box<Self>> {
        // The client holds it until it is collected, so it must not hold the client.
        let client = self.client.take()?;
        if !self.is_waiting() {
            client.hand_back(self);
            return None;
        }
        if self.is_transaction {
            self.end_wait(&client);
        }
        let mut batch = client.block(self, true)?;
        if batch.is_waiting() {
            client.hand_back(batch);
            return None;
        }
        batch.client = Some(client);
        Some(batch)
    }

    /// Keeps no more than it needs, since it may have to wait for long, and not its client, which holds it.
    pub(crate) fn make_small(&mut self) {
        self.client = None;
        if !self.is_transaction && self.capacity() > size_of::<Self>() + SMALL {
            self.input.shrink_to_fit();
            self.spans.shrink_to_fit();
            self.requests.shrink_to_fit();
            self.out.clear(0);
        }
    }

    /// Moves what is not part of a complete request, everything from `start` of the input, to a
    /// batch of its own. That one is as small as it can be, since its client may take its time.
    pub(crate) fn split_off(&mut self, start: usize) -> Option<Box<Batch>> {
        let complete = self.end_of_requests();
        if start == self.input.len() && complete == self.spans.len() && self.partial_bulk.is_none() {
            return None;
        }
        let mut streaming = Box::new(Batch {
            input: self.input.split_off(start),
            spans: self.spans.split_off(complete),
            partial_bulk: self.partial_bulk.take(),
            ..Batch::default()
        });
        let is_large = |span: &&Span| matches!(span, Span::Large(_));
        let kept_large = self.large.len() - streaming.spans.iter().filter(is_large).count();
        streaming.large = self.large.split_off(kept_large);
        streaming.large_len = streaming.large.iter().map(Bytes::len).sum();
        self.large_len -= streaming.large_len;
        for span in &mut streaming.spans {
            span.rebase(start, kept_large);
        }
        Some(streaming)
    }

    /// Moves its requests, which take this part of the input, to a batch of their own. The input stays
    /// as it is, so that this can be done for one request after the other.
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

/// Which commands these are, those of the same name in a row as one.
fn count_in_a_row(mut requests: &[Request], count: &mut impl FnMut(CommandId, u64)) {
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
