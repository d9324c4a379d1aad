//! `CLUSTER`: the instances of a cluster, and their slots.
//!
//! A server has these commands as an instance of a [cluster](crate::Server::cluster), or after
//! [`App::emulate_cluster`](crate::App::emulate_cluster).

use std::{fmt::Write, ops::RangeInclusive, sync::Arc};

use super::{Report, server::NO_CLUSTER};
use crate::{
    Error, Value,
    acl::Denied,
    cluster::{Node, Slots, Topology, View},
    commands,
    conn::ConnectionState,
    split::{SLOTS, slot},
};

/// The distance between the port of an instance and that of its cluster bus.
const BUS_PORT_OFFSET: u32 = 10_000;

const INVALID_SLOT: Error = Error::from_static("ERR Invalid slot");
const NOT_COUNTED: Error = Error::from_static("ERR this application does not count the keys of a slot");

#[commands(rows = CLUSTER, group = "cluster")]
impl ConnectionState {
    /// Returns the mapping of cluster slots to nodes.
    #[command("CLUSTER SLOTS", loading, stale, tenant_safe)]
    fn cluster_slots(&self) -> Result<Value, Error> {
        let view = self.view()?;
        let nodes = self.nodes(&view);
        let mut ranges: Vec<_> =
            nodes.iter().flat_map(|node| slots(node).iter().map(move |range| (range, node))).collect();
        ranges.sort_unstable_by_key(|(range, _)| *range.start());
        Ok(Value::Array(ranges.into_iter().map(|(range, node)| range_of(range, node)).collect()))
    }

    /// Returns the mapping of cluster slots to shards.
    #[command("CLUSTER SHARDS", loading, stale, tenant_safe)]
    fn cluster_shards(&self) -> Result<Value, Error> {
        let view = self.view()?;
        Ok(Value::Array(self.nodes(&view).into_iter().map(shard_of).collect()))
    }

    /// Returns the cluster configuration for a node.
    #[command("CLUSTER NODES", stale, tenant_safe)]
    fn cluster_nodes(&self) -> Result<Report, Error> {
        let view = self.view()?;
        let version = view.topology.version();
        Ok(Report(self.nodes(&view).iter().map(|node| line_of(node, version)).collect()))
    }

    /// Returns information about the state of a node.
    #[command("CLUSTER INFO", stale, tenant_safe)]
    fn cluster_info(&self) -> Result<Report, Error> {
        let view = self.view()?;
        let nodes = self.nodes(&view);
        let size = nodes.iter().filter(|node| !slots(node).is_empty()).count();
        let version = view.topology.version();
        let assigned = if view.topology.instances().is_empty() { 0 } else { SLOTS };
        let fields = [
            ("cluster_state", if view.is_ok() { "ok" } else { "fail" }.to_owned()),
            ("cluster_slots_assigned", assigned.to_string()),
            ("cluster_slots_ok", assigned.to_string()),
            ("cluster_slots_pfail", "0".to_owned()),
            ("cluster_slots_fail", "0".to_owned()),
            ("cluster_known_nodes", nodes.len().to_string()),
            ("cluster_size", size.to_string()),
            ("cluster_current_epoch", version.to_string()),
            ("cluster_my_epoch", version.to_string()),
            ("total_cluster_links_buffer_limit_exceeded", "0".to_owned()),
        ];
        Ok(Report(fields.iter().map(|(name, value)| format!("{name}:{value}\r\n")).collect()))
    }

    /// Returns the ID of a node.
    #[command("CLUSTER MYID", stale, tenant_safe)]
    fn cluster_myid(&self) -> Result<String, Error> {
        Ok(self.view()?.own_id().to_owned())
    }

    /// Returns the shard ID of a node.
    #[command("CLUSTER MYSHARDID", stale, tenant_safe)]
    fn cluster_myshardid(&self) -> Result<String, Error> {
        self.cluster_myid()
    }

    /// Returns the hash slot for a key.
    #[command("CLUSTER KEYSLOT", stale, tenant_safe)]
    fn cluster_keyslot(&self, key: &[u8]) -> u16 {
        slot(key)
    }

    /// Returns the number of keys in a hash slot, if the application has the command.
    #[command("CLUSTER COUNTKEYSINSLOT", stale)]
    fn cluster_countkeysinslot(&self, slot: i64) -> Result<i64, Error> {
        Err(if (0..SLOTS.into()).contains(&slot) { NOT_COUNTED } else { INVALID_SLOT })
    }

    /// Lists the replica nodes of a master node.
    #[command("CLUSTER REPLICAS", admin, stale, tenant_safe)]
    fn cluster_replicas(&self, node_id: &[u8]) -> Result<Vec<String>, Error> {
        let view = self.view()?;
        if self.nodes(&view).iter().any(|node| node.id.as_bytes() == node_id) {
            return Ok(Vec::new());
        }
        Err(Error::from_bytes([b"ERR Unknown node ", node_id].concat()))
    }

    /// Returns a list of all TCP links to and from peer nodes.
    #[command("CLUSTER LINKS", stale, tenant_safe)]
    fn cluster_links(&self) -> Vec<String> {
        Vec::new()
    }

    /// Returns the topology of the cluster as text.
    #[command("CLUSTER TOPOLOGY", admin, stale)]
    fn cluster_topology(&self) -> Result<Report, Error> {
        Ok(Report(self.view()?.topology.to_string()))
    }

    /// Gives this node a topology with a greater version.
    #[command("CLUSTER SETTOPOLOGY", admin, noscript, stale, no_async_loading)]
    fn cluster_settopology(&self, topology: &str) -> Result<(), Error> {
        let cluster = self.server.cluster.as_ref().ok_or(NO_CLUSTER)?;
        let taken = Topology::parse(topology).and_then(|topology| cluster.set_topology(topology));
        taken.map_err(Error::err)
    }

    /// Posts messages to channels of this node only.
    #[command("CLUSTER PUBLISH", admin, pubsub, noscript, loading, stale)]
    fn cluster_publish(&self, messages: Vec<(&[u8], &[u8])>) -> Result<usize, Error> {
        let user = self.server.acl.user_of(&self.client);
        let may_publish = |channel: &[u8]| user.as_ref().is_some_and(|user| user.may_listen(channel, false));
        if !messages.iter().all(|(channel, _)| may_publish(channel)) {
            return Err(Denied::Channel(0).error(""));
        }
        let publish = |(channel, message)| self.server.pubsub.publish_here(channel, message);
        Ok(messages.into_iter().map(publish).sum())
    }

    /// Signals that a cluster client is following an -ASK redirect.
    #[command("ASKING", fast, tenant_safe, categories("connection"))]
    fn asking(&self) {}
}

impl ConnectionState {
    fn view(&self) -> Result<Arc<View>, Error> {
        self.server.cluster.as_ref().map(|cluster| cluster.view()).ok_or(NO_CLUSTER)
    }

    /// Returns all instances, as the client reaches them.
    fn nodes<'a>(&self, view: &'a View) -> Vec<Node<'a>> {
        view.nodes(self.client.local_addr())
    }
}

/// Returns the slots of an instance.
fn slots<'a>(node: &Node<'a>) -> &'a [RangeInclusive<u16>] {
    node.instance.map_or(&[], |instance| instance.slots())
}

/// Returns a range of slots and its owner, as `CLUSTER SLOTS` shows them.
fn range_of(range: &RangeInclusive<u16>, node: &Node<'_>) -> Value {
    let metadata = Value::Map(Vec::new());
    let about = vec![node.host.as_str().into(), number(node.port), node.id.into(), metadata];
    Value::Array(vec![number(*range.start()), number(*range.end()), Value::Array(about)])
}

/// Returns an instance, as `CLUSTER SHARDS` shows it.
fn shard_of(node: Node<'_>) -> Value {
    let slots =
        slots(&node).iter().flat_map(|range| [number(*range.start()), number(*range.end())]).collect();
    let about = Value::Map(vec![
        ("id".into(), node.id.into()),
        ("port".into(), number(node.port)),
        ("ip".into(), node.host.as_str().into()),
        ("endpoint".into(), node.host.into()),
        ("role".into(), "master".into()),
        ("replication-offset".into(), 0.into()),
        ("health".into(), "online".into()),
    ]);
    Value::Map(vec![("slots".into(), Value::Array(slots)), ("nodes".into(), Value::Array(vec![about]))])
}

fn number(number: u16) -> Value {
    Value::Integer(number.into())
}

/// Returns an instance, as `CLUSTER NODES` shows it.
fn line_of(node: &Node<'_>, version: u64) -> String {
    let Node { id, host, port, is_own, .. } = node;
    let bus = u32::from(*port) + BUS_PORT_OFFSET;
    let flags = if *is_own { "myself,master" } else { "master" };
    let mut line = format!("{id} {host}:{port}@{bus} {flags} - 0 0 {version} connected");
    for range in slots(node) {
        // Writing to a string cannot fail.
        let _ = write!(line, " {}", Slots(range));
    }
    line.push('\n');
    line
}
