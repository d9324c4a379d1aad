//! Multiplexed connections.

use std::thread;

use actix::ResponseFuture;
use thegiant::{
    prelude::*,
    proxy::{CallError, Upstream, UpstreamHandle},
    resp::{RequestBuilder, ToArgs},
};

use super::server::{converse, proxy};
use crate::support::{
    ANY_PORT, Folder, Process, RawClient, Served, info, large_value_passes, line, lines, request,
};

#[test]
fn each_client_gets_its_own_replies() {
    let redis = Process::redis(&[]);
    let proxy = proxy(redis.address(), |upstream| upstream.connections(2));
    let address = proxy.address();
    let work = |number| converse(address, number, 1000, |at, _| format!("{number}:{at}"));
    thread::scope(|scope| (0..40).for_each(|number| drop(scope.spawn(move || work(number)))));
    let mut client = RawClient::connect(redis.address());
    let connections = info(&mut client, "clients").number("connected_clients");
    assert_eq!(connections, 3, "two of the proxy, and this one");
}

#[test]
fn large_values_pass() {
    let redis = Process::redis(&[]);
    let proxy = proxy(redis.address(), |upstream| upstream);
    let mut client = RawClient::connect(proxy.address());
    large_value_passes(&mut client);
}

#[test]
fn a_reply_that_is_too_long_is_an_error() {
    let redis = Process::redis(&[]);
    let proxy = proxy(redis.address(), |upstream| upstream.max_reply_len(100_000));
    let mut client = RawClient::connect(proxy.address());
    client.ask(request(["SET", "short", &"x".repeat(99_000)]));
    client.ask(request(["SET", "long", &"x".repeat(1_000_000)]));
    client.send(lines("STRLEN short \n GET long \n STRLEN long"));
    assert_eq!(client.reply(), ":99000\r\n");
    assert_eq!(client.reply(), format!("-UPSTREAM the reply of {} is too long\r\n", redis.address()));
    assert_eq!(client.reply(), ":1000000\r\n");
}

/// An actor with commands in front of the proxy.
struct Front {
    redis: UpstreamHandle,
}

impl Actor for Front {
    type Context = Context<Self>;
}

#[commands]
impl Front {
    /// Runs on the actor.
    #[command("OWN")]
    fn own(&self, word: String) -> String {
        format!("own {word}")
    }

    /// Refuses the command.
    #[command("FLUSHALL", write)]
    fn flush_all(&self) -> Result<(), Error> {
        Err(Error::new("NOPERM", "nobody flushes this one"))
    }

    /// Sends its arguments to the upstream.
    #[command("SEND")]
    fn send(&self, words: Option<Vec<String>>) -> ResponseFuture<Result<Value, CallError>> {
        let redis = self.redis.clone();
        Box::pin(async move { redis.call(words.unwrap_or_default()).await })
    }

    /// Increments a counter twice.
    #[command("INCRTWICE", write)]
    fn incr_twice(&self, key: String) -> ResponseFuture<Result<Value, CallError>> {
        let redis = self.redis.clone();
        Box::pin(async move {
            redis.call(["INCR", &key]).await?;
            redis.call(["INCR", &key]).await
        })
    }
}

/// A value that no request can contain.
struct Broken;

impl ToArgs for Broken {
    fn to_args(&self, out: &mut RequestBuilder) {
        out.fail("it is broken");
    }
}

#[thegiant::test]
async fn a_call_takes_values_of_any_type() {
    let redis = Process::redis(&[]);
    let handle = Upstream::new(redis.address()).start();
    assert_eq!(handle.call(("SET", Key("n"), 41)).await, Ok(Value::simple("OK")));
    assert_eq!(handle.call(["INCR", "n"]).await, Ok(Value::Integer(42)));
    assert_eq!(handle.call("PING").await, Ok(Value::simple("PONG")));
    let error = Error::err("the request cannot be sent: it is broken");
    assert_eq!(handle.call(("SET", "n", Broken)).await, Err(CallError::NotSent(error)));
    assert_eq!(
        handle.call(None::<&str>).await,
        Err(CallError::NotSent(Error::err("a command needs a name")))
    );
}

/// Serves the actor and the proxy.
fn front(address: &str) -> Served {
    let upstream = Upstream::new(address);
    let app = || {
        let redis = upstream.start();
        App::new().mount(Front { redis: redis.clone() }.start()).proxy(redis)
    };
    Served::with(app, |server| server.bind(ANY_PORT))
}

#[test]
fn own_commands_come_first_and_replies_keep_their_order() {
    let redis = Process::redis(&[]);
    let front = front(redis.address());
    let mut client = RawClient::connect(front.address());
    client.send(lines(
        "SET n 1 \n OWN a \n GET n \n FLUSHALL \n INCRTWICE n \n GET n \n CLIENT GETNAME \n OWN b \n INCRTWICE front \n LPUSH n x",
    ));
    let expected = "+OK\r\n$5\r\nown a\r\n$1\r\n1\r\n-NOPERM nobody flushes this one\r\n:3\r\n$1\r\n3\r\n$-1\r\n$5\r\nown b\r\n:2\r\n";
    assert_eq!(client.replies(9), expected);
    assert!(client.reply().starts_with(b"-WRONGTYPE "));
    client.ask(line("SET n x"));
    assert_eq!(client.ask(line("INCRTWICE n")), "-ERR value is not an integer or out of range\r\n");
}

/// The upstream does not know these commands, so its `EXEC` would not have their replies.
#[test]
fn own_commands_cannot_be_in_a_transaction_of_the_upstream() {
    let redis = Process::redis(&[]);
    let front = front(redis.address());
    let refused = |command: &str| {
        format!(
            "-ERR '{command}' can't be in a transaction of an upstream: this server runs the command itself\r\n"
        )
    };
    const ABORTED: &str = "-EXECABORT Transaction discarded because of previous errors.\r\n";
    for (request, command) in [("OWN a", "own"), ("CLIENT GETNAME", "client|getname"), ("INFO", "info")] {
        let mut client = RawClient::connect(front.address());
        assert_eq!(client.ask(line("MULTI")), "+OK\r\n");
        assert_eq!(client.ask(line("INCR n")), "+QUEUED\r\n");
        assert_eq!(client.ask(line(request)), refused(command));
        assert_eq!(client.ask(line("EXEC")), ABORTED);
        // The whole transaction in one read.
        client.send(lines(&format!("MULTI \n INCR n \n {request} \n EXEC \n EXISTS n")));
        let expected = format!("+OK\r\n+QUEUED\r\n{}{ABORTED}:0\r\n", refused(command));
        assert_eq!(client.replies(5), expected);
        // The next transaction is not affected.
        client.send(lines("MULTI \n GET n"));
        assert_eq!(client.replies(2), "+OK\r\n+QUEUED\r\n");
        assert_eq!(client.ask(line("EXEC")), "*1\r\n$-1\r\n");
        assert!(!client.ask(line(request)).starts_with(b"-"));
    }
    // A command with a wrong number of arguments aborts the transaction, too.
    let mut client = RawClient::connect(front.address());
    client.send(lines("MULTI \n OWN \n EXEC \n OWN a"));
    assert_eq!(client.reply(), "+OK\r\n");
    assert_eq!(client.reply(), "-ERR wrong number of arguments for 'own' command\r\n");
    assert_eq!(client.replies(2), format!("{ABORTED}$5\r\nown a\r\n"));
    // `RESET` and `DISCARD` end a transaction.
    for (end, reply) in [("RESET", "+RESET\r\n"), ("DISCARD", "+OK\r\n")] {
        client.send(lines(&format!("MULTI \n INCR n \n {end} \n OWN a \n GET none \n OWN b")));
        let own = "$5\r\nown a\r\n$-1\r\n$5\r\nown b\r\n";
        assert_eq!(client.replies(6), format!("+OK\r\n+QUEUED\r\n{reply}{own}"));
    }
    // So does the `EXEC` of a transaction that was lost with its upstream.
    client.send(lines("MULTI \n INCR n"));
    client.replies(2);
    drop(redis);
    assert!(client.ask(line("EXEC")).starts_with(b"-UPSTREAM "));
    assert!(client.ask(line("GET n")).starts_with(b"-UPSTREAM"));
    assert_eq!(client.ask(line("OWN a")), "$5\r\nown a\r\n");
}

#[test]
fn handlers_cannot_change_a_multiplexed_connection() {
    let redis = Process::redis(&[]);
    let front = front(redis.address());
    let mut client = RawClient::connect(front.address());
    assert_eq!(client.ask(line("SEND")), "-ERR a command needs a name\r\n");
    for request in ["SELECT 1", "MULTI", "BLPOP x 0", "client reply off", "SCRIPT DEBUG YES", "EXEC"] {
        let reply = String::from_utf8_lossy(&client.ask(line(&format!("SEND {request}")))).into_owned();
        assert!(
            reply.ends_with(" cannot be sent on a connection that clients share\r\n"),
            "{request}: {reply}"
        );
    }
    assert_eq!(client.ask(line("SEND SCRIPT EXISTS x")), "*1\r\n:0\r\n");
    assert_eq!(client.ask(line("SEND PING")), "+PONG\r\n");
}

#[test]
fn the_proxy_respects_client_reply() {
    let redis = Process::redis(&[]);
    let proxy = proxy(redis.address(), |upstream| upstream);
    let mut client = RawClient::connect(proxy.address());
    client.send(lines("CLIENT REPLY OFF \n SET a 1 \n GET a \n WATCH a \n UNWATCH \n CLIENT REPLY ON \n GET a \n CLIENT REPLY SKIP \n GET a \n ECHO b"));
    assert_eq!(client.replies(3), "+OK\r\n$1\r\n1\r\n$1\r\nb\r\n");
}

#[test]
fn an_upstream_without_resp3_is_supported() {
    let place = Folder::new();
    let address = place.socket("upstream.sock");
    let bound = address.clone();
    let app = || {
        App::new().without("HELLO").fallback(|request: &Request| match request.is("ANY") {
            true => Ok(Value::Array(vec![Value::Null, Value::bulk("a"), Value::Error(Error::SYNTAX)])),
            false => Err(request.unknown_command()),
        })
    };
    let _upstream = Served::with(app, move |server| server.bind(bound));
    let proxy = proxy(&address, |upstream| upstream);
    let mut client = RawClient::connect(proxy.address());
    let [old, new] = [("$-1", "*"), ("_", ">")].map(|(null, push)| {
        let array = format!("*3\r\n{null}\r\n$1\r\na\r\n-ERR syntax error\r\n");
        let subscribed = format!("{push}3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n");
        let told = format!("{push}3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$5\r\nhello\r\n");
        let ended = format!("{push}3\r\n$11\r\nunsubscribe\r\n$1\r\nc\r\n:0\r\n");
        [array.clone(), format!("{array}{array}"), subscribed, told, ended, array]
    });
    let mut other = RawClient::connect(proxy.address());
    for expected in [old, new] {
        let [single, double, subscribed, told, ended, transaction] = expected;
        assert_eq!(client.ask(line("ANY")), single);
        client.send(lines("ANY \n ANY"));
        assert_eq!(client.replies(2), double);
        assert_eq!(client.ask(line("SUBSCRIBE c")), subscribed);
        assert_eq!(other.ask(line("PUBLISH c hello")), ":1\r\n");
        assert_eq!(client.reply(), told);
        assert_eq!(client.ask(line("UNSUBSCRIBE c")), ended);
        client.send(lines("MULTI \n ANY \n EXEC"));
        assert_eq!(client.replies(3), format!("+OK\r\n+QUEUED\r\n*1\r\n{transaction}"));
        client.send(line("HELLO 3"));
        client.reply();
    }
}
