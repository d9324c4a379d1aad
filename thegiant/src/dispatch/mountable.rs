//! The bounds of the actors that an application mounts, and of their addresses.

use actix::{Actor, Addr, Handler, dev::ToEnvelope};

use super::{Consumers, RunBatches};
use crate::command::Commands;

/// An actor that an application can [mount](crate::App::mount): one with `#[commands]`.
///
/// It is the only bound that generic code needs. Each actor with `#[commands]` implements it, on its own thread or in a
/// `SyncArbiter`.
///
/// ```
/// use thegiant::{Mountable, prelude::*};
///
/// /// Adds an actor, and a section of `INFO` that names it.
/// fn add<A: Mountable>(app: App, actor: Addr<A>) -> App {
///     app.mount(actor).info("Actors", |info| info.field("actor", std::any::type_name::<A>()))
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be mounted",
    label = "not an actor with commands",
    note = "write `#[commands]` above an `impl` block of the actor",
    note = "`mount_shards` and `mount_supervised` start the actor: return it, and not the address of `.start()`",
    note = "generic code needs the bound `Mountable`, as in `fn add<A: Mountable>(app: App, actor: Addr<A>) -> App`"
)]
pub trait Mountable:
    Actor<Context: Consumers + ToEnvelope<Self, RunBatches>> + Commands + Handler<RunBatches>
{
}

#[diagnostic::do_not_recommend]
impl<A> Mountable for A
where
    A: Actor + Commands + Handler<RunBatches>,
    A::Context: Consumers + ToEnvelope<A, RunBatches>,
{
}

/// The address of an actor that an application can [mount](crate::App::mount): the `Addr<A>` of a [`Mountable`] actor.
///
/// Generic code takes an `Addr<A>`, as [`Mountable`] shows. This trait is only the reason why a mounted actor without
/// `start()` gets a compile error that says so.
///
/// ```
/// use thegiant::{MountableAddr, prelude::*};
///
/// fn only(actor: impl MountableAddr) -> App {
///     App::new().mount(actor)
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the address of an actor",
    label = "not the address of an actor",
    note = "start the actor, and mount the address that it returns: `.mount(actor.start())`"
)]
pub trait MountableAddr {
    /// The actor.
    type Actor: Mountable;

    /// Returns the address.
    fn into_addr(self) -> Addr<Self::Actor>;
}

impl<A: Mountable> MountableAddr for Addr<A> {
    type Actor = A;

    fn into_addr(self) -> Addr<A> {
        self
    }
}
