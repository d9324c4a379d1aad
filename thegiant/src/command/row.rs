//! The rows of an actor's commands.

use std::fmt;

use actix::Actor;

use super::{Request, Spec};
use crate::{
    Client, Keyspace,
    batch::{ReplyBuffer, RowId},
};

/// An actor with commands.
///
/// The attribute `#[commands]` implements it. Do not implement it by hand.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no commands",
    label = "this actor has no commands",
    note = "write `#[commands]` above an `impl {Self}` block and `#[command(\"NAME\")]` above its methods"
)]
pub trait Commands: Receiver {
    /// The rows of the commands, one slice per `impl` block.
    const ROWS: &'static [&'static [Row<Self>]];

    /// Returns the descriptions of the commands, in the order of the source.
    fn specs() -> impl Iterator<Item = &'static Spec> {
        Self::ROWS.iter().flat_map(|rows| rows.iter().map(|row| &row.spec))
    }

    /// Whether the actor uses [group commit](crate::GroupCommit).
    const USES_GROUP_COMMIT: bool = false;

    /// Whether keys of the actor [expire](crate::Expire).
    const EXPIRES: bool = false;

    /// Whether the actor [looks keys up ahead](crate::Prefetch).
    const PREFETCHES: bool = false;

    /// Looks up keys [ahead](crate::Prefetch).
    fn prefetch<'a>(&self, _client: &Client, _keys: impl Iterator<Item = &'a [u8]>) {}

    /// Removes keys that have [expired](crate::Expire). Returns whether there may be more of them.
    fn remove_expired(&mut self, _keyspace: &Keyspace) -> bool {
        false
    }
}

impl RowId {
    pub(crate) fn get<S: Commands>(self) -> &'static Row<S> {
        &S::ROWS[usize::from(self.block)][usize::from(self.row)]
    }

    /// Returns the index of the row in the slice of its block.
    pub(crate) fn index(self) -> usize {
        usize::from(self.row)
    }

    /// Returns the positions and descriptions of all rows of `S`.
    pub(crate) fn all<S: Commands>() -> impl Iterator<Item = (RowId, &'static Spec)> {
        S::ROWS.iter().zip(0..).flat_map(|(rows, block)| {
            rows.iter().zip(0..).map(move |(row, index)| (RowId { block, row: index }, &row.spec))
        })
    }
}

/// A type whose methods are commands: an actor, or the state of a connection.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an actor",
    label = "`#[commands]` needs an actor",
    note = "write `impl Actor for {Self}` with its `Context`"
)]
pub trait Receiver: Sized + 'static {
    /// The context that the commands get: for an actor, its [`Actor::Context`].
    type CommandContext;
}

#[diagnostic::do_not_recommend]
impl<A: Actor> Receiver for A {
    type CommandContext = A::Context;
}

/// Reads the arguments, calls the method and writes the reply.
type RunFn<S> = fn(&mut S, &Request<'_>, &mut <S as Receiver>::CommandContext, &mut ReplyBuffer);

/// A command: its description, and the function that runs it.
#[non_exhaustive]
pub struct Row<S: Receiver> {
    /// The description.
    pub spec: Spec,
    pub(crate) run: RunFn<S>,
}

impl<S: Receiver> Row<S> {
    /// Returns a row. `#[commands]` generates the calls.
    pub const fn new(spec: Spec, run: RunFn<S>) -> Self {
        Row { spec, run }
    }
}

impl<S: Receiver> fmt::Debug for Row<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row").field("spec", &self.spec).finish_non_exhaustive()
    }
}
