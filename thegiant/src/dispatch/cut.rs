//! Cuts a batch into parts, one for each shard that runs some of its next requests.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    ClientBatch, Routes,
    shards::{PartOf, Shards, WholeBatch, scan_cursor},
};
use crate::{
    batch::{ActorId, Batch, CommandRef, Join, Merge, Resolved},
    command::{Flags, RequestPolicy},
};

impl Routes {
    /// Sends a batch to the actor that runs its next request, or in parts to several shards.
    #[inline(never)]
    pub(super) fn send_to_shards(&self, batch: ClientBatch, actor_id: ActorId) {
        match self.shards_with(actor_id) {
            Some(shards) if !batch.is_transaction() || batch.is_split() => {
                self.send_parts(shards, batch, actor_id)
            }
            _ => self.queue(actor_id).push(batch),
        }
    }

    /// Sends a batch to the shards that run its next requests.
    fn send_parts(&self, shards: Shards, batch: ClientBatch, actor_id: ActorId) {
        let (client, mut whole) = batch.into_parts();
        if whole.join().is_none() {
            match self.cut(shards, &whole) {
                Some(join) => whole.begin_join(join),
                None => return self.queue(actor_id).push(ClientBatch::new(client, whole)),
            }
        }
        let mut parts = whole.join().map(Join::take_ready).unwrap_or_default();
        for part in &mut parts {
            part.take_access(&mut whole, shards.actor_id(part.shard()));
        }
        let missing = parts.len();
        let whole = Arc::new(WholeBatch::new(client.clone(), whole, missing));
        for part in parts {
            let queue = self.queue(shards.actor_id(part.shard()));
            let part_of = PartOf { whole: Arc::clone(&whole), queue: Arc::clone(queue) };
            queue.push(ClientBatch::part(client.clone(), part, part_of));
        }
    }

    /// Returns the part of the batch for each shard, if several shards can run its next requests at the same time.
    fn cut(&self, shards: Shards, batch: &Batch) -> Option<Join> {
        let requests = self.next_requests(shards, batch);
        let mut actors = requests.clone().map(|(_, target)| match target {
            Resolved::Command(target) => Some(target.actor_id),
            _ => None,
        });
        let first = actors.next()?;
        if first.is_some() && actors.all(|actor_id| actor_id == first) {
            return None;
        }
        let mut join = Join::new(shards.actors());
        for (request, resolved) in requests {
            match resolved {
                Resolved::Command(target) => join.add(batch, request, target),
                Resolved::Split(target) => self.split(shards, batch, request, target, &mut join),
                _ => break,
            }
        }
        Some(join)
    }

    /// Returns the next requests that can run at the same time, because none of them blocks the client or streams its
    /// reply.
    fn next_requests<'a>(
        &'a self,
        shards: Shards,
        batch: &'a Batch,
    ) -> impl Iterator<Item = (u32, Resolved<CommandRef>)> + Clone + 'a {
        let runs_alone = |target: CommandRef| {
            let spec = self.command(target.command);
            spec.flags.contains(Flags::BLOCKING) || spec.may_stream
        };
        // The requests of a transaction run one after the other, and so do those between whose replies pushes may come.
        let max = if batch.is_transaction() || batch.runs_one_by_one() { 1 } else { usize::MAX };
        batch.upcoming_resolved(shards.actors()).take(max).take_while(move |(_, resolved)| match resolved {
            Resolved::Command(target) => !runs_alone(*target),
            resolved => resolved.target().is_some(),
        })
    }

    /// Adds a request that several shards run, or the shard that its cursor names.
    fn split(&self, shards: Shards, batch: &Batch, request: u32, target: CommandRef, join: &mut Join) {
        let spec = self.command(target.command);
        let Some(words) = batch.requests.words(request) else { return };
        let target_of = |shard: u16| target.on(shards.actor_id(shard));
        match spec.request_policy {
            RequestPolicy::Scan => {
                let cursor = scan_cursor(spec, words).unwrap_or_default();
                let shard = (cursor % u64::from(shards.count)) as u16;
                let own = (cursor / u64::from(shards.count)).to_string();
                let word = (spec.words(), own.as_bytes());
                let merge = Merge::Cursor { shard, shards: shards.count };
                join.add_changed(batch, request, (shard, target_of(shard)), word, merge);
            }
            RequestPolicy::AllShards => {
                let parts = (0..shards.count).map(|shard| (shard, target_of(shard), 0..words.len()));
                join.add_split(batch, request, parts, Merge::Policy(spec.response_policy));
            }
            RequestPolicy::MultiShard | RequestPolicy::OneShard => {
                let owners: Vec<u16> = shards.of_keys(spec, words).collect();
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
}
