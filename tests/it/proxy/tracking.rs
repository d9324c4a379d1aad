//! `CLIENT TRACKING` of keys that upstreams own.

use thegiant::{
    App,
    proxy::{Proxy, Route, Router, Servers, Upstream, UpstreamRequest},
};

use crate::support::{ANY_PORT, Process, RawClient, Served, eventually, info, line, lines};

/// Routes by the first digit of the key, which is the number of its server.
struct Numbered;

impl Router for Numbered {
    fn route(&mut self, request: &UpstreamRequest<'_>, _: &mut Servers) -> Route {
        match request.keys().next().and_then(<[u8]>::first) {
            Some(b'1') => Route::To(1),
            _ => Route::To(0),
        }
    }
}

/// Starts a proxy with workers in front of two servers.
fn start_with(workers: u16) -> ([Process; 2], Served) {
    let processes = [(); 2].map(|()| Process::redis(&["--enable-debug-command", "yes"]));
    let addresses = processes.each_ref().map(|process| process.address().to_owned());
    let app = move || {
        App::new()
            .proxy_per_worker(move || Proxy::new(Numbered).upstreams(addresses.clone().map(Upstream::new)))
    };
    let proxy = Served::with(app, move |server| server.workers(workers).bind(ANY_PORT));
    (processes, proxy)
}

fn start() -> ([Process; 2], Served) {
    start_with(1)
}

/// Returns the text of an invalidation of these keys.
fn invalidation(keys: &[&str]) -> String {
    let keys: Vec<String> = keys.iter().map(|key| format!("${}\r\n{key}\r\n", key.len())).collect();
    format!(">2\r\n$10\r\ninvalidate\r\n*{}\r\n{}", keys.len(), keys.concat())
}

const ALL: &str = ">2\r\n$10\r\ninvalidate\r\n_\r\n";

/// Connects a client with RESP3 that tracks keys, and waits until the upstreams report their changes.
fn tracker(proxy: &Served) -> RawClient {
    let mut client = RawClient::connect(proxy.address());
    client.ask(line("HELLO 3"));
    assert_eq!(client.ask(line("CLIENT TRACKING ON")), "+OK\r\n");
    eventually(|| {
        assert_eq!(client.ask(line("GET probe")), "_\r\n");
        let reply = client.ask(line("PING"));
        if reply == "+PONG\r\n" {
            return Some(());
        }
        assert_eq!(reply, invalidation(&["probe"]));
        assert_eq!(client.reply(), "+PONG\r\n");
        None
    });
    client
}

/// Asserts that a client gets no invalidation.
fn is_quiet(client: &mut RawClient) {
    assert_eq!(client.ask(line("PING")), "+PONG\r\n");
    assert!(client.is_silent());
}

#[test]
fn a_client_gets_the_invalidations_of_keys_that_it_has_read() {
    let (processes, proxy) = start();
    let mut direct = processes.each_ref().map(|process| RawClient::connect(process.address()));
    direct[0].ask(line("SET 0a x"));
    direct[1].ask(line("SET 1a x"));
    let [mut client, mut witness] = [(); 2].map(|()| tracker(&proxy));
    let mut other = RawClient::connect(proxy.address());
    client.send(lines("GET 0a \n MGET 1a \n GET 0none"));
    assert_eq!(client.replies(3), "$1\r\nx\r\n*1\r\n$1\r\nx\r\n_\r\n");
    direct[1].ask(line("DEL 1a"));
    assert_eq!(client.reply(), invalidation(&["1a"]));
    // A key expires. The witness knows when the write before has been reported.
    witness.send(lines("CLIENT TRACKING OFF \n CLIENT TRACKING ON BCAST PREFIX 1expires"));
    witness.replies(2);
    let mut keys = (0..).map(|number| format!("1expires{number}"));
    let key = eventually(|| {
        let key = keys.next()?;
        direct[1].ask(line(&format!("SET {key} x PX 200")));
        while witness.reply() != invalidation(&[&key]) {}
        (client.ask(line(&format!("GET {key}"))) == "$1\r\nx\r\n").then_some(key)
    });
    assert_eq!(client.reply(), invalidation(&[&key]));
    for name in ["0a", "0none", "1b"] {
        client.ask(line(&format!("GET {name}")));
    }
    // Another client of the proxy, a client of the server, a client that writes several keys.
    other.ask(line("SET 0a y"));
    assert_eq!(client.reply(), invalidation(&["0a"]));
    direct[0].ask(line("SET 0a z"));
    direct[0].ask(line("SET 0none z"));
    assert_eq!(client.reply(), invalidation(&["0none"]));
    direct[1].ask(line("MSET 1c y 1b y"));
    assert_eq!(client.reply(), invalidation(&["1b"]));
    client.ask(line("GET 0a"));
    direct[1].ask(line("FLUSHALL"));
    assert_eq!(client.reply(), ALL);
    is_quiet(&mut client);
    assert_eq!(client.ask(line("CLIENT TRACKING OFF")), "+OK\r\n");
    client.ask(line("GET 0a"));
    direct[0].ask(line("SET 0a x"));
    is_quiet(&mut client);
}

/// The invalidations of one server arrive while the replies of another one are missing.
#[test]
fn an_invalidation_follows_the_old_value() {
    let (processes, proxy) = start();
    let mut direct = RawClient::connect(processes[0].address());
    direct.ask(line("SET 0a old"));
    let [mut client, mut witness] = [(); 2].map(|()| tracker(&proxy));
    assert_eq!(witness.ask(line("GET 0a")), "$3\r\nold\r\n");
    let mut gets = || info(&mut direct, "commandstats").text("cmdstat_get").to_owned();
    let before = gets();
    processes[1].signal("STOP");
    client.send(lines("GET 0a \n GET 1a"));
    eventually(|| (gets() != before).then_some(()));
    direct.ask(line("SET 0a new"));
    assert_eq!(witness.reply(), invalidation(&["0a"]));
    assert!(client.is_silent());
    processes[1].signal("CONT");
    assert_eq!(client.replies(2), "$3\r\nold\r\n_\r\n");
    assert_eq!(client.reply(), invalidation(&["0a"]));
}

#[test]
fn a_lost_connection_invalidates_everything() {
    let (processes, proxy) = start();
    let mut client = tracker(&proxy);
    let mut direct = RawClient::connect(processes[1].address());
    client.ask(line("GET 0a"));
    direct.ask(line("CLIENT KILL TYPE normal SKIPME yes"));
    assert_eq!(client.reply(), ALL);
    // Later reads are tracked again.
    let mut client = tracker(&proxy);
    client.ask(line("GET 1a"));
    direct.ask(line("SET 1a x"));
    assert_eq!(client.reply(), invalidation(&["1a"]));
}

#[test]
fn a_client_must_not_keep_keys_whose_changes_are_unknown() {
    let process = Process::redis(&["--rename-command", "CLIENT", ""]);
    let upstream = Upstream::new(process.address());
    let proxy = Served::start(move || App::new().proxy(upstream.start()));
    let mut client = RawClient::connect(proxy.address());
    client.ask(line("HELLO 3"));
    client.ask(line("CLIENT TRACKING ON"));
    eventually(|| {
        assert_eq!(client.ask(line("GET a")), "_\r\n");
        // In the first moment, nothing is known about the keys.
        (client.reply() == invalidation(&["a"])).then_some(())
    });
    assert_eq!(client.ask(line("MGET a b")), "*2\r\n_\r\n_\r\n");
    assert_eq!(client.reply(), invalidation(&["a", "b"]));
    client.send(lines("CLIENT TRACKING OFF \n CLIENT TRACKING ON BCAST PREFIX b"));
    client.replies(2);
    client.ask(line("MGET a b"));
    assert_eq!(client.reply(), invalidation(&["b"]));
}

#[test]
fn the_options_of_tracking_apply() {
    let (processes, proxy) = start();
    let _feed = tracker(&proxy);
    let mut direct = RawClient::connect(processes[0].address());
    let mut connect = |options: &str| {
        let mut client = RawClient::connect(proxy.address());
        client.send(lines(&format!("HELLO 3 \n CLIENT TRACKING ON {options}")));
        client.replies(2);
        client
    };
    let [mut opt_in, mut opt_out, mut broadcast] =
        ["OPTIN", "OPTOUT NOLOOP", "BCAST PREFIX 0a PREFIX 0x"].map(&mut connect);
    let reads = "GET 0a \n CLIENT CACHING YES \n GET 0b \n GET 0c \n CLIENT CACHING YES \n GET 0d";
    opt_in.send(lines(reads));
    opt_in.replies(6);
    opt_out.send(lines(&reads.replace("YES", "NO")));
    opt_out.replies(6);
    // One key for each invalidation.
    for name in ["0a", "0b", "0c", "0d", "0end"] {
        direct.ask(line(&format!("SET {name} x")));
        direct.ask(line("GET x"));
    }
    assert_eq!(opt_in.replies(2), [invalidation(&["0b"]), invalidation(&["0d"])].concat());
    assert_eq!(opt_out.replies(2), [invalidation(&["0a"]), invalidation(&["0c"])].concat());
    assert_eq!(broadcast.reply(), invalidation(&["0a"]));
    for client in [&mut opt_in, &mut opt_out, &mut broadcast] {
        is_quiet(client);
    }
}

#[test]
fn a_client_with_resp2_redirects_its_invalidations() {
    let (processes, proxy) = start();
    let _feed = tracker(&proxy);
    let [mut client, mut receiver] = [(); 2].map(|()| RawClient::connect(proxy.address()));
    let id = receiver.id();
    receiver.ask(line("SUBSCRIBE __redis__:invalidate"));
    assert_eq!(client.ask(line(&format!("CLIENT TRACKING ON REDIRECT {id}"))), "+OK\r\n");
    assert_eq!(client.ask(line("CLIENT GETREDIR")), format!(":{id}\r\n"));
    client.ask(line("GET 1a"));
    RawClient::connect(processes[1].address()).ask(line("SET 1a x"));
    let message = "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n$2\r\n1a\r\n";
    assert_eq!(receiver.reply(), message);
}

#[test]
fn the_reads_of_transactions_are_tracked_when_they_run() {
    let (processes, proxy) = start();
    let mut client = tracker(&proxy);
    let mut direct = RawClient::connect(processes[0].address());
    // All at once.
    client.send(lines("MULTI \n GET 0a \n EXEC"));
    assert_eq!(client.replies(3), "+OK\r\n+QUEUED\r\n*1\r\n_\r\n");
    direct.ask(line("SET 0a x"));
    assert_eq!(client.reply(), invalidation(&["0a"]));
    // One by one: the key changes before it is read, and afterwards.
    for request in ["WATCH 0w", "MULTI", "GET 0a", "SET 0b x"] {
        client.ask(line(request));
    }
    direct.ask(line("SET 0a y"));
    assert_eq!(client.ask(line("EXEC")), "*2\r\n$1\r\ny\r\n+OK\r\n");
    direct.ask(line("SET 0a z"));
    assert_eq!(client.reply(), invalidation(&["0a"]));
    // A read over a dedicated connection.
    client.ask(line("WATCH 0w"));
    client.ask(line("GET 0a"));
    direct.ask(line("SET 0a x"));
    assert_eq!(client.reply(), invalidation(&["0a"]));
}

#[test]
fn a_client_must_not_keep_the_reply_to_a_blocking_read() {
    let (processes, proxy) = start();
    let mut client = tracker(&proxy);
    client.send(line("XREAD BLOCK 0 STREAMS 0s $"));
    let mut direct = RawClient::connect(processes[0].address());
    eventually(|| {
        direct.ask(line("XADD 0s 1-* f v"));
        (!client.is_silent()).then_some(())
    });
    assert!(client.reply().starts_with(b"%1\r\n$2\r\n0s\r\n"));
    assert_eq!(client.reply(), invalidation(&["0s"]));
}

#[test]
fn each_worker_reports_to_its_own_clients() {
    let (processes, proxy) = start_with(3);
    let mut direct = RawClient::connect(processes[1].address());
    let mut clients = [(); 3].map(|()| tracker(&proxy));
    let mut broadcasts = [(); 3].map(|()| {
        let mut client = RawClient::connect(proxy.address());
        client.send(lines("HELLO 3 \n CLIENT TRACKING ON BCAST"));
        client.replies(2);
        client
    });
    for _ in 0..2 {
        clients.iter_mut().for_each(|client| drop(client.ask(line("GET 1a"))));
        direct.ask(line("SET 1a x"));
        for client in clients.iter_mut().chain(&mut broadcasts) {
            assert_eq!(client.reply(), invalidation(&["1a"]));
        }
    }
    clients.iter_mut().chain(&mut broadcasts).for_each(is_quiet);
}
