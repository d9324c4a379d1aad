//! Subscribers behind a balancer.

use super::Three;
use crate::support::{Cluster, Process, RawClient, Reply, eventually, line, lines};

/// Returns the elements of an array, sorted.
fn elements(reply: &[u8]) -> Vec<String> {
    let Some(Reply::Array(elements)) = Reply::only(reply) else { panic!("{reply:?} is not an array") };
    let mut elements: Vec<_> = elements.iter().map(|element| format!("{element:?}")).collect();
    elements.sort();
    elements
}

/// Subscribes twelve clients, and asks for their number.
fn check(balancer: &Process) {
    let mut subscribers: Vec<_> = (0..12).map(|_| RawClient::connect(balancer.address())).collect();
    for (number, subscriber) in subscribers.iter_mut().enumerate() {
        subscriber.ask(line(&format!("SUBSCRIBE all own{number}")));
        subscriber.reply();
    }
    let mut client = RawClient::connect(balancer.address());
    let counts = "*6\r\n$3\r\nall\r\n:12\r\n$4\r\nown3\r\n:1\r\n$4\r\nnone\r\n:0\r\n";
    assert_eq!(client.ask(line("PUBSUB NUMSUB all own3 none")), counts);
    assert_eq!(client.ask(line("PUBSUB NUMSUB")), "*0\r\n");
    let channels = elements(&client.ask(line("PUBSUB CHANNELS")));
    assert_eq!(channels.len(), 13, "{channels:?}");
    assert_eq!(elements(&client.ask(line("PUBSUB CHANNELS own1*"))).len(), 3);
    assert_eq!(client.ask(line("PUBSUB NUMPAT")), ":0\r\n");
    subscribers[0].ask(line("PSUBSCRIBE a*"));
    assert_eq!(client.ask(line("PUBSUB NUMPAT")), ":1\r\n");
    drop(subscribers);
    eventually(|| (client.ask(line("PUBSUB NUMSUB all")) == "*2\r\n$3\r\nall\r\n:0\r\n").then_some(()));
}

#[test]
fn subscribers_of_three_servers_are_counted() {
    let three = Three::start(&[]);
    check(&three.balancer);
}

/// Clients subscribe at different nodes.
#[test]
fn subscribers_of_all_nodes_of_a_cluster_are_counted() {
    let cluster = Cluster::start();
    check(&Process::program_with("balancer", &[&["--cluster"], &cluster.addresses()[..]].concat()));
}

/// Changes keys of all servers, and checks the events that two subscribers get.
fn check_events(balancer: &Process, servers: &[&str]) {
    for server in servers {
        let set = line("CONFIG SET notify-keyspace-events KEA");
        assert_eq!(RawClient::connect(server).ask(set), "+OK\r\n");
    }
    let [mut by_channel, mut by_pattern, mut writer] =
        [(); 3].map(|()| RawClient::connect(balancer.address()));
    by_channel.ask(line("SUBSCRIBE news __keyevent@0__:set"));
    by_channel.reply();
    by_pattern.send(lines("HELLO 3 \n PSUBSCRIBE __keyspace@0__:key*"));
    by_pattern.replies(2);
    // The subscriptions at the other servers are not confirmed.
    for server in servers {
        let mut direct = RawClient::connect(server);
        let subscribed = "*2\r\n$18\r\n__keyevent@0__:set\r\n:1\r\n:1\r\n";
        eventually(|| {
            direct.send(lines("PUBSUB NUMSUB __keyevent@0__:set \n PUBSUB NUMPAT"));
            (direct.replies(2) == subscribed).then_some(())
        });
    }
    for key in 0..60 {
        assert_eq!(writer.ask(line(&format!("SET key{key} x"))), "+OK\r\n");
        let name = format!("key{key}");
        let pushed = String::from_utf8_lossy(&by_pattern.reply()).into_owned();
        let channel = format!("__keyspace@0__:{name}\r\n$3\r\nset\r\n");
        assert!(pushed.starts_with(">4\r\n$8\r\npmessage\r\n") && pushed.ends_with(&channel), "{pushed}");
        let message =
            format!("*3\r\n$7\r\nmessage\r\n$18\r\n__keyevent@0__:set\r\n${}\r\n{name}\r\n", name.len());
        assert_eq!(by_channel.reply(), message);
    }
    // Other channels have one server.
    assert_eq!(writer.ask(line("PUBSUB NUMSUB news")), "*2\r\n$4\r\nnews\r\n:1\r\n");
    by_pattern.ask(line("PUNSUBSCRIBE"));
    let count = line("PUBSUB NUMPAT");
    eventually(|| (writer.ask(count.clone()) == ":0\r\n").then_some(()));
}

#[test]
fn keyspace_events_of_three_servers_arrive() {
    let three = Three::start(&[]);
    let servers: Vec<_> = three.servers.iter().flatten().map(Process::address).collect();
    check_events(&three.balancer, &servers);
}

#[test]
fn keyspace_events_of_all_nodes_of_a_cluster_arrive() {
    let cluster = Cluster::start();
    let addresses = cluster.addresses();
    check_events(
        &Process::program_with("balancer", &[&["--cluster"], &addresses[..]].concat()),
        &addresses[..3],
    );
}
