//! A prefix that a proxy puts before all keys of its clients.

use thegiant::{
    App,
    proxy::{Proxy, Upstream},
};

use crate::support::{ANY_PORT, Process, RawClient, Served, eventually, line, lines};

fn proxy(redis: &Process, prefix: &'static str) -> Served {
    let address = redis.address().to_owned();
    let app = move || {
        App::new().proxy_per_worker(move || Proxy::from(Upstream::new(address.clone())).prefix(prefix))
    };
    Served::with(app, |server| server.bind(ANY_PORT))
}

/// Starts a server, a proxy for `a:` with a client, and a client of the server.
fn start() -> (Process, Served, RawClient, RawClient) {
    let redis = Process::redis(&[]);
    let proxy = proxy(&redis, "a:");
    let [client, direct] = [proxy.address(), redis.address()].map(RawClient::connect);
    (redis, proxy, client, direct)
}

#[test]
fn tenants_share_a_server_and_do_not_see_each_other() {
    let (redis, _first, mut a, mut direct) = start();
    let second = proxy(&redis, "b[*]:");
    let mut b = RawClient::connect(second.address());
    a.send(lines("SET k 1 \n MSET x 1 y 2 \n SET a:k 3"));
    assert_eq!(a.replies(3), "+OK\r\n+OK\r\n+OK\r\n");
    b.send(lines("SET k 2 \n GET k \n MGET x k \n DBSIZE \n RANDOMKEY \n KEYS * \n SCAN 0 COUNT 100"));
    let all = "*1\r\n$1\r\nk\r\n";
    assert_eq!(b.replies(5), "+OK\r\n$1\r\n2\r\n*2\r\n$-1\r\n$1\r\n2\r\n:1\r\n$1\r\nk\r\n");
    assert_eq!(b.replies(2), format!("{all}*2\r\n$1\r\n0\r\n{all}"));
    assert_eq!(a.ask(line("DBSIZE")), ":4\r\n");
    assert_eq!(a.ask(line("KEYS a:*")), "*1\r\n$3\r\na:k\r\n");
    assert_eq!(a.ask(line("SCAN 0 match x COUNT 100")), "*2\r\n$1\r\n0\r\n*1\r\n$1\r\nx\r\n");
    assert_eq!(direct.ask(line("EXISTS a:k a:x a:y a:a:k b[*]:k")), ":5\r\n");
    b.ask(line("DEL k"));
    assert_eq!(b.ask(line("RANDOMKEY")), "$-1\r\n");
    assert_eq!(direct.ask(line("DBSIZE")), ":4\r\n");
}

#[test]
fn replies_contain_keys_without_the_prefix() {
    let (_redis, proxy, mut client, _) = start();
    let mut other = RawClient::connect(proxy.address());
    client.send(line("BLPOP list 0"));
    other.ask(line("RPUSH list x y z"));
    assert_eq!(client.reply(), "*2\r\n$4\r\nlist\r\n$1\r\nx\r\n");
    assert_eq!(client.ask(line("LMPOP 2 none list LEFT")), "*2\r\n$4\r\nlist\r\n*1\r\n$1\r\ny\r\n");
    other.ask(line("ZADD zset 1 m"));
    assert_eq!(client.ask(line("BZPOPMIN zset 0")), "*3\r\n$4\r\nzset\r\n$1\r\nm\r\n$1\r\n1\r\n");
    other.ask(line("XADD stream 1-1 f v"));
    let entry = "*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n";
    let stream = |start: &str| format!("{start}$6\r\nstream\r\n{entry}");
    assert_eq!(client.ask(line("XREAD STREAMS stream 0")), stream("*1\r\n*2\r\n"));
    client.ask(line("XGROUP CREATE stream g 0"));
    let read = "XREADGROUP GROUP g STREAMS STREAMS stream >";
    assert_eq!(client.ask(line(read)), stream("*1\r\n*2\r\n"));
    client.ask(line("HELLO 3"));
    assert_eq!(client.ask(line("XREAD STREAMS stream 0")), stream("%1\r\n"));
}

#[test]
fn transactions_and_watched_keys_have_the_prefix() {
    let (_redis, _proxy, mut client, mut direct) = start();
    client.ask(line("SET k x"));
    for request in ["WATCH k", "MULTI", "KEYS *", "SET k y"] {
        client.ask(line(request));
    }
    assert_eq!(client.ask(line("EXEC")), "*2\r\n*1\r\n$1\r\nk\r\n+OK\r\n");
    client.ask(line("WATCH k"));
    direct.ask(line("SET a:k z"));
    client.send(lines("MULTI \n GET k \n EXEC \n MULTI \n FLUSHALL \n EXEC"));
    assert_eq!(client.replies(3), "+OK\r\n+QUEUED\r\n*-1\r\n");
    assert_eq!(client.reply(), "+OK\r\n");
    assert!(client.reply().starts_with(b"-NOPERM FLUSHALL "));
    assert!(client.reply().starts_with(b"-EXECABORT "));
}

#[test]
fn options_with_keys_have_the_prefix() {
    let (_redis, _proxy, mut client, mut direct) = start();
    client.send(lines("RPUSH l 2 1 \n MSET w_1 2 w_2 1 o_1 one o_2 two \n GEOADD g 1 1 m"));
    client.replies(3);
    assert_eq!(
        client.ask(line("SORT l BY w_* GET o_* GET #")),
        "*4\r\n$3\r\ntwo\r\n$1\r\n2\r\n$3\r\none\r\n$1\r\n1\r\n"
    );
    for request in [
        "SORT l STORE x STORE #",
        "GEORADIUS g 1 1 1 km STORE x STORE y",
        "GEORADIUSBYMEMBER g m 1 km STOREDIST x STOREDIST y",
        "ZUNIONSTORE x 1 g",
        "COPY g x2",
    ] {
        assert!(client.ask(line(request)).starts_with(b":"), "{request}");
    }
    let keys = String::from_utf8_lossy(&direct.ask(line("KEYS *"))).into_owned();
    assert!(keys.lines().skip(2).step_by(2).all(|key| key.starts_with("a:")), "{keys}");
}

#[test]
fn commands_that_reach_other_keys_are_refused() {
    let (_redis, _proxy, mut client, mut direct) = start();
    direct.ask(line("SET k x"));
    for request in [
        "FLUSHALL",
        "FLUSHDB",
        "SWAPDB 0 1",
        "EVAL return{} 0",
        "EVAL_RO return{} 1 k",
        "FCALL f 0",
        "SCRIPT LOAD x",
        "FUNCTION LIST",
        "PUBLISH c x",
        "SPUBLISH c x",
        "SUBSCRIBE c",
        "PSUBSCRIBE *",
        "SSUBSCRIBE c",
        "SUBSCRIBE __redis__:invalidate c",
        "PUBSUB CHANNELS",
        "MIGRATE h 1 k 0 1",
        "FT.SEARCH i k",
        "SAVE",
        "KEYS",
        "DEBUG OBJECT k",
        "UNKNOWN k",
    ] {
        let reply = client.ask(line(request));
        let name = request.split(' ').next().unwrap_or_default();
        assert_eq!(reply, format!("-NOPERM {name} is not available with a prefix for keys\r\n"));
    }
    assert_eq!(direct.ask(line("GET k")), "$1\r\nx\r\n");
    assert_eq!(client.ask(line("PING")), "+PONG\r\n");
}

#[test]
fn invalidations_have_no_prefix() {
    let (_redis, _proxy, mut client, mut direct) = start();
    client.send(lines("HELLO 3 \n CLIENT TRACKING ON"));
    client.replies(2);
    eventually(|| {
        client.ask(line("GET probe"));
        let is_quiet = client.ask(line("PING")) == "+PONG\r\n";
        if !is_quiet {
            client.reply();
        }
        is_quiet.then_some(())
    });
    client.ask(line("GET k"));
    direct.ask(line("SET k x"));
    direct.ask(line("SET a:k x"));
    assert_eq!(client.reply(), ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n");
    assert_eq!(client.ask(line("PING")), "+PONG\r\n");
}
