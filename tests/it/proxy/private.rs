//! Dedicated connections.

use std::{sync::mpsc, thread, time::Duration};

use thegiant::{prelude::*, proxy::Upstream};

use super::server::{Place, proxy};
use crate::support::{Process, RawClient, Served, eventually, info, line, lines};

#[test]
fn a_disconnected_client_takes_no_element() {
    let redis = Process::redis(&[]);
    let proxy = proxy(redis.address(), |upstream| upstream);
    let mut observer = RawClient::connect(redis.address());
    let mut blocked = |count: u64| {
        eventually(|| (info(&mut observer, "clients").number("blocked_clients") == count).then_some(()));
    };
    let mut client = RawClient::connect(proxy.address());
    client.send(line("BLPOP list 0"));
    blocked(1);
    drop(client);
    blocked(0);
    let mut client = RawClient::connect(proxy.address());
    assert_eq!(client.ask(line("RPUSH list value")), ":1\r\n");
    assert_eq!(client.ask(line("BLPOP list 0")), "*2\r\n$4\r\nlist\r\n$5\r\nvalue\r\n");
}

#[test]
fn blocked_clients_do_not_delay_others() {
    let redis = Process::redis(&[]);
    let proxy = proxy(redis.address(), |upstream| upstream);
    let mut waiting: Vec<_> = (0..50).map(|_| RawClient::connect(proxy.address())).collect();
    waiting.iter_mut().for_each(|client| client.send(lines("BLPOP list 0 \n GET after")));
    let mut client = RawClient::connect(proxy.address());
    client.ask(line("SET after all"));
    for (served, _) in waiting.iter().enumerate() {
        assert_eq!(client.ask(format!("RPUSH list {served}\r\n")), ":1\r\n");
    }
    for client in &mut waiting {
        assert!(client.reply().starts_with(b"*2\r\n$4\r\nlist\r\n"));
        assert_eq!(client.reply(), "$3\r\nall\r\n");
    }
    // Later commands use these connections again.
    let mut other = RawClient::connect(redis.address());
    let before = info(&mut other, "stats").number("total_connections_received");
    client.ask(line("RPUSH list one two three"));
    (0..3).for_each(|_| drop(client.ask(line("BLPOP list 0"))));
    assert_eq!(info(&mut other, "stats").number("total_connections_received"), before);
}

#[test]
fn the_key_table_says_which_commands_block() {
    let place = Place::new();
    let (_upstream, asks) = place.open();
    let proxy = proxy(&place.address(), |upstream| upstream);
    let mut client = RawClient::connect(proxy.address());
    // The proxy has the key table now.
    assert_eq!(client.ask(line("PING")), "+PONG\r\n");
    client.send(line("WAITFOR it"));
    assert_eq!(asks.recv().as_deref(), Ok("it"));
    let mut other = RawClient::connect(proxy.address());
    assert_eq!(other.ask(line("PING")), "+PONG\r\n");
    assert_eq!(other.ask(line("OPEN")), ":1\r\n");
    assert_eq!(client.reply(), "+open\r\n");
}

#[test]
fn subscribers_receive_messages() {
    let redis = Process::redis(&[]);
    let proxy = proxy(redis.address(), |upstream| upstream);
    let [mut old, mut new] = [(); 2].map(|()| RawClient::connect(proxy.address()));
    new.ask(line("HELLO 3"));
    for listener in [&mut old, &mut new] {
        listener.ask(line("SUBSCRIBE news"));
    }
    let mut writer = RawClient::connect(proxy.address());
    for message in ["one", "two"] {
        assert_eq!(writer.ask(format!("PUBLISH news {message}\r\n")), ":2\r\n");
        let told = format!("3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$3\r\n{message}\r\n");
        assert_eq!(old.reply(), format!("*{told}"));
        assert_eq!(new.reply(), format!(">{told}"));
    }
    // The proxy notices that a subscriber disconnects even if no message arrives.
    drop((old, new));
    eventually(|| (writer.ask(line("PUBSUB NUMSUB news")) == "*2\r\n$4\r\nnews\r\n:0\r\n").then_some(()));
}

#[test]
fn each_client_watches_its_own_keys() {
    let redis = Process::redis(&[]);
    let proxy = proxy(redis.address(), |upstream| upstream);
    let add = |times: usize| {
        let mut client = RawClient::connect(proxy.address());
        for _ in 0..times {
            loop {
                client.ask(line("WATCH sum"));
                let reply = client.ask(line("GET sum"));
                let text = String::from_utf8_lossy(&reply);
                let sum: u64 = text.split("\r\n").nth(1).unwrap_or_default().parse().unwrap_or_default();
                let transaction = format!("MULTI\r\nSET sum {}\r\nEXEC\r\n", sum + 1);
                client.send(transaction);
                if client.replies(3).ends_with(b"*1\r\n+OK\r\n") {
                    break;
                }
            }
        }
    };
    thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(|| add(25)))));
    assert_eq!(RawClient::connect(proxy.address()).ask(line("GET sum")), "$3\r\n100\r\n");
}

/// Clients of two servers may have the same id.
#[test]
fn two_servers_may_share_an_upstream() {
    let redis = Process::redis(&[]);
    let address = redis.address().to_owned();
    let (sender, handle) = mpsc::channel();
    let first = Served::start(move || {
        let upstream = Upstream::new(address).start();
        sender.send(upstream.clone()).expect("the test waits for it");
        App::new().proxy(upstream)
    });
    let handle = handle.recv().expect("it has been started");
    let second = Served::start(|| App::new().mount(Own.start()).proxy(handle));
    let mut clients = [&first, &second].map(|served| RawClient::connect(served.address()));
    let [one, other] = &mut clients;
    assert_eq!(one.id(), other.id());
    assert_eq!(one.ask(line("MULTI")), "+OK\r\n");
    assert_eq!(other.ask(line("SET a 1")), "+OK\r\n");
    assert_eq!(one.ask(line("GET a")), "+QUEUED\r\n");
    assert_eq!(other.ask(line("OWN")), "+OK\r\n");
    assert_eq!(one.ask(line("EXEC")), "*1\r\n$1\r\n1\r\n");
}

/// Comes before the proxy in the second server, so that the proxy has another index in each server.
struct Own;

impl Actor for Own {
    type Context = Context<Self>;
}

#[commands]
impl Own {
    /// Runs on the server itself.
    #[command("OWN")]
    fn own(&self) {}
}

#[test]
fn connection_commands_are_not_sent_to_an_upstream() {
    let redis = Process::redis(&[]);
    let address = redis.address().to_owned();
    let served = Served::start(|| {
        let app = App::new().proxy(Upstream::new(address).start());
        ["SELECT", "HELLO", "AUTH", "RESET", "QUIT", "MONITOR", "CLIENT"].into_iter().fold(app, App::without)
    });
    let mut client = RawClient::connect(served.address());
    for request in ["SELECT 1", "HELLO 3", "AUTH x", "RESET", "QUIT", "MONITOR"] {
        let name = request.split(' ').next().unwrap_or_default();
        assert_eq!(client.ask(line(request)), format!("-ERR {name} cannot be sent on to an upstream\r\n"));
    }
    assert_eq!(client.ask(line("CLIENT REPLY OFF")), "-ERR unknown subcommand 'REPLY'. Try CLIENT HELP.\r\n");
    assert_eq!(client.ask(line("PING")), "+PONG\r\n");
}

#[test]
fn commands_that_change_a_multiplexed_connection_are_refused() {
    let redis = Process::redis(&[]);
    let proxy = proxy(redis.address(), |upstream| upstream.connect_timeout(Duration::from_secs(10)));
    let mut client = RawClient::connect(proxy.address());
    assert_eq!(client.ask(line("CLIENT CAPA on")), "-ERR unknown subcommand 'CAPA'. Try CLIENT HELP.\r\n");
    // A connection that clients share cannot become one that reads from replicas.
    for request in ["READONLY", "READWRITE"] {
        assert_eq!(client.ask(line(request)), "-ERR This instance has cluster support disabled\r\n");
    }
    for request in ["SYNC", "PSYNC ? -1"] {
        let name = request.split(' ').next().unwrap_or_default();
        assert_eq!(client.ask(line(request)), format!("-ERR {name} cannot be sent on to an upstream\r\n"));
    }
    client.ask(line("WATCH x"));
    assert_eq!(client.ask(line("SYNC")), "-ERR SYNC cannot be sent on to an upstream\r\n");
    client.ask(line("SELECT 1"));
    assert!(client.ask(line("GET x")).starts_with(b"-ERR SELECT and HELLO cannot be sent on"));
    client.ask(line("SELECT 0"));
    assert_eq!(client.ask(line("UNWATCH")), "+OK\r\n");
    client.ask(line("SELECT 1"));
    assert_eq!(client.ask(line("GET x")), "$-1\r\n");
}

#[test]
fn errors_in_a_transaction_leave_the_connection_usable() {
    let redis = Process::redis(&[]);
    let proxy = proxy(redis.address(), |upstream| upstream);
    let [mut client, mut other] = [(); 2].map(|()| RawClient::connect(proxy.address()));
    // Redis would subscribe in the middle of a transaction.
    assert_eq!(client.ask(line("MULTI")), "+OK\r\n");
    let refused = "-ERR SUBSCRIBE and its like cannot be sent on to an upstream within a transaction\r\n";
    assert_eq!(client.ask(line("SUBSCRIBE a b")), refused);
    assert_eq!(client.ask(line("EXEC")), "*0\r\n");
    // `EXEC` and `DISCARD` without `MULTI` keep the watched keys.
    client.send(lines("WATCH x \n EXEC \n DISCARD"));
    assert_eq!(client.replies(3), "+OK\r\n-ERR EXEC without MULTI\r\n-ERR DISCARD without MULTI\r\n");
    other.ask(line("SET x 1"));
    client.send(lines("MULTI \n GET x \n EXEC"));
    assert_eq!(client.replies(3), "+OK\r\n+QUEUED\r\n*-1\r\n");
}

#[test]
fn unblocking_a_client_loses_its_watched_keys() {
    let redis = Process::redis(&[]);
    let proxy = proxy(redis.address(), |upstream| upstream);
    let [mut client, mut other] = [(); 2].map(|()| RawClient::connect(proxy.address()));
    let id = client.id();
    client.ask(line("WATCH x"));
    client.send(line("BLPOP list 0"));
    eventually(|| (other.ask(format!("CLIENT UNBLOCK {id}\r\n")) == ":1\r\n").then_some(()));
    assert_eq!(client.reply(), "$-1\r\n");
    other.ask(line("SET x 1"));
    // The transaction must not run as if the client had watched nothing.
    client.send(lines("MULTI \n SET x 2 \n EXEC \n GET x"));
    let gone =
        format!("-UPSTREAM {} was lost: its watched keys and its transaction are gone\r\n", redis.address());
    assert_eq!(client.replies(4), format!("+OK\r\n{gone}{gone}$1\r\n1\r\n"));
    // The cancelled command takes no element.
    assert_eq!(other.ask(line("RPUSH list a")), ":1\r\n");
    assert_eq!(other.ask(line("LLEN list")), ":1\r\n");
}

#[test]
fn a_client_can_be_unblocked_while_the_proxy_connects() {
    // This listener never accepts, so the proxy waits until its connect timeout.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let proxy = proxy(&address, |upstream| upstream.connect_timeout(Duration::from_secs(1)));
    let [mut client, mut other] = [(); 2].map(|()| RawClient::connect(proxy.address()));
    let id = client.id();
    client.send(line("BLPOP list 0"));
    eventually(|| (other.ask(format!("CLIENT UNBLOCK {id}\r\n")) == ":1\r\n").then_some(()));
    assert_eq!(client.reply(), "$-1\r\n");
    assert!(client.ask(line("GET x")).starts_with(b"-UPSTREAMDOWN "));
}

#[test]
fn reset_ends_all_subscriptions() {
    let redis = Process::redis(&[]);
    let proxy = proxy(redis.address(), |upstream| upstream);
    let [mut client, mut other] = [(); 2].map(|()| RawClient::connect(proxy.address()));
    client.ask(line("SUBSCRIBE news"));
    assert_eq!(client.ask(line("RESET")), "+RESET\r\n");
    other.ask(line("PUBLISH news hello"));
    eventually(|| (other.ask(line("PUBSUB NUMSUB news")) == "*2\r\n$4\r\nnews\r\n:0\r\n").then_some(()));
    assert!(client.is_silent());
    assert_eq!(client.ask(line("PING")), "+PONG\r\n");
}

#[test]
fn closed_connections_are_not_used_again() {
    let redis = Process::redis(&[]);
    let proxy = proxy(redis.address(), |upstream| upstream);
    let mut client = RawClient::connect(proxy.address());
    client.ask(line("WATCH x"));
    client.ask(line("UNWATCH"));
    // The dedicated connection is idle now. The kill also closes the multiplexed connection.
    let mut direct = RawClient::connect(redis.address());
    direct.ask(line("CLIENT KILL TYPE normal SKIPME yes"));
    eventually(|| (client.ask(line("PING")) == "+PONG\r\n").then_some(()));
    assert_eq!(client.ask(line("WATCH x")), "+OK\r\n");
}
