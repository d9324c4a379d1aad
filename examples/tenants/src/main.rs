//! Run with `cargo run -p tenants` beside a redis-server on port 6379, then try
//! `redis-cli -p 6380 --user alice --pass red SET greeting hello`, and `redis-cli -p 6379 KEYS '*'`.
//!
//! This example shows tenants that share a Redis and do not see each other. The keys of a user begin with its name, and
//! only Redis, an actor and middleware see that: the cache of `GET` has the names that Redis reports. `INFO tenants` counts
//! the requests of each user.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use thegiant::{
    MaybeActFuture, MaybeFuture,
    actix::StreamHandler,
    middleware::Decision,
    prelude::*,
    proxy::{CallError, Invalidation, Upstream, UpstreamHandle},
};

/// Values that Redis keeps up to date, as the example `cache` explains.
struct Cache {
    redis: UpstreamHandle,
    values: HashMap<Bytes, Value>,
    is_tracking: bool,
    /// Number of changes. A value that was read before a change may be the old one.
    changes: u64,
}

impl Actor for Cache {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.add_stream(self.redis.tracking(&[]));
    }
}

impl StreamHandler<Invalidation> for Cache {
    fn handle(&mut self, invalidation: Invalidation, _: &mut Context<Self>) {
        self.changes += 1;
        match invalidation {
            Invalidation::Key(key) => drop(self.values.remove(&key)),
            all => {
                self.values.clear();
                self.is_tracking = all == Invalidation::All;
            }
        }
    }
}

#[commands]
impl Cache {
    /// Returns the value of a key, which Redis has or this cache.
    #[command("GET", readonly)]
    fn get(&self, key: Key) -> MaybeActFuture<Self, Result<Value, CallError>> {
        let key = Bytes::from(key);
        if let Some(value) = self.values.get(&key) {
            return MaybeFuture::Now(Ok(value.clone()));
        }
        let (redis, name, changes) = (self.redis.clone(), key.clone(), self.changes);
        let reply = async move { redis.call(("GET", name)).await };
        MaybeFuture::later_then(reply, move |reply, cache: &mut Self, _| {
            if let (true, Ok(value)) = (cache.is_tracking && cache.changes == changes, &reply) {
                cache.values.insert(key, value.clone());
            }
            reply
        })
    }
}

fn app(redis: &str) -> App {
    let counts = Arc::new(Mutex::new(BTreeMap::<String, u64>::new()));
    let shown = Arc::clone(&counts);
    let redis = Upstream::new(redis).start();
    let cache = Cache { redis: redis.clone(), values: HashMap::new(), is_tracking: false, changes: 0 };
    App::new()
        .info("Tenants", move |info| {
            for (user, count) in &*shown.lock().unwrap_or_else(PoisonError::into_inner) {
                info.field(&format!("requests_{user}"), count);
            }
        })
        .middleware(move |request: &Request| {
            let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
            *counts.entry(request.client().user()).or_default() += 1;
            Decision::Run
        })
        .mount(cache.start())
        .proxy(redis)
}

fn server(redis: String) -> Server {
    Server::new(move || app(&redis))
        .user("default", "off")
        .user("alice", "on >red ~* &* +@all -@admin")
        .user("bob", "on >blue ~* &* +@all -@admin")
        .user("operator", "on >crown ~* &* +@all")
        .key_prefix(|user| (user != "operator").then(|| format!("{user}:")))
}

#[thegiant::main]
async fn main() -> std::io::Result<()> {
    server("127.0.0.1:6379".to_owned()).bind("127.0.0.1:6380")?.run().await
}

#[cfg(test)]
mod tests {
    use thegiant::test::TestServer;

    use super::*;

    /// In place of Redis: strings by name.
    #[derive(Default)]
    struct Store(HashMap<Bytes, Bytes>);

    impl Actor for Store {
        type Context = Context<Self>;
    }

    #[commands]
    impl Store {
        #[command("GET", readonly)]
        fn get(&self, key: Key<&[u8]>) -> Option<&Bytes> {
            self.0.get(*key)
        }

        #[command("SET", write)]
        fn set(&mut self, key: Key, value: Bytes) {
            self.0.insert(key.into(), value);
        }
    }

    #[thegiant::test]
    async fn tenants_do_not_see_each_other() {
        let upstream =
            Server::new(App::new().mount(Store::default().start())).bind("127.0.0.1:0").expect("a free port");
        let address = upstream.addrs()[0].to_string();
        let _upstream = TestServer::with(upstream);
        let server = TestServer::with(server(address));
        let [mut alice, mut bob, mut operator] = [(); 3].map(|()| server.connect());
        alice.call(["AUTH", "alice", "red"]).await;
        bob.call(["AUTH", "bob", "blue"]).await;
        operator.call(["AUTH", "operator", "crown"]).await;

        for text in ["milk", "bread"] {
            assert_eq!(alice.call(["SET", "today", text]).await, Value::simple("OK"));
            // The cache gets the invalidation a moment later.
            while alice.call(["GET", "today"]).await != Value::from(text) {}
            assert_eq!(bob.call(["GET", "today"]).await, Value::Null);
            while operator.call(["GET", "alice:today"]).await != Value::from(text) {}
        }
        let info = operator.call(["INFO", "tenants"]).await;
        assert!(info.as_str().is_some_and(|info| info.contains("requests_bob:2\r\n")), "{info:?}");
    }
}
