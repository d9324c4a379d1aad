//! The requests of a batch, as the client sent them.

use std::{mem, ops::Range, sync::Arc};

use bytes::Bytes;

use super::{ActorId, Actors, CommandId, CommandRef, Resolved};
use crate::resp::{Encoder, Span};

/// The requests of a batch, and the beginning of a request that is still being read.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    /// The words of the requests, if no other batch has requests with them.
    pub(crate) own: WordBuffer,
    /// The words of the requests, if parts of a batch share them with the batch.
    shared: Option<Arc<WordBuffer>>,
    /// A large bulk string that is still being read.
    pub(crate) partial_bulk: Option<Box<PartialBulk>>,
    list: Vec<RequestEntry>,
    /// The end of the complete requests in the spans of the own words.
    complete: u32,
}

/// The words of requests, and the bytes of these words.
#[derive(Clone, Debug, Default)]
pub(crate) struct WordBuffer {
    /// The bytes of the requests, without the large bulk strings.
    pub(crate) input: Vec<u8>,
    /// The words of all requests, in order. Behind them may be those of the [parts](super::Join) of split requests.
    pub(crate) spans: Vec<Span>,
    /// Large bulk strings, each in its own buffer.
    large: Vec<Bytes>,
    large_len: usize,
}

/// A large bulk string, and the number of its bytes that are missing.
#[derive(Debug)]
pub(crate) struct PartialBulk {
    pub(crate) bytes: Vec<u8>,
    pub(crate) missing: usize,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct RequestEntry {
    /// The words of the request in `spans`. 32 bits are enough, because the input has at most 2 GiB.
    start: u32,
    end: u32,
    pub(super) target: Resolved<CommandRef>,
}

/// The words of one request: the name of the command, and its arguments.
#[derive(Clone, Copy)]
pub(crate) struct RequestWords<'a> {
    spans: &'a [Span],
    words: &'a WordBuffer,
}

impl WordBuffer {
    /// Adds a large bulk string. Returns its index.
    pub(crate) fn push_large(&mut self, bytes: Bytes) -> usize {
        self.large_len += bytes.len();
        self.large.push(bytes);
        self.large.len() - 1
    }

    /// Adds a word that is not large.
    fn push(&mut self, word: &[u8]) {
        let start = self.input.len() as u32;
        self.input.extend_from_slice(word);
        self.spans.push(Span::Input { start, end: self.input.len() as u32 });
    }

    /// Returns the memory of the words in bytes.
    fn bytes(&self) -> usize {
        self.input.len() + self.spans.len() * size_of::<Span>() + self.large_len
    }
}

impl Requests {
    /// Returns the words of the requests.
    #[inline]
    fn all_words(&self) -> &WordBuffer {
        self.shared.as_deref().unwrap_or(&self.own)
    }

    /// Makes the words of the requests its own, after the other batches that have shared them have been recycled.
    pub(super) fn own_words(&mut self) -> &mut WordBuffer {
        if let Some(shared) = self.shared.take() {
            self.own = Arc::unwrap_or_clone(shared);
        }
        &mut self.own
    }

    /// Shares its words with other batches.
    pub(super) fn share_words(&mut self) -> Arc<WordBuffer> {
        let own = &mut self.own;
        Arc::clone(self.shared.get_or_insert_with(|| Arc::new(mem::take(own))))
    }

    /// Uses the words of another batch, from which it has requests.
    pub(super) fn use_words(&mut self, words: Arc<WordBuffer>) {
        self.shared = Some(words);
    }

    /// Adds the request whose spans were appended to the own words.
    pub(crate) fn push(&mut self, resolve: impl FnOnce(RequestWords<'_>) -> Resolved<CommandRef>) {
        let spans = &self.own.spans[self.complete as usize..];
        let target = resolve(RequestWords { spans, words: &self.own });
        let (start, end) = (self.complete, self.own.spans.len() as u32);
        self.complete = end;
        self.list.push(RequestEntry { start, end, target });
    }

    /// Starts a large bulk string of `len` bytes at this position of the input.
    ///
    /// Bytes that have arrived move to its own buffer.
    pub(crate) fn begin_large(&mut self, position: usize, len: usize) {
        let arrived = (self.own.input.len() - position).min(len);
        let bytes = self.own.input.drain(position..position + arrived).collect();
        self.partial_bulk = Some(Box::new(PartialBulk { bytes, missing: len - arrived }));
    }

    /// Returns the large bulk string of which bytes are missing.
    pub(crate) fn missing_bulk(&mut self) -> Option<&mut PartialBulk> {
        self.partial_bulk.as_deref_mut().filter(|partial_bulk| partial_bulk.missing > 0)
    }

    /// Returns the memory of the requests in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let partial_bulk = self.partial_bulk.as_ref().map_or(0, |partial_bulk| partial_bulk.bytes.len());
        self.all_words().bytes() + partial_bulk
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
        self.list.get(request as usize).map(|request| self.words_of(request))
    }

    #[inline]
    pub(super) fn words_of(&self, request: &RequestEntry) -> RequestWords<'_> {
        let words = self.all_words();
        RequestWords { spans: &words.spans[request.start as usize..request.end as usize], words }
    }

    /// Returns the number of words from the start of this request to the end of the last one.
    #[inline]
    pub(super) fn words_from(&self, index: usize) -> usize {
        let words = self.list.get(index).zip(self.list.last());
        words.map_or(0, |(next, last)| last.end.saturating_sub(next.start) as usize)
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
    #[inline]
    pub(crate) fn from(
        &self,
        request: u32,
    ) -> impl Iterator<Item = (u32, RequestWords<'_>, Resolved<CommandRef>)> {
        self.range(request..u32::MAX)
    }

    /// Returns the requests in a range, as far as it has any, each with its index and its command.
    ///
    /// It has no panics, so that the compiler can remove what a caller does not use.
    #[inline]
    pub(crate) fn range(
        &self,
        range: Range<u32>,
    ) -> impl Iterator<Item = (u32, RequestWords<'_>, Resolved<CommandRef>)> {
        let words = self.all_words();
        let end = self.list.len().min(range.end as usize);
        let list = self.list.get(range.start as usize..end).unwrap_or_default();
        list.iter().zip(range.start..).map(move |(one, request)| {
            let spans = words.spans.get(one.start as usize..one.end as usize).unwrap_or_default();
            (request, RequestWords { spans, words }, one.target)
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
        let complete = self.complete as usize;
        let own = &mut self.own;
        if start == own.input.len() && complete == own.spans.len() && self.partial_bulk.is_none() {
            return None;
        }
        let mut rest = WordBuffer {
            input: own.input.split_off(start),
            spans: own.spans.split_off(complete),
            ..WordBuffer::default()
        };
        let is_large = |span: &&Span| matches!(span, Span::Large(_));
        let kept_large = own.large.len() - rest.spans.iter().filter(is_large).count();
        rest.large = own.large.split_off(kept_large);
        rest.large_len = rest.large.iter().map(Bytes::len).sum();
        own.large_len -= rest.large_len;
        for span in &mut rest.spans {
            span.rebase(start, kept_large);
        }
        Some(Requests { own: rest, partial_bulk: self.partial_bulk.take(), ..Requests::default() })
    }

    /// Moves the requests, whose bytes are this part of the input, to `other`, which is empty.
    ///
    /// The input itself does not change.
    pub(super) fn move_to(&mut self, other: &mut Requests, part: Range<usize>) {
        let (from, to) = (&mut self.own, &mut other.own);
        to.input.extend_from_slice(&from.input[part.clone()]);
        to.spans.append(&mut from.spans);
        to.large = mem::take(&mut from.large);
        to.large_len = mem::take(&mut from.large_len);
        to.spans.iter_mut().for_each(|span| span.rebase(part.start, 0));
        other.list.append(&mut self.list);
        other.complete = mem::take(&mut self.complete);
    }

    /// Copies the request at `index` to `other`, which will run it. Here it is marked as queued.
    pub(super) fn queue_to(&mut self, other: &mut Requests, index: usize) {
        let target = mem::replace(&mut self.list[index].target, Resolved::Queued);
        let RequestWords { spans, words } = self.words_of(&self.list[index]);
        let to = &mut other.own;
        let first = spans.iter().find_map(Span::input_range).unwrap_or_default();
        let last = spans.iter().rev().find_map(Span::input_range).unwrap_or_default();
        // The words are copied in one piece, with the bytes between them.
        let (from, copy) = (first.start, to.input.len() as u32);
        to.input.extend_from_slice(&words.input[first.start as usize..last.end as usize]);
        for span in spans {
            let span = match *span {
                Span::Input { start, end } => {
                    Span::Input { start: start - from + copy, end: end - from + copy }
                }
                Span::Large(large) => Span::Large(to.push_large(words.large[large as usize].clone()) as u32),
            };
            to.spans.push(span);
        }
        other.push(|_| target);
    }

    /// Adds a request of the batch whose words it [uses](Self::use_words).
    pub(super) fn add(&mut self, request: RequestEntry) {
        self.list.push(request);
    }

    /// Adds words behind those of all requests: words of the request at `index`, and a new one at this position.
    ///
    /// Returns a request with these words for a part of the batch.
    pub(super) fn with_words(
        &mut self,
        index: usize,
        positions: impl Iterator<Item = usize>,
        replaced: Option<(usize, &[u8])>,
        target: CommandRef,
    ) -> RequestEntry {
        let Range { start: first, end } = self.range_of(index);
        let words = self.own_words();
        let start = words.spans.len();
        for position in positions {
            match replaced {
                Some((at, word)) if at == position => words.push(word),
                _ => words
                    .spans
                    .extend_from_within((first + position).min(end)..(first + position + 1).min(end)),
            }
        }
        RequestEntry { start: start as u32, end: words.spans.len() as u32, target: Resolved::Command(target) }
    }

    fn range_of(&self, index: usize) -> Range<usize> {
        self.list.get(index).map_or(0..0, |request| request.start as usize..request.end as usize)
    }

    /// Puts a prefix before each word of a request. `prefix_of` returns the prefix, which may be empty, for a position.
    ///
    /// All small words move to the end of the input, in order. Returns `false`, and changes nothing, if the input would have more
    /// than 2 GiB.
    pub(crate) fn prefix_words<'p>(&mut self, request: u32, prefix_of: impl Fn(usize) -> &'p [u8]) -> bool {
        let range = self.range_of(request as usize);
        let words = self.own_words();
        let small = words.spans[range.clone()].iter().filter_map(Span::input_range);
        let prefixes = (0..range.len()).map(|position| prefix_of(position).len());
        let added = small.map(|span| span.len()).sum::<usize>() + prefixes.sum::<usize>();
        if words.input.len() + added > i32::MAX as usize {
            return false;
        }
        for (position, at) in range.enumerate() {
            let prefix = prefix_of(position);
            match words.spans[at] {
                Span::Input { start, end } => {
                    let moved = words.input.len();
                    words.input.extend_from_slice(prefix);
                    words.input.extend_from_within(start as usize..end as usize);
                    words.spans[at] = Span::Input { start: moved as u32, end: words.input.len() as u32 };
                }
                Span::Large(large) if !prefix.is_empty() => {
                    let word = [prefix, &words.large[large as usize]].concat();
                    words.spans[at] = Span::Large(words.push_large(word.into()) as u32);
                }
                Span::Large(_) => {}
            }
        }
        true
    }

    /// Removes everything, and keeps at most `max_bytes` of memory in each buffer.
    pub(super) fn clear(&mut self, max_bytes: usize) {
        self.shared = None;
        self.partial_bulk = None;
        self.complete = 0;
        self.list.clear();
        self.list.shrink_to(max_bytes / size_of::<RequestEntry>());
        let own = &mut self.own;
        if !own.large.is_empty() {
            own.large = Vec::new();
            own.large_len = 0;
        }
        own.input.clear();
        own.spans.clear();
        own.input.shrink_to(max_bytes);
        own.spans.shrink_to(max_bytes / size_of::<Span>());
    }

    /// Frees unused memory.
    pub(super) fn shrink_to_fit(&mut self) {
        self.own.input.shrink_to_fit();
        self.own.spans.shrink_to_fit();
        self.list.shrink_to_fit();
    }

    /// Returns the allocated memory in bytes, without large bulk strings.
    pub(super) fn capacity(&self) -> usize {
        self.own.input.capacity()
            + self.own.spans.capacity() * size_of::<Span>()
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
        self.spans.get(index)?.get(&self.words.input, &self.words.large)
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
            Span::Large(index) => self.words.large.get(*index as usize).cloned(),
            Span::Input { .. } => self.get(index).map(Bytes::copy_from_slice),
        }
    }

    /// Encodes the request for another server. Large bulk strings are not copied.
    pub(crate) fn write(self, out: &mut Encoder) {
        out.array(self.len());
        for (index, span) in self.spans.iter().enumerate() {
            match span {
                Span::Large(large) => {
                    let large = self.words.large.get(*large as usize);
                    large.into_iter().for_each(|large| out.bulk_bytes(large));
                }
                Span::Input { .. } => out.bulk(self.get(index).unwrap_or_default()),
            }
        }
    }
}
