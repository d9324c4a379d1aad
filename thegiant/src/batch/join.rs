//! The parts of a batch that several shards run, and how their replies become the replies of the batch.

use std::{collections::VecDeque, mem, sync::Arc, time::Duration};

use super::{
    Actors, Batch, CommandRef, Join, Merge, Resolved,
    data::{Part, RunState, SplitRequest},
    requests::RequestEntry,
};
use crate::resp::{BufferPosition, Encoder, Error, Protocol, Value};

/// Minimum size of unsent replies in a part before its next request runs.
const MIN_ROOM: usize = 64 * 1024;

impl Join {
    /// Creates a join of one part for each shard, without requests.
    pub(crate) fn new(shards: Actors) -> Self {
        let parts = (0..shards.count()).map(|_| Part::default()).collect();
        Join { shards, parts, split: VecDeque::new(), end: 0 }
    }

    /// Adds a request of `whole` that one shard runs.
    #[inline]
    pub(crate) fn add(&mut self, whole: &Batch, request: u32, target: CommandRef) {
        let Some(entry) = whole.requests.get(request as usize) else { return };
        self.part(whole, self.shards.number(target.actor_id)).add_of(whole, request, *entry);
    }

    /// Adds a request of `whole` that several shards run. Each shard gets the words of it at these positions.
    pub(crate) fn add_split<W: Iterator<Item = usize>>(
        &mut self,
        whole: &mut Batch,
        request: u32,
        parts: impl Iterator<Item = (u16, CommandRef, W)>,
        merge: Merge,
    ) {
        let mut shards = Vec::new();
        for (shard, target, positions) in parts {
            let entry = whole.requests.with_words(request as usize, positions, None, target);
            let part = self.part(whole, shard);
            part.part.split_requests.push(part.requests.len() as u32);
            part.add_of(whole, request, entry);
            shards.push(shard);
        }
        self.split.push_back(SplitRequest { shards, merge });
    }

    /// Adds a split request of `whole` that one shard runs with another word at a position.
    pub(crate) fn add_changed(
        &mut self,
        whole: &mut Batch,
        request: u32,
        (shard, target): (u16, CommandRef),
        replaced: (usize, &[u8]),
        merge: Merge,
    ) {
        let positions = 0..whole.requests.words(request).map_or(0, |words| words.len());
        let entry = whole.requests.with_words(request as usize, positions, Some(replaced), target);
        self.part(whole, shard).add_of(whole, request, entry);
        self.split.push_back(SplitRequest { shards: vec![shard], merge });
    }

    /// Gives the words of `whole` to its parts, which have all requests before `end`.
    pub(crate) fn share_words(&mut self, whole: &mut Batch, end: u32) {
        self.end = end as usize;
        let words = whole.requests.share_words();
        let parts = self.parts.iter_mut().filter_map(|part| part.batch.as_mut());
        parts.for_each(|part| part.requests.use_words(Arc::clone(&words)));
    }

    #[inline]
    fn part(&mut self, whole: &Batch, shard: u16) -> &mut Batch {
        let max = self.parts.len();
        self.parts[usize::from(shard)].batch.get_or_insert_with(|| whole.new_part(shard, max))
    }

    /// Takes the parts that have requests to run and no more replies.
    #[expect(clippy::vec_box, reason = "a batch is moved as a box")]
    pub(crate) fn take_ready(&mut self) -> Vec<Box<Batch>> {
        self.parts.iter_mut().filter_map(Part::take_ready).collect()
    }

    /// Puts a part back, with replies to its requests or to some of them.
    pub(crate) fn put_back(&mut self, batch: Box<Batch>) {
        let shard = usize::from(batch.shard());
        self.parts[shard].batch = Some(batch);
    }

    /// Moves the replies that have arrived to `whole`, up to the first one that is missing.
    ///
    /// Returns whether all replies have been moved.
    fn move_replies(&mut self, whole: &mut Batch) -> bool {
        while whole.next < self.end {
            let has_moved = match whole.requests.get(whole.next).map(|request| request.target) {
                Some(Resolved::Command(target)) => {
                    let run = whole.requests.run_of(whole.next..self.end, target.actor_id);
                    self.parts[usize::from(self.shards.number(target.actor_id))].move_replies(whole, run)
                }
                _ => self.move_merged(whole),
            };
            if !has_moved {
                return false;
            }
        }
        true
    }

    /// Moves the reply to the next split request.
    fn move_merged(&mut self, whole: &mut Batch) -> bool {
        let has_moved = self.split.front().is_some_and(|request| request.move_merged(&mut self.parts, whole));
        if has_moved {
            self.split.pop_front();
        }
        has_moved
    }

    fn recycle(self) {
        self.parts.into_iter().filter_map(|part| part.batch).for_each(Batch::recycle);
    }
}

impl Part {
    fn take_ready(&mut self) -> Option<Box<Batch>> {
        let ready = |batch: &mut Box<Batch>| batch.has_requests() && batch.part.ends.len() == self.taken;
        let mut batch = self.batch.take_if(ready)?;
        batch.clear_replies();
        batch.part.ends.clear();
        self.taken_before += mem::take(&mut self.taken);
        Some(batch)
    }

    /// Returns the batch and the positions of the next reply.
    fn next_reply(&self) -> Option<(&Batch, BufferPosition, BufferPosition)> {
        let batch = self.batch.as_deref()?;
        let end = batch.part.ends.get(self.taken)?;
        let start =
            self.taken.checked_sub(1).map_or(BufferPosition::default(), |before| batch.part.ends[before]);
        Some((batch, start, *end))
    }

    /// Returns the duration of the request with the next reply, if it was timed.
    fn time(&self) -> Option<Duration> {
        self.batch.as_deref()?.stats.time_of((self.taken_before + self.taken) as u32)
    }

    /// Gives the exclusive access of a transaction back to the whole batch.
    fn return_access(&mut self, whole: &mut Batch) {
        if let Some(batch) = &mut self.batch {
            whole.exclusive.append(&mut batch.exclusive);
        }
    }

    /// Moves the replies to the next requests of `whole`, at most this many. Returns whether there are any.
    fn move_replies(&mut self, whole: &mut Batch, max: usize) -> bool {
        let Some((batch, start, end)) = self.next_reply() else { return false };
        // Ordinary replies are moved at once.
        if batch.stats.is_empty() && !whole.out.has_notes() {
            let count = max.min(batch.part.ends.len() - self.taken);
            let end = batch.part.ends[self.taken + count - 1];
            whole.out.encoder_mut().append_range(batch.out.encoder(), start..end);
            whole.complete_all(count);
            self.taken += count;
        } else {
            whole.out.encoder_mut().append_range(batch.out.encoder(), start..end);
            self.complete(whole);
            self.taken += 1;
        }
        true
    }

    /// Completes the next request of `whole` with the statistics of the next request of the part.
    fn complete(&self, whole: &mut Batch) {
        let Some(batch) = self.batch.as_deref().filter(|batch| !batch.stats.is_empty()) else {
            return whole.complete(false, || false);
        };
        let request = (self.taken_before + self.taken) as u32;
        if let Some(took) = batch.stats.time_of(request) {
            whole.stats.note_time(whole.next_request(), took);
        }
        whole.complete(batch.stats.is_rejected(request), || false);
    }
}

impl SplitRequest {
    fn move_merged(&self, parts: &mut [Part], whole: &mut Batch) -> bool {
        let replies = self.shards.iter().map(|shard| reply(&parts[usize::from(*shard)]));
        let Some(replies) = replies.collect::<Option<Vec<Value>>>() else { return false };
        let merged = self.merge.merge(replies);
        merged.encode(whole.out.encoder_mut());
        // The slowest shard stands for all: they run at the same time.
        let slowest = self.shards.iter().max_by_key(|shard| parts[usize::from(**shard)].time()).copied();
        slowest.into_iter().for_each(|shard| parts[usize::from(shard)].complete(whole));
        self.shards.iter().for_each(|shard| parts[usize::from(*shard)].taken += 1);
        true
    }
}

/// Parses the next reply of a part.
fn reply(part: &Part) -> Option<Value> {
    let (batch, start, end) = part.next_reply()?;
    let mut reply = Encoder::new(Protocol::Resp2);
    reply.append_range(batch.out.encoder(), start..end);
    let parsed = Value::parse(&reply.into_vec()).ok().flatten();
    Some(parsed.map_or(Value::Error(Error::INTERNAL), |(value, _)| value))
}

impl Merge {
    fn merge(&self, replies: Vec<Value>) -> Value {
        match self {
            Merge::Policy(policy) => policy.merge(replies),
            Merge::ByKey(policy, order) => policy.merge_by_key(replies, order),
            Merge::Cursor { shard, shards } => {
                let mut reply = replies.into_iter().next().unwrap_or(Value::Null);
                if let Value::Array(page) = &mut reply
                    && let Some(cursor) = page.first_mut()
                {
                    match named(cursor, *shard, *shards) {
                        error @ Value::Error(_) => return error,
                        named => *cursor = named,
                    }
                }
                reply
            }
        }
    }
}

/// Returns the cursor for clients: the cursor of a shard, and the shard. After its end, the next shard begins.
fn named(cursor: &Value, shard: u16, shards: u16) -> Value {
    let cursor = cursor.as_str().and_then(|cursor| cursor.parse::<u64>().ok()).unwrap_or(0);
    let named = match cursor {
        0 if shard + 1 == shards => Some(0),
        0 => Some(u64::from(shard + 1)),
        cursor => cursor.checked_mul(shards.into()).and_then(|cursor| cursor.checked_add(shard.into())),
    };
    named.map_or(Value::Error(CURSOR_TOO_LARGE), |named| Value::bulk(named.to_string()))
}

const CURSOR_TOO_LARGE: Error =
    Error::from_static("ERR the cursor leaves no room for the number of its shard");

/// The parts of a batch.
impl Batch {
    /// Returns an empty part of this batch for a shard. The batch has `max` parts at most.
    #[inline(never)]
    fn new_part(&self, shard: u16, max: usize) -> Box<Batch> {
        let mut part = Batch::new();
        part.part.shard = shard;
        part.out.encoder_mut().set_protocol(self.out.encoder().protocol());
        part.out.encoder_mut().set_key_prefix(self.out.encoder().key_prefix());
        part.out.set_separate(true);
        part.part.room = (self.room() / max).max(MIN_ROOM);
        part.run_state = part.running();
        part.is_timed = self.is_timed;
        if self.is_observed() {
            part.observe(false);
        }
        part
    }

    /// Adds a request of the whole batch to this part.
    #[inline]
    fn add_of(&mut self, whole: &Batch, request: u32, entry: RequestEntry) {
        if whole.stats.has_spans() {
            whole.stats.copy_spans(request, &mut self.stats, self.requests.len() as u32);
        }
        self.requests.add(entry);
    }

    /// Returns whether this batch is a part of another one.
    #[inline]
    pub(crate) fn is_part(&self) -> bool {
        self.out.is_separate()
    }

    /// Returns the shard that runs this part.
    pub(crate) fn shard(&self) -> u16 {
        self.part.shard
    }

    /// Leaves the next requests to the parts of `join`.
    pub(crate) fn begin_join(&mut self, join: Join) {
        self.run_state = RunState::Joining(Box::new(join));
    }

    /// Returns the parts of the batch, if it has any.
    pub(crate) fn join(&mut self) -> Option<&mut Join> {
        match &mut self.run_state {
            RunState::Joining(join) => Some(join),
            _ => None,
        }
    }

    /// Moves the replies of the parts that are back, if the batch has parts, to this batch, in the order of the requests.
    pub(crate) fn join_replies(&mut self) {
        let running = self.running();
        let mut join = match mem::replace(&mut self.run_state, running) {
            RunState::Joining(join) => join,
            run_state => return self.run_state = run_state,
        };
        // The parts have measured the times.
        self.stop_timing();
        let parts = join.parts.iter_mut().filter_map(|part| part.batch.as_mut());
        for part in parts.filter(|part| part.may_have_internal()) {
            self.stats.add_internal(part.take_internal());
        }
        let is_complete = join.move_replies(self);
        if is_complete {
            join.parts.iter_mut().for_each(|part| part.return_access(self));
            join.recycle();
            self.requests.own_words();
        } else {
            self.run_state = RunState::Joining(join);
        }
    }
}
