//! The requests of a batch, as the client sent them.

use std::{mem, ops::Range};

use bytes::Bytes;

use super::{ActorId, Actors, CommandId, CommandRef, Resolved};
use crate::resp::{Encoder, Span};

/// The requests of a batch, and the beginning of a request that is still being read.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    /// The bytes of the requests, without the large bulk strings.
    pub(crate) input: Vec<u8>,
    /// The words of all requests, in order.
    pub(crate) spans: Vec<Span>,
    /// Large bulk strings, each in its own buffer.
    large: Vec<Bytes>,
    large_len: usize,
    /// A large bulk string that is still being read.
    pub(crate) partial_bulk: Option<Box<PartialBulk>>,
    list: Vec<RequestEntry>,
}

/// A large bulk string, and the number of its bytes that are missing.
#[derive(Debug)]
pub(crate) struct PartialBulk {
    pub(crate) bytes: Vec<u8>,
    pub(crate) missing: usize,
}

#[derive(Debug)]
pub(super) struct RequestEntry {
    /// The end of the request in `spans`. 32 bits are enough, because the input has at most 2 GiB.
    pub(super) end: u32,
    pub(super) target: Resolved<CommandRef>,
}

/// The words of one request: the name of the command, and its arguments.
#[derive(Clone, Copy)]
pub(crate) struct RequestWords<'a> {
    spans: &'a [Span],
    requests: &'a Requests,
}

impl Requests {
    /// Adds the request whose spans were appended to `spans`.
    pub(crate) fn push(&mut self, resolve: impl FnOnce(RequestWords<'_>) -> Resolved<CommandRef>) {
        let target = resolve(self.words_of(self.end()..self.spans.len()));
        self.list.push(RequestEntry { end: self.spans.len() as u32, target });
    }

    /// Returns the end of the complete requests in `spans`.
    fn end(&self) -> usize {
        self.start_of(self.list.len())
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

    /// Returns the large bulk string of which bytes are missing.
    pub(crate) fn missing_bulk(&mut self) -> Option<&mut PartialBulk> {
        self.partial_bulk.as_deref_mut().filter(|partial_bulk| partial_bulk.missing > 0)
    }

    /// Returns the memory of the requests in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let partial_bulk = self.partial_bulk.as_ref().map_or(0, |partial_bulk| partial_bulk.bytes.len());
        self.input.len() + self.spans.len() * size_of::<Span>() + self.large_len + partial_bulk
    }

    /// Returns the number of complete requests.
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<&RequestEntry> {
        self.list.get(index)
    }

    /// Returns the command of a request.
    pub(crate) fn target(&self, request: u32) -> Option<Resolved<CommandRef>> {
        self.list.get(request as usize).map(|request| request.target)
    }

    /// Returns the last command.
    pub(crate) fn last_command(&self) -> Option<CommandId> {
        self.list.iter().rev().find_map(|request| request.target.command())
    }

    /// Returns the words of a request.
    pub(crate) fn words(&self, request: u32) -> Option<RequestWords<'_>> {
        let index = request as usize;
        (index < self.list.len()).then(|| self.words_of(self.spans_of(index)))
    }

    /// Returns the range in `spans` of the request at `index`.
    fn spans_of(&self, index: usize) -> Range<usize> {
        self.start_of(index)..self.list[index].end as usize
    }

    /// Returns the start in `spans` of the request at `index`, which is the end of the one before it.
    #[inline]
    fn start_of(&self, index: usize) -> usize {
        index.checked_sub(1).map_or(0, |before| self.list[before].end as usize)
    }

    /// Returns the words in this range of `spans`.
    #[inline]
    pub(super) fn words_of(&self, spans: Range<usize>) -> RequestWords<'_> {
        RequestWords { spans: &self.spans[spans], requests: self }
    }

    /// Returns the consecutive requests for these actors from `next` on, with their indexes.
    pub(super) fn of_actors(
        &self,
        next: usize,
        actors: Actors,
    ) -> impl Iterator<Item = (u32, Resolved<CommandRef>)> + Clone {
        let requests = self.list.iter().zip(0..).skip(next);
        let targets = requests.map(|(request, index)| (index, request.target));
        targets
            .take_while(move |(_, target)| target.target().is_some_and(|target| actors.has(target.actor_id)))
    }

    /// Returns the number of requests at the start of this range that an actor alone runs.
    pub(super) fn run_of(&self, range: Range<usize>, actor_id: ActorId) -> usize {
        self.list[range].iter().take_while(|request| request.target.of_actor(actor_id).is_some()).count()
    }

    /// Returns whether an actor has requests from `next` on, possibly after those of others.
    pub(super) fn has_any_of(&self, next: usize, actor_id: ActorId) -> bool {
        self.list[next..].iter().any(|request| request.target.of_actor(actor_id).is_some())
    }

    /// Counts the calls of each command in a range. Consecutive calls of one command are counted together.
    pub(super) fn count_calls(&self, range: Range<usize>, count: &mut impl FnMut(CommandId, u64)) {
        for same in self.list[range].chunk_by(|one, next| one.target.command() == next.target.command()) {
            if let Some(command) = same[0].target.command() {
                count(command, same.len() as u64);
            }
        }
    }

    /// Gives the requests of other shards of `group` than these to the first of these.
    pub(super) fn move_targets(&mut self, group: Actors, shards: &[ActorId]) {
        let Some(first) = shards.first() else { return };
        for request in &mut self.list {
            match &mut request.target {
                Resolved::Command(target)
                    if group.has(target.actor_id) && !shards.contains(&target.actor_id) =>
                {
                    target.actor_id = *first;
                }
                _ => {}
            }
        }
    }

    /// Returns the requests from this one on: index, words and command.
    ///
    /// It has no panics, so that the compiler can remove what a caller does not use.
    #[inline]
    pub(crate) fn from(
        &self,
        request: u32,
    ) -> impl Iterator<Item = (u32, RequestWords<'_>, Resolved<CommandRef>)> {
        let index = request as usize;
        let mut start =
            index.checked_sub(1).and_then(|before| self.list.get(before)).map_or(0, |one| one.end);
        let list = self.list.get(index..).unwrap_or_default();
        list.iter().zip(request..).map(move |(one, request)| {
            let spans = self.spans.get(start as usize..one.end as usize).unwrap_or_default();
            start = one.end;
            (request, RequestWords { spans, requests: self }, one.target)
        })
    }

    /// Replaces the command of a request. Returns the command so far.
    pub(crate) fn replace_target(
        &mut self,
        request: u32,
        target: Resolved<CommandRef>,
    ) -> Option<Resolved<CommandRef>> {
        let entry = self.list.get_mut(request as usize)?;
        Some(mem::replace(&mut entry.target, target))
    }

    /// Drops the requests from `index` on.
    pub(super) fn truncate(&mut self, index: usize) {
        self.list.truncate(index);
    }

    /// Splits the input at `start`, behind the last complete request.
    ///
    /// Returns the rest, if there is any. It has buffers of minimal size, since its client may take a long time
    /// to complete the request.
    pub(super) fn split_off(&mut self, start: usize) -> Option<Requests> {
        let complete = self.end();
        if start == self.input.len() && complete == self.spans.len() && self.partial_bulk.is_none() {
            return None;
        }
        let mut rest = Requests {
            input: self.input.split_off(start),
            spans: self.spans.split_off(complete),
            partial_bulk: self.partial_bulk.take(),
            ..Requests::default()
        };
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

    /// Moves the requests, whose bytes are this part of the input, to `other`.
    ///
    /// The input itself does not change.
    pub(super) fn move_to(&mut self, other: &mut Requests, part: Range<usize>) {
        other.input.extend_from_slice(&self.input[part.clone()]);
        other.spans.append(&mut self.spans);
        other.list.append(&mut self.list);
        other.large = mem::take(&mut self.large);
        other.large_len = mem::take(&mut self.large_len);
        other.spans.iter_mut().for_each(|span| span.rebase(part.start, 0));
    }

    /// Copies the request at `index` to `other`, which will run it. Here it is marked as queued.
    pub(super) fn queue_to(&mut self, other: &mut Requests, index: usize) {
        let target = mem::replace(&mut self.list[index].target, Resolved::Queued);
        self.copy_to(other, index, target);
    }

    /// Copies the request at `index` to `other`, where it has this target.
    pub(super) fn copy_to(&self, other: &mut Requests, index: usize, target: Resolved<CommandRef>) {
        let spans = &self.spans[self.spans_of(index)];
        let first = spans.iter().find_map(Span::input_range).unwrap_or_default();
        let last = spans.iter().rev().find_map(Span::input_range).unwrap_or_default();
        // The words are copied in one piece, with the bytes between them.
        let (from, to) = (first.start, other.input.len() as u32);
        other.input.extend_from_slice(&self.input[first.start as usize..last.end as usize]);
        for span in spans {
            let copy = match *span {
                Span::Input { start, end } => Span::Input { start: start - from + to, end: end - from + to },
                Span::Large(large) => {
                    Span::Large(other.push_large(self.large[large as usize].clone()) as u32)
                }
            };
            other.spans.push(copy);
        }
        other.end_request(target);
    }

    /// Copies one word of the request at `index` to the end of the next request of `other`.
    pub(super) fn copy_word_to(&self, other: &mut Requests, index: usize, word: usize) {
        match self.spans[self.spans_of(index)].get(word).copied() {
            Some(Span::Large(large)) => {
                let large = other.push_large(self.large[large as usize].clone());
                other.spans.push(Span::Large(large as u32));
            }
            Some(Span::Input { start, end }) => other.push_word(&self.input[start as usize..end as usize]),
            None => {}
        }
    }

    /// Adds a word to the end of the next request.
    pub(super) fn push_word(&mut self, word: &[u8]) {
        let start = self.input.len() as u32;
        self.input.extend_from_slice(word);
        self.spans.push(Span::Input { start, end: self.input.len() as u32 });
    }

    /// Completes the request whose words were added.
    pub(super) fn end_request(&mut self, target: Resolved<CommandRef>) {
        self.list.push(RequestEntry { end: self.spans.len() as u32, target });
    }

    /// Puts a prefix before each word of a request. `prefix_of` returns the prefix, which may be empty, for a position.
    ///
    /// All small words move to the end of the input, in order. Returns `false`, and changes nothing, if the input would have more
    /// than 2 GiB.
    pub(crate) fn prefix_words<'p>(&mut self, request: u32, prefix_of: impl Fn(usize) -> &'p [u8]) -> bool {
        let range = self.spans_of(request as usize);
        let small = self.spans[range.clone()].iter().filter_map(Span::input_range);
        let prefixes = (0..range.len()).map(|position| prefix_of(position).len());
        let added = small.map(|span| span.len()).sum::<usize>() + prefixes.sum::<usize>();
        if self.input.len() + added > i32::MAX as usize {
            return false;
        }
        for (position, at) in range.enumerate() {
            let prefix = prefix_of(position);
            match self.spans[at] {
                Span::Input { start, end } => {
                    let moved = self.input.len();
                    self.input.extend_from_slice(prefix);
                    self.input.extend_from_within(start as usize..end as usize);
                    self.spans[at] = Span::Input { start: moved as u32, end: self.input.len() as u32 };
                }
                Span::Large(large) if !prefix.is_empty() => {
                    let word = [prefix, &self.large[large as usize]].concat();
                    self.spans[at] = Span::Large(self.push_large(word.into()) as u32);
                }
                Span::Large(_) => {}
            }
        }
        true
    }

    /// Removes everything, and keeps at most `max_bytes` of memory in each buffer.
    pub(super) fn clear(&mut self, max_bytes: usize) {
        self.partial_bulk = None;
        if !self.large.is_empty() {
            self.large = Vec::new();
            self.large_len = 0;
        }
        self.input.clear();
        self.spans.clear();
        self.list.clear();
        self.input.shrink_to(max_bytes);
        self.spans.shrink_to(max_bytes / size_of::<Span>());
        self.list.shrink_to(max_bytes / size_of::<RequestEntry>());
    }

    /// Frees unused memory.
    pub(super) fn shrink_to_fit(&mut self) {
        self.input.shrink_to_fit();
        self.spans.shrink_to_fit();
        self.list.shrink_to_fit();
    }

    /// Returns the allocated memory in bytes, without large bulk strings.
    pub(super) fn capacity(&self) -> usize {
        self.input.capacity()
            + self.spans.capacity() * size_of::<Span>()
            + self.list.capacity() * size_of::<RequestEntry>()
    }
}

impl<'a> RequestWords<'a> {
    /// Returns the number of words.
    #[inline]
    pub(crate) fn len(self) -> usize {
        self.spans.len()
    }

    /// Returns the word at `index`; 0 is the name.
    #[inline]
    pub(crate) fn get(self, index: usize) -> Option<&'a [u8]> {
        self.spans.get(index)?.get(&self.requests.input, &self.requests.large)
    }

    /// Returns the name of the command as the client wrote it.
    #[inline]
    pub(crate) fn name(self) -> &'a [u8] {
        self.get(0).unwrap_or_default()
    }

    /// Returns the word at `index`, owned. A large bulk string is not copied.
    #[inline]
    pub(crate) fn bytes(self, index: usize) -> Option<Bytes> {
        match self.spans.get(index)? {
            Span::Large(index) => self.requests.large.get(*index as usize).cloned(),
            Span::Input { .. } => self.get(index).map(Bytes::copy_from_slice),
        }
    }

    /// Encodes the request for another server. Large bulk strings are not copied.
    pub(crate) fn write(self, out: &mut Encoder) {
        out.array(self.len());
        for (index, span) in self.spans.iter().enumerate() {
            match span {
                Span::Large(large) => {
                    let large = self.requests.large.get(*large as usize);
                    large.into_iter().for_each(|large| out.bulk_bytes(large));
                }
                Span::Input { .. } => out.bulk(self.get(index).unwrap_or_default()),
            }
        }
    }
}
