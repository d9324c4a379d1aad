//! Keys that an actor looks up before the requests run (`Prefetch`).

use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use thegiant::{
    Prefetch,
    prelude::*,
    test::{TestClient, TestServer},
};

/// Knows which keys it has looked up ahead.
#[derive(Default)]
struct Store {
    ahead: RefCell<Vec<String>>,
    calls: Arc<AtomicUsize>,
}

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands(prefetch)]
impl Store {
    #[command("GET", readonly)]
    fn get(&self, _key: Key<&[u8]>) {}

    #[command("MGET", readonly)]
    fn mget(&self, _keys: Vec<Key<&[u8]>>) {}

    #[command("SET", write)]
    fn set(&self, _key: Key<&[u8]>, _value: &[u8]) {}

    /// Returns the keys that have been looked up ahead since the last call.
    #[command("AHEAD")]
    fn ahead(&mut self) -> Vec<String> {
        std::mem::take(self.ahead.get_mut())
    }
}

impl Prefetch for Store {
    fn prefetch<'a>(&self, client: &Client, keys: impl Iterator<Item = &'a [u8]>) {
        self.calls.fetch_add(1, Relaxed);
        for key in keys {
            assert_ne!(key, b"panic");
            self.ahead.borrow_mut().push(format!("{}.{}", client.db(), String::from_utf8_lossy(key)));
        }
    }
}

/// Returns the reply to the last of these requests, which have no other replies than OK.
async fn last_reply(client: &mut TestClient, requests: &str) -> Value {
    client.send(requests).await;
    for _ in 1..requests.lines().count() {
        assert_eq!(client.reply().await, Value::Simple("OK".into()));
    }
    client.reply().await
}

fn texts(texts: impl IntoIterator<Item = impl AsRef<str>>) -> Value {
    let bulk = |text: &dyn AsRef<str>| Value::Bulk(Bytes::copy_from_slice(text.as_ref().as_bytes()));
    Value::Array(texts.into_iter().map(|text| bulk(&text)).collect())
}

#[actix_rt::test]
async fn keys_of_several_requests_are_looked_up_ahead() {
    let calls = Arc::default();
    let store = Store { calls: Arc::clone(&calls), ..Store::default() }.start();
    let server = TestServer::start(App::new().databases(2).mount(store));
    let mut client = server.connect();

    // One key is not looked up ahead, but several of one request are.
    for request in [&["GET", "a"][..], &["SET", "a", "b"]] {
        client.call(request).await;
    }
    assert_eq!(calls.load(Relaxed), 0);
    client.call(["MGET", "a", "b", "c", "d", "e"]).await;
    assert_eq!(client.call(["AHEAD"]).await, texts(["0.a", "0.b", "0.c", "0.d", "0.e"]));

    // In the database of the client, and up to the first request for somebody else.
    let ahead = last_reply(&mut client, "SELECT 1\r\nGET a\r\nSET b x\r\nGET none\r\nAHEAD\r\n").await;
    assert_eq!(ahead, texts(["1.a", "1.b", "1.none"]));

    let many: String = (0..150).map(|n| format!("GET {n}\r\n")).collect();
    let ahead = last_reply(&mut client, &format!("{many}AHEAD\r\n")).await;
    assert_eq!(ahead, texts((0..150).map(|n| format!("1.{n}"))));
    assert_eq!(calls.load(Relaxed), 1 + 1 + 3);
}

#[actix_rt::test]
async fn a_panic_while_keys_are_looked_up_is_contained() {
    let server = TestServer::start(App::new().mount(Store::default().start()));
    let mut client = server.connect();
    client.send("GET panic\r\nGET a\r\nGET b\r\n").await;
    client.expect("-ERR internal error\r\n+OK\r\n+OK\r\n").await;
}
