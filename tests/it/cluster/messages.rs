//! Messages of `PUBLISH`, which reach the subscribers of all instances.

use std::net::TcpListener;

use thegiant::{
    cluster::{Cluster, Topology},
    proxy::Upstream,
};

use super::{Instances, app};
use crate::support::{ANY_PORT, RawClient, Served, client_list, eventually, line, lines};

fn message(channel: &str, message: &str) -> String {
    let [channel_len, message_len] = [channel, message].map(str::len);
    format!("*3\r\n$7\r\nmessage\r\n${channel_len}\r\n{channel}\r\n${message_len}\r\n{message}\r\n")
}

fn subscriber(address: &str) -> RawClient {
    let mut client = RawClient::connect(address);
    client.ask(line("SUBSCRIBE news"));
    client
}

/// Each subscriber gets each message once: no instance sends on what another one has sent to it.
#[test]
fn a_message_reaches_the_subscribers_of_all_instances_once() {
    for threads in [1, 2] {
        let instances = Instances::with_threads(threads);
        let mut subscribers = [0, 1, 2].map(|index| subscriber(instances.address(index)));
        let mut pattern = instances.client(2);
        pattern.ask(line("PSUBSCRIBE n*"));
        let [mut one, mut two] = [instances.client(0), instances.client(1)];
        assert_eq!(one.ask(line("PUBLISH news first")), ":1\r\n");
        for subscriber in &mut subscribers {
            assert_eq!(subscriber.reply(), message("news", "first"));
        }
        let with_pattern = "*4\r\n$8\r\npmessage\r\n$2\r\nn*\r\n$4\r\nnews\r\n$5\r\nfirst\r\n";
        assert_eq!(pattern.reply(), with_pattern);
        assert_eq!(two.ask(line("ANNOUNCE news second")), ":1\r\n");
        for subscriber in &mut subscribers {
            assert_eq!(subscriber.reply(), message("news", "second"));
        }
        one.send(lines("MULTI\nPUBLISH news third\nEXEC"));
        assert_eq!(one.replies(3), "+OK\r\n+QUEUED\r\n*1\r\n:1\r\n");
        for subscriber in &mut subscribers {
            assert_eq!(subscriber.reply(), message("news", "third"));
        }
    }
}

#[test]
fn the_messages_of_a_client_keep_their_order() {
    const MESSAGES: usize = 10_000;
    let instances = Instances::with_threads(2);
    let mut subscribers = [1, 2].map(|index| subscriber(instances.address(index)));
    let mut publisher = instances.client(0);
    let all: String = (0..MESSAGES).map(|number| format!("PUBLISH news {number}\r\n")).collect();
    publisher.send(all);
    assert_eq!(publisher.replies(MESSAGES), ":0\r\n".repeat(MESSAGES));
    for subscriber in &mut subscribers {
        for number in 0..MESSAGES {
            assert_eq!(subscriber.reply(), message("news", &number.to_string()));
        }
    }
}

/// One instance is gone, and another one accepts connections and says nothing.
#[test]
fn a_lost_instance_does_not_hold_up_the_others() {
    let mut instances = Instances::start();
    let silent = TcpListener::bind(ANY_PORT).expect("a free port");
    let silent = silent.local_addr().expect("it is bound");
    let gone = instances.address(2).to_owned();
    let text = format!(
        "version 2\na {} 0-16383\nb {}\nc {gone}\nd {silent}\n",
        instances.address(0),
        instances.address(1)
    );
    instances.served[0].handle().set_topology(text.parse().expect("valid")).expect("a new version");
    let lost = Served::start(|| app(1));
    drop(std::mem::replace(&mut instances.served[2], lost));
    let mut subscriber = subscriber(instances.address(1));
    let mut publisher = instances.client(0);
    for number in 0..100 {
        assert_eq!(publisher.ask(line(&format!("PUBLISH news {number}"))), ":0\r\n");
        assert_eq!(subscriber.reply(), message("news", &number.to_string()));
    }
}

/// An instance that the topology no longer has gets no further messages.
#[test]
fn messages_follow_the_topology() {
    let instances = Instances::start();
    let mut subscribers = [1, 2].map(|index| subscriber(instances.address(index)));
    let mut publisher = instances.client(0);
    let set = |text: String| {
        instances.served[0].handle().set_topology(text.parse().expect("valid")).expect("a new version");
    };
    let [a, b, c] = [0, 1, 2].map(|index| instances.address(index));
    publisher.ask(line("PUBLISH news first"));
    for subscriber in &mut subscribers {
        assert_eq!(subscriber.reply(), message("news", "first"));
    }
    set(format!("version 2\na {a} 0-16383\nc {c}\n"));
    // The first instance then closes its connection.
    let mut observer = RawClient::connect(b);
    let subscriber_and_observer = 2;
    eventually(|| (client_list(&mut observer, "").len() == subscriber_and_observer).then_some(()));
    publisher.ask(line("PUBLISH news second"));
    assert_eq!(subscribers[1].reply(), message("news", "second"));
    // Messages wait for a new instance at once.
    for turn in 0..20 {
        set(format!("version {}\na {a} 0-16383\nb {b}\nc {c}\n", 3 + 2 * turn));
        publisher.ask(line(&format!("PUBLISH news {turn}")));
        for subscriber in &mut subscribers {
            assert_eq!(subscriber.reply(), message("news", &turn.to_string()));
        }
        set(format!("version {}\na {a} 0-16383\n", 4 + 2 * turn));
    }
}

#[test]
fn the_instances_log_in_with_a_password() {
    let served = ["a", "b"].map(|name| {
        Served::with(
            || app(1),
            move |server| {
                let topology: Topology = "version 0\na h:1 0-16383\nb h:2".parse().expect("valid");
                let others = Upstream::new("").password("secret");
                let server =
                    server.password("secret").cluster(Cluster::new(topology, name).upstream(others))?;
                server.bind(ANY_PORT)
            },
        )
    });
    let [a, b] = [0, 1].map(|index| served[index].address());
    let topology: Topology = format!("version 1\na {a} 0-16383\nb {b}\n").parse().expect("valid");
    for served in &served {
        served.handle().set_topology(topology.clone()).expect("a new version");
    }
    let [mut publisher, mut subscriber] = [a, b].map(|address| {
        let mut client = RawClient::connect(address);
        assert_eq!(client.ask(line("AUTH secret")), "+OK\r\n");
        client
    });
    subscriber.ask(line("SUBSCRIBE news"));
    publisher.ask(line("PUBLISH news hello"));
    assert_eq!(subscriber.reply(), message("news", "hello"));
}

#[test]
fn an_instance_can_keep_its_messages() {
    let instances = Instances::start();
    let [a, b] = [0, 1].map(|index| instances.address(index).to_owned());
    let text = format!("version 2\nalone 127.0.0.1:1 0-16383\nb {b}\n");
    let alone = Served::with(
        || app(1),
        move |server| {
            let topology: Topology = text.parse().expect("valid");
            server.cluster(Cluster::new(topology, "alone").upstream(None))?.bind(ANY_PORT)
        },
    );
    let mut subscriber = subscriber(&b);
    RawClient::connect(alone.address()).ask(line("PUBLISH news kept"));
    // The other instance sends its own message on.
    assert_eq!(RawClient::connect(&a).ask(line("PUBLISH news sent")), ":0\r\n");
    assert_eq!(subscriber.reply(), message("news", "sent"));
    // The command with which an instance sends messages on can send several, and only to its own subscribers.
    let mut client = RawClient::connect(&b);
    assert_eq!(client.ask(line("CLUSTER PUBLISH news one news two other three")), ":2\r\n");
    assert_eq!(subscriber.replies(2), message("news", "one") + &message("news", "two"));
}

#[test]
fn the_command_between_instances_respects_the_channels_of_its_user() {
    let instances = Instances::start();
    let mut client = instances.client(0);
    assert_eq!(
        client.ask(line("ACL SETUSER instance on nopass +cluster|publish resetchannels &news*")),
        "+OK\r\n"
    );
    assert_eq!(client.ask(line("AUTH instance x")), "+OK\r\n");
    assert_eq!(client.ask(line("CLUSTER PUBLISH news one newspaper two")), ":0\r\n");
    let denied = client.ask(line("CLUSTER PUBLISH news one other two"));
    assert!(denied.starts_with(b"-NOPERM "), "{denied:?}");
    assert!(client.ask(line("CLUSTER SETTOPOLOGY x")).starts_with(b"-NOPERM "));
}
