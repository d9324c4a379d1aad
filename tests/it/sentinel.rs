use thegiant::{
    App, Role,
    sentinel::{Master, Sentinel},
};

use crate::support::{self, RawClient, RedisWithPort, Served, eventually, line, lines, request};

/// A host and a port.
type Endpoint<'a> = (&'a str, u16);

fn endpoint(address: &str) -> Endpoint<'_> {
    let (host, port) = address.split_once(':').expect("a port");
    (host, port.parse().expect("a number"))
}

/// Serves a facade. It says that it has this address.
fn facade((host, port): Endpoint<'static>) -> (Served, Sentinel) {
    let sentinel = Sentinel::new(host, port);
    let handle = sentinel.clone();
    (Served::start(move || handle.mount(App::new())), sentinel)
}

/// Fields whose values a facade does not know, or that change all the time.
const VARYING: [&str; 13] = [
    "runid",
    "link-refcount",
    "last-ping-sent",
    "last-ok-ping-reply",
    "last-ping-reply",
    "down-after-milliseconds",
    "info-refresh",
    "role-reported-time",
    "master-link-down-time",
    "master-link-status",
    "slave-repl-offset",
    "failover-timeout",
    "last-hello-message",
];

/// Returns a reply without the values of varying fields.
fn comparable(reply: &[u8]) -> String {
    let text = String::from_utf8_lossy(reply);
    let mut lines: Vec<&str> = text.split("\r\n").collect();
    let names: Vec<_> = (0..lines.len()).filter(|index| VARYING.contains(&lines[*index])).collect();
    for name in names {
        // Behind the name, there are the length of the value and the value.
        lines[name + 1..=name + 2].fill("?");
    }
    lines.join("\r\n")
}

const QUESTIONS: &str = "GET-MASTER-ADDR-BY-NAME mymaster
    GET-MASTER-ADDR-BY-NAME nobody
    get-master-addr-by-name MYMASTER
    MASTER mymaster
    MASTER nobody
    MASTERS
    REPLICAS mymaster
    REPLICAS nobody
    SLAVES mymaster
    SLAVES nobody
    SENTINELS mymaster
    SENTINELS nobody
    CKQUORUM mymaster
    CKQUORUM nobody
    IS-MASTER-DOWN-BY-ADDR 127.0.0.1 1 0 *
    IS-MASTER-DOWN-BY-ADDR 127.0.0.1 x 0 *
    IS-MASTER-DOWN-BY-ADDR 127.0.0.1 1 x *
    IS-MASTER-DOWN-BY-ADDR 127.0.0.1 1 0
    MASTER
    MASTERS mymaster
    NOSUCH";

#[test]
fn a_facade_replies_like_a_sentinel() {
    let master = RedisWithPort::start(None);
    let replica = RedisWithPort::start(Some(&master));
    eventually(|| (master.replicas() == 1).then_some(()));
    let real = support::Sentinel::of(&master.address);
    let question = line("SENTINEL REPLICAS mymaster");
    // The sentinel asks the servers for their roles in the first seconds.
    eventually(|| {
        let reply = String::from_utf8_lossy(&real.client().ask(&question)).into_owned();
        let is_known = reply.contains(&replica.address) && !reply.contains("disconnected");
        (is_known && reply.contains("master-host\r\n$9")).then_some(())
    });
    let (served, sentinel) = facade(("127.0.0.1", 1));
    let ((host, port), replica) = (endpoint(&master.address), endpoint(&replica.address));
    sentinel.update(Master::new("mymaster", host, port).replicas([replica]));
    for protocol in [2, 3] {
        let [mut real, mut facade] = [real.client(), RawClient::connect(served.address())];
        for client in [&mut real, &mut facade] {
            client.ask(line(&format!("HELLO {protocol}")));
        }
        let is_down = format!("IS-MASTER-DOWN-BY-ADDR {host} {port} 0 *");
        for question in QUESTIONS.lines().map(str::trim).chain([&*is_down]) {
            let question = line(&format!("SENTINEL {question}"));
            let expected = comparable(&real.ask(&question));
            assert_eq!(comparable(&facade.ask(&question)), expected, "RESP{protocol}");
        }
        let id = line("SENTINEL MYID");
        assert_eq!(real.ask(&id).len(), facade.ask(&id).len());
        assert!(facade.ask(line("SENTINEL HELP")).starts_with(b"*"));
    }
}

/// The fields that two real Sentinels show of each other.
#[test]
fn other_facades_are_listed() {
    let (served, sentinel) = facade(("10.0.0.1", 7));
    sentinel.update(Master::new("m", "h", 1).sentinels([("10.0.0.1", 7), ("10.0.0.2", 8)]));
    let mut client = RawClient::connect(served.address());
    let reply = String::from_utf8_lossy(&client.ask(line("SENTINEL SENTINELS m"))).into_owned();
    let own = String::from_utf8_lossy(&client.ask(line("SENTINEL MYID"))).into_owned();
    assert!(!reply.contains(&own));
    let fields: Vec<_> = reply.split("\r\n").filter(|line| !line.starts_with(['$', '*'])).collect();
    let [_, name, _, host, _, port, _, run_id, rest @ ..] = &fields[..] else { panic!("{fields:?}") };
    assert_eq!((*host, *port, name), ("10.0.0.2", "8", run_id));
    let expected = "flags sentinel link-pending-commands 0 link-refcount 1 last-ping-sent 0 last-ok-ping-reply 0 \
        last-ping-reply 0 down-after-milliseconds 30000 last-hello-message 0 voted-leader ? voted-leader-epoch 0 ";
    assert_eq!(rest.join(" "), expected);
    let quorum = client.ask(line("SENTINEL CKQUORUM m"));
    assert_eq!(quorum, "+OK 2 usable Sentinels. Quorum and failover authorization can be reached\r\n");
    // The other facade has this ID for itself.
    let (other, _) = facade(("10.0.0.2", 8));
    let its_id = RawClient::connect(other.address()).ask(line("SENTINEL MYID"));
    assert_eq!(its_id, format!("$40\r\n{name}\r\n"));
}

#[test]
fn changes_are_published() {
    let (served, sentinel) = facade(("127.0.0.1", 1));
    let mut client = RawClient::connect(served.address());
    client.send(lines("SUBSCRIBE +switch-master +slave"));
    client.replies(2);
    let message = |channel: &str, text: &str| request(["message", channel, text]);
    let first = Master::new("m", "a", 1).replicas([("b", 2)]).epoch(1);
    sentinel.update(first.clone());
    assert_eq!(client.reply(), message("+slave", "slave b:2 b 2 @ m a 1"));
    sentinel.update(first.clone());
    sentinel.update(first.clone().epoch(2));
    sentinel.update(Master::new("other", "b", 2));
    let second = Master::new("m", "b", 2).replicas([("a", 1), ("c", 3)]).epoch(3);
    sentinel.update(second);
    assert_eq!(client.reply(), message("+switch-master", "m a 1 b 2"));
    assert_eq!(client.reply(), message("+slave", "slave a:1 a 1 @ m b 2"));
    assert_eq!(client.reply(), message("+slave", "slave c:3 c 3 @ m b 2"));
    // This change comes too late.
    sentinel.update(first);
    assert!(client.is_silent());
    let named = RawClient::connect(served.address()).ask(line("SENTINEL GET-MASTER-ADDR-BY-NAME m"));
    assert_eq!(named, "*2\r\n$1\r\nb\r\n$1\r\n2\r\n");
}

#[test]
fn a_replica_names_the_master() {
    let (served, sentinel) = facade(("127.0.0.1", 1));
    sentinel.update(Master::new("m", "a", 1).down());
    served.handle().set_role(Role::replica_of("a", 1));
    let mut client = RawClient::connect(served.address());
    client.send(lines("SENTINEL GET-MASTER-ADDR-BY-NAME m \n SENTINEL IS-MASTER-DOWN-BY-ADDR a 1 0 *"));
    assert_eq!(client.replies(2), "*2\r\n$1\r\na\r\n$1\r\n1\r\n*3\r\n:1\r\n$1\r\n*\r\n:0\r\n");
    let fields = String::from_utf8_lossy(&client.ask(line("SENTINEL MASTER m"))).into_owned();
    assert!(fields.contains("s_down,o_down,master\r\n") && fields.contains("o-down-time"), "{fields}");
}

/// Each of them has the facade, and its own subscribers.
#[test]
fn a_facade_can_have_a_port_of_its_own() {
    let (served, sentinel) = facade(("127.0.0.1", 1));
    let handle = sentinel.clone();
    let alone = Served::start(move || handle.app());
    let mut clients = [&served, &alone].map(|server| {
        let mut client = RawClient::connect(server.address());
        client.ask(line("SUBSCRIBE +switch-master"));
        client
    });
    sentinel.update(Master::new("m", "a", 1));
    sentinel.update(Master::new("m", "b", 2));
    for client in &mut clients {
        assert_eq!(client.reply(), request(["message", "+switch-master", "m a 1 b 2"]));
    }
    let mut client = RawClient::connect(alone.address());
    client.send(lines("ROLE \n SENTINEL GET-MASTER-ADDR-BY-NAME m \n PING"));
    assert_eq!(
        client.replies(3),
        "*2\r\n$8\r\nsentinel\r\n*1\r\n$1\r\nm\r\n*2\r\n$1\r\nb\r\n$1\r\n2\r\n+PONG\r\n"
    );
    assert!(RawClient::connect(served.address()).ask(line("ROLE")).starts_with(b"*3\r\n$6\r\nmaster"));
}

#[test]
#[should_panic(expected = "the name \"my master\" of a master has other characters than letters")]
fn a_name_has_no_spaces() {
    let _ = Master::new("my master", "a", 1);
}
