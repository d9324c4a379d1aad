//! The servers at which clients listen.

use std::{rc::Rc, sync::Arc};

use tokio::sync::Notify;

use crate::proxy::conn::UpstreamStats;

/// The servers that the router returned last from [`Router::publishers`](crate::proxy::Router::publishers).
#[derive(Default)]
pub(super) struct Publishers {
    /// The number and the statistics, which tell a server from another one that gets its number later.
    servers: Vec<(usize, Arc<UpstreamStats>)>,
    /// Notifies the dedicated connections that the list has changed.
    pub(super) changed: Rc<Notify>,
    /// A client may be listening.
    pub(super) is_used: bool,
}

impl Publishers {
    /// Returns the server that confirms the subscriptions of a new subscriber.
    pub(super) fn first(&self) -> Option<usize> {
        self.servers.first().map(|(server, _)| *server)
    }

    /// Sets the servers, and notifies the dedicated connections if they have changed. Returns whether they have.
    pub(super) fn set(&mut self, servers: Vec<(usize, Arc<UpstreamStats>)>) -> bool {
        self.is_used = true;
        let is_same = |((a, known), (b, now)): (&(usize, _), &(usize, _))| a == b && Arc::ptr_eq(known, now);
        let has_changed =
            servers.len() != self.servers.len() || !servers.iter().zip(&self.servers).all(is_same);
        if has_changed {
            self.servers = servers;
            self.changed.notify_waiters();
        }
        has_changed
    }

    pub(super) fn servers(&self) -> &[(usize, Arc<UpstreamStats>)] {
        &self.servers
    }
}
