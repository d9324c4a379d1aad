//! The frontend of a member: an instance of a cluster, or a master with standbys.

use std::{
    collections::BTreeSet,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use thegiant::{
    Role, ServerHandle,
    cluster::{Instance, Topology},
    sentinel::{Master, Sentinel},
};

use crate::{Members, members::slots};

/// The server of a member, as its clients see it.
#[derive(Clone)]
pub(crate) enum Frontend {
    /// An instance of a Redis Cluster, with this number of partitions.
    Cluster { server: ServerHandle, partitions: u16 },
    /// A master, or a replica that waits.
    Standby(Arc<Standby>),
}

/// A server that has all keys or none.
///
/// The facade names the server that has them.
pub(crate) struct Standby {
    server: ServerHandle,
    sentinel: Sentinel,
    /// The name of the master.
    name: String,
    state: Mutex<State>,
}

struct State {
    is_master: bool,
    /// The owner of the keys.
    owner: Instance,
}

impl Frontend {
    /// Returns a server that serves nothing yet, and that is this instance.
    pub(crate) fn standby(server: ServerHandle, sentinel: Sentinel, name: String, own: Instance) -> Self {
        let state = Mutex::new(State { is_master: false, owner: own });
        Frontend::Standby(Arc::new(Standby { server, sentinel, name, state }))
    }

    /// Checks that the server is the instance of this topology.
    ///
    /// # Errors
    /// If the server is another instance of its cluster, or of none.
    pub(crate) fn check(&self, own: &Topology) -> io::Result<()> {
        match self {
            Frontend::Cluster { server, .. } if !server.is_instance_of(own)? => {
                let mistake = format!(
                    "the server is not the instance {:?} of its cluster: give Cluster::member the name of the member",
                    own.owner(0).name()
                );
                Err(io::Error::new(io::ErrorKind::InvalidInput, mistake))
            }
            Frontend::Cluster { .. } | Frontend::Standby(_) => Ok(()),
        }
    }

    /// Serves these partitions, and no others.
    ///
    /// # Errors
    /// If the server is no instance of a cluster, although it should be.
    pub(crate) fn serve(&self, served: &BTreeSet<u16>) -> io::Result<()> {
        match self {
            Frontend::Cluster { server, partitions } => {
                Ok(server.serve_only(served.iter().map(|partition| slots(*partition, *partitions)))?)
            }
            Frontend::Standby(standby) => {
                standby.set(|state| state.is_master = !served.is_empty());
                Ok(())
            }
        }
    }

    /// Redirects clients to the owners of the partitions.
    pub(crate) fn redirect(&self, members: &Members) {
        let redirected = members.topology().and_then(|topology| match self {
            Frontend::Cluster { server, .. } => server.set_topology(topology),
            Frontend::Standby(standby) => {
                standby.redirect(&topology);
                Ok(())
            }
        });
        if let Err(error) = redirected {
            tracing::error!(%error, "clients are not redirected to the new owners");
        }
    }
}

impl Standby {
    fn redirect(&self, topology: &Topology) {
        let owner = topology.owner(0);
        let endpoint = |instance: &Instance| (instance.host().to_owned(), instance.port());
        let all = || topology.instances().iter();
        let replicas = all().filter(|other| *other != owner).map(endpoint);
        let master = Master::new(&self.name, owner.host(), owner.port()).epoch(topology.version());
        self.sentinel.update(master.replicas(replicas).sentinels(all().map(endpoint)));
        self.set(|state| state.owner = owner.clone());
    }

    /// Changes the state, and the role of the server with it.
    fn set(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        let was_master = state.is_master;
        change(&mut state);
        if state.is_master {
            self.server.set_role(Role::Master);
            return;
        }
        self.server.set_role(Role::replica_of(state.owner.host(), state.owner.port()));
        if was_master {
            // Some clients look for the master only when they connect.
            self.server.close_clients();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
