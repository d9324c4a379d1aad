//! A proxy that spreads keys over several Redis servers, or stands in front of a Redis Cluster, or of the master that Redis
//! Sentinel names.
//!
//! This library contains its parts, for programs that add their own commands.
//!
//! - [`Balancer`]: the router; [`Cursors`]: the cursors of scans over all servers
//! - [`Nodes`]: independent servers; [`Hash`](enum@Hash): how keys are spread over them
//! - [`Cluster`]: the nodes of a Redis Cluster
//! - [`Master`]: the master that Redis Sentinel names
//! - [`Options`]: the command line

mod address;
mod balancer;
mod cluster;
mod hash;
mod inquiry;
mod nodes;
mod options;
mod pubsub;
mod scan;
mod sentinel;
mod spread;

use std::io;

pub use balancer::Balancer;
pub use cluster::{Cluster, Watch};
pub use hash::{Hash, HashKind};
pub use nodes::Nodes;
pub use options::{OnUpstreamLoss, Options, Sentinel};
pub use scan::Cursors;
pub use sentinel::{Master, SentinelWatch};
pub use spread::Spread;
use thegiant::proxy::Proxy;

/// Returns the function that creates the proxy of a thread, for [`App::proxy_per_worker`](thegiant::App::proxy_per_worker).
///
/// # Errors
/// Returns an error if the password or a file for TLS cannot be read.
pub fn proxies(options: &Options) -> io::Result<impl Fn() -> Proxy + Send + Sync + 'static> {
    let (upstreams, sentinel, cursors) = (options.upstreams()?, options.sentinel()?, Cursors::default());
    let nodes = (!options.cluster).then(|| Nodes::new(options.hash, &options.groups(), options.no_eject));
    let on_loss = options.on_upstream_loss;
    let prefix = options.prefix.clone();
    let create = move || {
        if let Some(Sentinel { name, sentinels, template }) = &sentinel {
            let (master, mut watch) = Master::new(name, sentinels.clone());
            return Proxy::new(master).template(template.clone()).on_start(async |proxy| {
                watch.begin(&proxy).await;
                tokio::task::spawn_local(watch.run(proxy));
            });
        }
        if let Some(nodes) = &nodes {
            let balancer = Balancer::new(nodes.clone()).sharing(&cursors);
            return Proxy::new(balancer).upstreams(upstreams.clone());
        }
        let (cluster, watch) = Cluster::new();
        let balancer = Balancer::new(cluster).sharing(&cursors);
        Proxy::new(balancer).upstreams(upstreams.clone()).on_start(async |nodes| {
            watch.begin(&nodes).await;
            tokio::task::spawn_local(watch.run(nodes));
        })
    };
    Ok(move || {
        let proxy = on_loss.apply(create());
        match &prefix {
            Some(prefix) => proxy.prefix(prefix.clone()),
            None => proxy,
        }
    })
}

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
