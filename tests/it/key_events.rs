//! Tests commands that say which keys they change (`KeyEvents`).

use actix::ResponseFuture;
use thegiant::{
    EventClass, KeyEvents, Value,
    prelude::*,
    test::{TestClient, TestServer},
};

use crate::support::lines;

/// Has commands for values, but stores none.
#[derive(Default)]
struct Store {
    waiting: Vec<Responder<()>>,
}

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command("GET", readonly)]
    fn get(&self, _key: Key<&[u8]>) {}

    /// Changes the first key of two.
    #[command("SET", write)]
    fn set(&self, key: Key<&[u8]>, _same: Key<&[u8]>, events: &mut KeyEvents) {
        events.add(EventClass::String, "set", 0, key);
    }

    #[command("TOUCHED", write)]
    fn touched(&self, _key: Key<&[u8]>) {}

    /// Changes a key at once, and replies after `FINISH`.
    #[command("SETLATER", write)]
    fn set_later(&mut self, key: Key<&[u8]>, events: &mut KeyEvents, responder: Responder<()>) {
        events.add(EventClass::String, "set", 0, key);
        self.waiting.push(responder);
    }

    #[command("FINISH")]
    fn finish(&mut self) -> usize {
        self.waiting.drain(..).filter_map(|responder| responder.send(()).ok()).count()
    }

    /// Changes a key, and replies in a future.
    #[command("SETASYNC", write)]
    fn set_async(&mut self, key: Key<&[u8]>, events: &mut KeyEvents) -> ResponseFuture<()> {
        events.add(EventClass::String, "set", 0, key);
        Box::pin(actix_rt::task::yield_now())
    }

    /// Changes a key, and then panics.
    #[command("PANIC", write)]
    fn panics(&self, key: Key<&[u8]>, events: &mut KeyEvents) {
        events.add(EventClass::String, "set", 0, key);
        panic!("after the change");
    }

    /// Returns which classes of events are published.
    #[command("PUBLISHED", write)]
    fn published(&self, events: &mut KeyEvents) -> Vec<i64> {
        let classes = [EventClass::String, EventClass::New, EventClass::Generic];
        let published = classes.map(|class| i64::from(events.is_published(class)));
        [i64::from(events.is_observed())].into_iter().chain(published).collect()
    }
}

fn server() -> TestServer {
    TestServer::start(App::new().mount(Store::default().start()))
}

/// Connects a client that tracks all keys.
async fn tracking_client(server: &TestServer) -> TestClient {
    let mut client = server.connect().resp3().await;
    client.call(["CLIENT", "TRACKING", "ON", "BCAST"]).await;
    client
}

/// Returns the keys of the next invalidation.
async fn invalidated(client: &mut TestClient) -> String {
    match &client.pushed().await[..] {
        [_, Value::Array(keys)] => keys.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        other => panic!("{other:?}"),
    }
}

#[thegiant::test]
async fn only_the_keys_that_a_command_names_count_as_changed() {
    let server = server();
    let mut all = tracking_client(&server).await;
    let mut writer = server.connect();
    writer.send(lines("SET b x \n TOUCHED c \n SET a x \n GET d \n TOUCHED b")).await;
    assert_eq!(invalidated(&mut all).await, "a b c");
    writer.send(lines("MULTI \n SET e x \n TOUCHED f \n SET g x \n EXEC")).await;
    assert_eq!(invalidated(&mut all).await, "e f g");
}

#[thegiant::test]
async fn changes_of_a_command_that_replies_later_are_reported_once() {
    let server = server();
    let mut all = tracking_client(&server).await;
    let [mut writer, mut other] = [server.connect(), server.connect()];
    writer.send(lines("SET a x \n SETLATER b \n SET c x")).await;
    assert_eq!(invalidated(&mut all).await, "a");
    writer.expect("+OK\r\n").await;
    assert_eq!(other.call(["FINISH"]).await, Value::Integer(1));
    writer.expect("+OK\r\n+OK\r\n").await;
    let keys = invalidated(&mut all).await;
    let keys = if keys == "b" { [keys, invalidated(&mut all).await].join(" ") } else { keys };
    assert_eq!(keys, "b c");
    other.send(lines("SETASYNC d \n SET e x")).await;
    other.expect("+OK\r\n+OK\r\n").await;
    other.call(["SET", "last", "x"]).await;
    let mut keys = Vec::new();
    while keys.last().is_none_or(|key| key != "last") {
        keys.extend(invalidated(&mut all).await.split(' ').map(str::to_owned));
    }
    assert_eq!(keys, ["d", "e", "last"]);
}

#[thegiant::test]
async fn a_change_before_a_panic_is_reported() {
    let server = server();
    let mut all = tracking_client(&server).await;
    let mut writer = server.connect();
    writer.send(lines("SET a x \n PANIC b \n SET c x")).await;
    writer.expect("+OK\r\n-ERR internal error\r\n+OK\r\n").await;
    assert_eq!(invalidated(&mut all).await, "a b c");
}

#[thegiant::test]
async fn a_command_learns_which_events_are_published() {
    let server = server();
    let [mut client, mut watching] = [server.connect(), server.connect()];
    let expect = async |client: &mut TestClient, expected: [i64; 4]| {
        assert_eq!(client.call(["PUBLISHED"]).await, Value::Array(expected.map(Value::Integer).to_vec()));
    };
    expect(&mut client, [0, 0, 0, 0]).await;
    watching.send(lines("WATCH a")).await;
    watching.expect("+OK\r\n").await;
    expect(&mut client, [1, 0, 0, 0]).await;
    // A class without a channel is not published.
    client.call(["CONFIG", "SET", "notify-keyspace-events", "A"]).await;
    expect(&mut client, [1, 0, 0, 0]).await;
    client.call(["CONFIG", "SET", "notify-keyspace-events", "Kn$"]).await;
    expect(&mut client, [1, 1, 1, 0]).await;
    client.call(["CONFIG", "SET", "notify-keyspace-events", "Eg"]).await;
    expect(&mut client, [1, 0, 0, 1]).await;
    // The change counts for `WATCH`, although its event is not published.
    client.call(["SET", "a", "x"]).await;
    watching.send(lines("MULTI \n GET a \n EXEC")).await;
    watching.expect("+OK\r\n+QUEUED\r\n*-1\r\n").await;
    client.call(["CONFIG", "SET", "notify-keyspace-events", ""]).await;
    expect(&mut client, [0, 0, 0, 0]).await;
}
