//! Subscribers behind a balancer.

use std::thread;

use super::Three;
use crate::support::{Cluster, Process, RawClient, Reply, eventually, line, lines, request};

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

/// Publishes in transactions and scripts of each of these keys, and checks that two subscribers get each message once.
fn check_published(balancer: &Process, keys: &[String]) {
    let [mut by_channel, mut by_pattern, mut publisher] =
        [(); 3].map(|()| RawClient::connect(balancer.address()));
    by_channel.ask(line("SUBSCRIBE news"));
    by_pattern.send(lines("HELLO 3 \n PSUBSCRIBE n?ws"));
    by_pattern.replies(2);
    let mut expect = |message: &str| {
        let message = format!("$4\r\nnews\r\n${}\r\n{message}\r\n", message.len());
        assert_eq!(by_channel.reply(), format!("*3\r\n$7\r\nmessage\r\n{message}"));
        assert_eq!(by_pattern.reply(), format!(">4\r\n$8\r\npmessage\r\n$4\r\nn?ws\r\n{message}"));
    };
    for key in keys {
        // All at once, and one by one.
        publisher.send(lines(&format!("MULTI \n SET {key} 1 \n PUBLISH news whole:{key} \n EXEC")));
        publisher.replies(4);
        expect(&format!("whole:{key}"));
        for command in ["MULTI", &format!("PUBLISH news parts:{key}"), &format!("SET {key} 1"), "EXEC"] {
            publisher.ask(line(command));
        }
        expect(&format!("parts:{key}"));
        let script = "return redis.call('publish', 'news', ARGV[1])";
        publisher.ask(request(["EVAL", script, "1", key, &format!("script:{key}")]));
        expect(&format!("script:{key}"));
        publisher.ask(line(&format!("PUBLISH news plain:{key}")));
        expect(&format!("plain:{key}"));
    }
}

#[test]
fn messages_of_transactions_and_scripts_of_three_servers_arrive() {
    let three = Three::start(&[]);
    let keys = three.keys_apart();
    check_published(&three.balancer, &keys);
    let mut client = three.client();
    let _subscriber = {
        let mut subscriber = three.client();
        subscriber.ask(line("SUBSCRIBE news"));
        subscriber
    };
    // Each subscriber counts once, wherever the message is published.
    assert_eq!(client.ask(line("PUBLISH news x")), ":1\r\n");
    for key in keys {
        client.send(lines(&format!("MULTI \n GET {key} \n PUBLISH news x \n EXEC")));
        assert_eq!(client.replies(4), "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n$1\r\n1\r\n:1\r\n");
    }
}

#[test]
fn messages_of_transactions_and_scripts_of_a_cluster_arrive_once() {
    let cluster = Cluster::start();
    let balancer = Process::program_with("balancer", &[&["--cluster"], &cluster.addresses()[..]].concat());
    check_published(&balancer, &["a", "b", "c"].map(str::to_owned));
}

/// In RESP2, the client would take such a message for a reply.
#[test]
fn no_message_follows_the_end_of_the_last_subscription() {
    let three = Three::start(&[]);
    let keys = three.keys_apart();
    let mut subscriber = three.client();
    let mut publishers = keys.map(|key| (three.client(), key));
    for _ in 0..30 {
        assert_eq!(subscriber.ask(line("SUBSCRIBE news")), "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n");
        thread::scope(|scope| {
            for (publisher, key) in &mut publishers {
                scope.spawn(move || {
                    let transaction = format!("MULTI \n GET {key} \n PUBLISH news x \n EXEC \n ");
                    publisher.send(lines(&transaction.repeat(20)));
                    publisher.replies(80);
                });
            }
            subscriber.reply();
            subscriber.send(lines("UNSUBSCRIBE news \n PING"));
            let mut reply = subscriber.reply();
            while reply.starts_with(b"*3\r\n$7\r\nmessage\r\n") {
                reply = subscriber.reply();
            }
            assert_eq!(reply, "*3\r\n$11\r\nunsubscribe\r\n$4\r\nnews\r\n:0\r\n");
            assert_eq!(subscriber.reply(), "+PONG\r\n");
        });
        assert_eq!(subscriber.ask(line("PING")), "+PONG\r\n");
    }
}

/// Waits until a server has a subscriber of this channel.
fn wait_for_subscriber(server: &mut RawClient, channel: &str) {
    let one = format!("*2\r\n${}\r\n{channel}\r\n:1\r\n", channel.len());
    eventually(|| (server.ask(line(&format!("PUBSUB NUMSUB {channel}"))) == one).then_some(()));
}

#[test]
fn subscribers_follow_servers_that_come_back() {
    let mut three = Three::start(&[]);
    let keys = three.keys_apart();
    three.kill(1);
    let mut client = three.client();
    // The balancer has noticed the loss when it reads this key from another server.
    eventually(|| (client.ask(line(&format!("GET {}", keys[1]))) == "$-1\r\n").then_some(()));
    let mut subscriber = three.client();
    subscriber.ask(line("SUBSCRIBE first"));
    subscriber.ask(line("SUBSCRIBE news"));
    three.restart(1);
    wait_for_subscriber(&mut three.direct(1), "news");
    for server in 0..3 {
        assert_eq!(three.direct(server).ask(line("PUBLISH news x")), ":1\r\n");
        assert_eq!(subscriber.reply(), "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\nx\r\n");
    }
}

#[test]
fn subscribers_of_keyspace_events_follow_nodes_that_join_a_cluster() {
    const CHANNEL: &str = "__keyevent@0__:set";
    let mut cluster = Cluster::start();
    let balancer = Process::program_with("balancer", &[&["--cluster"], &cluster.addresses()[..]].concat());
    let [mut subscriber, mut client] = [(); 2].map(|()| RawClient::connect(balancer.address()));
    subscriber.ask(line(&format!("SUBSCRIBE {CHANNEL}")));
    let joined = cluster.join();
    let mut direct = RawClient::connect(&joined);
    direct.ask(line("CONFIG SET notify-keyspace-events KEA"));
    let slot = cluster.slot_of("key");
    cluster.begin_to_move(slot, &joined).finish();
    wait_for_subscriber(&mut direct, CHANNEL);
    assert_eq!(client.ask(line("SET key 1")), "+OK\r\n");
    assert_eq!(subscriber.reply(), format!("*3\r\n$7\r\nmessage\r\n$18\r\n{CHANNEL}\r\n$3\r\nkey\r\n"));
}

/// Returns the error for a command of a RESP2 client with subscriptions.
fn refusal(command: &str) -> String {
    format!(
        "-ERR Can't execute '{command}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this \
         context\r\n"
    )
}

const PONG: &str = "*2\r\n$4\r\npong\r\n$0\r\n\r\n";

/// Checks what a RESP2 client with a subscription may do.
fn check_pubsub_mode(balancer: &Process, subscribe: &str) {
    let mut client = RawClient::connect(balancer.address());
    client.ask(line(&format!("{subscribe} news")));
    for request in [
        "HELLO 3",
        "HELLO",
        "FLUSHALL",
        "DBSIZE",
        "SET k v",
        "GET k",
        "MGET a b c d",
        "PUBLISH news x",
        "WATCH k",
        "MULTI",
        "BLPOP k 0",
        "ECHO x",
        "INFO",
        "SELECT 0",
    ] {
        let name = request.split(' ').next().unwrap_or_default().to_lowercase();
        assert_eq!(client.ask(line(request)), refusal(&name), "{subscribe}");
    }
    assert_eq!(client.ask(line("CLIENT ID")), refusal("client|id"));
    assert_eq!(client.ask(line("PING")), PONG);
    assert_eq!(client.ask(line("RESET")), "+RESET\r\n");
    assert_eq!(client.ask(line("DBSIZE")), ":0\r\n");

    // In one write.
    client.send(lines(&format!("GET k \n {subscribe} news \n SET k v \n PING \n DBSIZE \n CLIENT ID")));
    assert_eq!(client.reply(), "$-1\r\n");
    client.reply();
    assert_eq!(client.reply(), refusal("set"));
    assert_eq!(client.reply(), PONG);
    assert_eq!(client.reply(), refusal("dbsize"));
    assert_eq!(client.reply(), refusal("client|id"));
    let unsubscribe = subscribe.replace("SUB", "UNSUB");
    client.send(lines(&format!("{unsubscribe} \n DBSIZE \n GET k \n HELLO 3")));
    client.reply();
    assert_eq!(client.replies(2), ":0\r\n$-1\r\n");
    assert!(client.reply().starts_with(b"%"));
}

#[test]
fn a_resp2_subscriber_may_only_use_pubsub_commands() {
    let three = Three::start(&[]);
    let redis = Process::redis(&[]);
    let balancer = Process::program_with("balancer", &[redis.address()]);
    for subscribe in ["SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE"] {
        check_pubsub_mode(&three.balancer, subscribe);
        check_pubsub_mode(&balancer, subscribe);
    }
}

#[test]
fn a_resp3_subscriber_keeps_its_protocol() {
    let three = Three::start(&[]);
    let [mut client, mut publisher] = [(); 2].map(|()| three.client());
    client.ask(line("HELLO 3"));
    client.ask(line("SUBSCRIBE news"));
    assert_eq!(
        client.ask(line("HELLO 2 SETNAME x")),
        "-ERR a client with subscriptions at an upstream cannot change the protocol: send UNSUBSCRIBE, PUNSUBSCRIBE and \
         SUNSUBSCRIBE first, or RESET\r\n"
    );
    for request in ["HELLO", "HELLO 3"] {
        assert!(client.ask(line(request)).starts_with(b"%"));
    }
    publisher.ask(line("PUBLISH news x"));
    assert_eq!(client.reply(), ">3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\nx\r\n");
    assert_eq!(client.ask(line("GET k")), "_\r\n");
    assert_eq!(client.ask(line("UNSUBSCRIBE")), ">3\r\n$11\r\nunsubscribe\r\n$4\r\nnews\r\n:0\r\n");
    assert!(client.ask(line("HELLO 2")).starts_with(b"*"));
    assert_eq!(client.ask(line("GET k")), "$-1\r\n");
}
