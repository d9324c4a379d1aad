//! An upstream that is down, stops, and starts again.

use std::{thread, time::Duration};

use actix_rt::{
    System,
    time::{sleep, timeout},
};
use thegiant::{prelude::*, proxy::Upstream};

use super::server::{Place, kill, proxy};
use crate::support::{Folder, PATIENCE, Process, RawClient, Served, eventually, info, line, lines, request};

/// Sends `PING` until the upstream replies.
fn ask_until_up(client: &mut RawClient) {
    eventually(|| (client.ask(line("PING")) == "+PONG\r\n").then_some(()));
}

#[test]
fn a_lost_upstream_fails_commands_in_flight_and_later_ones_are_not_sent() {
    let place = Place::new();
    let (upstream, asks) = place.open();
    let proxy = proxy(&place.address(), |upstream| upstream);
    let mut client = RawClient::connect(proxy.address());
    client.send(lines("PING \n HOLD first \n HOLD second"));
    assert_eq!(asks.recv().as_deref(), Ok("first"));
    let [mut other, mut bystander] = [(); 2].map(|()| RawClient::connect(proxy.address()));
    other.send(line("HOLD other"));
    eventually(|| (info(&mut bystander, "upstream").number("upstream_commands") == 4).then_some(()));
    kill(upstream);

    let lost = format!(
        "-UPSTREAM {} was lost (it has closed the connection) before it replied: the command may have been run\r\n",
        place.address()
    );
    assert_eq!(client.replies(3), ["+PONG\r\n", &lost, &lost].concat());
    assert_eq!(other.reply(), lost);
    let down = client.ask(line("GET x"));
    let start = format!("-UPSTREAMDOWN {} cannot be reached (", place.address());
    assert!(
        down.starts_with(start.as_bytes()) && down.ends_with(b"): the command was not sent\r\n"),
        "{down:?}"
    );

    let (_upstream, _asks) = place.open();
    ask_until_up(&mut client);
    let told = info(&mut client, "upstream");
    assert_eq!(
        (told.number("upstream_commands_lost"), told.text("upstream_address")),
        (3, &place.address()[..])
    );
    assert!(told.number("upstream_commands_unsent") > 0);
    assert_eq!((told.number("upstream_connections"), told.number("upstream_private_connections")), (1, 0));
}

#[test]
fn the_upstream_may_start_after_the_proxy() {
    let place = Place::new();
    let proxy = proxy(&place.address(), |upstream| upstream);
    let mut client = RawClient::connect(proxy.address());
    let expected = format!(
        "-UPSTREAMDOWN {} cannot be reached (no such file or directory): the command was not sent\r\n",
        place.address()
    );
    assert_eq!(client.ask(line("GET x")), expected);
    // A command on a dedicated connection fails too.
    assert_eq!(client.ask(line("BLPOP x 0")), expected);
    assert_eq!(client.ask(line("CLIENT GETNAME")), "$-1\r\n");
    let (_upstream, _asks) = place.open();
    ask_until_up(&mut client);
}

#[test]
fn a_silent_upstream_exceeds_the_reply_timeout() {
    let place = Place::new();
    let (_upstream, asks) = place.open();
    let proxy = proxy(&place.address(), |upstream| upstream.reply_timeout(Duration::from_secs(1)));
    let mut client = RawClient::connect(proxy.address());
    client.send(line("HOLD it"));
    let reply = client.reply();
    assert!(asks.recv().is_ok());
    let reply = String::from_utf8_lossy(&reply).into_owned();
    assert!(reply.contains("(nothing has come from it for 1 s)"), "{reply}");
    ask_until_up(&mut client);
}

#[test]
fn a_silent_upstream_exceeds_the_reply_timeout_on_a_dedicated_connection() {
    let redis = Process::redis(&[]);
    let proxy = proxy(redis.address(), |upstream| upstream.reply_timeout(Duration::from_secs(1)));
    let mut client = RawClient::connect(proxy.address());
    assert_eq!(client.ask(line("WATCH x")), "+OK\r\n");
    redis.signal("STOP");
    let reply = String::from_utf8_lossy(&client.ask(line("GET x"))).into_owned();
    assert!(reply.contains("(nothing has come from it for 1 s)"), "{reply}");
    redis.signal("CONT");
}

#[test]
fn the_reply_timeout_may_be_a_fraction_of_a_second() {
    let redis = Process::redis(&[]);
    let served = |millis| proxy(redis.address(), move |up| up.reply_timeout(Duration::from_millis(millis)));
    let (brief, longer) = (served(500), served(1001));
    let [mut brief, mut longer] = [&brief, &longer].map(|served| RawClient::connect(served.address()));
    assert_eq!(brief.ask(line("WATCH x")), "+OK\r\n");
    assert_eq!(longer.ask(line("PING")), "+PONG\r\n");
    redis.signal("STOP");
    for (client, seconds) in [(&mut brief, "0.5"), (&mut longer, "2")] {
        let reply = String::from_utf8_lossy(&client.ask(line("GET x"))).into_owned();
        assert!(reply.contains(&format!("(nothing has come from it for {seconds} s)")), "{reply}");
    }
    redis.signal("CONT");
}

#[test]
fn the_proxy_pings_an_idle_upstream() {
    let redis = Process::redis(&[]);
    let proxy = proxy(redis.address(), |upstream| upstream.reply_timeout(Duration::from_secs(1)));
    let mut client = RawClient::connect(proxy.address());
    assert_eq!(client.ask(line("PING")), "+PONG\r\n");
    // The stopped process keeps its connections open, but does not reply.
    redis.signal("STOP");
    let down = |client: &mut RawClient| info(client, "upstream").number("upstream_connections") == 0;
    eventually(|| down(&mut client).then_some(()));
    assert!(client.ask(line("PING")).starts_with(b"-UPSTREAMDOWN "));
    redis.signal("CONT");
    ask_until_up(&mut client);
}

#[test]
fn a_lost_upstream_disconnects_subscribers_and_fails_transactions() {
    let place = Place::new();
    let (upstream, asks) = place.open();
    let proxy = proxy(&place.address(), |upstream| upstream);
    let [mut listener, mut writer, mut waiting] = [(); 3].map(|()| RawClient::connect(proxy.address()));
    listener.ask(line("SUBSCRIBE news"));
    writer.ask(line("WATCH x"));
    writer.ask(line("MULTI"));
    waiting.send(line("WAITFOR it"));
    let clients = |proxy: &Served| {
        let mut client = RawClient::connect(proxy.address());
        info(&mut client, "upstream").number("upstream_private_connections")
    };
    eventually(|| (clients(&proxy) == 3).then_some(()));
    assert_eq!(asks.recv().as_deref(), Ok("it"));
    kill(upstream);
    assert_eq!(listener.rest(), "");
    assert!(waiting.reply().starts_with(b"-UPSTREAM "));
    // No command of the transaction may run outside the transaction.
    assert!(writer.ask(line("SET x 1")).starts_with(b"-UPSTREAM "));
    let (_upstream, _asks) = place.open();
    ask_until_up(&mut waiting);
    for request in ["SET x 1", "PING", "UNWATCH", "EXEC"] {
        let reply = String::from_utf8_lossy(&writer.ask(line(request))).into_owned();
        assert!(
            reply.ends_with("was lost: its watched keys and its transaction are gone\r\n"),
            "{request}: {reply}"
        );
    }
    assert_eq!(writer.ask(line("PING")), "+PONG\r\n");
}

#[test]
fn the_error_contains_the_reply_to_a_wrong_password() {
    let redis = Process::redis(&["--requirepass", "secret"]);
    let wrong = proxy(redis.address(), |upstream| upstream.password("wrong"));
    let mut client = RawClient::connect(wrong.address());
    let reply = client.ask(line("GET x"));
    let expected = "cannot be reached (WRONGPASS invalid username-password pair or user is disabled.)";
    assert!(String::from_utf8_lossy(&reply).contains(expected), "{reply:?}");

    let none = proxy(redis.address(), |upstream| upstream);
    let reply = RawClient::connect(none.address()).ask(line("GET x"));
    assert!(String::from_utf8_lossy(&reply).contains("(NOAUTH Authentication required.)"), "{reply:?}");

    for with_user in [false, true] {
        let right = proxy(redis.address(), move |upstream| {
            let upstream = upstream.password("secret");
            if with_user { upstream.user("default") } else { upstream }
        });
        let mut client = RawClient::connect(right.address());
        assert_eq!(client.ask(line("GET x")), "$-1\r\n");
        client.ask(line("HELLO 3"));
        assert_eq!(client.ask(line("GET x")), "_\r\n");
    }
}

#[test]
fn a_failed_exec_ends_the_transaction() {
    let redis = Process::redis(&[]);
    let proxy = proxy(redis.address(), |upstream| upstream.reply_timeout(Duration::from_secs(1)));
    let mut client = RawClient::connect(proxy.address());
    for request in ["WATCH x", "MULTI", "SET x 1"] {
        assert!(client.ask(line(request)).starts_with(b"+"), "{request}");
    }
    redis.signal("STOP");
    assert!(client.ask(line("EXEC")).starts_with(b"-UPSTREAM "));
    redis.signal("CONT");
    ask_until_up(&mut client);
    assert!(client.ask(line("GET x")).starts_with(b"$"));
    assert_eq!(info(&mut client, "upstream").number("upstream_private_connections"), 0);
}

#[test]
fn a_transaction_without_a_connection_runs_no_command() {
    let redis = Process::redis(&[]);
    let proxy = proxy(redis.address(), |upstream| upstream);
    let [mut operator, mut client] = [redis.address(), proxy.address()].map(RawClient::connect);
    assert_eq!(client.ask(line("GET a")), "$-1\r\n");
    // The server accepts no new connection now.
    assert_eq!(operator.ask(line("CONFIG SET maxclients 1")), "+OK\r\n");
    client.send(lines("MULTI \n SET a 1"));
    assert_eq!(client.reply(), "+OK\r\n");
    let reply = String::from_utf8_lossy(&client.reply()).into_owned();
    assert!(reply.contains("(ERR max number of clients reached)"), "{reply}");
    client.send(lines("SET b 1 \n EXEC \n MGET a b"));
    for request in ["SET b", "EXEC"] {
        assert!(client.reply().starts_with(b"-UPSTREAM "), "{request}");
    }
    assert_eq!(client.reply(), "*2\r\n$-1\r\n$-1\r\n");
    assert_eq!(operator.ask(line("CONFIG SET maxclients 100")), "+OK\r\n");
    for (request, reply) in [("MULTI", "+OK\r\n"), ("SET a 2", "+QUEUED\r\n"), ("EXEC", "*1\r\n+OK\r\n")] {
        assert_eq!(client.ask(line(request)), reply, "{request}");
    }
}

/// An upstream that is still loading its data.
struct Loading {
    pings: usize,
}

impl Actor for Loading {
    type Context = Context<Self>;
}

#[commands]
impl Loading {
    /// Succeeds at the third call.
    #[command("PING")]
    fn ping(&mut self) -> Result<Simple, Error> {
        self.pings += 1;
        if self.pings < 3 { Err(Error::new("LOADING", "it takes a while")) } else { Ok(Simple("PONG")) }
    }
}

#[test]
fn a_loading_upstream_counts_as_down() {
    let place = Folder::new();
    let address = place.socket("upstream.sock");
    let at = address.clone();
    let _upstream =
        Served::with(|| App::new().mount(Loading { pings: 0 }.start()), move |server| server.bind(at));
    let proxy = proxy(&address, |upstream| upstream);
    let mut client = RawClient::connect(proxy.address());
    let reply = String::from_utf8_lossy(&client.ask(line("PING"))).into_owned();
    assert!(reply.starts_with("-UPSTREAMDOWN ") && reply.contains("(LOADING it takes a while)"), "{reply}");
    ask_until_up(&mut client);
}

/// A worker may take a job over such a connection. Its next command must not find the upstream down.
#[test]
fn a_connection_of_one_client_shows_that_the_upstream_is_up() {
    let dedicated = line("SUBSCRIBE news");
    let isolated = request(["ECHO", &"x".repeat(1_000_000)]);
    let served = [dedicated, isolated].map(|request| {
        let place = Place::new();
        let proxy = proxy(&place.address(), |upstream| upstream);
        (request, place, proxy)
    });
    // The attempts to connect become rare.
    thread::sleep(Duration::from_secs(3));
    for (request, place, proxy) in served {
        let [mut client, mut other] = [(); 2].map(|()| RawClient::connect(proxy.address()));
        assert!(other.ask(line("PING")).starts_with(b"-UPSTREAMDOWN "));
        let (_upstream, _asks) = place.open();
        eventually(|| (!client.ask(&request).starts_with(b"-")).then_some(()));
        assert_eq!(other.ask(line("PING")), "+PONG\r\n");
    }
}

#[test]
fn a_proxy_without_handles_ends() {
    let redis = Process::redis(&[]);
    let mut direct = RawClient::connect(redis.address());
    let mut clients = || info(&mut direct, "clients").number("connected_clients");
    System::new().block_on(async {
        let handle = Upstream::new(redis.address()).start();
        assert_eq!(handle.call(["PING"]).await, Ok(Value::Simple("PONG".to_owned())));
        assert_eq!(clients(), 2);
        drop(handle);
        let ended = async {
            while clients() > 1 {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, ended).await.expect("the proxy ends");
    });
}

#[test]
fn a_whole_transaction_for_an_upstream_that_is_down_is_aborted() {
    let place = Place::new();
    let proxy = proxy(&place.address(), |upstream| upstream);
    let mut client = RawClient::connect(proxy.address());
    let is_down = |reply: &[u8]| reply.starts_with(b"-UPSTREAMDOWN ");
    eventually(|| is_down(&client.ask(line("PING"))).then_some(()));
    client.send(lines("MULTI \n SET a 1 \n EXEC \n MULTI \n SET a 1 \n DISCARD \n GET a"));
    assert!(is_down(&client.reply()) && is_down(&client.reply()));
    assert_eq!(client.reply(), "-EXECABORT Transaction discarded because of previous errors.\r\n");
    assert!(is_down(&client.reply()) && is_down(&client.reply()));
    assert_eq!(client.reply(), "+OK\r\n");
    assert!(is_down(&client.reply()));
}
