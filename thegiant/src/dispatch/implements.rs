//! Which traits an actor implements, for the checks of `#[commands]`.

use std::marker::PhantomData;

use super::{GroupCommit, Prefetch};
use crate::Expire;

/// Says by its constants which traits `A` implements.
///
/// rustc prefers an inherent constant to one of [`ImplementsNot`], and has it only if `A` implements the trait. Code that uses
/// a constant imports [`ImplementsNot`].
#[derive(Debug)]
pub struct Implements<A>(PhantomData<A>);

impl<A: GroupCommit> Implements<A> {
    /// `A` implements [`GroupCommit`].
    pub const GROUP_COMMIT: bool = true;
}

impl<A: Expire> Implements<A> {
    /// `A` implements [`Expire`].
    pub const EXPIRE: bool = true;
}

impl<A: Prefetch> Implements<A> {
    /// `A` implements [`Prefetch`].
    pub const PREFETCH: bool = true;
}

/// The constants of a type that implements none of the traits.
pub trait ImplementsNot {
    /// `A` does not implement [`GroupCommit`].
    const GROUP_COMMIT: bool = false;
    /// `A` does not implement [`Expire`].
    const EXPIRE: bool = false;
    /// `A` does not implement [`Prefetch`].
    const PREFETCH: bool = false;
}

impl<A> ImplementsNot for Implements<A> {}
