//! The database stops, and starts again.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    thread,
};

use super::{Database, stat};
use crate::support::{Postgres, RawClient, eventually, line};

#[test]
fn cached_keys_are_served_while_the_database_is_down() {
    let database = Database::Postgres(Postgres::start());
    let (process, mut client) = database.serve(&["--ttl", "0.1", "--query-timeout", "3000"]);
    let Database::Postgres(postgres) = &database else { return };
    for key in 0..10 {
        client.ask(format!("SET key:{key} value\r\n"));
        client.ask(format!("GET key:{key}\r\n"));
    }
    // The database stops and starts while clients read.
    let (is_over, replies) = (AtomicBool::new(false), AtomicUsize::new(0));
    let address = process.address();
    let read = |reader: usize| {
        let mut client = RawClient::connect(address);
        while !is_over.load(Relaxed) {
            let value = client.ask(format!("GET key:{}\r\n", reader % 10));
            assert_eq!(value, "$5\r\nvalue\r\n");
            replies.fetch_add(1, Relaxed);
        }
    };
    thread::scope(|scope| {
        for reader in 0..20 {
            scope.spawn(move || read(reader));
        }
        for round in 0..3 {
            postgres.down();
            for request in [format!("GET new:{round}\r\n"), format!("SET new:{round} 1\r\n")] {
                let reply = client.ask(&request);
                assert!(reply.starts_with(b"-DATABASE "), "{request}: {reply:?}");
            }
            assert_eq!(client.ask(line("GET key:1")), "$5\r\nvalue\r\n");
            postgres.up();
            eventually(|| (client.ask(format!("GET new:{round}\r\n")) == "$-1\r\n").then_some(()));
            assert_eq!(client.ask(format!("SET new:{round} 1\r\n")), "+OK\r\n");
        }
        is_over.store(true, Relaxed);
    });
    assert!(replies.load(Relaxed) > 0 && stat(&mut client, "query_failures") >= 6);
}
