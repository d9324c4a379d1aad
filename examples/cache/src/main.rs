//! Run with `cargo run -p cache` beside a redis-server on port 6379, then try `redis-cli -p 6380 GET greeting`, and
//! `redis-cli -p 6379 SET greeting hello`.
//!
//! This example shows a cache in front of Redis. It answers `GET` from its own memory, and Redis says which keys have changed, whoever
//! changed them. A client may still get the old value for the moment that this message is on its way.

use std::{collections::HashMap, env};

use thegiant::{
    actix::StreamHandler,
    prelude::*,
    proxy::{CallError, Invalidation, Upstream, UpstreamHandle},
};

struct Cache {
    redis: UpstreamHandle,
    entries: HashMap<Bytes, Entry>,
    /// Whether Redis reports all changes at the moment.
    is_tracking: bool,
    /// Number of commands that were sent to Redis.
    reads: u64,
}

enum Entry {
    /// This read has been sent, and the key has not changed since.
    Reading(u64),
    Value(Value),
}

impl Actor for Cache {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.add_stream(self.redis.tracking(&[]));
    }
}

impl StreamHandler<Invalidation> for Cache {
    fn handle(&mut self, invalidation: Invalidation, _: &mut Context<Self>) {
        match invalidation {
            Invalidation::Key(key) => drop(self.entries.remove(&key)),
            all => {
                self.entries.clear();
                self.is_tracking = all == Invalidation::All;
            }
        }
    }
}

#[commands]
impl Cache {
    /// Returns the value of a key, which Redis has or this cache.
    #[command("GET", readonly)]
    fn get(&mut self, key: Key) -> ResponseActFuture<Self, Result<Value, CallError>> {
        let key: Bytes = key.into();
        if let Some(Entry::Value(value)) = self.entries.get(&key) {
            let value = value.clone();
            return Box::pin(async { Ok(value) }.into_actor(self));
        }
        self.reads += 1;
        let read = self.reads;
        if self.is_tracking {
            self.entries.insert(key.clone(), Entry::Reading(read));
        }
        let (redis, name) = (self.redis.clone(), key.clone());
        let reply = async move { redis.call(("GET", name)).await };
        Box::pin(reply.into_actor(self).map(move |reply, cache, _| {
            // If the key has changed meanwhile, this may be the old value.
            if matches!(cache.entries.get(&key), Some(Entry::Reading(latest)) if *latest == read) {
                match &reply {
                    Ok(value) => cache.entries.insert(key, Entry::Value(value.clone())),
                    Err(_) => cache.entries.remove(&key),
                };
            }
            reply
        }))
    }

    /// Returns the number of `GET` commands that Redis had to answer.
    #[command("READS", readonly, fast)]
    fn reads(&self) -> u64 {
        self.reads
    }
}

fn app(redis: &str) -> App {
    let redis = Upstream::new(redis).start();
    let cache = Cache { redis: redis.clone(), entries: HashMap::new(), is_tracking: false, reads: 0 };
    App::new().mount(cache.start()).proxy(redis)
}

#[thegiant::main]
async fn main() -> std::io::Result<()> {
    let [redis, address] = [(1, "127.0.0.1:6379"), (2, "127.0.0.1:6380")]
        .map(|(index, default)| env::args().nth(index).unwrap_or(default.to_owned()));
    Server::new(move || app(&redis)).bind(address)?.run().await
}

#[cfg(test)]
mod tests {
    use thegiant::test::TestServer;

    use super::*;

    /// In place of Redis: stores one value for all keys.
    #[derive(Default)]
    struct Store(String);

    impl Actor for Store {
        type Context = Context<Self>;
    }

    #[commands]
    impl Store {
        #[command("GET", readonly)]
        fn get(&self, _key: Key) -> String {
            self.0.clone()
        }

        #[command("SET", write)]
        fn set(&mut self, _key: Key, value: String) {
            self.0 = value;
        }
    }

    #[thegiant::test]
    async fn a_value_is_read_once_until_somebody_changes_it() {
        let upstream =
            Server::new(App::new().mount(Store::default().start())).bind("127.0.0.1:0").expect("a free port");
        let address = upstream.addrs()[0].to_string();
        let upstream = TestServer::with(upstream);
        let (mut writer, server) = (upstream.connect(), TestServer::start(app(&address)));
        let mut client = server.connect();
        for text in ["hello", "good bye"] {
            writer.call(["SET", "greeting", text]).await;
            // The cache gets the invalidation a moment later.
            while client.call(["GET", "greeting"]).await != Value::from(text) {}
            while {
                let reads = client.call(["READS"]).await;
                client.call(["GET", "greeting"]).await;
                client.call(["READS"]).await != reads
            } {}
            assert_eq!(client.call(["GET", "greeting"]).await, Value::from(text));
        }
    }
}
