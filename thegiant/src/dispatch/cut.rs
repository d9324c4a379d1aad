//! Cuts a batch into parts, one for each shard that runs some of its next requests.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

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
    pub(super) fn send_to_shards(&self, mut batch: ClientBatch, actor_id: ActorId) {
        match self.shards_with(actor_id) {
            Some(shards) if self.divide(shards, &mut batch) => self.send_parts(shards, batch),
            _ => self.queue(actor_id).push(batch),
        }
    }

    /// Cuts a batch if several shards run its next requests. Returns whether it has parts.
    fn divide(&self, shards: Shards, batch: &mut Batch) -> bool {
        if batch.is_transaction() && !batch.is_split() {
            return false;
        }
        if batch.join().is_none() {
            if !self.are_for_several(shards, batch) {
                return false;
            }
            self.cut(shards, batch);
        }
        true
    }

    /// Sends the parts of a batch that have requests to run.
    #[inline(never)]
    fn send_parts(&self, shards: Shards, batch: ClientBatch) {
        let (client, mut whole) = batch.into_parts();
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

    /// Returns whether several shards run the next requests that can run at the same time.
    fn are_for_several(&self, shards: Shards, batch: &Batch) -> bool {
        let candidates = candidates(batch);
        // Most batches have one request.
        if candidates.len() == 1 {
            return matches!(batch.requests.target(candidates.start), Some(Resolved::Split(_)));
        }
        let mut first = None;
        let mut commands = candidates.map_while(|request| self.concurrent(shards, batch, request));
        commands.any(|resolved| match resolved {
            Resolved::Command(target) => *first.get_or_insert(target.actor_id) != target.actor_id,
            _ => true,
        })
    }

    /// Returns the command of a request if these shards can run it at the same time as other requests.
    #[inline]
    fn concurrent(&self, shards: Shards, batch: &Batch, request: u32) -> Option<Resolved<CommandRef>> {
        let resolved = batch.requests.target(request)?;
        let target = resolved.target().filter(|target| shards.actors().has(target.actor_id))?;
        let is_alone = matches!(resolved, Resolved::Command(_)) && self.runs_alone(target);
        (!is_alone).then_some(resolved)
    }

    /// Returns whether a command blocks its client, or may stream its reply.
    fn runs_alone(&self, target: CommandRef) -> bool {
        let spec = self.command(target.command);
        spec.flags.contains(Flags::BLOCKING) || spec.may_stream
    }

    /// Divides the next requests of a batch that can run at the same time into parts, one for each shard.
    #[inline(never)]
    fn cut(&self, shards: Shards, batch: &mut Batch) {
        let mut join = Join::new(shards.actors());
        let Range { start: mut next, end } = candidates(batch);
        while next < end
            && let Some(resolved) = self.concurrent(shards, batch, next)
        {
            match resolved {
                Resolved::Split(target) => self.split(shards, batch, next, target, &mut join),
                Resolved::Command(target) => join.add(batch, next, target),
                _ => {}
            }
            next += 1;
        }
        join.share_words(batch, next);
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

/// Returns the requests of which some can run at the same time: all that have not run, or only the next one.
fn candidates(batch: &Batch) -> Range<u32> {
    let next = batch.next_request();
    // The requests of a transaction run one after the other, and so do those between whose replies pushes may come.
    let is_one_by_one = batch.is_transaction() || batch.runs_one_by_one();
    next..if is_one_by_one { next + 1 } else { batch.requests.len() as u32 }
}
