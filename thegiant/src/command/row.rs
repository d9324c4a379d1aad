//! A command as a row, and the slice of them that an actor has.

use std::fmt;

use actix::Actor;

use super::{Call, ReplyBuffer, Spec};

/// What answers commands: an actor with `#[commands]`.
///
/// The attribute implements it; there is no reason to do so by hand.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no commands",
    label = "not an actor with commands",
    note = "write `#[commands]` above an `impl {Self}` block and `#[command(\"NAME\")]` above its methods"
)]
pub trait Commands: Receiver {
    /// A row per command, by the `impl` blocks that they come from.
    const ROWS: &'static [&'static [Row<Self>]];

    /// Whether replies wait until it has [committed](crate::GroupCommit).
    const USES_GROUP_COMMIT: bool = false;
}

/// Where a row stands in [`Commands::ROWS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowId {
    block: u16,
    row: u16,
}

impl RowId {
    pub(crate) fn get<S: Commands>(self) -> &'static Row<S> {
        &S::ROWS[usize::from(self.block)][usize::from(self.row)]
    }

    /// Where it stands in its slice.
    pub(crate) fn index(self) -> usize {
        usize::from(self.row)
    }

    /// All rows of `S`.
    pub(crate) fn all<S: Commands>() -> impl Iterator<Item = (RowId, &'static Spec)> {
        S::ROWS.iter().zip(0..).flat_map(|(rows, block)| {
            rows.iter().zip(0..).map(move |(row, index)| (RowId { block, row: index }, &row.spec))
        })
    }
}

/// What commands are methods of.
pub trait Receiver: Sized + 'static {
    /// What they get as their context: for an actor, its [`Actor::Context`].
    type CommandContext;
}

impl<A: Actor> Receiver for A {
    type CommandContext = A::Context;
}

/// Reads the arguments, calls the method, writes the reply.
type RunFn<S> = fn(&mut S, &Call<'_>, &mut <S as Receiver>::CommandContext, &mut ReplyBuffer);

/// A command: what is known of it, and the function that runs it.
#[non_exhaustive]
pub struct Row<S: Receiver> {
    /// What is known of it.
    pub spec: Spec,
    pub(crate) run: RunFn<S>,
}

impl<S: Receiver> Row<S> {
    /// A row, as `#[commands]` makes it.
    pub const fn new(spec: Spec, run: RunFn<S>) -> Self {
        Row { spec, run }
    }
}

impl<S: Receiver> fmt::Debug for Row<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row").field("spec", &self.spec).finish_non_exhaustive()
    }
}
