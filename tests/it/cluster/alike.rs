//! `kv` sends the replies of a real Redis Cluster.

use std::fs;

use thegiant::Bytes;

use super::{NAMES, THIRDS, topology};
use crate::support::{Cluster, Folder, Process, RawClient, Reply, line, report, request};

/// Requests that the first master of three gets. `a` and `b` are its own keys, `foo` is one of the third, and `bar` one of the first.
const REQUESTS: &str = "
    GET foo
    GET hello
    SET hello 1
    SET foo 1
    MGET foo bar
    MGET foo hello
    MGET hello bar
    MGET a{hello} b{hello}
    MSET a{hello} 1 b{hello} 2
    DEL foo hello
    RENAME hello foo
    RENAME foo foo
    OBJECT ENCODING foo
    MEMORY USAGE foo
    EXISTS hello foo
    MOVE hello 1
    MOVE hello 0
    MOVE hello x
    MOVE hello 99
    MOVE foo 1
    MOVE hello
    SET a{hello} 1
    COPY a{hello} b{hello} DB 1
    COPY a{hello} b{hello} DB 0
    COPY a{hello} b{hello} DB 1 REPLACE
    COPY a{hello} b{hello} DB 99
    COPY a{hello} b{hello} DB x
    COPY a{hello} a{hello} DB 1
    COPY none{hello} b{hello} DB 1
    COPY a{hello} b{hello} REPLACE
    COPY a{hello} foo DB 1
    DEL a{hello} b{hello}
    GET
    NOSUCH foo
    WATCH foo
    WATCH hello foo
    WATCH hello
    UNWATCH
    MULTI
    GET foo
    GET hello
    EXEC
    MULTI
    SET hello 1
    SET bar 1
    EXEC
    EXEC
    MULTI
    SET a{hello} 1
    GET b{hello}
    EXEC
    MULTI
    GET foo
    DISCARD
    MULTI
    MGET hello foo
    EXEC
    WATCH hello
    MULTI
    PING
    EXEC
    SSUBSCRIBE foo
    SSUBSCRIBE hello foo
    SUNSUBSCRIBE foo
    SPUBLISH foo x
    SPUBLISH hello x
    PUBLISH foo x
    SUNSUBSCRIBE
    SSUBSCRIBE hello

    SUNSUBSCRIBE
    SELECT 0
    SELECT 1
    SELECT x
    READONLY
    READWRITE
    ASKING
    CLUSTER KEYSLOT foo
    CLUSTER KEYSLOT {foo}bar
    CLUSTER KEYSLOT
    CLUSTER REPLICAS nobody
    CLUSTER COUNTKEYSINSLOT 16384
    CLUSTER COUNTKEYSINSLOT x
    CLUSTER NOSUCH
    CLUSTER";

/// Starts instances of `kv` with these slots. The topology has version 0, as a cluster of one node has in Redis.
fn start<const N: usize>(slots: [&str; N]) -> (Folder, Vec<Process>) {
    let folder = Folder::new();
    let file = folder.path().join("topology");
    let path = file.display().to_string();
    let text = |version: u32, addresses: [String; N]| -> String {
        let instances = NAMES.iter().zip(addresses).zip(slots);
        let lines = instances.map(|((name, address), slots)| format!("{name} {address} {slots}\n"));
        format!("version {version}\n{}", lines.collect::<String>())
    };
    fs::write(&file, text(0, std::array::from_fn(|index| format!(":{}", index + 1)))).expect("a folder");
    let options = ["--cluster-topology", &path, "--cluster-node"];
    let started = NAMES.iter().take(N);
    let kvs: Vec<_> =
        started.map(|name| Process::program_with("kv", &[&options[..], &[name]].concat())).collect();
    let next = text(1, std::array::from_fn(|index| kvs[index].address().to_owned()));
    for kv in &kvs {
        let set = request(["CLUSTER", "SETTOPOLOGY", &next]);
        assert_eq!(RawClient::connect(kv.address()).ask(set), "+OK\r\n");
    }
    (folder, kvs)
}

/// Replaces the addresses of the nodes by their number.
fn numbered(reply: &Bytes, addresses: &[&str]) -> String {
    let reply = String::from_utf8_lossy(reply).into_owned();
    addresses
        .iter()
        .zip(0..)
        .fold(reply, |reply, (address, number)| reply.replace(address, &format!("node {number}")))
}

#[test]
fn three_instances_reply_like_three_masters() {
    let cluster = Cluster::start();
    let masters = &cluster.addresses()[..3];
    let (_folder, kvs) = start(THIRDS);
    let addresses: Vec<_> = kvs.iter().map(Process::address).collect();
    for protocol in [2, 3] {
        for node in 0..3 {
            let [mut redis, mut kv] = [masters[node], addresses[node]].map(RawClient::connect);
            let hello = line(&format!("HELLO {protocol}"));
            assert!(redis.ask(&hello).len() > 50 && kv.ask(&hello).len() > 50);
            for request in REQUESTS.lines().map(str::trim).filter(|request| !request.is_empty()) {
                let expected = numbered(&redis.ask(line(request)), masters);
                let reply = numbered(&kv.ask(line(request)), &addresses);
                assert_eq!(reply, expected, "{request} at node {node} with RESP{protocol}");
            }
        }
        for address in masters.iter().chain(&addresses) {
            assert_eq!(RawClient::connect(address).ask(line("FLUSHALL")), "+OK\r\n");
        }
    }
}

/// Returns the replies to the subcommands that describe the cluster, without what differs from one cluster to the next.
fn described(address: &str, protocol: u32) -> Vec<String> {
    let mut client = RawClient::connect(address);
    client.ask(line(&format!("HELLO {protocol}")));
    let id = report(&mut client, "CLUSTER MYID");
    let nodes = report(&mut client, "CLUSTER NODES");
    let bus = nodes.split(['@', ' ']).nth(2).expect("the port of the bus").to_owned();
    let (_, port) = address.rsplit_once(':').expect("a port");
    let slots = String::from_utf8(client.ask(line("CLUSTER SLOTS")).to_vec()).expect("text");
    let shards = String::from_utf8(client.ask(line("CLUSTER SHARDS")).to_vec()).expect("text");
    let info = report(&mut client, "CLUSTER INFO");
    let is_shown = |field: &&str| !field.contains("epoch") && !field.contains("stats_messages");
    let info = info.lines().filter(is_shown).collect::<Vec<_>>().join("\n");
    let replace = |text: String| text.replace(&id, "ID").replace(&bus, "BUS").replace(port, "PORT");
    // The epoch of a node that was never part of a failover is 0.
    let nodes = nodes.replace(" 1 connected", " 0 connected");
    [nodes, slots, shards, info].map(replace).into()
}

#[test]
fn one_instance_is_described_like_one_node() {
    let cluster = Cluster::of_one();
    // Redis learns its host from other nodes only.
    let announce = line("CONFIG SET cluster-announce-ip 127.0.0.1");
    assert_eq!(RawClient::connect(cluster.addresses()[0]).ask(announce), "+OK\r\n");
    let (_folder, kvs) = start(["0-16383"]);
    for protocol in [2, 3] {
        assert_eq!(described(kvs[0].address(), protocol), described(cluster.addresses()[0], protocol));
    }
}

/// `CLUSTER NODES` keeps the order of the topology, and `CLUSTER SLOTS` shows the slots in ascending order.
#[test]
fn several_instances_are_described() {
    let (_folder, kvs) = start(["5461-10921 0", "1-5460 16383", "10922-16382"]);
    let all = topology(
        1,
        ["5461-10921 0", "1-5460 16383", "10922-16382"],
        [0, 1, 2].map(|index| kvs[index].address()),
    );
    let id = |index: usize| all.instances()[index].id();
    let port = |index: usize| all.instances()[index].port();
    let mut client = RawClient::connect(kvs[1].address());
    let Some(Reply::Array(ranges)) = Reply::only(&client.ask(line("CLUSTER SLOTS"))) else {
        panic!("no array")
    };
    let expected = [(0, 0, 0), (1, 5460, 1), (5461, 10_921, 0), (10_922, 16_382, 2), (16_383, 16_383, 1)];
    assert_eq!(ranges.len(), expected.len());
    for (range, (first, last, owner)) in ranges.iter().zip(expected) {
        let node = [
            Reply::Bulk("127.0.0.1".into()),
            Reply::Integer(port(owner).into()),
            Reply::Bulk(id(owner).into()),
            Reply::Array(Vec::new()),
        ];
        assert_eq!(
            *range,
            Reply::Array(vec![Reply::Integer(first), Reply::Integer(last), Reply::Array(node.into())])
        );
    }
    let nodes = report(&mut client, "CLUSTER NODES");
    let line_of = |index: usize, flags: &str, slots: &str| {
        let (port, bus) = (port(index), u32::from(port(index)) + 10_000);
        format!("{} 127.0.0.1:{port}@{bus} {flags} - 0 0 1 connected {slots}\n", id(index))
    };
    let expected = line_of(0, "master", "0 5461-10921")
        + &line_of(1, "myself,master", "1-5460 16383")
        + &line_of(2, "master", "10922-16382");
    assert_eq!(nodes, expected);
    let info = report(&mut client, "CLUSTER INFO");
    for field in ["cluster_known_nodes:3", "cluster_size:3", "cluster_current_epoch:1", "cluster_state:ok"] {
        assert!(info.lines().any(|line| line == field), "{info}");
    }
    assert_eq!(client.ask(line(&format!("CLUSTER REPLICAS {}", id(2)))), "*0\r\n");
    assert_eq!(client.ask(line("CLUSTER LINKS")), "*0\r\n");
}
