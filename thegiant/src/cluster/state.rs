//! The cluster of a server, which all its connections share.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
};

use tokio::sync::{Notify, futures::Notified};

use super::{SlotSet, Topology, TopologyError, TopologyFile, View, forwarding::Peers};
use crate::proxy::Upstream;

/// The current topology, and how this instance knows itself in it.
pub(crate) struct ClusterState {
    /// The name, the ID or the address of the own instance.
    own: String,
    pub(super) file: Option<TopologyFile>,
    /// How to connect to the other instances.
    pub(super) upstream: Option<Upstream>,
    /// The server emulates a cluster of one instance, which does not change.
    is_alone: bool,
    current: Mutex<Arc<View>>,
    /// Changes with the view.
    generation: AtomicU64,
    /// Notified of each new view.
    changed: Notify,
    /// Held by a change of the view.
    changing: Mutex<()>,
    /// A command that began before the last change may have begun to use a slot after it.
    is_unsettled: AtomicBool,
    users: OnceLock<Weak<dyn SlotUsers>>,
    /// The instances to which messages are sent on.
    peers: OnceLock<Weak<Peers>>,
}

/// The part of a server that uses slots for longer than one command.
pub(crate) trait SlotUsers: Send + Sync {
    /// Ends everything that uses slots which the instance does not serve.
    fn leave(&self, view: &View);

    /// Unblocks the commands that wait for keys which the instance does not serve.
    fn unblock(&self, view: &View);
}

impl ClusterState {
    /// Returns the cluster of the instance with this name, ID or address.
    ///
    /// # Errors
    /// If the topology does not have the instance.
    pub(super) fn new(
        topology: Topology,
        own: String,
        file: Option<TopologyFile>,
        upstream: Option<Upstream>,
    ) -> Result<Self, TopologyError> {
        let view = View::new(topology, &own, SlotSet::all());
        if !view.has_own() {
            let reason = format!(
                "the topology has no instance with the name, the ID or the address {own:?}: add it, or give another name"
            );
            return Err(TopologyError::new(reason));
        }
        Ok(Self::with(view, own, file, upstream))
    }

    /// Returns the cluster of an instance that has no topology yet.
    pub(super) fn without_topology(own: String, upstream: Option<Upstream>) -> Self {
        Self::with(View::new(Topology::none(), &own, SlotSet::all()), own, None, upstream)
    }

    /// Returns the cluster of one instance, which has all slots and the address that its clients have connected to.
    pub(crate) fn alone() -> Self {
        let id = random_id();
        ClusterState {
            is_alone: true,
            ..Self::with(View::new(Topology::of_one(&id), &id, SlotSet::all()), id, None, None)
        }
    }

    fn with(view: View, own: String, file: Option<TopologyFile>, upstream: Option<Upstream>) -> Self {
        ClusterState {
            own,
            file,
            upstream,
            is_alone: false,
            current: Mutex::new(Arc::new(view)),
            generation: AtomicU64::new(1),
            changed: Notify::new(),
            changing: Mutex::default(),
            is_unsettled: AtomicBool::new(false),
            users: OnceLock::new(),
            peers: OnceLock::new(),
        }
    }

    /// Sets the server that uses the slots, once.
    pub(crate) fn set_users(&self, users: Weak<dyn SlotUsers>) {
        // A cluster belongs to one server.
        let _ = self.users.set(users);
    }

    /// Sets the instances that change with the view, once.
    pub(super) fn set_peers(&self, peers: Weak<Peers>) {
        // A cluster belongs to one server.
        let _ = self.peers.set(peers);
    }

    /// Returns whether another instance may own slots, so that requests have to be checked.
    pub(crate) fn may_redirect(&self) -> bool {
        !self.is_alone
    }

    /// Returns a number that changes with the view. It is never 0.
    #[inline]
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Acquire)
    }

    /// Returns the cluster as this instance sees it.
    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&self.lock())
    }

    /// Returns whether a topology has the own instance.
    pub(crate) fn is_in(&self, topology: &Topology) -> bool {
        topology.find(&self.own).is_some()
    }

    /// Waits for the next view.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Takes a new topology. All connections use it from their next run of requests on.
    ///
    /// # Errors
    /// If its version is not greater than that of the current one, unless both are the same.
    pub(crate) fn set_topology(&self, topology: Topology) -> Result<(), TopologyError> {
        if self.is_alone {
            return Err(TopologyError::no_cluster());
        }
        let _changing = self.lock_change();
        let current = self.view();
        if topology == current.topology {
            return Ok(());
        }
        let (version, last) = (topology.version(), current.topology.version());
        if version <= last {
            return Err(TopologyError::new(format!(
                "the instance has a topology of version {last}, so it does not take version {version}: \
                 give the new topology a greater version"
            )));
        }
        let view = View::new(topology, &self.own, current.ready.clone());
        if current.has_own() && !view.has_own() {
            tracing::warn!(
                own = self.own,
                version,
                "the topology does not have this instance, which serves no slots now"
            );
        }
        tracing::info!(version, "took a topology");
        self.change(&current, view);
        Ok(())
    }

    /// Serves those of its slots that are in this set.
    pub(crate) fn serve_only(&self, ready: SlotSet) {
        let _changing = self.lock_change();
        let current = self.view();
        if current.ready != ready {
            let view = View::new(current.topology.clone(), &self.own, ready);
            self.change(&current, view);
        }
    }

    fn change(&self, current: &View, view: View) {
        let has_lost = current.loses_to(&view);
        *self.lock() = Arc::new(view);
        self.generation.fetch_add(1, Release);
        if let Some(peers) = self.peers.get().and_then(Weak::upgrade) {
            peers.update(self);
        }
        self.changed.notify_waiters();
        if has_lost {
            self.is_unsettled.store(true, Relaxed);
            self.leave();
        }
    }

    fn leave(&self) {
        if let Some(users) = self.users() {
            users.leave(&self.view());
            // Connections look again: what they use has now ended.
            self.generation.fetch_add(1, Release);
        }
    }

    /// Ends what has begun to use slots since the instance has lost them. It is called once a second.
    pub(crate) fn tick(&self) {
        if self.is_alone {
            return;
        }
        if self.is_unsettled.swap(false, Relaxed) {
            self.leave();
        } else if let Some(users) = self.users() {
            // A command may have waited in the queue of its actor.
            users.unblock(&self.view());
        }
    }

    fn users(&self) -> Option<Arc<dyn SlotUsers>> {
        self.users.get().and_then(Weak::upgrade)
    }

    fn lock(&self) -> MutexGuard<'_, Arc<View>> {
        // No code panics while it holds the lock.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_change(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ClusterState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterState")
            .field("own", &self.own)
            .field("view", &self.view())
            .finish_non_exhaustive()
    }
}

/// Returns 40 random hexadecimal digits.
fn random_id() -> String {
    // Each `RandomState` has random keys.
    let random = || RandomState::new().hash_one(0);
    format!("{:016x}{:016x}{:08x}", random(), random(), random() as u32)
}
