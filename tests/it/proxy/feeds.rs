//! Messages and invalidations that an application gets from its upstreams.

use std::{future::Future, time::Duration};

use actix_rt::time::timeout;
use thegiant::proxy::{
    ChannelEvent, Invalidation, Proxy, Route, Router, Servers, Subscription, Tracking, Upstream,
    UpstreamRequest,
};

use crate::support::{Process, RawClient, line};

/// Fails the test if a future does not end.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(30), future).await.expect("an end within half a minute")
}

/// Returns the next event of a subscription as text.
async fn event(subscription: &mut Subscription) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match soon(subscription.next()).await.expect("an event") {
        ChannelEvent::Published(published) => {
            let pattern = published.pattern.map(|pattern| format!("{} ", text(&pattern)));
            format!(
                "{}{}: {}",
                pattern.unwrap_or_default(),
                text(&published.channel),
                text(&published.message)
            )
        }
        _ => "gap".to_owned(),
    }
}

async fn invalidation(tracking: &mut Tracking) -> Invalidation {
    soon(tracking.next()).await.expect("an invalidation")
}

fn key(name: &'static str) -> Invalidation {
    Invalidation::Key(name.into())
}

/// Closes all connections of a server that have subscribed, or that track keys.
fn kill_others(redis: &mut RawClient) {
    redis.ask(line("CLIENT KILL TYPE pubsub"));
    redis.ask(line("CLIENT KILL TYPE normal SKIPME yes"));
}

#[thegiant::test]
async fn an_application_gets_the_messages_of_channels_and_patterns() {
    let process = Process::redis(&[]);
    let mut redis = RawClient::connect(process.address());
    let upstream = Upstream::new(process.address()).start();
    let mut channels = upstream.subscribe(["news", "weather"]);
    let mut patterns = upstream.psubscribe(["new*"]);
    assert_eq!(event(&mut channels).await, "gap");
    assert_eq!(event(&mut patterns).await, "gap");
    assert_eq!(redis.ask(line("PUBLISH news 1")), ":2\r\n");
    assert_eq!(redis.ask(line("PUBLISH weather 2")), ":1\r\n");
    assert_eq!(event(&mut channels).await, "news: 1");
    assert_eq!(event(&mut channels).await, "weather: 2");
    assert_eq!(event(&mut patterns).await, "new* news: 1");
    // A lost connection is opened again, and the consumer knows.
    kill_others(&mut redis);
    assert_eq!(event(&mut channels).await, "gap");
    assert_eq!(redis.ask(line("PUBLISH weather 3")), ":1\r\n");
    assert_eq!(event(&mut channels).await, "weather: 3");
    // The connection is closed with the stream.
    drop(channels);
    soon(async {
        while redis.ask(line("PUBLISH weather 4")) != ":0\r\n" {
            actix_rt::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[thegiant::test]
async fn a_slow_consumer_is_told_that_it_has_missed_messages() {
    let process = Process::redis(&[]);
    let mut redis = RawClient::connect(process.address());
    let upstream = Upstream::new(process.address()).start();
    let (mut subscription, mut tracking) = (upstream.subscribe(["news"]), upstream.tracking(&[]));
    assert_eq!(event(&mut subscription).await, "gap");
    assert_eq!(invalidation(&mut tracking).await, Invalidation::All);
    let requests: String =
        (0..5000).map(|number| format!("PUBLISH news {number}\r\nSET a{number} x\r\n")).collect();
    // A consumer that begins to read too early misses nothing, so the test tries again.
    let (mut has_missed_messages, mut has_missed_keys) = (false, false);
    while !(has_missed_messages && has_missed_keys) {
        redis.send(&requests);
        redis.replies(10_000);
        actix_rt::time::sleep(Duration::from_millis(20)).await;
        let mut expected = 0;
        while expected < 5000 {
            let mut next = event(&mut subscription).await;
            if next == "gap" {
                has_missed_messages = true;
                next = event(&mut subscription).await;
            } else {
                assert_eq!(next, format!("news: {expected}"));
            }
            expected = next["news: ".len()..].parse::<u32>().expect("a number") + 1;
        }
        loop {
            match invalidation(&mut tracking).await {
                Invalidation::Key(key) if key == "a4999" => break,
                Invalidation::Key(_) => {}
                all => {
                    assert_eq!(all, Invalidation::All);
                    has_missed_keys = true;
                    break;
                }
            }
        }
    }
}

#[thegiant::test]
async fn an_application_knows_which_keys_change() {
    let process = Process::redis(&["--save", ""]);
    let mut redis = RawClient::connect(process.address());
    let upstream = Upstream::new(process.address()).start();
    // A prefix that begins with another one changes nothing.
    let mut some = upstream.tracking(&["user:1", "user:", "page:", "user:"]);
    let mut all = upstream.tracking(&[]);
    assert_eq!(invalidation(&mut some).await, Invalidation::All);
    assert_eq!(invalidation(&mut all).await, Invalidation::All);
    for request in ["SET other x", "SET user:1 x", "SET page:7 x PX 1"] {
        redis.ask(line(request));
    }
    assert_eq!(invalidation(&mut some).await, key("user:1"));
    assert_eq!(invalidation(&mut some).await, key("page:7"));
    // It has expired.
    assert_eq!(invalidation(&mut some).await, key("page:7"));
    assert_eq!(invalidation(&mut all).await, key("other"));
    redis.ask(line("FLUSHALL"));
    assert_eq!(invalidation(&mut some).await, Invalidation::All);
    kill_others(&mut redis);
    let mut events = vec![invalidation(&mut some).await];
    while events.last() != Some(&Invalidation::All) {
        events.push(invalidation(&mut some).await);
    }
    assert_eq!(events, [Invalidation::Lost, Invalidation::All]);
    redis.ask(line("SET user:2 x"));
    assert_eq!(invalidation(&mut some).await, key("user:2"));
}

/// Chooses a server by the length of the name. `UpstreamHandle::update` adds a server.
struct ByLength(String);

impl Router for ByLength {
    fn route(&mut self, request: &UpstreamRequest<'_>, servers: &mut Servers) -> Route {
        match request.get(1) {
            Some(name) if name.starts_with(b"__key") => Route::Listen { prefix: "__key" },
            Some(name) => Route::To(name.len() % servers.len()),
            None => Route::Any,
        }
    }

    fn publishers(&mut self, servers: &mut Servers) -> Vec<usize> {
        (0..servers.len()).collect()
    }

    fn update(&mut self, servers: &mut Servers) {
        servers.find_or_add(&self.0);
    }
}

#[thegiant::test]
async fn all_upstreams_report_their_keys_and_one_has_a_channel() {
    let processes = [(); 3].map(|()| Process::redis(&["--notify-keyspace-events", "K$"]));
    let mut redis = processes.each_ref().map(|process| RawClient::connect(process.address()));
    let upstreams = processes[..2].iter().map(|process| Upstream::new(process.address()));
    let upstream = Proxy::new(ByLength(processes[2].address().to_owned())).upstreams(upstreams).start();
    let mut tracking = upstream.tracking(&[]);
    let mut events = upstream.psubscribe(["__keyspace@0__:*"]);
    let mut news = upstream.subscribe(["a"]);
    assert_eq!(invalidation(&mut tracking).await, Invalidation::All);
    assert_eq!([event(&mut events).await, event(&mut events).await], ["gap"; 2]);
    assert_eq!(event(&mut news).await, "gap");
    let subscribers = redis.each_mut().map(|redis| redis.ask(line("PUBLISH a x")));
    assert_eq!(subscribers, [&b":0\r\n"[..], b":1\r\n", b":0\r\n"]);
    assert_eq!(event(&mut news).await, "a: x");
    // A server that is added later is missing until its connection is open.
    upstream.update().await;
    let mut told = vec![invalidation(&mut tracking).await];
    if told[0] == Invalidation::Lost {
        told.push(invalidation(&mut tracking).await);
    }
    assert_eq!(told.last(), Some(&Invalidation::All));
    assert_eq!(event(&mut events).await, "gap");
    for (redis, name) in redis.iter_mut().zip(["one", "two", "three"]) {
        redis.ask(line(&format!("SET {name} x")));
        assert_eq!(invalidation(&mut tracking).await, key(name));
        assert_eq!(event(&mut events).await, format!("__keyspace@0__:* __keyspace@0__:{name}: set"));
    }
}

#[thegiant::test]
async fn an_upstream_that_is_down_does_not_hide_the_keys_of_others() {
    let process = Process::redis(&[]);
    let upstreams = [process.address(), "unix:/nowhere"].map(Upstream::new);
    let upstream = Proxy::new(ByLength(String::new())).upstreams(upstreams).start();
    let mut tracking = upstream.tracking(&[]);
    assert_eq!(invalidation(&mut tracking).await, Invalidation::All);
    RawClient::connect(process.address()).ask(line("SET a x"));
    assert_eq!(invalidation(&mut tracking).await, key("a"));
}
