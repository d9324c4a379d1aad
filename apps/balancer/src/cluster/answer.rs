//! The answers of a node about its cluster.

use std::collections::HashSet;

use thegiant::{SLOTS, Value};

use crate::address::address;

/// The slots and nodes of the cluster, as one of its known nodes describes them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) ranges: Vec<Range>,
    /// The addresses of all nodes.
    pub(super) nodes: HashSet<String>,
}

/// The slots from the first to the last, and the address of their master.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: usize,
    pub(super) last: usize,
    /// `None` if the node does not know the host.
    pub(super) address: Option<String>,
}

impl Answer {
    /// Reads the reply of the node `sender` to `CLUSTER SLOTS`: for each range its first and last slot, then its nodes, the
    /// master first.
    pub(super) fn of_slots(slots: &Value, sender: &str) -> Self {
        let mut answer = Answer { ranges: Vec::new(), nodes: HashSet::new() };
        for range in slots.as_array().unwrap_or_default() {
            let Some([first, last, nodes @ ..]) = range.as_array() else { continue };
            let (Some(first), Some(last)) = (slot(first), slot(last)) else { continue };
            let Some(master) = nodes.first().filter(|_| first <= last) else { continue };
            answer.nodes.extend(nodes.iter().flat_map(|node| addresses(node, sender)));
            answer.ranges.push(Range { first, last, address: node_address(master, sender) });
        }
        answer
    }

    /// Adds the nodes of a reply to `CLUSTER NODES`: lines of ID, HOST:PORT@BUS,NAME, flags and more.
    pub(super) fn add_nodes(&mut self, list: &str, sender: &str) {
        for line in list.lines() {
            let mut words = line.split(' ').skip(1);
            let (Some(node), Some(flags)) = (words.next(), words.next()) else { continue };
            let has_flag = |name| flags.split(',').any(|flag| flag == name);
            // A client that may run CLUSTER MEET can name a node in handshake. Such a node has not joined yet.
            if has_flag("handshake") || has_flag("noaddr") {
                continue;
            }
            let (ends, names) = node.split_once(',').unwrap_or((node, ""));
            let Some((host, port)) = ends.split('@').next().and_then(|end| end.rsplit_once(':')) else {
                continue;
            };
            // Only the node itself may not know its host. For any other node, an empty host says nothing.
            let host = Some(host).filter(|host| !host.is_empty() || has_flag("myself"));
            let name = names.split(',').next().filter(|name| !name.is_empty() && !name.contains('='));
            let hosts = [host, name].into_iter().flatten();
            self.nodes.extend(hosts.filter_map(|host| address(host, port, sender)));
        }
    }
}

/// Returns a valid slot.
fn slot(value: &Value) -> Option<usize> {
    value.as_int().and_then(|slot| usize::try_from(slot).ok()).filter(|slot| *slot < usize::from(SLOTS))
}

/// Returns the preferred address of a node: of its host, its port, its ID and its metadata.
fn node_address(node: &Value, sender: &str) -> Option<String> {
    let [host, port, ..] = node.as_array()? else { return None };
    let host = if let Value::Null = host { "" } else { host.as_str()? };
    address(host, &port.as_int()?.to_string(), sender)
}

/// Returns all addresses of a node. The metadata contain those that the node does not prefer.
fn addresses(node: &Value, sender: &str) -> Vec<String> {
    let preferred = node_address(node, sender);
    let Some([_, port, _, metadata, ..]) = node.as_array() else { return preferred.into_iter().collect() };
    let port = port.as_int().unwrap_or_default().to_string();
    let pairs = metadata.as_array().unwrap_or_default().chunks_exact(2);
    let others = pairs.filter_map(|pair| {
        let is_host = pair[0].as_str().is_some_and(|name| ["ip", "hostname"].contains(&name));
        let host = pair[1].as_str().filter(|host| is_host && !host.is_empty())?;
        address(host, &port, sender)
    });
    preferred.into_iter().chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENDER: &str = "10.0.0.9:6379";

    fn array<const N: usize>(values: [Value; N]) -> Value {
        Value::Array(values.into())
    }

    fn bulk(text: &str) -> Value {
        Value::bulk(text.to_owned())
    }

    fn node(host: Value) -> Value {
        array([host, Value::Integer(7000), bulk("id")])
    }

    fn slots(first: i64, last: i64, node: Value) -> Value {
        array([Value::Integer(first), Value::Integer(last), node])
    }

    fn range(first: usize, last: usize, address: Option<&str>) -> Range {
        Range { first, last, address: address.map(str::to_owned) }
    }

    fn nodes<const N: usize>(addresses: [&str; N]) -> HashSet<String> {
        addresses.map(str::to_owned).into()
    }

    #[test]
    fn cluster_slots_replies_are_parsed() {
        let reply = array([
            array([Value::Integer(0), Value::Integer(99), node(bulk("10.0.0.1")), node(bulk("10.0.0.2"))]),
            slots(100, 100, node(bulk("::1"))),
            slots(101, 102, node(bulk("redis.internal"))),
        ]);
        let answer = Answer::of_slots(&reply, SENDER);
        assert_eq!(
            answer.ranges,
            [
                range(0, 99, Some("10.0.0.1:7000")),
                range(100, 100, Some("[::1]:7000")),
                range(101, 102, Some("redis.internal:7000"))
            ]
        );
        let known = ["10.0.0.1:7000", "10.0.0.2:7000", "[::1]:7000", "redis.internal:7000"];
        assert_eq!(answer.nodes, nodes(known));
    }

    #[test]
    fn a_node_without_a_host_has_the_host_of_the_node_that_was_asked() {
        let reply = array([
            slots(0, 1, node(Value::Null)),
            slots(2, 3, node(bulk(""))),
            slots(4, 5, node(bulk("?"))),
        ]);
        let answer = Answer::of_slots(&reply, SENDER);
        let same = Some("10.0.0.9:7000");
        assert_eq!(answer.ranges, [range(0, 1, same), range(2, 3, same), range(4, 5, None)]);
        assert_eq!(answer.nodes, nodes(["10.0.0.9:7000"]));
    }

    #[test]
    fn the_metadata_of_a_node_have_its_other_hosts() {
        let node = |host, metadata| array([host, Value::Integer(7000), bulk("id"), metadata]);
        let words = ["ip", "10.0.0.1", "hostname", "redis.internal", "shard", "5", "ip"].map(bulk);
        let reply = array([
            slots(0, 1, node(Value::Null, array(words))),
            slots(2, 3, node(bulk("?"), array(["ip", "10.0.0.2", "hostname", ""].map(bulk)))),
            slots(4, 5, node(bulk("10.0.0.3"), Value::Integer(1))),
        ]);
        let answer = Answer::of_slots(&reply, SENDER);
        assert_eq!(
            answer.ranges,
            [range(0, 1, Some("10.0.0.9:7000")), range(2, 3, None), range(4, 5, Some("10.0.0.3:7000"))]
        );
        let known =
            ["10.0.0.9:7000", "10.0.0.1:7000", "redis.internal:7000", "10.0.0.2:7000", "10.0.0.3:7000"];
        assert_eq!(answer.nodes, nodes(known));
    }

    #[test]
    fn invalid_ranges_are_skipped() {
        let host = || node(bulk("10.0.0.1"));
        let reply = array([
            slots(5, 16384, host()),
            slots(-1, 5, host()),
            slots(6, 5, host()),
            array([Value::Integer(0), Value::Integer(5)]),
            array([Value::Integer(0), bulk("x"), host()]),
            array([]),
            Value::Null,
            slots(i64::MIN, i64::MAX, host()),
        ]);
        let empty = Answer { ranges: Vec::new(), nodes: HashSet::new() };
        assert_eq!(Answer::of_slots(&reply, SENDER), empty);
        assert_eq!(Answer::of_slots(&bulk("x"), SENDER), empty);
        // A range whose master cannot be read keeps its earlier server.
        let odd = array([
            slots(0, 1, array([])),
            slots(2, 3, Value::Integer(5)),
            slots(4, 5, array([Value::Null])),
        ]);
        let answer = Answer::of_slots(&odd, SENDER);
        assert_eq!(answer.ranges, [range(0, 1, None), range(2, 3, None), range(4, 5, None)]);
        assert_eq!(answer.nodes, nodes([]));
    }

    #[test]
    fn cluster_nodes_replies_are_parsed() {
        let mut answer = Answer { ranges: Vec::new(), nodes: HashSet::new() };
        answer.add_nodes(
            "id 10.0.0.1:7000@17000 myself,master - 0 0 1 connected 0-99\n\
             id 10.0.0.2:7000@17000,redis.internal,shard-id=5 slave id 0 0 1 connected\n\
             id ::1:7000@17000,,tls-port=0 master - 0 0 1 connected\r\n\
             id [::2]:7000@17000 master,fail - 0 0 1 connected [5->-id] [6-<-id]\n\
             id 10.0.0.4:7000 master - 0 0 1 connected\n\
             id 10.0.0.5:7000@17000 handshake - 0 0 0 connected\n\
             id 10.0.0.6:0@17000 master - 0 0 0 connected\n\
             id :0@0 slave,noaddr id 0 0 1 disconnected\n\
             id :7000@17000 slave id 0 0 1 connected\n\
             id ?:7000@17000,? slave id 0 0 1 connected\n\
             id @ slave\n\
             id  \n\
             \n\
             id",
            SENDER,
        );
        answer.add_nodes("id :7001@17001 myself,master - 0 0 1 connected", SENDER);
        assert_eq!(
            answer.nodes,
            nodes([
                "10.0.0.1:7000",
                "10.0.0.2:7000",
                "redis.internal:7000",
                "[::1]:7000",
                "[::2]:7000",
                "10.0.0.4:7000",
                "10.0.0.9:7001",
            ])
        );
    }
}
