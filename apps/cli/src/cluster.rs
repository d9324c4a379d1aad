//! Options of the instances of a cluster.

use std::{io, path::PathBuf};

use clap::Args;
use thegiant::{Server, cluster::Cluster, proxy::Upstream};

use crate::ServerOptions;

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
                let others = Upstream::new("");
                let others = match options.password.read()? {
                    Some(password) => others.password(password),
                    None => others,
                };
                server.cluster(Cluster::file(topology, node).upstream(others))
            }
            _ => Ok(server),
        }
    }
}
