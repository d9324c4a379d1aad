//! The map from commands to the actors that run them.

use std::{collections::BTreeMap, fmt, sync::Arc};

use tokio::sync::{Notify, futures::Notified};

use super::{BatchQueue, ClientBatch, GroupCommitStats, MountedActor, shards::Shards};
use crate::{
    Keyspace,
    batch::{ActorId, Actors, CommandId, CommandRef, RequestWords, Resolved, RowId},
    command::{CommandTable, Flags, Spec, prefixed},
};

/// The commands of an application, and the actors that run them.
pub(crate) struct Routes {
    table: CommandTable<CommandRef>,
    /// Indexed by [`CommandId`].
    commands: Vec<&'static Spec>,
    actors: Vec<Arc<BatchQueue>>,
    /// Notified when an actor that has ended refuses a batch.
    refused: Arc<Notify>,
    fallback: Option<CommandRef>,
    /// There is neither a fallback nor an actor with several shards.
    is_plain: bool,
    /// The actors with several shards.
    shards: Vec<Shards>,
    /// The actor of which each worker has its own.
    per_worker: Option<Actors>,
    /// A transaction can be for several shards of an actor.
    is_atomic: bool,
}

impl Default for Routes {
    fn default() -> Self {
        Routes {
            table: CommandTable::default(),
            commands: Vec::new(),
            actors: Vec::new(),
            refused: Arc::default(),
            fallback: None,
            is_plain: true,
            shards: Vec::new(),
            per_worker: None,
            is_atomic: false,
        }
    }
}

/// The numbers of actors and commands before those of a merged application.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Base {
    pub(crate) actors: u16,
    pub(crate) commands: usize,
}

/// Maximum number of actors. None of them has the id of [`ActorId::CONNECTION`].
const MAX_ACTORS: usize = u16::MAX as usize;
const TOO_MANY_ACTORS: &str = "cannot mount more than 65,534 actors";
const MAX_COMMANDS: usize = u16::MAX as usize + 1;
const TOO_MANY_COMMANDS: &str = "cannot mount more than 65,536 commands";

/// The numbers of actors that `INFO` shows.
pub(crate) struct ActorCounts {
    pub(crate) mounted: usize,
    pub(crate) down: usize,
    /// How often supervised actors were started again.
    pub(crate) restarts: u64,
}

impl Routes {
    /// Adds an actor, or an actor pool.
    ///
    /// # Panics
    /// If there are more than 65,534 actors.
    #[track_caller]
    pub(crate) fn add_actor(&mut self, actor: MountedActor, keyspace: &Keyspace) -> ActorId {
        let next = u16::try_from(self.actors.len()).map(ActorId);
        let Some(actor_id) = next.ok().filter(|actor_id| *actor_id != ActorId::CONNECTION) else {
            panic!("{TOO_MANY_ACTORS}");
        };
        let refused = Arc::clone(&self.refused);
        self.actors.push(BatchQueue::new(actor_id, actor, keyspace.clone(), refused));
        actor_id
    }

    /// Makes these actors, which were added one after the other, the shards of one.
    ///
    /// A single shard is an actor like any other.
    pub(crate) fn add_shards(&mut self, first: ActorId, count: u16) {
        if count > 1 {
            self.shards.push(Shards { first, count });
            self.is_plain = false;
        }
    }

    /// Makes these actors, which were added one after the other, one for each worker.
    pub(crate) fn set_per_worker(&mut self, actors: Actors) {
        self.per_worker = Some(actors);
        self.is_plain = false;
    }

    /// Adds a command.
    ///
    /// # Errors
    /// Returns the name if it is in use already.
    ///
    /// # Panics
    /// If there are more than 65,536 commands.
    #[track_caller]
    pub(crate) fn add_command(
        &mut self,
        spec: &'static Spec,
        actor_id: ActorId,
        row: RowId,
    ) -> Result<(), (&'static str, CommandRef)> {
        let target = self.number(spec, actor_id, row);
        self.table.insert(spec, target)
    }

    /// Adds a command of an actor.
    ///
    /// # Panics
    /// If another actor has a command of the same name.
    #[track_caller]
    pub(crate) fn mount_command(&mut self, spec: &'static Spec, actor_id: ActorId, row: RowId) {
        let added = self.add_command(spec, actor_id, row);
        self.check_name(added, actor_id);
    }

    #[track_caller]
    fn check_name(&self, added: Result<(), (&'static str, CommandRef)>, actor_id: ActorId) {
        if let Err((name, other)) = added {
            let [first, second] = [other.actor_id, actor_id].map(|id| self.queue(id).actor_type());
            panic!("the command {name} is mounted twice: by {first} and by {second}");
        }
    }

    /// Adds the actors and commands of another application, with a prefix before their names.
    ///
    /// # Panics
    /// If both have a command of the same name, or too many actors or commands.
    #[track_caller]
    pub(crate) fn merge(&mut self, other: Routes, prefix: &str) -> Base {
        let base = Base { actors: self.actors.len() as u16, commands: self.commands.len() };
        let Routes { table, commands, actors, refused: _, fallback, is_plain, shards, per_worker, is_atomic } =
            other;
        assert!(self.actors.len() + actors.len() < MAX_ACTORS, "{TOO_MANY_ACTORS}");
        assert!(base.commands + commands.len() <= MAX_COMMANDS, "{TOO_MANY_COMMANDS}");
        for queue in actors {
            queue.move_to(queue.actor_id().after(base.actors), &self.refused);
            self.actors.push(queue);
        }
        self.commands.extend(commands.into_iter().map(|spec| prefixed(spec, prefix)));
        let moved = |target: CommandRef| CommandRef {
            actor_id: target.actor_id.after(base.actors),
            row: target.row,
            command: CommandId(target.command.0 + base.commands as u16),
        };
        let targets: BTreeMap<u16, CommandRef> =
            table.commands().map(|(_, target)| (target.command.0, moved(target))).collect();
        for target in targets.into_values() {
            let added = self.table.insert(self.command(target.command), target);
            self.check_name(added, target.actor_id);
        }
        self.fallback = self.fallback.or(fallback.map(moved));
        self.is_plain &= is_plain;
        let shards = shards.into_iter();
        self.shards.extend(shards.map(|shards| Shards { first: shards.first.after(base.actors), ..shards }));
        // Only a server, whose application is complete, sets the actors of its workers.
        debug_assert!(per_worker.is_none());
        self.is_atomic |= is_atomic;
        base
    }

    /// Returns the command for requests without a row, if there is one.
    pub(crate) fn fallback(&self) -> Option<CommandRef> {
        self.fallback
    }

    pub(crate) fn has_fallback(&self) -> bool {
        self.fallback.is_some()
    }

    /// Sets the command that answers requests with unknown names.
    #[track_caller]
    pub(crate) fn set_fallback(&mut self, spec: &'static Spec, actor_id: ActorId, row: RowId) {
        self.fallback = Some(self.number(spec, actor_id, row));
        self.is_plain = false;
    }

    #[track_caller]
    fn number(&mut self, spec: &'static Spec, actor_id: ActorId, row: RowId) -> CommandRef {
        let Ok(number) = u16::try_from(self.commands.len()) else {
            panic!("{TOO_MANY_COMMANDS}");
        };
        self.commands.push(spec);
        CommandRef { actor_id, row, command: CommandId(number) }
    }

    /// Returns whether keys of any actor expire.
    pub(crate) fn has_expiring_actors(&self) -> bool {
        self.actors.iter().any(|queue| queue.expires())
    }

    /// Lets the actors remove expired keys.
    pub(crate) fn expire_keys(&self) {
        self.actors.iter().for_each(BatchQueue::expire);
    }

    /// Returns whether a command or subcommand has this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.table.has(name)
    }

    /// Returns all commands, indexed by [`CommandId`].
    pub(crate) fn commands(&self) -> &[&'static Spec] {
        &self.commands
    }

    /// Returns the command with this id.
    pub(crate) fn command(&self, id: CommandId) -> &'static Spec {
        self.commands[usize::from(id.0)]
    }

    /// Returns whether the command is `EXEC`.
    pub(crate) fn executes(&self, target: CommandRef) -> bool {
        self.command(target.command).flags.contains(Flags::EXECUTES)
    }

    /// Returns the table of the commands by name.
    pub(crate) fn table(&self) -> &CommandTable<CommandRef> {
        &self.table
    }

    /// Finds the command of a request that a client of this worker has just sent.
    // A call would cost 17 instructions per command.
    #[inline(always)]
    pub(crate) fn resolve(&self, words: RequestWords<'_>, worker: u16) -> Resolved<CommandRef> {
        if self.is_plain { self.table.resolve(words) } else { self.resolve_further(words, worker) }
    }

    /// Finds the command of any request, with its shard, or the fallback.
    #[inline(never)]
    pub(crate) fn resolve_further(&self, words: RequestWords<'_>, worker: u16) -> Resolved<CommandRef> {
        let target = match (self.table.resolve(words), self.fallback) {
            (Resolved::Unknown | Resolved::UnknownSubcommand(_), Some(fallback)) => fallback,
            (Resolved::Command(target), _) => target,
            (resolved, _) => return resolved,
        };
        if let Some(actors) = self.per_worker
            && target.actor_id == actors.first
        {
            return Resolved::Command(target.on(ActorId(actors.first.0 + worker)));
        }
        match self.shards_with(target.actor_id) {
            Some(shards) => shards.resolve(target, self.command(target.command), words),
            None => Resolved::Command(target),
        }
    }

    /// Allows transactions over several shards of an actor.
    pub(crate) fn set_atomic(&mut self) {
        self.is_atomic = true;
    }

    /// Returns whether a transaction can be for several shards.
    pub(crate) fn is_atomic(&self) -> bool {
        self.is_atomic
    }

    /// Returns whether any shard with group commit exists.
    pub(crate) fn has_shards_with_group_commit(&self) -> bool {
        self.shards.iter().any(|shards| self.queue(shards.first).uses_group_commit())
    }

    pub(super) fn shards_with(&self, actor_id: ActorId) -> Option<Shards> {
        self.shards.iter().find(|shards| shards.actors().has(actor_id)).copied()
    }

    /// Returns this actor, and the other shards if it is a shard.
    pub(crate) fn with_shards(&self, actor_id: ActorId) -> Actors {
        self.shards_with(actor_id).map_or(actor_id.into(), Shards::actors)
    }

    /// Returns the counters of the actors that use group commit.
    pub(crate) fn group_commit_stats(&self) -> impl Iterator<Item = &GroupCommitStats> {
        self.actors.iter().filter(|queue| queue.uses_group_commit()).map(|queue| queue.group_commit_stats())
    }

    /// Returns the queue of an actor.
    pub(crate) fn queue(&self, actor_id: ActorId) -> &Arc<BatchQueue> {
        &self.actors[usize::from(actor_id.0)]
    }

    /// Waits until an actor that has ended refuses a batch.
    pub(crate) fn refused(&self) -> Notified<'_> {
        self.refused.notified()
    }

    /// Returns the type of an actor that has ended.
    pub(crate) fn ended_actor(&self) -> Option<&'static str> {
        self.actors.iter().find(|queue| queue.has_ended()).map(|queue| queue.actor_type())
    }

    /// Returns the numbers of actors, of actors that are down, and of restarts.
    pub(crate) fn actor_counts(&self) -> ActorCounts {
        ActorCounts {
            mounted: self.actors.len(),
            down: self.actors.iter().filter(|queue| queue.is_down()).count(),
            restarts: self.actors.iter().map(|queue| queue.restarts()).sum(),
        }
    }

    /// Sends a batch to the actor that runs its next request, or in parts to several shards.
    pub(crate) fn send(&self, batch: ClientBatch, actor_id: ActorId) {
        if self.shards.is_empty() {
            self.queue(actor_id).push(batch);
        } else {
            self.send_to_shards(batch, actor_id);
        }
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routes").field("actors", &self.actors.len()).finish_non_exhaustive()
    }
}
