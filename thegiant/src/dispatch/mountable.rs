//! The bound of the actors that an application mounts.

use actix::{Actor, Handler, dev::ToEnvelope};

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
