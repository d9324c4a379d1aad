//! The life of a batch, the cursor that says which request is next, and the replies so far.

use std::ops::Range;

use bytes::Bytes;

use super::{
    ActorId, Actors, Batch, CommandRef, Failure, ReplyBuffer, ReplyMode, RequestWords, Resolved, WaitId,
    data::{MAX_UNSENT, RunState},
    pool,
};
use crate::{
    Error,
    resp::{BufferPosition, Encoder},
};

/// A blocked batch keeps its buffers if they take no more than this many bytes.
const MAX_BLOCKED_BYTES: usize = 1024;

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
        self.is_timed = false;
        self.observed = None;
        self.is_transaction = false;
        self.exclusive.clear();
        // Most batches have nothing to drop here.
        match &mut self.run_state {
            RunState::Running { room } => *room = MAX_UNSENT,
            other => *other = RunState::START,
        }
        self.out.set_timed(false);
        self.out.set_mode(ReplyMode::On);
        self.out.key_events.recycle();
        drop(self.out.encoder_mut().take_internal());
        if !self.out.encoder().key_prefix().is_empty() {
            self.out.encoder_mut().set_key_prefix(&Bytes::new());
        }
        self.prefixed = 0;
        if self.is_part() {
            self.out.set_separate(false);
            self.part.ends.clear();
            self.part.split_requests.clear();
        }
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
            if self.stats.has_spans() {
                let copy = other.requests.len() as u32 - 1;
                self.stats.copy_spans(self.next as u32, &mut other.stats, copy);
            }
        }
    }

    /// Clears the replies after they were sent.
    pub(crate) fn clear_replies(&mut self) {
        self.out.clear(pool::MAX_KEPT_BYTES);
        self.mark = BufferPosition::default();
    }

    /// Returns whether replies have to be sent before the batch waits.
    ///
    /// The replies of a transaction are one, and those of a part are moved to its batch.
    pub(crate) fn has_replies_to_send(&self) -> bool {
        !self.out.encoder().is_empty() && !self.is_transaction && !self.is_part()
    }

    /// Frees unused memory before a wait of unknown length.
    pub(crate) fn shrink(&mut self) {
        let has_replies = !self.out.encoder().is_empty();
        if !has_replies && self.capacity() > size_of::<Self>() + MAX_BLOCKED_BYTES {
            self.requests.shrink_to_fit();
            self.out.clear(0);
            self.out.key_events.shrink_to(0);
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
    /// Returns `None` while unsent replies have to be sent first, while the batch is blocked, or while its parts run.
    #[inline]
    pub(crate) fn runnable(&self) -> Option<Resolved<CommandRef>> {
        let request = self.requests.get(self.next)?;
        match self.run_state {
            RunState::Running { room } if self.out.encoder().len() < room => Some(request.target),
            _ => None,
        }
    }

    /// Returns the command of the next request, whether the batch itself is to run or its parts.
    #[inline]
    pub(crate) fn next_target(&self) -> Option<Resolved<CommandRef>> {
        if matches!(self.run_state, RunState::Joining(_)) { self.next_of_parts() } else { self.runnable() }
    }

    /// Returns the command of the next request if the replies of the parts have been sent.
    #[inline(never)]
    fn next_of_parts(&self) -> Option<Resolved<CommandRef>> {
        let can_run = self.out.encoder().is_empty();
        self.requests.get(self.next).filter(|_| can_run).map(|request| request.target)
    }

    /// Returns whether several shards run the next request.
    pub(crate) fn is_split(&self) -> bool {
        matches!(self.next_target(), Some(Resolved::Split(_)))
    }

    /// Returns the index of the next request.
    pub(crate) fn next_request(&self) -> u32 {
        self.next as u32
    }

    /// Returns the number of words of all requests that have not run.
    #[inline]
    pub(crate) fn words_left(&self) -> usize {
        self.requests.words_from(self.next)
    }

    /// Returns the words of the next request, and the buffer for its reply.
    #[inline]
    pub(crate) fn next_parts(&mut self) -> Option<(RequestWords<'_>, &mut ReplyBuffer)> {
        let request = self.requests.get(self.next)?;
        Some((self.requests.words_of(request), &mut self.out))
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

    /// Returns how many requests these actors run next together; `None` stands for a request that no actor runs.
    ///
    /// The connection itself runs one request at a time.
    pub(crate) fn run_len(&self, actors: Option<Actors>) -> u32 {
        let len = match actors {
            None | Some(Actors { first: ActorId::CONNECTION, .. }) => 1,
            Some(Actors { first, last }) if first == last => {
                self.requests.run_of(self.next..self.requests.len(), first)
            }
            Some(shards) => self.requests.of_actors(self.next, shards).count(),
        };
        len as u32
    }

    /// Checks the requests that these actors run next, or only the next one.
    ///
    /// The result is about the next request. The first later one for which `check` fails is [denied](Resolved::Denied).
    #[inline]
    pub(crate) fn deny_from<E>(
        &mut self,
        actors: Actors,
        is_single: bool,
        mut check: impl FnMut(CommandRef, RequestWords<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let next = self.next_request();
        let is_single = is_single || actors.first == ActorId::CONNECTION;
        let mut denied = None;
        for (index, words, resolved) in self.requests.from(next) {
            let Some(target) = resolved.target().filter(|target| actors.has(target.actor_id)) else { break };
            if let Err(reason) = check(target, words) {
                denied = Some((index, reason));
                break;
            }
            if is_single {
                break;
            }
        }
        match denied {
            Some((index, reason)) if index == next => Err(reason),
            Some((index, _)) => {
                self.requests.replace_target(index, Resolved::Denied);
                Ok(())
            }
            None => Ok(()),
        }
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
        match &self.run_state {
            RunState::Running { room } => room.saturating_sub(self.out.encoder().len()),
            _ => 0,
        }
    }

    /// Drops the requests that have not run.
    pub(crate) fn abandon_requests(&mut self) {
        self.requests.truncate(self.next);
        if matches!(self.run_state, RunState::Joining(_)) {
            self.run_state = self.running();
        }
    }

    fn advance(&mut self) {
        if self.has_requests() {
            self.next += 1;
        }
        self.mark = self.out.encoder().position();
    }

    pub(super) fn running(&self) -> RunState {
        match self.is_transaction {
            true => RunState::Running { room: usize::MAX },
            false if self.is_part() => RunState::Running { room: self.part.room },
            false => RunState::START,
        }
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
        if !self.out.is_noteworthy(self.mark) || self.complete_noteworthy_reply(is_rejection, may_block) {
            self.advance();
        }
    }

    /// Completes the next requests, whose replies were written and need no other note.
    pub(super) fn complete_all(&mut self, requests: usize) {
        self.next += requests - 1;
        self.advance();
    }

    /// Handles a reply that is special, belongs to a part, or has key events. Returns whether the request has its reply.
    fn complete_noteworthy_reply(&mut self, is_rejection: bool, may_block: impl FnOnce() -> bool) -> bool {
        self.out.assign_key_events(self.next as u32);
        let has_reply =
            !self.out.is_special(self.mark) || self.complete_special_reply(is_rejection, may_block);
        if has_reply && self.is_part() {
            self.part.ends.push(self.out.encoder().position());
        }
        has_reply
    }

    /// Takes the awaited reply to the next request.
    pub(crate) fn take_reply(&mut self, mut reply: Box<Batch>) {
        self.out.encoder_mut().append(reply.out.encoder_mut());
        reply.recycle();
        self.run_state = self.running();
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
        matches!(self.run_state, RunState::Blocked { .. })
    }

    /// Returns the wait of the next request for its reply.
    pub(crate) fn wait_id(&self) -> Option<WaitId> {
        match self.run_state {
            RunState::Blocked { wait_id, .. } => Some(wait_id),
            _ => None,
        }
    }

    /// Sets the wait of the next request aside, so that requests before it can run again.
    pub(crate) fn take_wait(&mut self) -> Option<(WaitId, bool)> {
        let RunState::Blocked { wait_id, may_block } = self.run_state else { return None };
        self.run_state = self.running();
        Some((wait_id, may_block))
    }

    /// Makes the next request wait again.
    pub(crate) fn wait_again(&mut self, (wait_id, may_block): (WaitId, bool)) {
        self.run_state = RunState::Blocked { wait_id, may_block };
    }

    /// Returns whether the next request waits for its reply, and its command has the flag `blocking`.
    pub(crate) fn may_block(&self) -> bool {
        matches!(self.run_state, RunState::Blocked { may_block: true, .. })
    }

    /// Handles a reply with special properties: an error, a later reply, a streaming reply, or one that the
    /// client switched off.
    ///
    /// Returns whether the request has its reply.
    #[cold]
    fn complete_special_reply(&mut self, is_rejection: bool, may_block: impl FnOnce() -> bool) -> bool {
        let deferred = self.out.take_deferred();
        self.note_failure(self.next, is_rejection);
        self.stats.note_end(self.next as u32, is_rejection);
        if let Some(wait_id) = deferred {
            // The wait for the reply is not part of the handler's time.
            self.stats.stop();
            self.run_state = RunState::Blocked { wait_id, may_block: may_block() };
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

    pub(super) fn note_failure(&mut self, request: usize, is_rejection: bool) {
        let Some(line) = self.out.encoder().error_at(self.mark) else { return };
        let code = line.split(|byte| *byte == b' ').next().unwrap_or_default();
        let code = String::from_utf8_lossy(code).into();
        self.stats.note_failure(Failure { request: request as u32, code, is_rejection });
        if let Some(error) = self.out.encoder_mut().take_internal() {
            let name = self.requests.words(request as u32).map(RequestWords::name).unwrap_or_default();
            self.stats.note_internal(String::from_utf8_lossy(name).to_ascii_uppercase(), error);
        }
    }

    /// Returns whether there may be internal errors among the replies.
    #[inline]
    pub(crate) fn may_have_internal(&self) -> bool {
        !self.stats.is_empty() || self.out.encoder().has_internal()
    }

    /// Takes the internal errors among the replies that have not been logged, each with its command.
    #[cold]
    pub(crate) fn take_internal(&mut self) -> Vec<(String, Error)> {
        let mut errors = self.stats.take_internal();
        // An element of an array is no failure of the command.
        let element = self.out.encoder_mut().take_internal();
        errors.extend(element.map(|error| (String::new(), error)));
        errors
    }

    /// Ends the streaming reply.
    pub(super) fn end_streaming(&mut self) {
        if matches!(self.run_state, RunState::Streaming(_)) {
            self.run_state = self.running();
        }
    }
}
