//! Shards: the actors among which the keys of a type of actor are divided.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::{ClientBatch, Routes};
use crate::{
    Client,
    batch::{ActorId, Actors, Batch, CommandRef, Join, Merge, RequestWords, Resolved},
    command::{ReplyTime, RequestPolicy, Spec},
    resp::parse_integer,
    split::shard,
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

    fn actor_id(self, shard: u16) -> ActorId {
        ActorId(self.first.0 + shard)
    }

    fn number(self, actor_id: ActorId) -> u16 {
        actor_id.0 - self.first.0
    }

    /// Returns the shard of a key.
    fn of_key(self, key: &[u8]) -> u16 {
        shard(key, self.count)
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
        if matches!(spec.request_policy, RequestPolicy::AllShards | RequestPolicy::Scan) {
            return Resolved::Split(target);
        }
        let mut shards = shards_of_keys(self, spec, words);
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

    /// Returns the part of the batch for each shard, if several shards can run its next requests at the same time.
    fn cut(self, batch: &Batch, routes: &Routes) -> Option<Join> {
        let requests = self.next_requests(batch, routes);
        let mut actors = requests.clone().map(|(_, target)| match target {
            Resolved::Command(target) => Some(target.actor_id),
            _ => None,
        });
        let first = actors.next()?;
        if first.is_some() && actors.all(|actor_id| actor_id == first) {
            return None;
        }
        let mut join = Join::new(self.count);
        for (request, resolved) in requests {
            match resolved {
                Resolved::Command(target) => join.add(batch, request, self.number(target.actor_id), target),
                Resolved::Split(target) => self.split(batch, request, target, routes, &mut join),
                _ => break,
            }
        }
        Some(join)
    }

    /// Returns the next requests that can run at the same time, because none of them may reply later.
    fn next_requests<'a>(
        self,
        batch: &'a Batch,
        routes: &'a Routes,
    ) -> impl Iterator<Item = (u32, Resolved<CommandRef>)> + Clone + 'a {
        let replies_now = |target: CommandRef| routes.command(target.command).reply_time == ReplyTime::Now;
        // The requests of a transaction run one after the other, and so do those between whose replies pushes may come.
        let max = if batch.is_transaction() || batch.runs_one_by_one() { 1 } else { usize::MAX };
        batch.upcoming_resolved(self.actors()).take(max).take_while(move |(_, resolved)| match resolved {
            Resolved::Command(target) => replies_now(*target),
            resolved => resolved.target().is_some(),
        })
    }

    /// Adds a request that several shards run, or a shard that its cursor names.
    fn split(self, batch: &Batch, request: u32, target: CommandRef, routes: &Routes, join: &mut Join) {
        let spec = routes.command(target.command);
        let Some(words) = batch.requests.words(request) else { return };
        let target_of = |shard: u16| target.on(self.actor_id(shard));
        match spec.request_policy {
            RequestPolicy::Scan => {
                let position = spec.words();
                let cursor = words.get(position).unwrap_or_default();
                // A shard refuses what is no number. Redis takes an empty cursor for 0, and accepts a plus sign.
                let digits = cursor.strip_prefix(b"+").unwrap_or(cursor);
                let number = if cursor.is_empty() { Some(0) } else { parse_integer::<u64>(digits) };
                let Some(cursor) = number else { return join.add(batch, request, 0, target) };
                let shard = (cursor % u64::from(self.count)) as u16;
                let own = (cursor / u64::from(self.count)).to_string();
                let merge = Merge::Cursor { shard, shards: self.count };
                join.add_changed(
                    batch,
                    request,
                    (shard, target_of(shard)),
                    (position, own.as_bytes()),
                    merge,
                );
            }
            RequestPolicy::AllShards => {
                let parts = (0..self.count).map(|shard| (shard, target_of(shard), 0..words.len()));
                join.add_split(batch, request, parts, Merge::Policy(spec.response_policy));
            }
            RequestPolicy::MultiShard | RequestPolicy::OneShard => {
                let owners: Vec<u16> = shards_of_keys(self, spec, words).collect();
                let (start, step) = spec.key_groups();
                let mut groups: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
                for (shard, position) in owners.iter().zip((start..).step_by(step)) {
                    groups.entry(*shard).or_default().push(position);
                }
                let index_of = |shard: &u16| groups.keys().position(|owner| owner == shard);
                let order = owners.iter().filter_map(index_of).collect();
                let parts = groups.iter().map(|(shard, groups)| {
                    let keys = groups.iter().flat_map(move |position| *position..position + step);
                    (*shard, target_of(*shard), (0..start).chain(keys))
                });
                join.add_split(batch, request, parts, Merge::ByKey(spec.response_policy, order));
            }
        }
    }

    /// Sends a batch to the shards that run its next requests.
    pub(super) fn send(self, batch: ClientBatch, actor_id: ActorId, routes: &Routes) {
        let (client, mut whole) = batch.into_parts();
        if whole.join().is_none() {
            match self.cut(&whole, routes) {
                Some(join) => whole.begin_join(join),
                None => return routes.queue(actor_id).push(ClientBatch::new(client, whole)),
            }
        }
        let mut parts = whole.join().map(Join::take_ready).unwrap_or_default();
        for (shard, part) in &mut parts {
            part.take_access(&mut whole, self.actor_id(*shard));
        }
        let missing = parts.len();
        let whole =
            Arc::new(WholeBatch { client: client.clone(), state: Mutex::new((missing, Some(whole))) });
        for (shard, part) in parts {
            let part = ClientBatch::part(client.clone(), part, Arc::clone(&whole));
            routes.queue(self.actor_id(shard)).push(part);
        }
    }
}

fn shards_of_keys<'a>(
    shards: Shards,
    spec: &Spec,
    words: RequestWords<'a>,
) -> impl Iterator<Item = u16> + use<'a> {
    let positions = spec.keys.map(|keys| keys.positions(words.len(), |index| words.get(index)));
    let keys = positions.into_iter().flatten().filter_map(move |position| words.get(position));
    keys.map(move |key| shards.of_key(key))
}

/// A batch whose parts are with their shards.
#[derive(Debug)]
pub(super) struct WholeBatch {
    client: Client,
    /// The number of parts that are not back, and the batch until all are.
    state: Mutex<(usize, Option<Box<Batch>>)>,
}

impl WholeBatch {
    /// Puts a part back. With the last one, the client gets its batch back.
    pub(super) fn put_back(&self, part: Box<Batch>) {
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
