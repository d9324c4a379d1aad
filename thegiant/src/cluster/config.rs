//! How a server becomes an instance of a cluster.

use std::{io, path::PathBuf};

use super::{ClusterState, Topology, TopologyFile};
use crate::proxy::Upstream;

/// Makes a server an instance of a cluster; see [`Server::cluster`](crate::Server::cluster).
#[derive(Clone, Debug)]
#[must_use]
pub struct Cluster {
    /// The name, the ID or the address of the own instance.
    own: String,
    source: Source,
    upstream: Option<Upstream>,
}

#[derive(Clone, Debug)]
enum Source {
    Topology(Topology),
    File(PathBuf),
    /// The program gives the topology to the handle of the server.
    Later,
}

impl Cluster {
    /// Makes the server the instance of a topology that has this name, ID or address.
    ///
    /// The topology changes by [`ServerHandle::set_topology`](crate::ServerHandle::set_topology) and by the command `CLUSTER SETTOPOLOGY`.
    pub fn new(topology: Topology, own: impl Into<String>) -> Self {
        Self::of(own.into(), Source::Topology(topology))
    }

    /// Makes the server the instance of a topology in a file that has this name, ID or address.
    ///
    /// [`Topology::parse`] describes the file. The server reads it again at SIGHUP, and within a second after it has changed. A file with a
    /// mistake, or with a version that is not greater, changes nothing and is an error in the log. So replace the file in one step: write
    /// another one, and rename it.
    pub fn file(path: impl Into<PathBuf>, own: impl Into<String>) -> Self {
        Self::of(own.into(), Source::File(path.into()))
    }

    /// Makes the server an instance whose topology comes later.
    ///
    /// It serves no slots until [`ServerHandle::set_topology`](crate::ServerHandle::set_topology), or the command `CLUSTER SETTOPOLOGY`,
    /// gives it a topology that has this name, ID or address.
    ///
    /// ```
    /// use thegiant::{cluster::{Cluster, Topology}, prelude::*};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let server = Server::new(App::new).cluster(Cluster::member("a"))?;
    /// let handle = server.handle();
    /// // Later, when another program has said who owns what:
    /// let topology = Topology::builder(1).instance("a", "10.0.0.1:6380", [0..=16383]).build()?;
    /// handle.set_topology(topology)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn member(own: impl Into<String>) -> Self {
        Self::of(own.into(), Source::Later)
    }

    fn of(own: String, source: Source) -> Self {
        Cluster { own, source, upstream: Some(Upstream::new(String::new())) }
    }

    /// Sets how the instance connects to the others, to send the messages of `PUBLISH` on; `None` sends nothing on.
    ///
    /// The address is that of each instance. The user needs the permission for `CLUSTER PUBLISH`. Without this call, the instances connect
    /// without a password and without TLS.
    ///
    /// ```
    /// use thegiant::{cluster::Cluster, proxy::Upstream};
    ///
    /// let others = Upstream::new("").user("instance").password("secret");
    /// let cluster = Cluster::file("/etc/shop/topology", "a").upstream(others);
    /// ```
    pub fn upstream(mut self, upstream: impl Into<Option<Upstream>>) -> Self {
        self.upstream = upstream.into();
        self
    }

    pub(crate) fn into_state(self) -> io::Result<ClusterState> {
        match self.source {
            Source::Topology(topology) => Ok(ClusterState::new(topology, self.own, None, self.upstream)?),
            Source::Later => Ok(ClusterState::without_topology(self.own, self.upstream)),
            Source::File(path) => {
                let file = TopologyFile::new(path);
                let topology = file.read()?;
                ClusterState::new(topology, self.own, Some(file.clone()), self.upstream)
                    .map_err(|error| file.mistake(error.into()))
            }
        }
    }
}
