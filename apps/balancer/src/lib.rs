//! A proxy that spreads keys over several Redis servers, or stands for a Redis Cluster: the parts of it, for programs that
//! have commands of their own in front.
//!
//! - [`Balancer`]: which requests go where; `merge` and `scan`: how one reply is made of several
//! - [`Nodes`]: servers that know nothing of each other; [`Hash`](enum@Hash): how keys are spread over them
//! - [`Cluster`]: the nodes of a Redis Cluster
//! - [`Options`]: the command line

mod balancer;
mod cluster;
mod hash;
mod merge;
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
use thegiant::{Upstream, UpstreamHandle};

/// Starts what the command line asks for; of a cluster, it is then known where its slots are, if it says so.
///
/// # Errors
/// If the password or a file for TLS cannot be read.
///
/// # Panics
/// If there are no addresses, or there is no actix system running.
pub async fn start(options: &Options) -> io::Result<UpstreamHandle> {
    let upstreams = options.upstreams()?;
    if !options.cluster {
        let nodes = Nodes::new(options.hash, &options.groups(), options.no_eject);
        return Ok(Upstream::start_all(upstreams, Balancer::new(nodes)));
    }
    let (cluster, watch) = Cluster::new();
    let handle = Upstream::start_all(upstreams, Balancer::new(cluster));
    watch.begin(&handle).await;
    tokio::task::spawn_local(watch.run(handle.clone()));
    Ok(handle)
}

/// The examples of the README are compiled like all others.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
