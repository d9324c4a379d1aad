//! The part of a connection that checks whether a replica may run a request.

use super::Connection;
use crate::{
    batch::{Batch, CommandRef},
    client::ClientFlag,
    command::{Flags, Spec, is_read_of_redis},
    dispatch::Transaction,
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
        if routes.executes(target)
            && let Some(queue) = transaction.queue()
        {
            return NotMaster::check(queue.commands(routes).map(|(command, name)| flags_of(command, name)));
        }
        if matches!(transaction, Transaction::Proxied) {
            // The upstream would run what it has queued. It discards the transaction at `EXEC`.
            self.client.set(ClientFlag::ProxiedQueueRefused, true);
        }
        let is_queued = transaction.queue().is_some();
        batch.deny_from(routes.with_shards(target.actor_id), is_queued, |target, words| {
            NotMaster::check([flags_of(routes.command(target.command), words.name())])
        })
    }
}

/// Returns the flags of a command. A command of a proxy or a fallback counts as a write, unless it is a read of Redis.
fn flags_of(command: &Spec, name: &[u8]) -> Flags {
    let has_flags = !command.flags.contains(Flags::FORWARDED) && !command.flags.contains(Flags::ANY_NAME);
    if has_flags || is_read_of_redis(name) { command.flags } else { command.flags.union(Flags::WRITE) }
}
