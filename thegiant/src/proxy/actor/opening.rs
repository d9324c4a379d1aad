//! Opens the connections that are no multiplexed ones.

use std::{
    cell::RefCell,
    rc::{Rc, Weak},
    sync::Arc,
};

use super::state::ProxyState;
use crate::proxy::{
    conn::{Dialled, PoolKey, UpstreamStats, dial},
    wire::LossReason,
};

/// Opens a connection to an upstream, or takes an idle one.
///
/// # Errors
/// If the upstream cannot be reached, or the proxy has stopped.
pub(super) async fn open(
    proxy: Weak<RefCell<ProxyState>>,
    server: usize,
    key: PoolKey,
) -> Result<Dialled, LossReason> {
    let (upstream, stats, idle) = {
        let state = proxy.upgrade().ok_or(STOPPED)?;
        let pool = &mut state.borrow_mut().pool;
        let idle = pool.take_idle(server, key);
        let server = pool.servers.get(server);
        (Rc::clone(&server.upstream), Arc::clone(&server.stats), idle)
    };
    if let Some(idle) = idle {
        return Ok(idle);
    }
    let dialled = dial(&upstream, key).await?;
    if let Some(proxy) = proxy.upgrade() {
        proxy.borrow_mut().reached(server, &stats);
    }
    Ok(dialled)
}

const STOPPED: &str = "the proxy has stopped";

impl ProxyState {
    /// Updates the proxy after a connection to a server was opened. Other servers may have taken its number meanwhile.
    pub(super) fn reached(&mut self, server: usize, stats: &Arc<UpstreamStats>) {
        if Arc::ptr_eq(&self.pool.servers.get(server).stats, stats) && self.pool.reached(server) {
            self.refresh_publishers();
        }
    }
}
