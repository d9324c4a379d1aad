//! Shards: the actors among which the keys of a type of actor are divided.

use std::sync::{Arc, PoisonError};

use super::{BatchQueue, ClientBatch};
use crate::{
    Client,
    batch::{ActorId, Actors, Batch, CommandRef, RequestWords, Resolved},
    client::PartOwner,
    command::{KeySpec, RequestPolicy, Spec},
    resp::parse_integer,
    split::shard,
    sync::Mutex,
};

/// The shards of an actor: consecutive actor ids, each with an equal part of the slots.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shards {
    pub(super) first: ActorId,
    pub(super) count: u16,
}

impl Shards {
    /// Returns the actor ids of all shards.
    pub(super) fn actors(self) -> Actors {
        Actors { first: self.first, last: self.actor_id(self.count - 1) }
    }

    pub(super) fn actor_id(self, shard: u16) -> ActorId {
        ActorId(self.first.0 + shard)
    }

    /// Returns the shard of a key.
    fn of_key(self, key: &[u8]) -> u16 {
        shard(key, self.count)
    }

    /// Returns the shard of each key of a request.
    pub(super) fn of_keys<'a>(
        self,
        spec: &Spec,
        words: RequestWords<'a>,
    ) -> impl Iterator<Item = u16> + use<'a> {
        let positions = spec.keys.map(|keys| keys.positions(words.len(), |index| words.get(index)));
        let keys = positions.into_iter().flatten().filter_map(move |position| words.get(position));
        keys.map(move |key| self.of_key(key))
    }

    /// Returns the actor that has this key.
    pub(super) fn actor_of(self, key: &[u8]) -> ActorId {
        self.actor_id(self.of_key(key))
    }

    /// Returns the shards that run a request.
    pub(super) fn resolve(
        self,
        target: CommandRef,
        spec: &Spec,
        words: RequestWords<'_>,
    ) -> Resolved<CommandRef> {
        // Most commands have one key.
        let only = spec.keys.as_ref().and_then(KeySpec::only);
        if let Some(key) = only.and_then(|position| words.get(position)) {
            return Resolved::Command(target.on(self.actor_of(key)));
        }
        match spec.request_policy {
            RequestPolicy::AllShards => return Resolved::Split(target),
            // A shard refuses what is no number.
            RequestPolicy::Scan if scan_cursor(spec, words).is_none() => return Resolved::Command(target),
            RequestPolicy::Scan => return Resolved::Split(target),
            RequestPolicy::MultiShard | RequestPolicy::OneShard => {}
        }
        let mut shards = self.of_keys(spec, words);
        // Any shard can run a command without keys.
        let first = shards.next().unwrap_or(0);
        if shards.all(|shard| shard == first) {
            Resolved::Command(target.on(self.actor_id(first)))
        } else if spec.request_policy == RequestPolicy::MultiShard {
            let (start, step) = spec.key_groups();
            // A shard refuses a request whose last group of words is incomplete. No other shard may run a part of it.
            let is_complete = (words.len() - start).is_multiple_of(step);
            if is_complete {
                Resolved::Split(target)
            } else {
                Resolved::Command(target.on(self.actor_id(first)))
            }
        } else {
            Resolved::CrossShard
        }
    }
}

/// Returns the cursor of a request that continues a scan.
pub(super) fn scan_cursor(spec: &Spec, words: RequestWords<'_>) -> Option<u64> {
    let cursor = words.get(spec.words()).unwrap_or_default();
    // Redis takes an empty cursor for 0, and accepts a plus sign.
    let digits = cursor.strip_prefix(b"+").unwrap_or(cursor);
    if cursor.is_empty() { Some(0) } else { parse_integer(digits) }
}

/// A batch whose parts are with their shards.
#[derive(Debug)]
pub(super) struct WholeBatch {
    client: Client,
    /// The number of parts that are not back, and the batch until all are.
    state: Mutex<(usize, Option<Box<Batch>>)>,
}

impl WholeBatch {
    /// Keeps a batch until this number of parts is back.
    pub(super) fn new(client: Client, batch: Box<Batch>, missing: usize) -> Self {
        WholeBatch { client, state: Mutex::new((missing, Some(batch))) }
    }

    /// Puts a part back. With the last one, the client gets its batch back.
    fn put_back(&self, part: Box<Batch>) {
        // No code panics while it holds the lock.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (missing, whole) = &mut *state;
        if let Some(join) = whole.as_mut().and_then(|whole| whole.join()) {
            join.put_back(part);
        }
        *missing -= 1;
        if *missing == 0
            && let Some(whole) = whole.take()
        {
            drop(state);
            self.client.hand_back(whole);
        }
    }
}

/// The way back of a part: to its batch, or to its shard if it has been blocked.
#[derive(Clone, Debug)]
pub(super) struct PartOf {
    pub(super) whole: Arc<WholeBatch>,
    /// The queue of the shard.
    pub(super) queue: Arc<BatchQueue>,
}

impl PartOf {
    /// Puts a part back that is not blocked.
    pub(super) fn put_back(&self, part: Box<Batch>) {
        self.whole.put_back(part);
    }
}

impl PartOwner for PartOf {
    fn resume(self: Box<Self>, part: Box<Batch>) {
        // The shard reports the keys of the request that has its reply.
        if part.has_requests() || self.queue.keyspace().is_observed() {
            let client = self.whole.client.clone();
            Arc::clone(&self.queue).push(ClientBatch::part(client, part, *self));
        } else {
            self.put_back(part);
        }
    }
}
