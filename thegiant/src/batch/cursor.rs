//! The batch: its requests, a cursor that says which request is next, and the replies so far.

use std::{fmt, ops::Range};

use super::{
    ActorId, Actors, BatchStats, CommandId, CommandRef, Exclusive, ExclusiveSet, Failure, ReplyBuffer,
    ReplyMode, RequestWords, Resolved, StreamingReply, join::Join, pool, requests::Requests,
};
use crate::resp::{BufferPosition, Encoder, Protocol};

/// The requests that one read of a socket brought in, and the replies to those that have run.
///
/// A batch is owned by the connection, or by the actor that runs its next request. The actor writes the
/// replies into the batch and returns it.
pub(crate) struct Batch {
    pub(crate) requests: Requests,
    /// The index of the next request to run, and of its first span.
    pub(super) next: usize,
    next_span: usize,
    /// The end of the replies to all requests before the next one.
    pub(super) mark: BufferPosition,
    /// The replies.
    pub(crate) out: ReplyBuffer,
    pub(super) progress: Progress,
    /// The batch is a transaction. Its replies form one array.
    is_transaction: bool,
    /// The time of each request is measured.
    pub(crate) is_timed: bool,
    /// The requests have effects that are reported after they have run.
    observed: Option<Observed>,
    /// The batch is a transaction of several shards, or a part of one. It keeps its exclusive access until all requests
    /// have run.
    is_atomic: bool,
    /// Exclusive access to actors, while the rest of a transaction is pending.
    pub(crate) exclusive: ExclusiveSet,
    /// Times and errors of single requests.
    pub(crate) stats: BatchStats,
    /// The end of each reply, if the batch is a part of another one.
    pub(super) ends: Vec<BufferPosition>,
    /// The requests that are parts of split requests, if the batch is a part of another one.
    pub(super) split_parts: Vec<u32>,
}

/// Says whether the next request can run.
pub(super) enum Progress {
    /// It can, while the replies have fewer bytes than this.
    Running { room: usize },
    /// It has run, and waits for its reply. `may_block`: its command has the flag `blocking`.
    Blocked { may_block: bool },
    /// The reply to the request before it is not complete.
    Streaming(Box<dyn StreamingReply>),
    /// It can run when the transaction has exclusive access to these shards, the last one first.
    Acquiring(Vec<ActorId>),
    /// Parts of the batch run on several shards. It can run when the replies so far have been sent.
    Joining(Box<Join>),
}

/// The report that follows requests: the keys that they have used, and the pushes that they have caused for their
/// own client.
#[derive(Clone, Copy)]
struct Observed {
    /// The first request whose keys were not reported yet.
    from: usize,
    /// Each request is reported before the next one runs, because the client gets pushes.
    one_by_one: bool,
}

/// A position in a batch to which the batch can return.
#[derive(Debug)]
pub(crate) struct BatchCheckpoint {
    next: usize,
    next_span: usize,
    mark: BufferPosition,
    replies: ReplyMode,
}

/// Maximum size of unsent replies before the next request runs.
///
/// It bounds the memory of a client that does not read.
const MAX_UNSENT: usize = 1024 * 1024;

/// A blocked batch keeps its buffers if they take no more than this many bytes.
const MAX_BLOCKED_BYTES: usize = 1024;

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("requests", &self.requests.len()).finish_non_exhaustive()
    }
}

impl Default for Batch {
    fn default() -> Self {
        Batch {
            requests: Requests::default(),
            next: 0,
            next_span: 0,
            mark: BufferPosition::default(),
            out: ReplyBuffer::default(),
            progress: Progress::START,
            is_transaction: false,
            is_timed: false,
            observed: None,
            is_atomic: false,
            exclusive: ExclusiveSet::default(),
            stats: BatchStats::default(),
            ends: Vec::new(),
            split_parts: Vec::new(),
        }
    }
}

impl Progress {
    pub(super) const START: Progress = Progress::Running { room: MAX_UNSENT };
}

/// The life of a batch.
impl Batch {
    /// Returns an empty batch, from the batch pool if possible.
    pub(crate) fn new() -> Box<Batch> {
        pool::take()
    }

    /// Clears the batch and returns it to the batch pool.
    pub(crate) fn recycle(mut self: Box<Batch>) {
        self.requests.clear(pool::MAX_KEPT_BYTES);
        self.clear_replies();
        self.next = 0;
        self.next_span = 0;
        self.is_timed = false;
        self.observed = None;
        self.is_transaction = false;
        self.is_atomic = false;
        self.exclusive.clear();
        self.progress = Progress::START;
        self.out.set_timed(false);
        self.out.set_mode(ReplyMode::On);
        self.out.set_separate(false);
        self.ends.clear();
        self.split_parts.clear();
        self.stats.clear();
        pool::put(self);
    }

    /// Returns the allocated memory in bytes.
    pub(crate) fn capacity(&self) -> usize {
        size_of::<Self>() + self.requests.capacity() + self.out.encoder().capacity()
    }

    /// Splits the input at `start`, behind the last complete request.
    ///
    /// Returns the rest as a new batch, if there is any.
    pub(crate) fn split_off(&mut self, start: usize) -> Option<Box<Batch>> {
        let requests = self.requests.split_off(start)?;
        Some(Box::new(Batch { requests, ..Batch::default() }))
    }

    /// Moves the requests, whose bytes are this part of the input, to a new batch.
    ///
    /// The input itself does not change.
    pub(crate) fn take_requests(&mut self, part: Range<usize>) -> Box<Batch> {
        let mut taken = Batch::new();
        self.requests.move_to(&mut taken.requests, part);
        taken
    }

    /// Copies the next request to another batch, which will run it.
    pub(crate) fn copy_next(&mut self, other: &mut Batch) {
        if self.has_requests() {
            self.requests.queue_to(&mut other.requests, self.next);
        }
    }

    /// Makes the batch a transaction: it runs as one, and its replies form one array.
    ///
    /// If it is for several shards, it needs exclusive access to all of them before it runs.
    pub(crate) fn begin_transaction(&mut self, protocol: Protocol, mut shards: Vec<ActorId>) {
        self.is_transaction = true;
        self.progress = self.running();
        if !shards.is_empty() {
            // All transactions take their shards in ascending order, so that no two wait for each other.
            shards.sort_unstable_by(|one, other| other.cmp(one));
            self.is_atomic = true;
            self.progress = Progress::Acquiring(shards);
        }
        let out = self.out.encoder_mut();
        out.set_protocol(protocol);
        out.array(self.requests.len());
        self.mark = out.position();
    }

    /// Drops all requests and replies of the transaction. The caller writes its reply.
    pub(crate) fn abandon_transaction(&mut self) {
        self.requests.truncate(0);
        self.next = 0;
        self.progress = self.running();
        self.out.rewind(BufferPosition::default());
        self.clear_replies();
        self.stats.clear();
    }

    /// Returns whether the batch is a transaction, whose replies form one array.
    pub(crate) fn is_transaction(&self) -> bool {
        self.is_transaction
    }

    /// Clears the replies after they were sent.
    pub(crate) fn clear_replies(&mut self) {
        self.out.clear(pool::MAX_KEPT_BYTES);
        self.mark = BufferPosition::default();
    }

    /// Frees unused memory before a wait of unknown length.
    pub(crate) fn shrink(&mut self) {
        if !self.is_transaction && self.capacity() > size_of::<Self>() + MAX_BLOCKED_BYTES {
            self.requests.shrink_to_fit();
            self.out.clear(0);
        }
    }
}

/// The next request.
impl Batch {
    /// Returns whether there are requests that have not run.
    pub(crate) fn has_requests(&self) -> bool {
        self.next < self.requests.len()
    }

    /// Returns the command of the next request.
    ///
    /// Returns `None` while unsent replies have to be sent first, or while the batch is blocked.
    #[inline]
    pub(crate) fn next_target(&self) -> Option<Resolved<CommandRef>> {
        let request = self.requests.get(self.next)?;
        match &self.progress {
            Progress::Running { room } if self.out.encoder().len() < *room => Some(request.target),
            Progress::Joining(_) if self.out.encoder().is_empty() => Some(request.target),
            _ => None,
        }
    }

    /// Returns whether several shards run the next request.
    pub(crate) fn is_split(&self) -> bool {
        matches!(self.next_target(), Some(Resolved::Split(_)))
    }

    /// Returns the index of the next request.
    pub(crate) fn next_request(&self) -> u32 {
        self.next as u32
    }

    /// Returns the words of the next request, and the buffer for its reply.
    #[inline]
    pub(crate) fn next_parts(&mut self) -> Option<(RequestWords<'_>, &mut ReplyBuffer)> {
        let end = self.requests.get(self.next)?.end as usize;
        Some((self.requests.words_of(self.next_span..end), &mut self.out))
    }

    /// Returns the requests that these actors run next, up to the first request for another actor.
    ///
    /// The connection itself runs one request at a time.
    pub(crate) fn upcoming(
        &self,
        actors: impl Into<Actors>,
    ) -> impl Iterator<Item = (u32, CommandRef)> + Clone {
        let actors = actors.into();
        let max = if actors.first == ActorId::CONNECTION { 1 } else { usize::MAX };
        let requests = self.requests.of_actors(self.next, actors).take(max);
        requests.filter_map(|(request, target)| Some((request, target.target()?)))
    }

    /// Returns the requests that these shards run next, up to the first request for another actor.
    pub(crate) fn upcoming_resolved(
        &self,
        shards: Actors,
    ) -> impl Iterator<Item = (u32, Resolved<CommandRef>)> + Clone {
        self.requests.of_actors(self.next, shards)
    }

    /// Returns the [upcoming](Self::upcoming) requests, or none if unsent replies have to be sent first.
    pub(crate) fn upcoming_with_room(
        &self,
        actor_id: ActorId,
    ) -> impl Iterator<Item = (u32, CommandRef)> + Clone {
        let has_room = self.next_target().is_some();
        self.upcoming(actor_id).take_while(move |_| has_room)
    }

    /// Returns the bytes of replies that the batch may still get before they have to be sent.
    pub(crate) fn room(&self) -> usize {
        match &self.progress {
            Progress::Running { room } => room.saturating_sub(self.out.encoder().len()),
            _ => 0,
        }
    }

    /// Returns whether the batch keeps its exclusive access to an actor that has run some of its requests.
    ///
    /// It does if it is a transaction with more requests for this actor, after built-in commands.
    pub(crate) fn keeps(&self, actor_id: ActorId) -> bool {
        let is_part = self.out.is_separate();
        let returns =
            || self.is_transaction && !self.is_blocked() && self.requests.has_any_of(self.next, actor_id);
        if self.is_atomic { is_part || self.has_requests() } else { returns() }
    }

    /// Returns the next shard to which the transaction needs exclusive access.
    pub(crate) fn next_wanted(&self) -> Option<ActorId> {
        match &self.progress {
            Progress::Acquiring(shards) => shards.last().copied(),
            _ => None,
        }
    }

    /// Takes the exclusive access to the [next wanted](Self::next_wanted) shard.
    ///
    /// Returns whether the transaction can run now.
    pub(crate) fn acquire(&mut self, actor_id: ActorId, exclusive: Exclusive) -> bool {
        self.exclusive.add(actor_id, exclusive);
        let Progress::Acquiring(shards) = &mut self.progress else { return true };
        shards.retain(|wanted| *wanted != actor_id);
        let can_run = shards.is_empty();
        if can_run {
            self.progress = self.running();
        }
        can_run
    }

    /// Moves the exclusive access to a shard from the whole batch to this part.
    pub(crate) fn take_access(&mut self, whole: &mut Batch, actor_id: ActorId) {
        self.is_atomic = whole.is_atomic;
        if let Some(exclusive) = whole.exclusive.take(actor_id) {
            self.exclusive.add(actor_id, exclusive);
        }
    }

    /// Moves the requests of other shards than these, which any shard can run, to the first of these.
    pub(crate) fn keep_on(&mut self, group: Actors, shards: &[ActorId]) {
        self.requests.move_targets(group, shards);
    }

    /// Drops the requests that have not run.
    pub(crate) fn abandon_requests(&mut self) {
        self.requests.truncate(self.next);
        if matches!(self.progress, Progress::Joining(_)) {
            self.progress = self.running();
        }
    }

    fn advance(&mut self) {
        if let Some(request) = self.requests.get(self.next) {
            self.next_span = request.end as usize;
            self.next += 1;
        }
        self.mark = self.out.encoder().position();
    }

    fn running(&self) -> Progress {
        if self.is_transaction { Progress::Running { room: usize::MAX } } else { Progress::START }
    }
}

/// Replies.
impl Batch {
    /// Starts the clock, if the requests are timed.
    pub(crate) fn begin(&mut self) {
        if self.is_timed {
            self.stats.begin();
            self.out.set_timed(true);
        }
    }

    /// Stops the clock: the wait for an upstream is not part of a command's time.
    pub(crate) fn stop_timing(&mut self) {
        self.stats.stop();
    }

    /// Completes the next request, whose reply was written, unless the reply comes later.
    ///
    /// `is_rejection`: the request was answered without running it. `may_block`: its command has the flag
    /// `blocking`.
    #[inline]
    pub(crate) fn complete(&mut self, is_rejection: bool, may_block: impl FnOnce() -> bool) {
        if !self.out.is_noteworthy(self.mark) || self.complete_special_reply(is_rejection, may_block) {
            self.advance();
        }
    }

    /// Takes the awaited reply to the next request.
    pub(crate) fn take_reply(&mut self, mut reply: Box<Batch>) {
        self.out.encoder_mut().append(reply.out.encoder_mut());
        reply.recycle();
        self.progress = self.running();
        self.end_reply();
    }

    /// Completes the reply to the next request, whose parts were appended.
    pub(crate) fn end_reply(&mut self) {
        self.complete(false, || false);
    }

    /// Appends a part of the reply to the next request.
    pub(crate) fn append_reply(&mut self, part: &[u8]) {
        self.out.encoder_mut().raw(part);
    }

    /// Appends pushes after the replies so far.
    pub(crate) fn append_pushes(&mut self, take: impl FnOnce(&mut Encoder)) {
        take(self.out.encoder_mut());
        // A reply that is dropped later leaves the pushes in place.
        self.mark = self.out.encoder().position();
    }

    /// Moves the replies so far to another batch, which has none.
    pub(crate) fn move_replies(&mut self, other: &mut Batch) {
        other.out.encoder_mut().append(self.out.encoder_mut());
        self.clear_replies();
    }

    /// Discards the reply to the next request.
    pub(crate) fn discard_reply(&mut self) {
        self.out.rewind(self.mark);
    }

    /// Returns whether the next request has run and waits for its reply.
    pub(crate) fn is_blocked(&self) -> bool {
        matches!(self.progress, Progress::Blocked { .. })
    }

    /// Returns whether the next request waits for its reply, and its command has the flag `blocking`.
    pub(crate) fn may_block(&self) -> bool {
        matches!(self.progress, Progress::Blocked { may_block: true })
    }

    /// Handles a reply with special properties: an error, a later reply, a streaming reply, or one that the
    /// client switched off.
    ///
    /// Returns whether the request has its reply.
    #[cold]
    fn complete_special_reply(&mut self, is_rejection: bool, may_block: impl FnOnce() -> bool) -> bool {
        let is_deferred = self.out.take_deferred();
        self.note_failure(self.next, is_rejection);
        self.stats.note_end(self.next as u32, is_rejection);
        if is_deferred {
            // The wait for the reply is not part of the handler's time.
            self.stats.stop();
            self.progress = Progress::Blocked { may_block: may_block() };
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
        if self.out.is_separate() {
            self.ends.push(self.out.encoder().position());
        }
        true
    }

    pub(super) fn note_failure(&mut self, request: usize, is_rejection: bool) {
        let Some(line) = self.out.encoder().error_at(self.mark) else { return };
        let code = line.split(|byte| *byte == b' ').next().unwrap_or_default();
        let code = String::from_utf8_lossy(code).into();
        self.stats.note_failure(Failure { request: request as u32, code, is_rejection });
    }

    /// Ends the streaming reply.
    pub(super) fn end_streaming(&mut self) {
        if matches!(self.progress, Progress::Streaming(_)) {
            self.progress = self.running();
        }
    }
}

/// Observation.
impl Batch {
    /// Counts the calls of each command. Consecutive calls of one command are reported together.
    pub(crate) fn count_calls(&self, mut count: impl FnMut(CommandId, u64)) {
        let mut start = 0;
        for failure in self.stats.failures().iter().filter(|failure| failure.is_rejection) {
            let rejected = failure.request as usize;
            self.requests.count_calls(start..rejected, &mut count);
            start = rejected + 1;
        }
        self.requests.count_calls(start..self.next, &mut count);
    }

    /// Starts the observation with the next request.
    ///
    /// `is_listening`: the client gets pushes, so that requests run one by one. Those of a transaction do not:
    /// their replies are elements of one array, and a push cannot be an element.
    pub(crate) fn observe(&mut self, is_listening: bool) {
        let from = self.observed.map_or(self.next, |observed| observed.from);
        self.observed = Some(Observed { from, one_by_one: is_listening && !self.is_transaction });
    }

    /// Returns whether a request is the part of a split request.
    pub(crate) fn is_split_part(&self, request: u32) -> bool {
        self.split_parts.binary_search(&request).is_ok()
    }

    /// Returns whether the batch is a transaction, or a part of one.
    pub(crate) fn is_in_transaction(&self) -> bool {
        self.is_transaction || self.is_atomic
    }

    pub(crate) fn is_observed(&self) -> bool {
        self.observed.is_some()
    }

    /// Returns whether the pushes that a request causes for its client follow its reply.
    pub(crate) fn runs_one_by_one(&self) -> bool {
        self.observed.is_some_and(|observed| observed.one_by_one)
    }

    /// Returns the requests that have run since the last call, if keys are observed.
    pub(crate) fn take_observed(&mut self) -> Range<u32> {
        let Some(observed) = &mut self.observed else { return 0..0 };
        std::mem::replace(&mut observed.from, self.next) as u32..self.next as u32
    }

    /// Returns the requests that these actors run next and that `MONITOR` clients have not seen yet.
    pub(crate) fn take_unshown(&mut self, actors: Actors) -> Vec<(u32, CommandRef)> {
        let before = self.stats.shown();
        let unshown: Vec<_> = self.upcoming(actors).filter(|(index, _)| *index >= before).collect();
        if let Some((last, _)) = unshown.last() {
            self.stats.note_shown(last + 1);
        }
        unshown
    }
}

/// Checkpoints.
impl Batch {
    /// Returns the current position.
    pub(crate) fn checkpoint(&self) -> BatchCheckpoint {
        BatchCheckpoint {
            next: self.next,
            next_span: self.next_span,
            mark: self.mark,
            replies: self.out.mode(),
        }
    }

    /// Returns the requests that were answered since the checkpoint.
    pub(crate) fn answered_since(&self, checkpoint: &BatchCheckpoint) -> Range<u32> {
        checkpoint.next as u32..self.next as u32
    }

    /// Returns to the checkpoint, and discards the replies since then.
    pub(crate) fn go_back(&mut self, checkpoint: BatchCheckpoint) {
        self.end_streaming();
        self.next = checkpoint.next;
        self.next_span = checkpoint.next_span;
        self.mark = checkpoint.mark;
        self.out.rewind(checkpoint.mark);
        while self.ends.last().is_some_and(|end| *end > checkpoint.mark) {
            self.ends.pop();
        }
        self.out.set_mode(checkpoint.replies);
        self.stats.forget_from(checkpoint.next as u32);
    }
}
