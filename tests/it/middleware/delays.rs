use std::{collections::HashMap, time::Duration};

use actix_rt::time::Instant;
use thegiant::{
    middleware::{Decision, RateLimit, Trace},
    prelude::*,
    test::TestServer,
};

use crate::support::{ANY_PORT, RawClient, Served, app, client_list, eventually, line, lines};

/// Delays requests with the word `slow`.
fn delaying(by: Duration) -> impl Fn(&Request) -> Decision {
    move |request: &Request| {
        let is_slow = (0..request.len()).any(|index| request.get(index) == Some(b"slow"));
        if is_slow { Decision::Delay(by) } else { Decision::Run }
    }
}

#[test]
fn only_the_client_waits_and_earlier_replies_are_sent() {
    let served = Served::start(|| app().middleware(delaying(Duration::from_secs(600))));
    let (mut client, mut other) =
        (RawClient::connect(served.address()), RawClient::connect(served.address()));
    client.send(lines("FIRST a \n FIRST slow \n FIRST b"));
    assert_eq!(client.reply(), "$7\r\nfirst a\r\n");
    eventually(|| {
        client_list(&mut other, "").iter().any(|line| line.text("flags").contains('b')).then_some(())
    });
    assert_eq!(other.ask(line("FIRST c")), "$7\r\nfirst c\r\n");
    assert!(client.is_silent());
    // The end of a pause does not end a delay.
    for text in ["CLIENT PAUSE 600000 ALL", "CLIENT UNPAUSE"] {
        assert_eq!(other.ask(line(text)), "+OK\r\n");
    }
    assert_eq!(other.ask(line("FIRST c")), "$7\r\nfirst c\r\n");
    assert!(client.is_silent());
    // The server does not wait for the delay when it stops.
    served.stop().expect("a graceful stop");
    assert_eq!(client.replies(2), "$10\r\nfirst slow\r\n$7\r\nfirst b\r\n");
}

#[test]
fn a_delayed_command_runs_once_and_in_order() {
    let served = Served::start(|| app().middleware(delaying(Duration::from_millis(5))));
    let mut client = RawClient::connect(served.address());
    client.send(lines(
        "FIRST slow \n PING slow \n NOSUCH slow \n MULTI \n SET a slow \n GET a \n EXEC \n PING b",
    ));
    let replies = client.replies(8);
    let expected = b"$10\r\nfirst slow\r\n$4\r\nslow\r\n-ERR unknown command 'NOSUCH', with args beginning with: 'slow' \r\n\
        +OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n$4\r\nslow\r\n$1\r\nb\r\n";
    assert_eq!(replies, &expected[..]);
}

#[test]
fn two_middlewares_can_delay_and_refuse_in_one_pipeline() {
    let served = Served::start(|| {
        app()
            .middleware(super::Recorder::refusing("no"))
            .middleware(delaying(Duration::from_millis(5)))
            .middleware(super::Recorder::refusing("never"))
    });
    let mut client = RawClient::connect(served.address());
    client.send(lines(
        "FIRST a \n FIRST slow \n FIRST never \n FIRST b \n FIRST slow \n FIRST no \n FIRST slow \n FIRST c",
    ));
    let [a, slow, b, c] =
        ["a", "slow", "b", "c"].map(|word| format!("${}\r\nfirst {word}\r\n", 6 + word.len()));
    let refused = "-NOPE not this one\r\n";
    let expected = format!("{a}{slow}{refused}{b}{slow}{refused}{slow}{c}");
    assert_eq!(client.replies(8), expected.as_str());
}

/// A part of the keys.
#[derive(Default)]
struct Shard(HashMap<Bytes, Bytes>);

impl Actor for Shard {
    type Context = Context<Self>;
}

#[commands]
impl Shard {
    /// Sets a value.
    #[command("PUT", write)]
    fn put(&mut self, key: Key, value: Bytes) {
        self.0.insert(key.into(), value);
    }

    /// Returns values.
    #[command("READ", readonly, split)]
    fn read(&self, keys: Vec<Key<&[u8]>>) -> Vec<Option<Bytes>> {
        keys.into_iter().map(|key| self.0.get(*key).cloned()).collect()
    }
}

#[test]
fn shards_stop_before_a_request_that_is_refused_or_delayed() {
    let recorder = super::Recorder::refusing("no");
    let middleware = recorder.clone();
    let served = Served::with(
        move || {
            App::new()
                .mount_shards(4, |_| Shard::default())
                .middleware(middleware)
                .middleware(delaying(Duration::from_millis(5)))
                .middleware(Trace::new())
        },
        |server| server.workers(2).bind(ANY_PORT),
    );
    let mut client = RawClient::connect(served.address());
    client.send(lines(
        "PUT a 1 \n PUT b 2 \n PUT c no \n READ a b c \n PUT d slow \n READ d a no \n READ d a slow \n PUT b 3 \n READ b",
    ));
    let refused = "-NOPE not this one\r\n";
    let expected = format!(
        "+OK\r\n+OK\r\n{refused}*3\r\n$1\r\n1\r\n$1\r\n2\r\n$-1\r\n\
        +OK\r\n{refused}*3\r\n$4\r\nslow\r\n$1\r\n1\r\n$-1\r\n+OK\r\n*1\r\n$1\r\n3\r\n"
    );
    assert_eq!(client.replies(9), expected.as_str());
    let events = recorder.take();
    assert_eq!(events.iter().filter(|event| event.starts_with('>')).count(), 9, "{events:?}");
    assert_eq!(events.iter().filter(|event| event.ends_with(" ok")).count(), 7, "{events:?}");
}

#[thegiant::test]
async fn a_rate_limit_can_delay() {
    tokio::time::pause();
    let server = TestServer::start(
        app().middleware(RateLimit::per_client(10).burst(1).delay(Duration::from_secs(60))),
    );
    let (mut client, mut other) = (server.connect(), server.connect());
    let started = Instant::now();
    for _ in 0..11 {
        assert_eq!(client.call(["PING"]).await, Value::Simple("PONG".into()));
    }
    let took = started.elapsed();
    assert!((Duration::from_millis(1000)..Duration::from_millis(1100)).contains(&took), "{took:?}");
    let started = Instant::now();
    other.call(["PING"]).await;
    assert_eq!(started.elapsed(), Duration::ZERO);
}
