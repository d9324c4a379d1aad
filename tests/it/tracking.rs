//! Tests `CLIENT TRACKING` with actors. `differential/tracking.txt` compares the replies with Redis.

use std::{
    sync::{Arc, Barrier},
    time::Duration,
};

use actix::{ResponseFuture, SyncArbiter, SyncContext};
use actix_rt::time::sleep;
use thegiant::{
    Keyspace, Limits, Server, Value,
    prelude::*,
    test::{TestClient, TestServer},
};

use crate::support::{RawClient, Served, eventually, info, lines};

/// Has commands for values, but stores none.
#[derive(Default)]
struct Store {
    keyspace: Keyspace,
}

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command("GET", readonly)]
    fn get(&self, _key: Key<&[u8]>) {}

    #[command("SET", write)]
    fn set(&self, _key: Key<&[u8]>) {}

    #[command("FAIL", write)]
    fn fail(&self, _key: Key<&[u8]>) -> Result<(), Error> {
        Err(Error::SYNTAX)
    }

    #[command("GETLATER", readonly)]
    fn get_later(&self, _key: Key<&[u8]>) -> ResponseFuture<()> {
        Box::pin(sleep(Duration::from_millis(5)))
    }

    #[command("SETLATER", write)]
    fn set_later(&self, _key: Key<&[u8]>) -> ResponseFuture<()> {
        Box::pin(sleep(Duration::from_millis(5)))
    }

    /// Reports that a key changed, without naming it as a key of the command.
    #[command("CHANGED")]
    fn changed(&self, key: &[u8]) {
        self.keyspace.modified(0, key);
    }

    #[command("ALLCHANGED")]
    fn all_changed(&self) {
        self.keyspace.all_modified();
    }
}

fn app() -> App {
    let app = App::new();
    let store = Store { keyspace: app.keyspace() };
    app.mount(store.start())
}

/// Connects a client that tracks the keys it reads.
async fn tracking_client(server: &TestServer, options: &str) -> TestClient {
    let mut client = server.connect().resp3().await;
    client.call(("CLIENT", "TRACKING", "ON", options.split_whitespace().collect::<Vec<_>>())).await;
    client
}

async fn invalidated(client: &mut TestClient) -> String {
    let push = client.pushed().await;
    match &push[..] {
        [what, Value::Array(keys)] if *what == Value::bulk("invalidate") => {
            let text = |key: &Value| format!("{key:?}").split('"').nth(1).unwrap_or_default().to_owned();
            keys.iter().map(text).collect::<Vec<_>>().join(" ")
        }
        [_, Value::Null] => "all".to_owned(),
        other => panic!("{other:?}"),
    }
}

#[thegiant::test]
async fn an_actors_changes_invalidate_keys_at_once_or_later() {
    let server = TestServer::start(app());
    let mut reader = tracking_client(&server, "").await;
    let mut all = tracking_client(&server, "BCAST PREFIX k").await;
    let mut writer = server.connect();
    for change in ["SET key", "SETLATER key", "CHANGED key"] {
        for read in ["GET key", "GETLATER key"] {
            reader.call(read.split(' ').collect::<Vec<_>>()).await;
            writer.call(["FAIL", "key"]).await;
            writer.call(["CHANGED", "other"]).await;
            writer.call(change.split(' ').collect::<Vec<_>>()).await;
            assert_eq!(invalidated(&mut reader).await, "key", "{change}");
            assert_eq!(invalidated(&mut all).await, "key", "{change}");
        }
    }
    writer.call(["ALLCHANGED"]).await;
    assert_eq!([invalidated(&mut reader).await, invalidated(&mut all).await], ["all", "all"]);
}

#[thegiant::test]
async fn changes_of_one_batch_are_sent_in_one_push() {
    let server = TestServer::start(app());
    let mut all = tracking_client(&server, "BCAST").await;
    let mut writer = server.connect();
    writer.send(lines("SET c\nSET a\nFAIL x\nSET b\nSET a")).await;
    assert_eq!(invalidated(&mut all).await, "a b c");
}

/// A search through all prefixes after each change would take minutes.
#[thegiant::test]
async fn the_prefixes_of_a_client_do_not_slow_down_other_clients() {
    const PREFIXES: usize = 100_000;
    const CHANGES: usize = 100_000;
    let server = TestServer::start(app());
    let mut reader = server.connect().resp3().await;
    let prefixes = (0..PREFIXES).map(|number| ("PREFIX", format!("prefix-{number}:")));
    let words = ("CLIENT", "TRACKING", "ON", "BCAST", prefixes.collect::<Vec<_>>());
    assert_eq!(reader.call(words).await, Value::Simple("OK".into()));
    let mut writer = server.connect();
    for _ in 0..CHANGES / 1000 {
        writer.send("CHANGED other\r\n".repeat(1000)).await;
        writer.expect("+OK\r\n".repeat(1000)).await;
    }
    writer.call(["SET", "prefix-7:key"]).await;
    assert_eq!(invalidated(&mut reader).await, "prefix-7:key");
}

#[thegiant::test]
async fn a_full_tracking_table_evicts_keys_and_tells_their_readers() {
    const MAX_KEYS: usize = 10;
    let server = TestServer::with(Server::new(app()).limits(Limits::new().tracking_table_keys(MAX_KEYS)));
    let mut reader = tracking_client(&server, "").await;
    let mut evicted = Vec::new();
    for number in 0..3 * MAX_KEYS {
        reader.call(["GET", &format!("key-{number}")]).await;
        if number >= MAX_KEYS {
            evicted.push(invalidated(&mut reader).await);
        }
    }
    let mut writer = server.connect();
    for number in 0..3 * MAX_KEYS {
        writer.call(["SET", &format!("key-{number}")]).await;
    }
    for _ in 0..MAX_KEYS {
        evicted.push(invalidated(&mut reader).await);
    }
    evicted.sort();
    let mut keys: Vec<_> = (0..3 * MAX_KEYS).map(|number| format!("key-{number}")).collect();
    keys.sort();
    assert_eq!(evicted, keys);
}

/// The readers of evicted keys hear of it at once, not with the next key that somebody reads.
#[thegiant::test]
async fn a_lower_limit_of_the_tracking_table_evicts_keys_at_once() {
    let server = TestServer::start(app());
    let mut reader = tracking_client(&server, "").await;
    for key in ["a", "b", "c"] {
        reader.call(["GET", key]).await;
    }
    server.connect().call(["CONFIG", "SET", "tracking-table-max-keys", "1"]).await;
    let mut evicted = [invalidated(&mut reader).await, invalidated(&mut reader).await];
    evicted.sort();
    assert!(evicted[0] != evicted[1] && evicted.iter().all(|key| ["a", "b", "c"].contains(&key.as_str())));
}

#[thegiant::test]
async fn a_key_over_1_kib_is_not_tracked() {
    let server = TestServer::start(app());
    let mut reader = tracking_client(&server, "").await;
    let [short, long] = [1024, 1025].map(|len| "k".repeat(len));
    reader.call(["GET", &long]).await;
    assert_eq!(invalidated(&mut reader).await, long);
    reader.call(["GET", &short]).await;
    let mut writer = server.connect();
    writer.call(["SET", &long]).await;
    writer.call(["SET", &short]).await;
    assert_eq!(invalidated(&mut reader).await, short);
}

#[test]
fn disconnected_clients_leave_no_tracking_state() {
    let served = Served::start(app);
    let mut operator = RawClient::connect(served.address());
    for options in ["", " BCAST", " BCAST PREFIX a PREFIX b", " OPTOUT NOLOOP"] {
        let mut client = RawClient::connect(served.address());
        client.send(lines(&format!("CLIENT TRACKING ON{options}\nGET a\nGET b")));
        client.replies(3);
        assert_eq!(info(&mut operator, "clients").number("tracking_clients"), 1);
        drop(client);
        eventually(|| (info(&mut operator, "clients").number("tracking_clients") == 0).then_some(()));
        let stats = info(&mut operator, "stats");
        for kind in ["keys", "items", "prefixes"] {
            assert_eq!(stats.number(&format!("tracking_total_{kind}")), 0, "{kind}");
        }
    }
}

/// A member of a pool, where one member can change a key while another reads it.
struct Member {
    /// The test meets the reader at the beginning and at the end of the read.
    meeting: Arc<Barrier>,
}

impl Actor for Member {
    type Context = SyncContext<Self>;
}

#[commands]
impl Member {
    /// Reads until the test lets it end, so that another member can write meanwhile.
    #[command("READ", readonly)]
    fn read(&self, _key: Key<&[u8]>) {
        self.meeting.wait();
        self.meeting.wait();
    }

    #[command("WRITE", write)]
    fn write(&self, _key: Key<&[u8]>) {}
}

#[test]
fn a_pool_tracks_a_key_before_the_read_ends() {
    let meeting = Arc::new(Barrier::new(2));
    let of_members = Arc::clone(&meeting);
    let member = move || Member { meeting: Arc::clone(&of_members) };
    let served = Served::start(|| App::new().mount(SyncArbiter::start(2, member)));
    let mut reader = RawClient::connect(served.address());
    reader.send(lines("HELLO 3\nCLIENT TRACKING ON"));
    reader.replies(2);
    reader.send(lines("READ key"));
    meeting.wait();
    let mut writer = RawClient::connect(served.address());
    assert_eq!(writer.ask(lines("WRITE key")), "+OK\r\n");
    meeting.wait();
    assert_eq!(reader.replies(2), "+OK\r\n>2\r\n$10\r\ninvalidate\r\n*1\r\n$3\r\nkey\r\n");
}
