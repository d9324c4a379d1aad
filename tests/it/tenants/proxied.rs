use thegiant::proxy::{Proxy, Upstream};
use thegiant::{App, Server};

use super::{add_users, log_in};
use crate::support::{ANY_PORT, Process, RawClient, Served, eventually, lines};

/// Starts a redis-server, and a proxy in front of it with the tenants `alice` and `bob`.
fn start(prefix: Option<&'static str>) -> (Process, Served) {
    let redis = Process::redis(&[]);
    let address = redis.address().to_owned();
    let proxy = move || {
        let proxy = Proxy::from(Upstream::new(address.clone()));
        if let Some(prefix) = prefix { proxy.prefix(prefix) } else { proxy }
    };
    let app = move || App::new().proxy_per_worker(proxy);
    let proxy = Served::with(app, |server: Server| {
        let prefix = |user: &str| (user != "default").then(|| format!("{user}[*]:"));
        Ok(server.bind(ANY_PORT)?.key_prefix(prefix))
    });
    add_users(&mut RawClient::connect(proxy.address()));
    (redis, proxy)
}

#[test]
fn tenants_share_an_upstream() {
    let (redis, proxy) = start(None);
    let [mut alice, mut bob] = ["alice", "bob"].map(|user| log_in(proxy.address(), user));
    let mut direct = RawClient::connect(redis.address());
    alice.send(lines("SET k 1 \n MSET x 1 y 2 \n RPUSH l a b"));
    assert_eq!(alice.replies(3), "+OK\r\n+OK\r\n:2\r\n");
    bob.send(lines(
        "GET k \n SET k 2 \n GET k \n MGET x k \n DBSIZE \n RANDOMKEY \n KEYS * \n SCAN 0 COUNT 100",
    ));
    assert_eq!(bob.replies(4), "$-1\r\n+OK\r\n$1\r\n2\r\n*2\r\n$-1\r\n$1\r\n2\r\n");
    assert_eq!(bob.replies(4), ":1\r\n$1\r\nk\r\n*1\r\n$1\r\nk\r\n*2\r\n$1\r\n0\r\n*1\r\n$1\r\nk\r\n");
    assert_eq!(alice.ask(lines("BLPOP l 0")), "*2\r\n$1\r\nl\r\n$1\r\na\r\n");
    assert_eq!(direct.ask(lines("EXISTS alice[*]:k alice[*]:x alice[*]:l bob[*]:k k")), ":4\r\n");
    bob.send(lines("FLUSHALL \n PUBLISH c x \n EVAL return{} 0 \n SUBSCRIBE c"));
    for name in ["FLUSHALL", "PUBLISH", "EVAL", "SUBSCRIBE"] {
        assert_eq!(bob.reply(), format!("-NOPERM {name} is not available with a prefix for keys\r\n"));
    }
    let mut operator = RawClient::connect(proxy.address());
    assert_eq!(operator.ask(lines("GET alice[*]:k")), "$1\r\n1\r\n");
    assert_eq!(operator.ask(lines("DBSIZE")), ":5\r\n");
}

#[test]
fn the_prefix_of_the_proxy_comes_first() {
    let (redis, proxy) = start(Some("app:"));
    let mut client = log_in(proxy.address(), "alice");
    client.send(lines("SET k 1 \n KEYS * \n RESET \n SET k 2 \n KEYS *"));
    assert_eq!(client.replies(3), "+OK\r\n*1\r\n$1\r\nk\r\n+RESET\r\n");
    assert_eq!(client.reply(), "+OK\r\n");
    let keys = String::from_utf8_lossy(&client.reply()).into_owned();
    assert!(keys.contains("\r\nk\r\n") && keys.contains("\r\nalice[*]:k\r\n"), "{keys}");
    let mut direct = RawClient::connect(redis.address());
    assert_eq!(direct.ask(lines("MGET app:alice[*]:k app:k")), "*2\r\n$1\r\n1\r\n$1\r\n2\r\n");
}

#[test]
fn transactions_belong_to_a_tenant() {
    let (_redis, proxy) = start(None);
    let [mut alice, mut bob] = ["alice", "bob"].map(|user| log_in(proxy.address(), user));
    for request in ["SET k x", "WATCH k", "MULTI", "KEYS *", "SET k y"] {
        alice.ask(lines(request));
    }
    bob.ask(lines("SET k bob"));
    assert_eq!(alice.ask(lines("EXEC")), "*2\r\n*1\r\n$1\r\nk\r\n+OK\r\n");
    alice.ask(lines("WATCH k"));
    log_in(proxy.address(), "alice").ask(lines("SET k z"));
    alice.send(lines("MULTI \n GET k \n EXEC \n MULTI \n GET k \n AUTH bob x \n EXEC"));
    assert_eq!(alice.replies(3), "+OK\r\n+QUEUED\r\n*-1\r\n");
    assert_eq!(alice.replies(2), "+OK\r\n+QUEUED\r\n");
    assert!(alice.reply().starts_with(b"-ERR "));
    assert!(alice.reply().starts_with(b"-EXECABORT "));
    assert_eq!(alice.ask(lines("GET k")), "$1\r\nz\r\n");
    // The upstream watches a key of the user before.
    alice.send(lines("WATCH k \n AUTH bob x \n MULTI \n GET k \n EXEC"));
    assert_eq!(alice.replies(5), "+OK\r\n+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n$3\r\nbob\r\n");
}

#[test]
fn invalidations_are_about_keys_of_the_tenant() {
    for prefix in [None, Some("app:")] {
        let (_redis, proxy) = start(prefix);
        let mut client = log_in(proxy.address(), "alice");
        client.send(lines("HELLO 3 \n CLIENT TRACKING ON"));
        client.replies(2);
        eventually(|| {
            client.ask(lines("GET probe"));
            let is_quiet = client.ask(lines("PING")) == "+PONG\r\n";
            if !is_quiet {
                client.reply();
            }
            is_quiet.then_some(())
        });
        client.ask(lines("GET k"));
        log_in(proxy.address(), "bob").ask(lines("SET k x"));
        log_in(proxy.address(), "alice").ask(lines("SET k x"));
        assert_eq!(client.reply(), ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n");
        assert_eq!(client.ask(lines("PING")), "+PONG\r\n");
    }
}

#[test]
fn rules_are_about_names_with_the_prefix() {
    let (_redis, proxy) = start(None);
    let mut operator = RawClient::connect(proxy.address());
    let rules = |client: &mut RawClient| {
        client.ask(lines("ACL SETUSER alice resetkeys ~alice\\[\\*\\]:a*"));
        client.ask(lines("PING"))
    };
    rules(&mut operator);
    let mut client = log_in(proxy.address(), "alice");
    eventually(|| (client.ask(lines("SET a1 x")) == "+OK\r\n").then_some(()));
    let denied = "-NOPERM this user has no permissions to access one of the keys used as arguments\r\n";
    assert_eq!(client.ask(lines("SET b x")), denied);
}

/// Several servers, so that the router sees the keys that the servers have.
#[test]
fn the_balancer_has_tenants() {
    let servers: Vec<_> = (0..3).map(|_| Process::redis(&[])).collect();
    let options: Vec<_> = ["--tenants"].into_iter().chain(servers.iter().map(Process::address)).collect();
    let balancer = Process::program_with("balancer", &options);
    add_users(&mut RawClient::connect(balancer.address()));
    let [mut alice, mut bob] = ["alice", "bob"].map(|user| log_in(balancer.address(), user));
    let keys: Vec<String> = (0..30).map(|number| format!("k{number}")).collect();
    for (client, user) in [(&mut alice, "alice"), (&mut bob, "bob")] {
        let pairs: Vec<String> = keys.iter().map(|key| format!("{key} {user}")).collect();
        assert_eq!(client.ask(lines(&format!("MSET {}", pairs.join(" ")))), "+OK\r\n");
    }
    assert_eq!(bob.ask(lines(&format!("DEL {}", keys.join(" ")))), ":30\r\n");
    assert_eq!(bob.ask(lines("DBSIZE")), ":0\r\n");
    assert_eq!(alice.ask(lines("DBSIZE")), ":30\r\n");
    let values = alice.ask(lines(&format!("MGET {}", keys.join(" "))));
    assert_eq!(values, format!("*30\r\n{}", "$5\r\nalice\r\n".repeat(30)));
    let listed = String::from_utf8_lossy(&alice.ask(lines("KEYS *"))).into_owned();
    assert!(!listed.contains("alice"), "{listed}");
}
