//! The command that a request names.

/// Identifies a mounted actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ActorId(pub(crate) u16);

/// The actors with the ids from `first` to `last`: one actor, or all shards of one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Actors {
    pub(crate) first: ActorId,
    pub(crate) last: ActorId,
}

/// Identifies the wait of a command for a later reply, among those of its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WaitId(pub(crate) u32);

impl WaitId {
    /// The wait of `EXEC`, which its connection ends.
    pub(crate) const EXEC: WaitId = WaitId(0);
}

/// Identifies a command of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CommandId(pub(crate) u16);

/// Position of a row in [`Commands::ROWS`](crate::command::Commands::ROWS).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowId {
    pub(crate) block: u16,
    pub(crate) row: u16,
}

/// A reference to a command: its actor, its row and its id.
///
/// The alignment lets it be copied as one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(align(8))]
pub(crate) struct CommandRef {
    /// The actor that runs the command, or [`ActorId::CONNECTION`].
    pub(crate) actor_id: ActorId,
    /// The row of the command.
    pub(crate) row: RowId,
    /// The id of the command, unique within the server.
    pub(crate) command: CommandId,
}

/// Result of a lookup by name and number of words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resolved<T> {
    /// A command that accepts this number of words.
    Command(T),
    /// A command that several shards run. The target names the first shard.
    Split(T),
    /// A command with keys of several shards that cannot be split.
    CrossShard,
    /// `HELP` of the container at this index.
    Help(u32),
    /// A command that does not accept this number of words, and the number of words in its name.
    WrongArity(T, u8),
    /// A container without a subcommand, or its `HELP` with an argument.
    WrongContainerArity(u8),
    /// The container at this index does not have the subcommand.
    UnknownSubcommand(u32),
    /// An unknown command.
    Unknown,
    /// A line of HTTP, which a browser sent in a cross-protocol attack.
    ///
    /// The server runs nothing of it and sends no reply.
    CrossProtocol,
    /// A queued command of a transaction. The transaction runs its own copy.
    Queued,
    /// A request that the middleware has refused or delayed. Its connection knows the command.
    Held,
    /// A request that the user of the client may not run, or that another instance of a cluster serves. Its connection finds the
    /// command again.
    Denied,
}

impl ActorId {
    /// The connection itself, which runs the built-in commands.
    pub(crate) const CONNECTION: ActorId = ActorId(u16::MAX);

    /// Returns the id of the same actor behind this many others.
    pub(crate) fn after(self, others: u16) -> Self {
        ActorId(self.0 + others)
    }
}

impl Actors {
    /// Returns all ids.
    pub(crate) fn ids(self) -> impl Iterator<Item = ActorId> {
        (self.first.0..=self.last.0).map(ActorId)
    }

    pub(crate) fn has(self, actor_id: ActorId) -> bool {
        (self.first.0..=self.last.0).contains(&actor_id.0)
    }

    /// Returns how many ids there are.
    pub(crate) fn count(self) -> u16 {
        self.last.0 - self.first.0 + 1
    }

    /// Returns the number of an actor among these, from 0.
    pub(crate) fn number(self, actor_id: ActorId) -> u16 {
        actor_id.0 - self.first.0
    }
}

impl From<ActorId> for Actors {
    fn from(actor_id: ActorId) -> Self {
        Actors { first: actor_id, last: actor_id }
    }
}

impl CommandRef {
    /// Returns the same command of another shard.
    pub(crate) fn on(self, actor_id: ActorId) -> Self {
        CommandRef { actor_id, ..self }
    }
}

impl Resolved<CommandRef> {
    /// Returns the command, if there is one to run.
    pub(crate) fn target(self) -> Option<CommandRef> {
        match self {
            Resolved::Command(target) | Resolved::Split(target) => Some(target),
            _ => None,
        }
    }

    /// Returns the id of the command, if there is one to run.
    pub(crate) fn command(self) -> Option<CommandId> {
        self.target().map(|target| target.command)
    }

    /// Returns the command, if this actor alone runs it.
    #[inline]
    pub(crate) fn of_actor(self, actor_id: ActorId) -> Option<CommandRef> {
        match self {
            Resolved::Command(target) if target.actor_id == actor_id => Some(target),
            _ => None,
        }
    }
}
