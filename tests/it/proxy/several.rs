//! Several upstreams, and a router that chooses one for each request.

use std::{thread, time::Duration};

use thegiant::{
    prelude::*,
    proxy::{ErrorReply, Proxy, Redirect, Route, Router, Servers, Split, Upstream, UpstreamRequest},
};

use super::{hostile, server::converse};
use crate::support::{ANY_PORT, Folder, Process, RawClient, Served, eventually, info, line, lines, request};

/// Routes by the first digit of the key, which is the index of its server. While that server is down, uses the next one.
struct Numbered;

impl Router for Numbered {
    fn route(&mut self, request: &UpstreamRequest<'_>, servers: &mut Servers) -> Route {
        let number = |key: &[u8]| usize::from(key.first().copied().unwrap_or_default().wrapping_sub(b'0'));
        let mut numbers = request.keys().map(number);
        let Some(first) = numbers.next() else {
            return match request.is("DBSIZE") {
                true => Route::Split(Split::new((0..servers.len()).map(|server| (server, ["DBSIZE"])), sum)),
                false => Route::Any,
            };
        };
        if numbers.any(|number| number != first) {
            return Error::err("that is not together").into();
        }
        Route::To(if servers.is_up(first) || first >= servers.len() {
            first
        } else {
            (first + 1) % servers.len()
        })
    }
}

fn sum(replies: Vec<Value>) -> Value {
    replies.iter().filter_map(Value::as_int).sum::<i64>().into()
}

/// Starts a proxy in front of these upstreams.
fn proxy(addresses: &[&str], router: impl Router + Send) -> Served {
    let addresses: Vec<String> = addresses.iter().map(|address| (*address).to_owned()).collect();
    let app =
        || App::new().proxy(Proxy::new(router).upstreams(addresses.into_iter().map(Upstream::new)).start());
    Served::with(app, |server| server.bind(ANY_PORT))
}

fn two() -> ([Process; 2], Served) {
    let upstreams = [(); 2].map(|()| Process::redis(&[]));
    let proxy = proxy(&[upstreams[0].address(), upstreams[1].address()], Numbered);
    (upstreams, proxy)
}

#[test]
fn replies_keep_the_order_of_the_requests() {
    let (upstreams, proxy) = two();
    let address = proxy.address();
    // A request goes to the same server as the previous one, or to the other server.
    let key = |number: usize, at: usize, round: usize| format!("{}:{number}:{at}", (at * at / 3 + round) % 2);
    let work = |number| converse(address, number, 9000, |at, round| key(number, at, round));
    thread::scope(|scope| (0..20).for_each(|number| drop(scope.spawn(move || work(number)))));
    for upstream in &upstreams {
        let mut client = RawClient::connect(upstream.address());
        assert!(info(&mut client, "keyspace").text("db0").starts_with("keys="), "each has had some");
    }
}

#[test]
fn a_slow_upstream_does_not_delay_others() {
    let (upstreams, proxy) = two();
    let [mut slow, mut quick] = [(); 2].map(|()| RawClient::connect(proxy.address()));
    slow.ask(line("SET 0:a 1"));
    upstreams[0].signal("STOP");
    slow.send(lines("GET 1:a \n GET 0:a \n GET 1:a"));
    assert_eq!(quick.ask(line("SET 1:b 2")), "+OK\r\n");
    assert!(slow.is_silent());
    upstreams[0].signal("CONT");
    // The replies of the other server waited for their turn.
    assert_eq!(slow.replies(3), "$-1\r\n$1\r\n1\r\n$-1\r\n");
}

#[test]
fn a_router_can_split_requests_and_reply_itself() {
    let (_upstreams, proxy) = two();
    let mut client = RawClient::connect(proxy.address());
    client.send(lines("MSET 0:a 1 0:b 2 \n SET 1:a 3 \n DBSIZE \n MGET 0:a 1:a \n GET 7:a \n DBSIZE"));
    let expected = "+OK\r\n+OK\r\n:3\r\n-ERR that is not together\r\n-ERR internal error\r\n:3\r\n";
    assert_eq!(client.replies(6), expected);
}

#[test]
fn unsent_requests_go_to_another_upstream() {
    let (mut upstreams, proxy) = two();
    let mut client = RawClient::connect(proxy.address());
    assert_eq!(client.ask(line("SET 0:first 1")), "+OK\r\n");
    upstreams[0].signal("STOP");
    // More than the sockets and the send buffer of the proxy hold.
    let value = "x".repeat(100_000);
    let mut clients: Vec<RawClient> = (0..150)
        .map(|number| {
            let mut client = RawClient::connect(proxy.address());
            client.send(request(["SET", &format!("0:{number}"), &value]));
            client
        })
        .collect();
    let [sent, _] = &mut upstreams;
    eventually(|| (info(&mut client, "upstream").number("upstream_commands") > 40).then_some(()));
    sent.signal("KILL");
    let replies: Vec<_> = clients.iter_mut().map(RawClient::reply).collect();
    let lost = replies.iter().filter(|reply| reply.starts_with(b"-UPSTREAM ")).count();
    let kept = replies.iter().filter(|reply| **reply == "+OK\r\n").count();
    assert_eq!(lost + kept, 150, "{:?}", replies.iter().find(|reply| reply.starts_with(b"-UPSTREAMDOWN")));
    assert!(lost > 0 && kept > 0, "{lost} lost, {kept} kept");
    let mut other = RawClient::connect(upstreams[1].address());
    assert_eq!(other.ask(line("DBSIZE")), format!(":{kept}\r\n"));
    assert_eq!(info(&mut client, "upstream").number("upstream_commands_lost"), lost as u64);
}

#[test]
fn a_transaction_uses_one_upstream() {
    let (upstreams, proxy) = two();
    let mut client = RawClient::connect(proxy.address());
    // First as a pipeline, then one command after the other.
    client.send(lines("MULTI \n PING \n SET 1:a 1 \n GET 1:a \n EXEC"));
    assert_eq!(
        client.replies(5),
        "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n+PONG\r\n+OK\r\n$1\r\n1\r\n"
    );
    for (request, expected) in [
        ("MULTI", "+OK\r\n"),
        ("INCR 1:a", "+QUEUED\r\n"),
        ("EXEC", "*1\r\n:2\r\n"),
        ("MULTI", "+OK\r\n"),
        ("DISCARD", "+OK\r\n"),
        ("MULTI", "+OK\r\n"),
        ("EXEC", "*0\r\n"),
        ("MULTI", "+OK\r\n"),
        ("MULTI", "-ERR MULTI calls can not be nested\r\n"),
        ("EXEC", "*0\r\n"),
    ] {
        assert_eq!(client.ask(line(request)), expected, "{request}");
    }
    let crossed = "-CROSSSLOT Keys '1:a' and '0:a' are on different servers or in different slots: \
                   give them a common {hash tag}\r\n";
    let aborted = "-EXECABORT Transaction discarded because of previous errors.\r\n";
    client.send(lines("MULTI \n SET 1:a x \n SET 0:a x \n EXEC \n GET 1:a"));
    assert_eq!(client.replies(5), ["+OK\r\n+QUEUED\r\n", crossed, aborted, "$1\r\n2\r\n"].concat());
    for (request, expected) in [
        ("WATCH 1:a", "+OK\r\n"),
        // Other keys than the watched ones go to their own server.
        ("SET 0:a 5", "+OK\r\n"),
        ("GET 0:a", "$1\r\n5\r\n"),
        ("WATCH 0:a", crossed),
        ("MULTI", "+OK\r\n"),
        ("GET 0:a", crossed),
        ("GET 1:a", "+QUEUED\r\n"),
        ("EXEC", aborted),
        ("GET 1:a", "$1\r\n2\r\n"),
    ] {
        assert_eq!(client.ask(line(request)), expected, "{request}");
    }
    let mut other = RawClient::connect(proxy.address());
    assert_eq!(client.ask(line("WATCH 1:a")), "+OK\r\n");
    other.ask(line("INCR 1:a"));
    client.send(lines("MULTI \n GET 1:a \n EXEC"));
    assert_eq!(client.replies(3), "+OK\r\n+QUEUED\r\n*-1\r\n");
    // No dedicated connection remains in use.
    assert_eq!(info(&mut client, "upstream").number("upstream_private_connections"), 0);
    drop(upstreams);
}

#[test]
fn a_blocking_command_goes_to_the_server_of_its_keys() {
    let (_upstreams, proxy) = two();
    let [mut waiting, mut client] = [(); 2].map(|()| RawClient::connect(proxy.address()));
    waiting.send(lines("BLPOP 1:list 0 \n BLPOP 0:list 0 \n GET 1:a"));
    assert!(waiting.is_silent());
    client.send(lines("RPUSH 0:list zero \n RPUSH 1:list one"));
    assert_eq!(waiting.reply(), "*2\r\n$6\r\n1:list\r\n$3\r\none\r\n");
    assert_eq!(waiting.reply(), "*2\r\n$6\r\n0:list\r\n$4\r\nzero\r\n");
    assert_eq!(waiting.reply(), "$-1\r\n");
    assert_eq!(client.ask(line("BLPOP 0:list 1:list 0")), ":1\r\n");
    assert_eq!(client.reply(), ":1\r\n");
    assert_eq!(client.reply(), "-ERR that is not together\r\n");
}

#[test]
fn another_upstream_replaces_one_that_is_down() {
    let places = [(); 2].map(|()| Folder::new());
    let addresses = places.each_ref().map(|place| place.socket("upstream.sock"));
    let stored = |address: &str| {
        let address = address.to_owned();
        Served::with(|| App::new().mount(Store(Vec::new()).start()), move |server| server.bind(address))
    };
    let [first, _second] = addresses.each_ref().map(|address| stored(address));
    let proxy = proxy(&[&addresses[0], &addresses[1]], Numbered);
    let mut client = RawClient::connect(proxy.address());
    assert_eq!(client.ask(line("PUT 0:a")), ":1\r\n");
    drop(first);
    // The second server has no keys yet.
    eventually(|| (client.ask(line("PUT 0:a")).starts_with(b":")).then_some(()));
    // The connection for RESP3 works too.
    client.ask(line("HELLO 3"));
    assert!(client.ask(line("PUT 0:a")).starts_with(b":"));
    let _first = stored(&addresses[0]);
    eventually(|| (client.ask(line("PUT 0:b")) == ":1\r\n").then_some(()));
    assert_eq!(
        info(&mut client, "upstream").text("upstream0").split(',').next(),
        Some(&*format!("address={}", addresses[0]))
    );
}

/// Counts keys.
struct Store(Vec<Key>);

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    /// Adds a key. Returns the number of keys.
    #[command("PUT", write)]
    fn put(&mut self, key: Key) -> usize {
        self.0.push(key);
        self.0.len()
    }
}

/// Redirects all requests to another address.
struct Wrong(&'static str);

impl Actor for Wrong {
    type Context = Context<Self>;
}

#[commands]
impl Wrong {
    /// Replies `MOVED`.
    #[command("GET", readonly)]
    fn get(&self, _key: Key) -> Error {
        Error::new("MOVED", self.0)
    }
}

/// Routes to the first server, and follows redirects.
struct Obedient;

impl Router for Obedient {
    fn route(&mut self, _: &UpstreamRequest<'_>, _: &mut Servers) -> Route {
        Route::To(0)
    }

    fn redirect(&mut self, error: &ErrorReply<'_>, servers: &mut Servers) -> Option<Redirect> {
        let address = error.text().strip_prefix("MOVED ")?;
        Some(Redirect { server: servers.find_or_add(address), asking: false })
    }
}

#[test]
fn redirects_are_followed_and_a_loop_is_an_error() {
    let redis = Process::redis(&[]);
    RawClient::connect(redis.address()).ask(line("SET a there"));
    let moved = |to: String| {
        let to: &'static str = to.leak();
        Served::start(move || App::new().mount(Wrong(to).start()))
    };
    let once = moved(redis.address().to_owned());
    let front = proxy(&[once.address()], Obedient);
    let mut client = RawClient::connect(front.address());
    client.send(lines("GET a \n GET b \n GET a"));
    assert_eq!(client.replies(3), "$5\r\nthere\r\n$-1\r\n$5\r\nthere\r\n");
    // The proxy does not redirect a single request of a transaction.
    client.send(lines("MULTI \n GET a \n EXEC"));
    let moved_away =
        "-TRYAGAIN a key of the transaction has moved to another server: the transaction was not run\r\n";
    assert_eq!(client.reply(), "+OK\r\n");
    assert!([moved_away, "+QUEUED\r\n"].contains(&&*String::from_utf8_lossy(&client.reply())));

    let folder = Folder::new();
    let [here, there] = ["here.sock", "there.sock"].map(|name| folder.socket(name));
    let loops = |at: String, to: String| {
        let to: &'static str = to.leak();
        Served::with(move || App::new().mount(Wrong(to).start()), move |server| server.bind(at))
    };
    let _here = loops(here.clone(), there.clone());
    let _there = loops(there.clone(), here.clone());
    let front = proxy(&[&here], Obedient);
    let mut client = RawClient::connect(front.address());
    let told = String::from_utf8_lossy(&client.ask(line("GET a"))).into_owned();
    assert!(told.starts_with("-MOVED "), "{told}");
    assert_eq!(client.ask(line("PING")), "+PONG\r\n");
    // The request was sent once, and then five times again.
    for address in [&here, &there] {
        let stats = info(&mut RawClient::connect(address), "commandstats");
        assert!(stats.text("cmdstat_get").starts_with("calls=3,"), "{stats:?}");
    }
}

/// Sends all requests to one server beside the first, which `USE ADDRESS` names.
#[derive(Default)]
struct Switch(usize);

impl Router for Switch {
    fn route(&mut self, request: &UpstreamRequest<'_>, servers: &mut Servers) -> Route {
        if !request.is("USE") {
            return Route::To(self.0);
        }
        let address = String::from_utf8_lossy(request.get(1).unwrap_or_default()).into_owned();
        servers.retain(|known| known == address);
        self.0 = servers.find_or_add(&address);
        Route::Reply(Value::Integer(self.0 as i64))
    }
}

#[test]
fn a_removed_server_is_disconnected_and_another_one_gets_its_number() {
    let [first, others @ ..] = [(); 4].map(|()| Process::redis(&[]));
    let front = proxy(&[first.address()], Switch::default());
    let [mut client, mut listener] = [(); 2].map(|()| RawClient::connect(front.address()));
    for other in others.iter().cycle().take(6) {
        let mut direct = RawClient::connect(other.address());
        // The number of the one before may not be free yet, but that of the one before that is.
        let number = client.ask(request(["USE", other.address()]));
        assert!(number == ":1\r\n" || number == ":2\r\n", "{number:?}");
        let value = other.address().to_owned();
        client.send([request(["SET", "here", &value]), request(["GET", "here"])].concat());
        assert_eq!(client.replies(2), format!("+OK\r\n${}\r\n{value}\r\n", value.len()));
        assert_eq!(direct.ask(line("GET here")), format!("${}\r\n{value}\r\n", value.len()));
        let told = info(&mut client, "upstream");
        assert!(told.text("upstream1").starts_with(&format!("address={value},")));
        assert!(told.get("upstream2").is_none());
        listener.ask(line("SUBSCRIBE news"));
        // It is removed, with the connections that it has.
        assert_eq!(client.ask(request(["USE", first.address()])), ":0\r\n");
        assert!(info(&mut client, "upstream").get("upstream1").is_none());
        assert_eq!(listener.rest(), "");
        eventually(|| (info(&mut direct, "clients").number("connected_clients") == 1).then_some(()));
        listener = RawClient::connect(front.address());
    }
}

/// Replies with the keys of each request.
struct Keys;

impl Router for Keys {
    fn route(&mut self, request: &UpstreamRequest<'_>, _: &mut Servers) -> Route {
        Route::Reply(Value::Array(request.keys().map(|key| Value::bulk(key.to_vec())).collect()))
    }
}

#[test]
fn keys_are_found_as_command_getkeys_finds_them() {
    let redis = Process::redis(&[]);
    let front = proxy(&[redis.address()], Keys);
    let [mut redis, mut client] = [redis.address(), front.address()].map(RawClient::connect);
    for request in [
        "GET a",
        "get a",
        "MSET a 1 b 2 c 3",
        "DEL a b c",
        "RENAME a b",
        "OBJECT ENCODING a",
        "XGROUP CREATE a group 0",
        "MEMORY USAGE a SAMPLES 0",
        "EVAL return(1) 2 a b c",
        "EVALSHA abc 1 a 5",
        "ZUNIONSTORE to 2 a b WEIGHTS 1 2",
        "ZUNION 2 a b",
        "XREAD COUNT 2 STREAMS a b 0 0",
        "XREADGROUP GROUP STREAMS c STREAMS a > ",
        "GEORADIUS a 1 2 3 m STORE b",
        "GEORADIUS a 1 2 3 m ASC STOREDIST b",
        "MIGRATE host 1 a 0 5000",
        "BITOP AND to a b c",
        "LMPOP 2 a b LEFT",
        "BLMOVE a b LEFT RIGHT 0",
        "SORT a BY x",
        "LCS a b LEN",
        "PFMERGE to a b",
        "SINTERCARD 2 a b LIMIT 1",
    ] {
        let words: Vec<&str> = request.split_whitespace().collect();
        let keys = redis.ask(self::request([&["COMMAND", "GETKEYS"], &words[..]].concat()));
        assert!(keys.starts_with(b"*"), "{request}: {keys:?}");
        assert_eq!(client.ask(self::request(words)), keys, "{request}");
    }
    for none in [
        "PING",
        "TIME",
        "EVAL return(1) 0 a",
        "EVAL return(1) many a",
        "NOSUCH a b",
        "CONFIGURE",
        "XREAD COUNT 1",
    ] {
        let words: Vec<&str> = none.split_whitespace().collect();
        assert_eq!(client.ask(self::request(words)), "*0\r\n", "{none}");
    }
    // The number of keys exceeds the number of arguments.
    assert_eq!(client.ask(line("EVAL return(1) 18446744073709551615 a")), "*1\r\n$1\r\na\r\n");
}

#[test]
fn a_server_stays_up_when_it_loses_a_connection() {
    let (upstreams, proxy) = two();
    let mut client = RawClient::connect(proxy.address());
    assert_eq!(client.ask(line("SET 0:a 1")), "+OK\r\n");
    // The connection has to be older than one second.
    thread::sleep(Duration::from_millis(1100));
    let mut first = RawClient::connect(upstreams[0].address());
    assert_ne!(first.ask(line("CLIENT KILL TYPE normal")), ":0\r\n");
    let reply = client.ask(line("SET 0:b 1"));
    assert!(reply == "+OK\r\n" || reply.starts_with(b"-UPSTREAM "), "{reply:?}");
    assert_eq!(client.ask(line("SET 0:c 1")), "+OK\r\n");
    assert_eq!(RawClient::connect(upstreams[1].address()).ask(line("DBSIZE")), ":0\r\n");
}

#[test]
fn commands_fail_until_the_key_table_is_known() {
    let silent = [(); 2].map(|()| Process::redis(&["--rename-command", "COMMAND", ""]));
    let front = proxy(&[silent[0].address(), silent[1].address()], Numbered);
    let mut client = RawClient::connect(front.address());
    let refused = client.ask(line("SET 0:a 1"));
    assert!(refused.starts_with(b"-UPSTREAMDOWN no upstream lists the keys of its commands"), "{refused:?}");
    // One server with `COMMAND` is enough.
    let other = Process::redis(&[]);
    let front = proxy(&[silent[0].address(), other.address()], Numbered);
    let mut client = RawClient::connect(front.address());
    eventually(|| (client.ask(line("SET 0:a 1")) == "+OK\r\n").then_some(()));
    assert_eq!(RawClient::connect(silent[0].address()).ask(line("DBSIZE")), ":1\r\n");
}

#[test]
fn an_upstream_without_commands_takes_no_keys_from_others() {
    let redis = Process::redis(&[]);
    let (listener, empty) = hostile::listener();
    let front = proxy(&[redis.address(), &empty], Numbered);
    let mut clients = [(); 8].map(|()| RawClient::connect(front.address()));
    assert_eq!(clients[0].ask(line("SET 0:a 1")), "+OK\r\n");
    // From now on it says that it has no commands.
    hostile::accept(listener, |_| b"+empty\r\n".to_vec());
    eventually(|| (clients[0].ask(line("GET 1:a")) == "+empty\r\n").then_some(()));
    for client in &mut clients {
        assert_eq!(client.ask(line("GET 0:a")), "$1\r\n1\r\n");
        assert_eq!(client.ask(line("GET 1:a")), "+empty\r\n");
    }
}

/// Sends requests to any server. `KEEP ADDRESS` retains one.
struct Anywhere;

impl Router for Anywhere {
    fn route(&mut self, request: &UpstreamRequest<'_>, servers: &mut Servers) -> Route {
        if !request.is("KEEP") {
            return Route::Any;
        }
        let address = String::from_utf8_lossy(request.get(1).unwrap_or_default()).into_owned();
        servers.retain(|known| known == address);
        Route::Reply(Value::Simple("OK".to_owned()))
    }
}

#[test]
fn a_server_that_is_not_retained_gets_requests_only_if_no_other_is_up() {
    let servers = ["first", "second"].map(|value| {
        let redis = Process::redis(&[]);
        RawClient::connect(redis.address()).ask(request(["SET", "name", value]));
        redis
    });
    let front = proxy(&servers.each_ref().map(Process::address), Anywhere);
    // The number of a client decides which of the servers is its own.
    let mut clients = [(); 4].map(|()| RawClient::connect(front.address()));
    let mut names = || clients.each_mut().map(|client| client.ask(line("GET name")));
    let keep = |redis: &Process| {
        let mut client = RawClient::connect(front.address());
        assert_eq!(client.ask(request(["KEEP", redis.address()])), "+OK\r\n");
    };
    let [first, second] = ["$5\r\nfirst\r\n", "$6\r\nsecond\r\n"];
    assert!(names().iter().any(|name| name == first));
    keep(&servers[1]);
    assert_eq!(names(), [second; 4]);
    keep(&servers[0]);
    assert_eq!(names(), [first; 4]);
    servers[0].signal("KILL");
    eventually(|| (names() == [second; 4]).then_some(()));
}

/// Panics, or returns invalid routes.
struct Panics;

impl Router for Panics {
    fn route(&mut self, request: &UpstreamRequest<'_>, _: &mut Servers) -> Route {
        match request.name() {
            b"ROUTE" => panic!("on purpose"),
            b"MERGE" => Route::Split(Split::new([(0, ["PING"])], |_| panic!("on purpose"))),
            b"EMPTY" => Route::Split(Split::new([(0, [""; 0])], |_| Value::Null)),
            b"CHANGE" => Route::Split(Split::new([(0, ["MULTI"])], |_| Value::Null)),
            _ => Route::Any,
        }
    }

    fn redirect(&mut self, _: &ErrorReply<'_>, _: &mut Servers) -> Option<Redirect> {
        panic!("on purpose")
    }
}

#[test]
fn a_router_that_panics_is_an_internal_error() {
    let redis = Process::redis(&[]);
    let front = proxy(&[redis.address()], Panics);
    let mut client = RawClient::connect(front.address());
    client.send(lines("PING \n ROUTE \n MERGE \n EMPTY \n CHANGE \n NOSUCH \n PING"));
    let internal = "-ERR internal error\r\n";
    let not_plain = "-ERR a part of the split request cannot be sent on a connection that clients share\r\n";
    assert_eq!(client.replies(5), ["+PONG\r\n", internal, internal, not_plain, not_plain].concat());
    assert!(client.reply().starts_with(b"-ERR unknown command 'NOSUCH'"));
    assert_eq!(client.reply(), "+PONG\r\n");
}
