//! Options of the instances of a cluster.

use std::{fs, io, path::PathBuf};

use clap::Args;
use thegiant::{
    Server,
    cluster::{Cluster, Instance, Topology},
    proxy::Upstream,
    slot,
};

use crate::{ServerOptions, usage_error};

/// Options of an app whose instances can be a cluster.
#[derive(Args)]
#[command(next_help_heading = "Cluster options")]
pub struct ClusterOptions {
    /// File with the topology: which instance of the cluster owns which slots (read again when it changes, and at SIGHUP)
    #[arg(long, value_name = "FILE", requires = "cluster_node")]
    cluster_topology: Option<PathBuf>,
    /// Name, ID or address of this instance in the topology
    #[arg(long, value_name = "NAME", requires = "cluster_topology")]
    cluster_node: Option<String>,
}

impl ClusterOptions {
    /// Returns whether the server is an instance of a cluster.
    pub fn is_in_cluster(&self) -> bool {
        self.cluster_topology.is_some()
    }

    /// Makes the server an instance of the cluster, if there is one. The password of the server is that of the other instances, too.
    ///
    /// # Errors
    /// Returns the errors of [`Server::cluster`], or an error if the password cannot be read.
    pub fn join(&self, server: Server, options: &ServerOptions) -> io::Result<Server> {
        match (&self.cluster_topology, &self.cluster_node) {
            (Some(topology), Some(node)) => {
                server.cluster(Cluster::file(topology, node).upstream(options.others()?))
            }
            _ => Ok(server),
        }
    }
}

/// The option of an app that keeps the keys of an instance on disk.
#[derive(Args)]
#[command(next_help_heading = "Cluster options")]
pub struct MovedKeysOptions {
    /// At the start, remove the keys that another instance owns according to the topology
    #[arg(long, requires = "cluster_topology")]
    remove_moved_keys: bool,
}

impl MovedKeysOptions {
    /// Returns a function that says whether another instance owns a key, or `None` if no key shall be removed.
    ///
    /// # Errors
    /// Returns an error if the topology cannot be read, or does not have this instance.
    pub fn moved_keys(&self, cluster: &ClusterOptions) -> io::Result<Option<impl Fn(&[u8]) -> bool + use<>>> {
        let (Some(path), Some(node), true) =
            (&cluster.cluster_topology, &cluster.cluster_node, self.remove_moved_keys)
        else {
            return Ok(None);
        };
        let named = |text: String| usage_error(format!("{}: {text}", path.display()));
        let text = fs::read_to_string(path).map_err(|error| named(error.to_string()))?;
        let topology = Topology::parse(&text).map_err(|error| named(error.to_string()))?;
        let is_own = |one: &&Instance| {
            one.name() == node || one.id().eq_ignore_ascii_case(node) || one.address() == *node
        };
        let own = topology.instances().iter().find(is_own);
        let unknown = || {
            named(format!(
                "the topology has no instance with the name, the ID or the address {node:?}: add it, or give another name"
            ))
        };
        let own = own.ok_or_else(unknown)?.name().to_owned();
        Ok(Some(move |key: &[u8]| topology.owner(slot(key)).name() != own))
    }
}

impl ServerOptions {
    /// Returns how an instance of a cluster connects to the others: they have the same password.
    ///
    /// # Errors
    /// Returns an error if the password cannot be read.
    pub fn others(&self) -> io::Result<Upstream> {
        let others = Upstream::new("");
        Ok(match self.password.read()? {
            Some(password) => others.password(password),
            None => others,
        })
    }
}
