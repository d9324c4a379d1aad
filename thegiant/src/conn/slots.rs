//! The part of a connection that checks whether this instance of a cluster serves the keys of a request.

use std::sync::Arc;

use super::{Connection, ConnectionState};
use crate::{
    batch::{Batch, CommandRef},
    client::ClientFlag,
    cluster::{ClusterState, Misdirected, View},
    dispatch::reject,
    split::slot,
};

/// The cluster as of the last check of a connection.
#[derive(Debug, Default)]
pub(super) struct CheckedCluster {
    view: Option<Arc<View>>,
    /// The [generation](ClusterState::generation) of the view; 0 before the first check.
    generation: u64,
}

impl CheckedCluster {
    /// Returns the current view. `changed` is called if it is another one than at the last check.
    #[inline]
    fn view(&mut self, cluster: &ClusterState, changed: impl FnOnce()) -> &View {
        // First: a change that comes in between is seen the next time.
        let generation = cluster.generation();
        if self.generation != generation {
            self.view = None;
            self.generation = generation;
            changed();
        }
        self.view.get_or_insert_with(|| cluster.view())
    }
}

impl Connection {
    /// Checks whether this instance serves the keys of the next requests for the same actor.
    ///
    /// The result is about the next request. The first later one that another instance has to run is
    /// [denied](crate::batch::Resolved::Denied), so that its actor stops before it.
    #[inline(never)]
    pub(super) fn check_slots(&mut self, batch: &mut Batch, target: CommandRef) -> Result<(), Misdirected> {
        let is_queued = self.state.transaction.queue().is_some();
        let ConnectionState { server, client, cluster: checked, subscriptions, transaction, watch, .. } =
            &mut self.state;
        let Some(cluster) = &server.cluster else { return Ok(()) };
        let view = checked.view(cluster, || {
            if let Some(subscriptions) = subscriptions {
                subscriptions.forget_ended();
            }
            subscriptions.take_if(|subscriptions| subscriptions.is_empty());
        });
        if let Some(queue) = transaction.queue()
            && server.routes.executes(target)
        {
            let mut watched = watch.iter().flat_map(|watch| watch.keys());
            if watched.any(|key| !view.serves(slot(key))) {
                client.set(ClientFlag::Dirty, true);
            }
            let keys = queue.keys(&server.routes);
            return view.check_slots(keys.map(slot));
        }
        batch.deny_from(server.routes.with_shards(target.actor_id), is_queued, |target, words| {
            view.check(server.routes.command(target.command), words)
        })
    }

    /// Answers a request that another instance has to run with an error. A transaction that it belongs to fails.
    #[cold]
    pub(super) fn refuse_misdirected(
        &mut self,
        misdirected: Misdirected,
        target: CommandRef,
        batch: &mut Batch,
    ) {
        let Some(cluster) = &self.state.server.cluster else { return };
        let error = misdirected.error(&cluster.view());
        reject(batch, &self.client, |_, out| out.error(&error));
        // As in Redis, the reply to `EXEC` is the redirect itself.
        if self.executes(target) {
            self.state.end_transaction();
        } else {
            self.abort_transaction();
        }
    }
}
