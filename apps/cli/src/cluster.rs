//! Options of the instances of a cluster.

use std::{io, path::PathBuf};

use clap::Args;
use thegiant::{Server, cluster::Cluster};

/// Options of an app whose instances can be a cluster.
#[derive(Args)]
#[command(next_help_heading = "Cluster options")]
pub struct ClusterOptions {
    /// File that says which instance of a cluster owns which slots; it is read again when it has changed, and at SIGHUP
    #[arg(long, value_name = "FILE", requires = "cluster_node")]
    cluster_topology: Option<PathBuf>,
    /// Name, ID or address of this instance in the file
    #[arg(long, value_name = "NAME", requires = "cluster_topology")]
    cluster_node: Option<String>,
}

impl ClusterOptions {
    /// Makes the server an instance of the cluster, if there is one.
    ///
    /// # Errors
    /// Returns the errors of [`Server::cluster`].
    pub fn join(&self, server: Server) -> io::Result<Server> {
        match (&self.cluster_topology, &self.cluster_node) {
            (Some(topology), Some(node)) => server.cluster(Cluster::file(topology, node)),
            _ => Ok(server),
        }
    }
}
