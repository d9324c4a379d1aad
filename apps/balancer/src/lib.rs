//! A proxy that spreads keys over several Redis servers, or stands in front of a Redis Cluster.
//!
//! This library contains its parts, for programs that add their own commands.
//!
//! - [`Balancer`]: the router; `scan`: a scan over all servers
//! - [`Nodes`]: independent servers; [`Hash`](enum@Hash): how keys are spread over them
//! - [`Cluster`]: the nodes of a Redis Cluster
//! - [`Options`]: the command line

mod balancer;
mod cluster;
mod hash;
mod nodes;
mod options;
mod scan;
mod spread;

use std::io;

pub use balancer::Balancer;
pub use cluster::{Cluster, Watch};
pub use hash::{Hash, HashKind};
pub use nodes::Nodes;
pub use options::Options;
pub use spread::Spread;
use thegiant::{Proxy, UpstreamHandle};

/// Starts the proxy that the command line selects. For a cluster, it first asks for the slots.
///
/// # Errors
/// Returns an error if the password or a file for TLS cannot be read.
///
/// # Panics
/// Panics if there are no addresses, or if no actix system runs.
pub async fn start(options: &Options) -> io::Result<UpstreamHandle> {
    let upstreams = options.upstreams()?;
    if !options.cluster {
        let nodes = Nodes::new(options.hash, &options.groups(), options.no_eject);
        return Ok(Proxy::new(Balancer::new(nodes)).upstreams(upstreams).start());
    }
    let (cluster, watch) = Cluster::new();
    let handle = Proxy::new(Balancer::new(cluster)).upstreams(upstreams).start();
    watch.begin(&handle).await;
    tokio::task::spawn_local(watch.run(handle.clone()));
    Ok(handle)
}

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
