//! A router that sends other words in place of those of its clients.

use thegiant::{
    Value,
    prelude::*,
    proxy::{Proxy, Rewrite, Route, Router, Servers, Upstream, UpstreamRequest},
};

use crate::support::{ANY_PORT, Process, RawClient, Served, line, lines};

/// Gives each key the prefix `app:`. `UPPER` is a command of its own.
struct Prefixed;

const PREFIX: &[u8] = b"app:";

impl Router for Prefixed {
    fn route(&mut self, request: &UpstreamRequest<'_>, _: &mut Servers) -> Route {
        if request.is("UPPER") {
            let key = [PREFIX, request.get(1).unwrap_or_default()].concat();
            return Route::Rewrite(Rewrite::new([&b"GET"[..], &key]).map(upper));
        }
        if request.is("PANIC") {
            return Route::Rewrite(Rewrite::new(["PING"]).map(|_| panic!("the test panics")));
        }
        let keys: Vec<usize> = request.key_positions().collect();
        if keys.is_empty() {
            return Route::Any;
        }
        let words = request.words().enumerate().map(|(index, word)| match keys.contains(&index) {
            true => [PREFIX, word].concat(),
            false => word.to_vec(),
        });
        Route::Rewrite(Rewrite::new(words).to(0).map(without_prefix))
    }
}

fn upper(reply: Value) -> Value {
    match reply {
        Value::Bulk(text) => Value::bulk(text.to_ascii_uppercase()),
        other => other,
    }
}

/// Removes the prefix from all names in a reply.
fn without_prefix(reply: Value) -> Value {
    match reply {
        Value::Bulk(name) if name.starts_with(PREFIX) => Value::bulk(name.slice(PREFIX.len()..)),
        Value::Array(values) => Value::Array(values.into_iter().map(without_prefix).collect()),
        Value::Map(pairs) => {
            Value::Map(pairs.into_iter().map(|(name, value)| (without_prefix(name), value)).collect())
        }
        other => other,
    }
}

fn start() -> (Process, Served) {
    let redis = Process::redis(&[]);
    let upstream = Upstream::new(redis.address());
    let app = || App::new().proxy(Proxy::new(Prefixed).upstream(upstream).start());
    (redis, Served::with(app, |server| server.bind(ANY_PORT)))
}

#[test]
fn plain_commands_are_rewritten_and_their_replies_mapped() {
    let (redis, proxy) = start();
    let mut client = RawClient::connect(proxy.address());
    client.send(lines("SET a abc \n GET a \n UPPER a \n INCR a \n PANIC \n MGET a none \n UPPER none"));
    assert_eq!(client.replies(3), "+OK\r\n$3\r\nabc\r\n$3\r\nABC\r\n");
    assert_eq!(client.reply(), "-ERR value is not an integer or out of range\r\n");
    assert_eq!(client.reply(), "-ERR internal error\r\n");
    assert_eq!(client.replies(2), "*2\r\n$3\r\nabc\r\n$-1\r\n$-1\r\n");
    assert_eq!(RawClient::connect(redis.address()).ask(line("KEYS *")), "*1\r\n$5\r\napp:a\r\n");
}

#[test]
fn transactions_contain_rewritten_commands() {
    let (_redis, proxy) = start();
    let mut client = RawClient::connect(proxy.address());
    let queued = "+QUEUED\r\n".repeat(4);
    let expected = format!("+OK\r\n{queued}*4\r\n+PONG\r\n+OK\r\n$3\r\nABC\r\n$3\r\nabc\r\n");
    let transaction = ["MULTI", "PING", "SET a abc", "UPPER a", "GET a", "EXEC"];
    // All at once, and one by one.
    client.send(lines(&transaction.join(" \n ")));
    assert_eq!(client.replies(6), expected);
    let replies: Vec<_> = transaction.iter().map(|request| client.ask(line(request))).collect();
    assert_eq!(replies.concat(), expected.as_bytes());
    // A watched key has the prefix, too.
    let mut other = RawClient::connect(proxy.address());
    assert_eq!(client.ask(line("WATCH a")), "+OK\r\n");
    assert_eq!(other.ask(line("SET a x")), "+OK\r\n");
    client.send(lines("MULTI \n UPPER a \n EXEC \n MULTI \n UPPER a \n DISCARD \n MULTI \n GET a \n EXEC"));
    assert_eq!(client.replies(3), "+OK\r\n+QUEUED\r\n*-1\r\n");
    assert_eq!(client.replies(3), "+OK\r\n+QUEUED\r\n+OK\r\n");
    assert_eq!(client.replies(3), "+OK\r\n+QUEUED\r\n*1\r\n$1\r\nx\r\n");
}

#[test]
fn blocking_commands_are_rewritten() {
    let (_redis, proxy) = start();
    let [mut client, mut other] = [(); 2].map(|()| RawClient::connect(proxy.address()));
    client.send(line("BLPOP list 0"));
    other.ask(line("RPUSH list x"));
    assert_eq!(client.reply(), "*2\r\n$4\r\nlist\r\n$1\r\nx\r\n");
    other.ask(line("XADD stream 1-1 field value"));
    let entry = "*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$5\r\nfield\r\n$5\r\nvalue\r\n";
    assert_eq!(client.ask(line("XREAD STREAMS stream 0")), format!("*1\r\n*2\r\n$6\r\nstream\r\n{entry}"));
    client.ask(line("HELLO 3"));
    assert_eq!(client.ask(line("XREAD STREAMS stream 0")), format!("%1\r\n$6\r\nstream\r\n{entry}"));
}
