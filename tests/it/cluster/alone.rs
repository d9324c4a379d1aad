//! The server as a cluster of one node, without a topology.

use thegiant::{prelude::*, proxy::Upstream};

use crate::support::{ANY_PORT, Folder, Process, RawClient, Reply, Served, exchange, info, line};

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    /// Returns the key.
    #[command("GET", readonly)]
    fn get(&self, key: Key<String>) -> String {
        key.into_inner()
    }
}

/// Counts keys, which the toolkit cannot.
struct Census;

impl Actor for Census {
    type Context = Context<Self>;
}

#[commands]
impl Census {
    /// Returns the number of keys in a slot.
    #[command("CLUSTER COUNTKEYSINSLOT", stale)]
    fn count(&self, slot: u16) -> u16 {
        slot + 1
    }
}

fn node() -> Served {
    Served::with(|| App::new().emulate_cluster().mount(Store.start()), |server| server.bind(ANY_PORT))
}

fn text(reply: &[u8]) -> String {
    String::from_utf8_lossy(reply).into_owned()
}

#[test]
fn one_node_has_all_slots() {
    let served = node();
    let mut client = RawClient::connect(served.address());
    let port = served.address().rsplit(':').next().expect("a port").to_owned();
    let id = text(&client.ask(line("CLUSTER MYID")));
    let id = id.lines().nth(1).expect("a bulk string").to_owned();
    assert!(id.len() == 40 && id.bytes().all(|digit| digit.is_ascii_hexdigit()), "{id}");
    let slots =
        format!("*1\r\n*3\r\n:0\r\n:16383\r\n*4\r\n$9\r\n127.0.0.1\r\n:{port}\r\n$40\r\n{id}\r\n*0\r\n");
    assert_eq!(client.ask(line("CLUSTER SLOTS")), slots);
    let bus = port.parse::<u32>().expect("a number") + 10_000;
    let nodes = format!("{id} 127.0.0.1:{port}@{bus} myself,master - 0 0 1 connected 0-16383\n");
    assert_eq!(client.ask(line("CLUSTER NODES")), format!("${}\r\n{nodes}\r\n", nodes.len()));
    let Some(Reply::Array(shards)) = Reply::only(&client.ask(line("CLUSTER SHARDS"))) else {
        panic!("no array")
    };
    assert_eq!(shards.len(), 1);
    assert!(text(&client.ask(line("CLUSTER INFO"))).contains("cluster_state:ok\r\n"));
    assert_eq!(client.ask(line("CLUSTER KEYSLOT {user}x")), ":5474\r\n");
    assert_eq!(client.ask(line(&format!("CLUSTER REPLICAS {id}"))), "*0\r\n");
    assert_eq!(client.ask(line("CLUSTER REPLICAS x")), "-ERR Unknown node x\r\n");
    assert_eq!(info(&mut client, "cluster").number("cluster_enabled"), 1);
    for request in ["READONLY", "READWRITE", "ASKING"] {
        assert_eq!(client.ask(line(request)), "+OK\r\n");
    }
    assert!(text(&client.ask(line("HELLO 2"))).contains("$4\r\nmode\r\n$7\r\ncluster\r\n"));
    assert_eq!(client.ask(line("GET a")), "$1\r\na\r\n");
}

#[test]
fn without_the_emulation_there_is_no_cluster() {
    let served = Served::with(|| App::new().mount(Store.start()), |server| server.bind(ANY_PORT));
    let mut client = RawClient::connect(served.address());
    let unknown = "-ERR unknown command 'CLUSTER', with args beginning with: 'SLOTS' \r\n";
    assert_eq!(client.ask(line("CLUSTER SLOTS")), unknown);
    assert_eq!(client.ask(line("READONLY")), "-ERR This instance has cluster support disabled\r\n");
    assert_eq!(info(&mut client, "cluster").number("cluster_enabled"), 0);
}

/// A client that reaches the node over a unix socket uses the address that it knows.
#[test]
fn over_a_unix_socket_the_node_has_no_host() {
    let folder = Folder::new();
    let socket = folder.socket("node.sock");
    let served =
        Served::with(|| App::new().emulate_cluster().mount(Store.start()), move |server| server.bind(socket));
    let slots = text(&exchange(served.address(), line("CLUSTER SLOTS")));
    assert!(slots.starts_with("*1\r\n*3\r\n:0\r\n:16383\r\n*4\r\n$0\r\n\r\n:0\r\n"), "{slots}");
}

#[test]
fn a_proxy_replies_to_cluster_itself() {
    let redis = Process::redis(&[]);
    let upstream = Upstream::new(redis.address());
    let app = || App::new().emulate_cluster().proxy(upstream.start());
    let proxy = Served::with(app, |server| server.bind(ANY_PORT));
    let mut client = RawClient::connect(proxy.address());
    assert_eq!(client.ask(line("SET a b")), "+OK\r\n");
    assert!(client.ask(line("CLUSTER SLOTS")).starts_with(b"*1\r\n*3\r\n:0\r\n:16383\r\n"));
    assert!(client.ask(line("CLUSTER HELP")).starts_with(b"*"));
    assert_eq!(client.ask(line("READONLY")), "+OK\r\n");
    assert_eq!(client.ask(line("GET a")), "$1\r\nb\r\n");
}

#[test]
fn an_application_can_have_one_of_the_commands() {
    let app = || App::new().emulate_cluster().mount(Census.start());
    let served = Served::with(app, |server| server.bind(ANY_PORT));
    let mut client = RawClient::connect(served.address());
    assert_eq!(client.ask(line("CLUSTER COUNTKEYSINSLOT 5")), ":6\r\n");
    assert_eq!(client.ask(line("CLUSTER KEYSLOT {user}x")), ":5474\r\n");
}
