//! What the clients of a member see of it.

use std::{
    collections::BTreeSet,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use thegiant::{
    Role, ServerHandle,
    sentinel::{Master, Sentinel},
};

use crate::{Instance, Members, members::slots};

/// What the clients of a member see of it.
#[derive(Clone)]
pub(crate) enum Front {
    /// An instance of a Redis Cluster, with this number of partitions.
    Cluster { server: ServerHandle, partitions: u16 },
    /// A master, or a replica that waits.
    Standby(Arc<Standby>),
}

/// A server that has all keys or none, and the facade that names the one that has them.
pub(crate) struct Standby {
    server: ServerHandle,
    sentinel: Sentinel,
    /// The name of the master.
    name: String,
    state: Mutex<State>,
}

struct State {
    is_master: bool,
    /// The host and the port of the owner of the keys.
    owner: (String, u16),
}

impl Front {
    /// Returns a server that serves nothing yet, and that clients reach at this address.
    pub(crate) fn standby(server: ServerHandle, sentinel: Sentinel, name: String, address: &str) -> Self {
        let state = Mutex::new(State { is_master: false, owner: host_and_port(address) });
        Front::Standby(Arc::new(Standby { server, sentinel, name, state }))
    }

    /// Serves these partitions, and no others.
    ///
    /// # Errors
    /// If the server is no instance of a cluster, although it should be.
    pub(crate) fn serve(&self, served: &BTreeSet<u16>) -> io::Result<()> {
        match self {
            Front::Cluster { server, partitions } => {
                Ok(server.serve_only(served.iter().map(|partition| slots(*partition, *partitions)))?)
            }
            Front::Standby(standby) => {
                standby.set(|state| state.is_master = !served.is_empty());
                Ok(())
            }
        }
    }

    /// Redirects clients to the owners of the partitions.
    pub(crate) fn redirect(&self, members: &Members) {
        match self {
            Front::Cluster { server, .. } => {
                match members.topology().map(|topology| server.set_topology(topology)) {
                    Ok(Ok(())) => {}
                    Err(error) | Ok(Err(error)) => {
                        tracing::error!(%error, "clients are not redirected to the new owners")
                    }
                }
            }
            Front::Standby(standby) => standby.redirect(members),
        }
    }
}

impl Standby {
    fn redirect(&self, members: &Members) {
        let Some(owner) = members.owner(0) else { return };
        let all = || members.instances().iter().map(Instance::address).map(host_and_port);
        let (host, port) = host_and_port(owner.address());
        let replicas = all().filter(|other| *other != (host.clone(), port));
        let master = Master::new(&self.name, &host, port).epoch(members.version());
        self.sentinel.update(master.replicas(replicas).sentinels(all()));
        self.set(|state| state.owner = (host, port));
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
        let (host, port) = state.owner.clone();
        self.server.set_role(Role::replica_of(host, port));
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

/// Splits a checked address. An IPv6 address has no brackets then.
fn host_and_port(address: &str) -> (String, u16) {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
    (host.trim_matches(['[', ']']).to_owned(), port.parse().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_port() {
        assert_eq!(host_and_port("db.example:6380"), ("db.example".to_owned(), 6380));
        assert_eq!(host_and_port("[::1]:6380"), ("::1".to_owned(), 6380));
    }
}
