//! Keys of an application that expire (`Expire`), in virtual time.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use actix_rt::System;
use thegiant::{
    DebugAccess, Expire, ExpiringMap, Keyspace, Seconds, Server, now,
    prelude::*,
    test::{TestClient, TestServer},
};
use tokio::time;

/// Keys with deadlines.
struct Leases {
    deadlines: HashMap<Bytes, i64>,
    order: BTreeSet<(i64, Bytes)>,
    keyspace: Keyspace,
}

impl Actor for Leases {
    type Context = Context<Self>;
}

#[commands(expire)]
impl Leases {
    /// Sets a key for some milliseconds.
    #[command("LEASE", write)]
    fn lease(&mut self, key: Key, milliseconds: u32) {
        let (key, deadline) = (Bytes::from(key), now() + i64::from(milliseconds));
        if let Some(before) = self.deadlines.insert(key.clone(), deadline) {
            self.order.remove(&(before, key.clone()));
        }
        self.order.insert((deadline, key));
    }

    /// Returns the number of keys, including those that have expired.
    #[command("COUNT", readonly)]
    fn count(&self) -> usize {
        self.deadlines.len()
    }

    /// Returns the time a key has left, in milliseconds.
    #[command("LEFT", readonly)]
    fn left(&self, key: Key<&[u8]>) -> Option<i64> {
        self.deadlines.get(*key).map(|deadline| deadline - now())
    }

    /// Lets time pass while the command runs.
    #[command("WORK", readonly)]
    fn work(&self, milliseconds: u64) {
        std::thread::sleep(Duration::from_millis(milliseconds));
    }
}

impl Expire for Leases {
    fn first_deadline(&self) -> Option<i64> {
        self.order.first().map(|(deadline, _)| *deadline)
    }

    fn remove_expired(&mut self, limit: usize) -> usize {
        for removed in 0..limit {
            if self.first_deadline().is_none_or(|deadline| deadline >= now()) {
                return removed;
            }
            if let Some((deadline, key)) = self.order.pop_first() {
                self.deadlines.remove(&key);
                self.keyspace.expired(0, &key, deadline);
            }
        }
        limit
    }
}

/// Runs a test with a server.
fn run<F: Future<Output = ()>>(test: impl FnOnce(TestServer) -> F) {
    System::new().block_on(async {
        let app = App::new();
        let leases = Leases { deadlines: HashMap::new(), order: BTreeSet::new(), keyspace: app.keyspace() };
        let server = Server::new(app.mount(leases.start())).debug_commands(DebugAccess::Yes);
        test(TestServer::with(server)).await;
    });
}

async fn count(client: &mut TestClient) -> Value {
    client.call(["COUNT"]).await
}

#[test]
fn a_key_expires_at_its_deadline_in_virtual_time() {
    run(async |server| {
        let mut client = server.connect();
        client.call(["LEASE", "day", "86400000"]).await;
        time::pause();
        time::advance(Duration::from_secs(86_000)).await;
        assert_eq!(count(&mut client).await, Value::Integer(1));
        time::advance(Duration::from_secs(401)).await;
        assert_eq!(count(&mut client).await, Value::Integer(0));
    });
}

#[test]
fn expired_keys_stay_while_active_expire_is_off() {
    run(async |server| {
        let mut client = server.connect();
        client.call(["LEASE", "key", "1000"]).await;
        client.call(["DEBUG", "SET-ACTIVE-EXPIRE", "0"]).await;
        time::pause();
        time::advance(Duration::from_secs(2)).await;
        assert_eq!(count(&mut client).await, Value::Integer(1));
        client.call(["DEBUG", "SET-ACTIVE-EXPIRE", "1"]).await;
        assert_eq!(count(&mut client).await, Value::Integer(0));
    });
}

#[test]
fn a_watched_key_that_expires_fails_the_transaction() {
    run(async |server| {
        let mut client = server.connect();
        time::pause();
        for (wait, reply) in [(2, Value::Null), (0, Value::Array(vec![Value::Integer(1)]))] {
            client.call(["LEASE", "key", "1000"]).await;
            client.call(["WATCH", "key"]).await;
            client.call(["MULTI"]).await;
            client.call(["COUNT"]).await;
            time::advance(Duration::from_secs(wait)).await;
            assert_eq!(client.call(["EXEC"]).await, reply);
        }
    });
}

#[test]
fn time_stands_still_for_the_commands_of_a_transaction_and_of_a_batch() {
    run(async |server| {
        let mut client = server.connect();
        client.call(["LEASE", "key", "60000"]).await;
        for (request, replies) in [
            ("MULTI\r\nLEFT key\r\nWORK 5\r\nLEFT key\r\nEXEC\r\n", 5),
            ("LEFT key\r\nWORK 5\r\nLEFT key\r\n", 3),
        ] {
            client.send(request).await;
            let mut last = Vec::new();
            for _ in 0..replies {
                last.push(client.reply().await);
            }
            if let Some(Value::Array(replies)) = last.pop_if(|last| matches!(last, Value::Array(_))) {
                last = replies;
            }
            assert_eq!(last.first(), last.last());
        }
        let before = client.call(["LEFT", "key"]).await;
        client.call(["WORK", "2"]).await;
        assert_ne!(client.call(["LEFT", "key"]).await, before);
    });
}

#[test]
fn many_keys_that_expire_at_once_are_removed_in_steps() {
    run(async |server| {
        let mut client = server.connect();
        time::pause();
        for key in 0..2500 {
            client.call(["LEASE", &key.to_string(), "1000"]).await;
        }
        time::advance(Duration::from_secs(2)).await;
        // Nobody sends a command, and then the first of them does not find all of them removed.
        let counts = [count(&mut client).await, count(&mut client).await, count(&mut client).await];
        assert!(counts.contains(&Value::Integer(0)), "{counts:?}");
        client.call(["LEASE", "later", "1000"]).await;
        time::advance(Duration::from_millis(1200)).await;
        time::sleep(Duration::from_millis(200)).await;
        let stats = client.call(["INFO", "stats"]).await;
        assert!(stats.as_str().is_some_and(|stats| stats.contains("\r\nexpired_keys:2501\r\n")), "{stats:?}");
    });
}

#[test]
fn nothing_expires_while_clients_are_paused() {
    run(async |server| {
        let (mut client, mut operator) = (server.connect(), server.connect());
        time::pause();
        client.call(["LEASE", "key", "1000"]).await;
        operator.call(["CLIENT", "PAUSE", "10000", "WRITE"]).await;
        time::advance(Duration::from_secs(2)).await;
        assert_eq!(count(&mut client).await, Value::Integer(1));
        operator.call(["CLIENT", "UNPAUSE"]).await;
        assert_eq!(count(&mut client).await, Value::Integer(0));
    });
}

/// An actor with two maps, whose keys it names in the attribute.
struct Maps {
    leases: ExpiringMap<Bytes, ()>,
    tokens: ExpiringMap<Bytes, ()>,
}

impl Actor for Maps {
    type Context = Context<Self>;
}

#[commands(expire(leases, tokens))]
impl Maps {
    /// Sets a key of both maps, in the second one for twice the time.
    #[command("SET", write)]
    fn set(&mut self, key: Key, time: Seconds) {
        self.leases.insert_for(key.0.clone(), (), time.0);
        self.tokens.insert_for(key.into(), (), 2 * time.0);
    }

    /// Returns the numbers of keys, including those that have expired.
    #[command("COUNT", readonly)]
    fn count(&self) -> Vec<usize> {
        vec![self.leases.len(), self.tokens.len()]
    }
}

#[test]
fn the_attribute_names_the_fields_whose_keys_expire() {
    System::new().block_on(async {
        let app = App::new();
        let [leases, tokens] = [(); 2].map(|()| ExpiringMap::new(app.keyspace()));
        let server = TestServer::start(app.mount(Maps { leases, tokens }.start()));
        let mut client = server.connect();
        client.call(["SET", "key", "10"]).await;
        time::pause();
        for (seconds, counts) in [(9, [1, 1]), (2, [0, 1]), (10, [0, 0])] {
            time::advance(Duration::from_secs(seconds)).await;
            assert_eq!(count(&mut client).await, Value::Array(counts.map(Value::Integer).into()));
        }
    });
}
