//! The upstream of a dedicated connection.

use std::{
    mem,
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use bytes::Bytes;

use crate::{
    Error,
    proxy::conn::{Upstream, UpstreamStats},
};

/// Whether the client's requests have determined the upstream.
pub(super) enum Binding {
    /// No request has. The proxy itself has replied to these requests of the transaction.
    Unbound { queued: Vec<Bytes> },
    /// The upstream has not replied yet, so another one may get the requests instead.
    Movable { target: Target, queued: Vec<Bytes>, moves: u32 },
    /// The upstream has replied.
    Bound(Target),
}

/// An upstream, in whose statistics the connection counts.
pub(super) struct Target {
    pub(super) server: usize,
    pub(super) upstream: Rc<Upstream>,
    pub(super) stats: Arc<UpstreamStats>,
}

impl Binding {
    pub(super) fn target(&self) -> Option<&Target> {
        match self {
            Binding::Unbound { .. } => None,
            Binding::Movable { target, .. } | Binding::Bound(target) => Some(target),
        }
    }

    /// Returns the requests that the next connection has to send first.
    pub(super) fn queued(&self) -> &[Bytes] {
        match self {
            Binding::Unbound { queued } | Binding::Movable { queued, .. } => queued,
            Binding::Bound(_) => &[],
        }
    }

    /// Chooses an upstream, or another one.
    pub(super) fn set(&mut self, chosen: Target) {
        match self {
            Binding::Unbound { queued } => {
                *self = Binding::Movable { target: chosen, queued: mem::take(queued), moves: 0 };
            }
            Binding::Movable { target, .. } | Binding::Bound(target) => *target = chosen,
        }
    }

    /// Returns the error for requests that depend on the state of the lost connection.
    pub(super) fn loss_error(&self) -> Error {
        let address = self.target().map_or("the upstream", |target| &target.upstream.address);
        Error::new(
            "UPSTREAM",
            format_args!("{address} was lost: its watched keys and its transaction are gone"),
        )
    }

    /// Keeps the upstream, because it has replied.
    pub(super) fn bind(&mut self) {
        *self = match mem::take(self) {
            Binding::Movable { target, .. } => Binding::Bound(target),
            binding => binding,
        };
    }
}

impl Default for Binding {
    fn default() -> Self {
        Binding::Unbound { queued: Vec::new() }
    }
}

impl Target {
    pub(super) fn new(server: usize, (upstream, stats): (Rc<Upstream>, Arc<UpstreamStats>)) -> Self {
        stats.private.fetch_add(1, Relaxed);
        Target { server, upstream, stats }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.stats.private.fetch_sub(1, Relaxed);
    }
}
