//! The addresses that the nodes of a cluster name: without a host, unknown, and under several names.

use super::fake::Fake;
use crate::support::{Cluster, Process, RawClient, eventually, line, lines};

/// The key of the tests. Its slot is in the second half.
const KEY: &str = "foo";
const SLOT: u16 = 12182;

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

fn array(values: &[String]) -> String {
    format!("*{}\r\n{}", values.len(), values.concat())
}

/// A range of slots and its master, whose host is encoded already.
fn range((first, last): (u16, u16), host: &str, port: &str) -> String {
    range_of((first, last), &[host.to_owned(), format!(":{port}\r\n"), bulk("id")])
}

fn range_of((first, last): (u16, u16), master: &[String]) -> String {
    array(&[format!(":{first}\r\n"), format!(":{last}\r\n"), array(master)])
}

/// Sets a reply to `CLUSTER SLOTS`.
fn set_slots(node: &Fake, ranges: &[String]) {
    node.reply("CLUSTER SLOTS", array(ranges).trim_end());
}

const ALL: (u16, u16) = (0, 16383);
const HALVES: [(u16, u16); 2] = [(0, 8191), (8192, 16383)];

/// Two nodes at a host that is not the usual one. Each replies with its name to `GET foo`.
fn two() -> [Fake; 2] {
    ["first", "second"]
        .map(|name| Fake::start("127.0.0.2", [("GET foo", bulk(name).trim_end()), ("ASKING", "+OK")]))
}

/// Starts the balancer with one seed.
fn before(seed: &Fake) -> (Process, RawClient) {
    let balancer = Process::program_with("balancer", &["--cluster", seed.address()]);
    let client = RawClient::connect(balancer.address());
    (balancer, client)
}

fn get(client: &mut RawClient) -> String {
    String::from_utf8_lossy(&client.ask(format!("GET {KEY}\r\n"))).into_owned()
}

#[test]
fn a_node_without_a_host_is_at_the_host_that_was_asked() {
    for host in ["$-1\r\n", "$0\r\n\r\n"] {
        let [first, second] = two();
        set_slots(&first, &[range(HALVES[0], host, first.port()), range(HALVES[1], host, second.port())]);
        let (_balancer, mut client) = before(&first);
        assert_eq!(get(&mut client), bulk("second"));
        assert_eq!(first.requests(), [""; 0]);
    }
}

#[test]
fn a_lone_node_that_does_not_know_its_host_serves_all_slots() {
    let cluster = Cluster::of_one();
    let balancer = Process::program_with("balancer", &["--cluster", cluster.addresses()[0]]);
    let mut client = RawClient::connect(balancer.address());
    client.send(lines("SET foo 1 \n DBSIZE \n GET foo"));
    assert_eq!(client.replies(3), "+OK\r\n:1\r\n$1\r\n1\r\n");
}

#[test]
fn slots_of_an_unknown_node_keep_their_server() {
    let [first, second] = two();
    let known = bulk("127.0.0.2");
    let of_first = range(HALVES[0], &known, first.port());
    set_slots(&first, &[of_first.clone(), range(HALVES[1], &known, second.port())]);
    let (_balancer, mut client) = before(&first);
    assert_eq!(get(&mut client), bulk("second"));
    for node in [&first, &second] {
        set_slots(node, &[of_first.clone(), range(HALVES[1], &bulk("?"), second.port())]);
    }
    let asked = || first.count("CLUSTER SLOTS") + second.count("CLUSTER SLOTS");
    let before = asked();
    // Each redirect to an unknown address makes the balancer ask again. The key belongs to the first node.
    first.reply("GET bar", "-MOVED 5061 127.0.0.9:1");
    eventually(|| {
        client.ask(line("GET bar"));
        (asked() > before + 3).then_some(())
    });
    assert_eq!(get(&mut client), bulk("second"));
    assert_eq!(first.count("GET foo"), 0);
}

#[test]
fn a_redirect_without_a_host_leads_to_the_host_of_its_sender() {
    for (kind, asking) in [("MOVED", 0), ("ASK", 1)] {
        let [first, second] = two();
        set_slots(&first, &[range(ALL, "$-1\r\n", first.port())]);
        let port = second.port();
        first.reply(
            "CLUSTER NODES",
            bulk(&format!("id 127.0.0.2:{port}@1 master - 0 0 1 connected")).trim_end(),
        );
        first.reply("GET foo", &format!("-{kind} {SLOT} :{port}"));
        let (_balancer, mut client) = before(&first);
        assert_eq!(get(&mut client), bulk("second"));
        assert_eq!((first.count("GET foo"), second.count("ASKING")), (1, asking));
        // On a dedicated connection, too.
        assert_eq!(client.ask(line("WATCH foo")), "-ERR unknown command\r\n");
        first.reply("WATCH foo", &format!("-{kind} {SLOT} :{port}"));
        second.reply("WATCH foo", "+OK");
        client.send(lines("WATCH foo \n GET foo"));
        assert_eq!(client.replies(2), format!("+OK\r\n{}", bulk("second")));
    }
}

#[test]
fn a_redirect_to_an_unknown_host_makes_the_balancer_ask_again() {
    let [first, second] = two();
    let known = bulk("127.0.0.2");
    set_slots(&first, &[range(ALL, &known, first.port())]);
    first.reply("GET foo", &format!("-MOVED {SLOT} ?:{}", second.port()));
    let (_balancer, mut client) = before(&first);
    let asked = first.count("CLUSTER SLOTS");
    // Without a new answer, the client gets the error.
    assert_eq!(get(&mut client), format!("-MOVED {SLOT} ?:{}\r\n", second.port()));
    assert!(first.count("CLUSTER SLOTS") > asked + 1);
    set_slots(&first, &[range(HALVES[0], &known, first.port()), range(HALVES[1], &known, second.port())]);
    assert_eq!(get(&mut client), bulk("second"));
}

#[test]
fn redirects_may_name_a_node_by_the_address_that_it_does_not_prefer() {
    let [first, second] =
        ["first", "second"].map(|name| Fake::start("127.0.0.1", [("GET foo", bulk(name).trim_end())]));
    let node = |node: &Fake| {
        let metadata = array(&[bulk("ip"), bulk("127.0.0.1")]);
        [bulk("localhost"), format!(":{}\r\n", node.port()), bulk("id"), metadata]
    };
    set_slots(&first, &[range_of(HALVES[0], &node(&second)), range_of(HALVES[1], &node(&first))]);
    first.reply("GET foo", &format!("-MOVED {SLOT} 127.0.0.1:{}", second.port()));
    let (_balancer, mut client) = before(&first);
    assert_eq!(get(&mut client), bulk("second"));
}

#[test]
fn a_seed_that_has_left_the_cluster_gets_no_requests() {
    let [seed, node] = two();
    seed.reply("CLUSTER SLOTS", "-ERR This instance has cluster support disabled");
    // The slot of `foo` has no master.
    let host = bulk("127.0.0.2");
    set_slots(
        &node,
        &[range((0, SLOT - 1), &host, node.port()), range((SLOT + 1, 16383), &host, node.port())],
    );
    node.reply("GET foo", "-CLUSTERDOWN Hash slot not served");
    for request in ["MULTI", "PUBLISH a b", "EXEC"] {
        node.reply(request, "+the node");
    }
    let balancer = Process::program_with("balancer", &["--cluster", seed.address(), node.address()]);
    // The number of a client decides which of the servers is its own.
    for _ in 0..4 {
        let mut client = RawClient::connect(balancer.address());
        assert_eq!(get(&mut client), "-CLUSTERDOWN Hash slot not served\r\n");
        client.send(lines("MULTI \n PUBLISH a b \n EXEC"));
        assert_eq!(client.replies(3), "+the node\r\n".repeat(3));
        assert_eq!(client.ask(line("MULTI")), "+OK\r\n");
        client.send(lines("PUBLISH a b \n EXEC"));
        client.replies(2);
    }
    assert_eq!(seed.requests(), [""; 0]);
}

#[test]
fn other_nodes_are_asked_when_no_master_can_be_reached() {
    let [first, replica] = two();
    let host = bulk("127.0.0.2");
    set_slots(&first, &[range(ALL, &host, first.port())]);
    let nodes = format!("id 127.0.0.2:{}@1 slave id 0 0 1 connected", replica.port());
    first.reply("CLUSTER NODES", bulk(&nodes).trim_end());
    let (_balancer, mut client) = before(&first);
    assert_eq!(get(&mut client), bulk("first"));
    set_slots(&replica, &[range(ALL, &host, replica.port())]);
    drop(first);
    eventually(|| (get(&mut client) == bulk("second")).then_some(()));
}
