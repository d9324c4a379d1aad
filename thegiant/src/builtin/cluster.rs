//! `CLUSTER`: the server as a cluster of one node that has all slots.
//!
//! An application has these commands after [`App::emulate_cluster`](crate::App::emulate_cluster).

use super::Report;
use crate::{Error, SLOTS, Value, client::Address, commands, conn::ConnectionState, slot};

/// The distance between the port of a node and that of its cluster bus.
const BUS_PORT_OFFSET: i64 = 10_000;

#[commands(rows = CLUSTER, group = "cluster")]
impl ConnectionState {
    /// Returns the mapping of cluster slots to nodes.
    #[command("CLUSTER SLOTS", loading, stale)]
    fn cluster_slots(&self) -> Value {
        let node = self.node();
        let about = vec![node.host.into(), node.port.into(), node.id.into(), Value::Map(Vec::new())];
        Value::Array(vec![Value::Array(vec![0.into(), LAST_SLOT.into(), Value::Array(about)])])
    }

    /// Returns the mapping of cluster slots to shards.
    #[command("CLUSTER SHARDS", loading, stale)]
    fn cluster_shards(&self) -> Value {
        let Node { id, host, port } = self.node();
        let node = Value::Map(vec![
            ("id".into(), id.into()),
            ("port".into(), port.into()),
            ("ip".into(), host.clone().into()),
            ("endpoint".into(), host.into()),
            ("role".into(), "master".into()),
            ("replication-offset".into(), 0.into()),
            ("health".into(), "online".into()),
        ]);
        let slots = Value::Array(vec![0.into(), LAST_SLOT.into()]);
        let nodes = Value::Array(vec![node]);
        Value::Array(vec![Value::Map(vec![("slots".into(), slots), ("nodes".into(), nodes)])])
    }

    /// Returns the cluster configuration for a node.
    #[command("CLUSTER NODES", stale)]
    fn cluster_nodes(&self) -> Report {
        let Node { id, host, port } = self.node();
        let bus = port + BUS_PORT_OFFSET;
        Report(format!("{id} {host}:{port}@{bus} myself,master - 0 0 1 connected 0-{LAST_SLOT}\n"))
    }

    /// Returns information about the state of a node.
    #[command("CLUSTER INFO", stale)]
    fn cluster_info(&self) -> Report {
        const FIELDS: [(&str, &str); 11] = [
            ("cluster_enabled", "1"),
            ("cluster_state", "ok"),
            ("cluster_slots_assigned", "16384"),
            ("cluster_slots_ok", "16384"),
            ("cluster_slots_pfail", "0"),
            ("cluster_slots_fail", "0"),
            ("cluster_known_nodes", "1"),
            ("cluster_size", "1"),
            ("cluster_current_epoch", "1"),
            ("cluster_my_epoch", "1"),
            ("total_cluster_links_buffer_limit_exceeded", "0"),
        ];
        Report(FIELDS.iter().map(|(name, value)| format!("{name}:{value}\r\n")).collect())
    }

    /// Returns the ID of a node.
    #[command("CLUSTER MYID", stale)]
    fn cluster_myid(&self) -> String {
        self.node().id
    }

    /// Returns the shard ID of a node.
    #[command("CLUSTER MYSHARDID", stale)]
    fn cluster_myshardid(&self) -> String {
        self.node().id
    }

    /// Returns the hash slot for a key.
    #[command("CLUSTER KEYSLOT", stale)]
    fn cluster_keyslot(&self, key: &[u8]) -> u16 {
        slot(key)
    }

    /// Lists the replica nodes of a master node.
    #[command("CLUSTER REPLICAS", admin, stale)]
    fn cluster_replicas(&self, node_id: &[u8]) -> Result<Vec<String>, Error> {
        if self.node().id.as_bytes() == node_id {
            return Ok(Vec::new());
        }
        Err(Error::from_bytes([b"ERR Unknown node ", node_id].concat()))
    }

    /// Returns a list of all TCP links to and from peer nodes.
    #[command("CLUSTER LINKS", stale)]
    fn cluster_links(&self) -> Vec<String> {
        Vec::new()
    }

    /// Signals that a cluster client is following an -ASK redirect.
    #[command("ASKING", fast, categories("connection"))]
    fn asking(&self) {}
}

/// The server, as its client reaches it.
struct Node {
    id: String,
    host: String,
    port: i64,
}

const LAST_SLOT: i64 = SLOTS as i64 - 1;

impl ConnectionState {
    fn node(&self) -> Node {
        let id = self.server.node_id.clone();
        match self.client.local_addr() {
            Address::Tcp(local) => {
                Node { id, host: local.ip().to_canonical().to_string(), port: local.port().into() }
            }
            // Without a host, clients use the address that they asked.
            Address::Unix(_) => Node { id, host: String::new(), port: 0 },
        }
    }
}
