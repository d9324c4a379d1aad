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
            match self.count_for_several(shards, &whole) {
                0 => return self.queue(actor_id).push(ClientBatch::new(client, whole)),
                count => self.cut(shards, &mut whole, count),
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

    /// Returns the number of next requests that can run at the same time, because none of them blocks the client or
    /// streams its reply. Returns 0 if one shard runs all of them.
    fn count_for_several(&self, shards: Shards, batch: &Batch) -> u32 {
        // The requests of a transaction run one after the other, and so do those between whose replies pushes may come.
        let max = if batch.is_transaction() || batch.runs_one_by_one() { 1 } else { usize::MAX };
        let (mut count, mut first, mut are_for_several) = (0, None, false);
        for (_, resolved) in batch.upcoming_resolved(shards.actors()).take(max) {
            match resolved {
                Resolved::Command(target) if self.runs_alone(target) => break,
                Resolved::Command(target) => {
                    are_for_several |= *first.get_or_insert(target.actor_id) != target.actor_id;
                }
                _ => are_for_several = true,
            }
            count += 1;
        }
        if are_for_several { count } else { 0 }
    }

    fn runs_alone(&self, target: CommandRef) -> bool {
        let spec = self.command(target.command);
        spec.flags.contains(Flags::BLOCKING) || spec.may_stream
    }

    /// Divides this many next requests of a batch into parts, one for each shard.
    fn cut(&self, shards: Shards, batch: &mut Batch, count: u32) {
        let mut join = Join::new(shards.actors());
        let first = batch.next_request();
        for request in first..first + count {
            match batch.requests.target(request) {
                Some(Resolved::Split(target)) => self.split(shards, batch, request, target, &mut join),
                Some(Resolved::Command(target)) => join.add(batch, request, target),
                _ => {}
            }
        }
        join.share_words(batch, first + count);
        batch.begin_join(join);
    }

    /// Adds a request that several shards run, or the shard that its cursor names.
    fn split(&self, shards: Shards, batch: &mut Batch, request: u32, target: CommandRef, join: &mut Join) {
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
                let positions = 0..words.len();
                let parts = (0..shards.count).map(|shard| (shard, target_of(shard), positions.clone()));
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
