//! The part of a connection that checks whether a replica may run a request.

use super::Connection;
use crate::{
    batch::{Batch, CommandRef},
    command::Flags,
    role::NotMaster,
};

impl Connection {
    /// Checks whether a replica runs the next requests for the same actor.
    ///
    /// The result is about the next request. The first later one that it does not run is
    /// [denied](crate::batch::Resolved::Denied), so that its actor stops before it.
    #[cold]
    pub(super) fn check_role(&mut self, batch: &mut Batch, target: CommandRef) -> Result<(), NotMaster> {
        let routes = &self.state.server.routes;
        let transaction = &mut self.state.transaction;
        let flags_of = |target: CommandRef| routes.command(target.command).flags;
        if flags_of(target).contains(Flags::EXECUTES)
            && let Some(queue) = transaction.queue()
        {
            return NotMaster::check(queue.commands(routes).map(|command| command.flags));
        }
        let is_queued = transaction.queue().is_some();
        batch.deny_from(routes.with_shards(target.actor_id), is_queued, |target, _| {
            NotMaster::check([flags_of(target)])
        })
    }
}
