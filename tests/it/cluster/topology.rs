//! Where a topology comes from, and which ones an instance takes.

use std::fs;

use proptest::{prelude::*, sample::Index};
use thegiant::{
    SLOTS, Server,
    cluster::{Cluster, Topology},
    prelude::*,
    slot,
};
use tracing::Level;

use super::{Instances, NAMES, NOT_SERVED, THIRDS, key_in, moved, topology};
use crate::support::{ANY_PORT, Folder, Log, Process, RawClient, Served, eventually, line, report, request};

const ADDRESSES: [&str; 3] = ["10.0.0.1:6380", "[fe80::1]:6381", ":6382"];

fn taken(client: &mut RawClient) -> String {
    report(client, "CLUSTER TOPOLOGY")
}

#[test]
fn a_topology_is_pushed_by_a_command() {
    let instances = Instances::start();
    let mut client = instances.client(0);
    let set = |topology: &str| request(["CLUSTER", "SETTOPOLOGY", topology]);
    let next = topology(5, ["0-1", "2-16383", ""], ADDRESSES).to_string();
    assert_eq!(client.ask(set(&next)), "+OK\r\n");
    assert_eq!(taken(&mut client), next);
    // A client that repeats its command after a lost connection is not refused.
    assert_eq!(client.ask(set(&next)), "+OK\r\n");
    let key = key_in(1, "key");
    assert_eq!(client.ask(line(&format!("COUNT {key}"))), moved(&key, "fe80::1:6381"));
    for (version, text) in [(4, "0-1"), (5, "0")] {
        let rest = if version == 4 { "2-16383" } else { "1-16383" };
        let old = topology(version, [text, rest, ""], ADDRESSES).to_string();
        let refused = format!(
            "-ERR the instance has a topology of version 5, so it does not take version {version}: \
             give the new topology a greater version\r\n"
        );
        assert_eq!(client.ask(set(&old)), refused);
    }
    assert_eq!(
        client.ask(set("version 6\na h:1 0-1\n")),
        "-ERR the slot 2 has no instance: all slots need one\r\n"
    );
    assert_eq!(
        client.ask(set("version 6\na h\n")),
        "-ERR line 2: a has the address \"h\": write HOST:PORT or [IPV6]:PORT\r\n"
    );
    assert_eq!(taken(&mut client), next);
    // It is a command for operators.
    assert_eq!(client.ask(line("ACL SETUSER guest on nopass +@all -@admin")), "+OK\r\n");
    assert_eq!(client.ask(line("AUTH guest x")), "+OK\r\n");
    assert!(client.ask(set("version 7")).starts_with(b"-NOPERM "));
}

#[test]
fn an_instance_without_a_topology_serves_nothing_until_it_gets_one() {
    let served =
        Served::with(|| super::app(1), |server| server.cluster(Cluster::member("b"))?.bind(ANY_PORT));
    let mut client = RawClient::connect(served.address());
    let key = key_in(1, "key");
    assert_eq!(client.ask(line(&format!("COUNT {key}"))), NOT_SERVED);
    assert!(
        report(&mut client, "CLUSTER INFO").starts_with("cluster_state:fail\r\ncluster_slots_assigned:0\r\n")
    );
    assert_eq!(taken(&mut client), "version 0\n");
    assert_eq!(client.ask(line("CLUSTER SLOTS")), "*0\r\n");
    served.handle().set_topology(topology(1, THIRDS, ADDRESSES)).expect("it is new");
    assert_eq!(client.ask(line(&format!("COUNT {key}"))), ":1\r\n");
    let other = key_in(0, "key");
    assert_eq!(client.ask(line(&format!("COUNT {other}"))), moved(&other, "10.0.0.1:6380"));
    assert!(
        report(&mut client, "CLUSTER INFO")
            .starts_with("cluster_state:ok\r\ncluster_slots_assigned:16384\r\n")
    );
}

#[test]
fn an_instance_serves_only_the_slots_that_are_ready() {
    let instances = Instances::start();
    let mut client = instances.client(0);
    let handle = instances.served[0].handle();
    let keys = [key_in(0, "one"), key_in(0, "two")];
    let slots = keys.each_ref().map(|key| slot(key.as_bytes()));
    assert_ne!(slots[0], slots[1]);
    let mut count = |key: &str| client.ask(line(&format!("COUNT {key}")));
    handle.serve_only([slots[0]..=slots[0], 10_922..=16_383]).expect("an instance");
    assert_eq!([count(&keys[0]), count(&keys[1])], [":1\r\n", NOT_SERVED]);
    // Slots of other instances are not served, ready or not.
    let other = key_in(2, "key");
    assert_eq!(count(&other), moved(&other, instances.address(2)));
    // It holds for later topologies, too.
    instances.set(2, ["0-16383", "", ""]);
    assert_eq!([count(&keys[1]), count(&other)], [NOT_SERVED, ":1\r\n"]);
    handle.serve_only([]).expect("an instance");
    assert_eq!([count(&keys[0]), count(&other)], [NOT_SERVED, NOT_SERVED]);
    handle.set_serving(true).expect("an instance");
    assert_eq!([count(&keys[0]), count(&keys[1])], [":2\r\n", ":1\r\n"]);
}

#[test]
fn a_server_without_a_cluster_takes_no_topology() {
    let served = Served::with(App::new, |server| server.bind(ANY_PORT));
    let alone = Served::with(|| App::new().emulate_cluster(), |server| server.bind(ANY_PORT));
    for handle in [served.handle(), alone.handle()] {
        let error = handle.set_topology(topology(2, THIRDS, ADDRESSES)).expect_err("it is no instance");
        let reason = "the server is no instance of a cluster: give it a topology with Server::cluster first";
        assert_eq!(error.to_string(), reason);
        assert!(handle.set_serving(false).is_err());
    }
    let all = request(["CLUSTER", "SETTOPOLOGY", "version 2\na h:1 0-16383"]);
    let refused = RawClient::connect(alone.address()).ask(all);
    assert!(refused.starts_with(b"-ERR the server is no instance of a cluster"), "{refused:?}");
}

#[test]
fn an_instance_knows_itself_by_name_id_or_address() {
    let all = topology(1, THIRDS, ADDRESSES);
    let id = all.instances()[1].id().to_owned();
    for own in ["b", &id, &id.to_uppercase(), "[fe80::1]:6381"] {
        assert!(Server::new(App::new).cluster(Cluster::new(all.clone(), own)).is_ok(), "{own}");
    }
    let Err(error) = Server::new(App::new).cluster(Cluster::new(all.clone(), "d")) else {
        panic!("no error")
    };
    let reason = "the topology has no instance with the name, the ID or the address \"d\": add it, or give another name";
    assert_eq!(error.to_string(), reason);
    let server = Server::new(App::new).cluster(Cluster::new(all.clone(), "a")).expect("the first");
    let Err(error) = server.cluster(Cluster::new(all, "b")) else { panic!("no error") };
    assert_eq!(error.to_string(), "a server is an instance of one cluster only");
}

#[test]
fn a_file_is_read_again_when_it_has_changed() {
    let folder = Folder::new();
    let file = folder.path().join("topology");
    let write = |text: &str| {
        // In one step, so that the server does not read a part.
        let next = folder.path().join("next");
        fs::write(&next, text).expect("the folder can be written");
        fs::rename(&next, &file).expect("the file can be replaced");
    };
    write(&topology(1, THIRDS, ADDRESSES).to_string());
    let log = Log::default();
    let (kept, path) = (log.clone(), file.clone());
    let served = Served::with(App::new, move |server| {
        kept.keep(Level::ERROR);
        server.cluster(Cluster::file(path, "a"))?.bind(ANY_PORT)
    });
    let mut client = RawClient::connect(served.address());
    write("version 2\na h:1 0-5\n");
    let mistake = "the topology is unchanged error=";
    eventually(|| log.lines().iter().any(|line| line.contains(mistake)).then_some(()));
    let lines = log.lines();
    assert!(
        lines[0].ends_with(&format!("{}: the slot 6 has no instance: all slots need one", file.display())),
        "{lines:?}"
    );
    assert_eq!(taken(&mut client), topology(1, THIRDS, ADDRESSES).to_string());
    let next = topology(2, ["0", "1-16383", ""], ADDRESSES).to_string();
    write(&next);
    eventually(|| (taken(&mut client) == next).then_some(()));
    fs::remove_file(&file).expect("it exists");
    eventually(|| log.lines().get(1).map(|line| assert!(line.contains("No such file"), "{line}")));
    assert_eq!(taken(&mut client), next);
    assert_eq!(log.lines().len(), 2, "{:?}", log.lines());
}

/// `kv` reads the file at the signal, whether or not the time of its last change is another one.
#[test]
fn a_signal_lets_an_instance_read_its_file() {
    let folder = Folder::new();
    let file = folder.path().join("topology");
    let path = file.display().to_string();
    let options = ["--cluster-topology", &path, "--cluster-node"];
    fs::write(&file, topology(1, THIRDS, ADDRESSES).to_string()).expect("the folder can be written");
    let kv = Process::program_with("kv", &[&options[..], &["c"]].concat());
    let mut client = RawClient::connect(kv.address());
    let key = key_in(0, "key");
    assert_eq!(client.ask(line(&format!("GET {key}"))), moved(&key, "10.0.0.1:6380"));
    let next = topology(2, ["", "", "0-16383"], ADDRESSES).to_string();
    fs::write(&file, &next).expect("the folder can be written");
    kv.signal("HUP");
    eventually(|| (taken(&mut client) == next).then_some(()));
    assert_eq!(client.ask(line(&format!("GET {key}"))), "$-1\r\n");
}

/// Topologies whose slots are distributed at random.
fn topologies() -> impl Strategy<Value = Topology> {
    let instance = ("[a-zA-Z0-9_.-]{1,50}", "([a-z0-9.-]{0,20}|\\[::[0-9a-f]{1,4}\\])", any::<u16>());
    let instances = proptest::collection::hash_map(instance.0, (instance.1, instance.2), 1..20);
    let cuts = proptest::collection::vec((any::<Index>(), any::<Index>()), 0..50);
    (any::<u64>(), instances, cuts).prop_filter_map("addresses differ", |(version, instances, cuts)| {
        let mut ends: Vec<_> = cuts.iter().map(|(cut, _)| cut.index(usize::from(SLOTS)) as u16).collect();
        ends.extend([0, SLOTS]);
        ends.sort_unstable();
        ends.dedup();
        let mut slots = vec![Vec::new(); instances.len()];
        for (range, owner) in
            ends.windows(2).zip(cuts.iter().map(|(_, owner)| owner.index(instances.len())).chain([0]))
        {
            slots[owner].push(range[0]..=range[1] - 1);
        }
        let builder = instances.into_iter().zip(slots);
        let builder = builder.fold(Topology::builder(version), |builder, ((name, (host, port)), slots)| {
            builder.instance(name, format!("{host}:{port}"), slots)
        });
        builder.build().ok()
    })
}

proptest! {
    #[test]
    fn a_topology_is_what_its_text_says(topology in topologies()) {
        let text = topology.to_string();
        prop_assert_eq!(&Topology::parse(&text).expect("valid"), &topology);
        for slot in 0..SLOTS {
            let owner = topology.owner(slot);
            prop_assert!(owner.slots().iter().any(|range| range.contains(&slot)));
        }
        let all: usize = topology.instances().iter().flat_map(|one| one.slots()).map(|range| range.len()).sum();
        prop_assert_eq!(all, usize::from(SLOTS));
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "(version [0-9]{1,3}\n)?([ -~\n]{0,60}|([ab] [a-z]{0,3}:[0-9]{0,3}( [0-9]{1,6}-?[0-9]{0,6}){0,3}\n){0,4})") {
        if let Ok(topology) = Topology::parse(&text) {
            prop_assert_eq!(Topology::parse(&topology.to_string()).expect("valid"), topology);
        }
    }
}

#[test]
fn names_are_in_order() {
    let all = topology(1, THIRDS, ADDRESSES);
    assert_eq!(all.instances().iter().map(|instance| instance.name()).collect::<Vec<_>>(), NAMES);
    assert_eq!((all.owner(0).name(), all.owner(16_383).name(), all.version()), ("a", "c", 1));
}
