//! The handle that stops a server, and changes its role, its certificates and its topology.

use std::{
    ops::RangeInclusive,
    sync::{Arc, OnceLock, Weak},
};

use tokio::sync::mpsc;

#[cfg(feature = "tls")]
use crate::tls_listeners::TlsListeners;
use crate::{
    SLOTS,
    client::CloseRequest,
    cluster::{ClusterState, SlotSet, Topology, TopologyError},
    role::{CurrentRole, Role},
    server_state::ServerState,
};

/// Stops a [`Server`](crate::Server), or changes its role, its certificates or its topology, from another task or
/// thread.
///
/// It is cheap to clone.
#[derive(Clone, Debug)]
pub struct ServerHandle {
    pub(super) stop: mpsc::UnboundedSender<()>,
    #[cfg(feature = "tls")]
    pub(super) tls: TlsListeners,
    /// The cluster that the server is an instance of.
    pub(super) cluster: Arc<OnceLock<Arc<ClusterState>>>,
    pub(super) role: Arc<CurrentRole>,
    /// The server, once it runs.
    pub(super) server: Arc<OnceLock<Weak<ServerState>>>,
}

impl ServerHandle {
    /// Stops the server as SIGTERM does: gracefully at the first call, at once at the second.
    ///
    /// It does not wait.
    pub fn stop(&self) {
        // The server may have stopped already.
        let _ = self.stop.send(());
    }

    /// Makes the server a master or a replica. It is a master at first.
    ///
    /// All connections see the role from their next requests on. Requests that have reached their actor run. When the server becomes a replica,
    /// commands with the flag `blocking` that wait get `-UNBLOCKED …`, and their connections are closed. Other connections stay open: clients that do not
    /// follow the errors of a replica need [`close_clients`](Self::close_clients), too.
    ///
    /// ```no_run
    /// use thegiant::{Role, prelude::*};
    ///
    /// # #[thegiant::main]
    /// # async fn main() -> std::io::Result<()> {
    /// let server = Server::new(App::new).bind("0.0.0.0:6380")?;
    /// let handle = server.handle();
    /// handle.set_role(Role::replica_of("10.0.0.1", 6380));
    /// // When this server takes over:
    /// handle.set_role(Role::Master);
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_role(&self, role: Role) {
        if self.role.replace(role.clone()) == role {
            return;
        }
        tracing::info!(?role, "the role of the server has changed");
        if let Some(server) = self.server() {
            server.role_changed();
        }
    }

    /// Closes the connections of all clients, each after its last reply.
    ///
    /// Redis Sentinel does so with a master that it makes a replica, because some clients look for the master only when they connect. A
    /// command that waits is not ended.
    ///
    /// ```
    /// use thegiant::{Role, ServerHandle};
    ///
    /// fn hand_over(handle: &ServerHandle, master: &str) {
    ///     handle.set_role(Role::replica_of(master, 6380));
    ///     handle.close_clients();
    /// }
    /// ```
    pub fn close_clients(&self) {
        if let Some(server) = self.server() {
            server.clients.all().iter().for_each(|client| client.request_close(CloseRequest::AfterReplies));
        }
    }

    /// Sets the server that the handle is of, once.
    pub(super) fn attach(&self, server: &Arc<ServerState>) {
        // A handle belongs to one server.
        let _ = self.server.set(Arc::downgrade(server));
        server.role_changed();
    }

    fn server(&self) -> Option<Arc<ServerState>> {
        self.server.get().and_then(Weak::upgrade)
    }

    /// Gives an instance of a [cluster](crate::Server::cluster) a new topology.
    ///
    /// All its connections use it from their next requests on.
    ///
    /// ```
    /// use thegiant::{ServerHandle, cluster::{Topology, TopologyError}};
    ///
    /// /// Takes the topology that another program has stored, for example in etcd.
    /// fn follow(handle: &ServerHandle, stored: &str) -> Result<(), TopologyError> {
    ///     handle.set_topology(Topology::parse(stored)?)
    /// }
    /// ```
    ///
    /// # Errors
    /// If its version is not greater than that of the current topology, unless both are the same. If the server is no instance of a cluster.
    pub fn set_topology(&self, topology: Topology) -> Result<(), TopologyError> {
        self.cluster()?.set_topology(topology)
    }

    /// Returns whether a topology has the instance of a [cluster](crate::Server::cluster) that this server is.
    ///
    /// ```
    /// use thegiant::{cluster::{Cluster, Topology}, prelude::*};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let server = Server::new(App::new).cluster(Cluster::member("a"))?;
    /// let topology = Topology::builder(1).instance("b", "10.0.0.2:6380", [0..=16383]).build()?;
    /// assert!(!server.handle().is_instance_of(&topology)?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the server is no instance of a cluster.
    pub fn is_instance_of(&self, topology: &Topology) -> Result<bool, TopologyError> {
        Ok(self.cluster()?.is_in(topology))
    }

    /// Sets whether an instance of a [cluster](crate::Server::cluster) serves its slots.
    ///
    /// If it does not, it replies `-CLUSTERDOWN Hash slot not served` to commands with keys of its slots. A program that holds a lease on the slots
    /// calls this before the lease ends.
    ///
    /// # Errors
    /// If the server is no instance of a cluster.
    pub fn set_serving(&self, is_serving: bool) -> Result<(), TopologyError> {
        self.serve_only(is_serving.then_some(0..=SLOTS - 1))
    }

    /// Lets an instance of a [cluster](crate::Server::cluster) serve only those of its slots that are in these ranges.
    ///
    /// It replies `-CLUSTERDOWN Hash slot not served` to commands with keys of its other slots, also of slots that it gets later. A program calls this before it
    /// takes a topology, so that the instance does not serve its new slots until their state is loaded. [`set_serving`](Self::set_serving)
    /// ends it.
    ///
    /// ```
    /// use thegiant::{cluster::{Cluster, Topology}, prelude::*};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let server = Server::new(App::new).cluster(Cluster::member("a"))?;
    /// let handle = server.handle();
    /// handle.serve_only([0..=8191])?;
    /// handle.set_topology(Topology::builder(1).instance("a", "10.0.0.1:6380", [0..=16383]).build()?)?;
    /// // Later, when the state of all slots is loaded:
    /// handle.set_serving(true)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the server is no instance of a cluster.
    ///
    /// # Panics
    /// Panics if a range has a number that is not less than [`SLOTS`].
    #[track_caller]
    pub fn serve_only(
        &self,
        slots: impl IntoIterator<Item = RangeInclusive<u16>>,
    ) -> Result<(), TopologyError> {
        self.cluster()?.serve_only(SlotSet::of(slots));
        Ok(())
    }

    fn cluster(&self) -> Result<&ClusterState, TopologyError> {
        let cluster = self.cluster.get().filter(|cluster| cluster.may_redirect());
        cluster.map(Arc::as_ref).ok_or_else(TopologyError::no_cluster)
    }

    /// Reads the certificates, keys and client authorities of all TLS listeners again, as SIGHUP does.
    ///
    /// New connections use them. Open connections are not affected.
    ///
    /// ```no_run
    /// use thegiant::{ServerTls, prelude::*};
    ///
    /// # #[thegiant::main]
    /// # async fn main() -> std::io::Result<()> {
    /// let tls = ServerTls::new("server.crt", "server.key");
    /// let server = Server::new(App::new).bind_tls("0.0.0.0:6381", tls)?;
    /// let handle = server.handle();
    /// // Later, when the files have changed:
    /// if let Err(error) = handle.reload_tls() {
    ///     eprintln!("the certificates are unchanged: {error}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If a file cannot be used. The error names the file and the reason, and all listeners keep what they had.
    #[cfg(feature = "tls")]
    pub fn reload_tls(&self) -> std::io::Result<()> {
        self.tls.reload()
    }
}
