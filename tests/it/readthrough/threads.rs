//! A server with several threads, each with its part of the cache.

use std::collections::BTreeMap;

use super::{Database, clients_read_their_own_writes, stat};
use crate::support::{RawClient, lines};

const OPTIONS: [&str; 2] = ["--threads", "4"];

/// Returns a key of each thread.
fn keys() -> Vec<String> {
    let mut keys = BTreeMap::new();
    for key in (0..100).map(|number| format!("key{number}")) {
        keys.entry(thegiant::shard(key.as_bytes(), 4)).or_insert(key);
    }
    keys.into_values().collect()
}

#[test]
fn each_thread_caches_its_keys() {
    for database in Database::all() {
        let (process, mut client) = database.serve(&OPTIONS);
        let keys = keys();
        assert_eq!(keys.len(), 4);
        let set = keys.iter().map(|key| format!("SET {key} {key}")).collect::<Vec<_>>().join(" \n ");
        let get = keys.iter().map(|key| format!("GET {key}")).collect::<Vec<_>>().join(" \n ");
        client.send(lines(&format!("{set} \n {get} \n {get}")));
        let values: String = keys.iter().map(|key| format!("${}\r\n{key}\r\n", key.len())).collect();
        assert_eq!(client.replies(12), format!("{}{values}{values}", "+OK\r\n".repeat(4)));
        // Other connections, which other threads may serve, read the same cache.
        for _ in 0..4 {
            let mut other = RawClient::connect(process.address());
            other.send(lines(&get));
            assert_eq!(other.replies(4), values);
        }
        let stats = ["hits", "misses", "queries", "cached_keys"].map(|field| stat(&mut client, field));
        assert_eq!(stats, [20, 4, 8, 4]);
    }
}

#[test]
fn a_command_may_be_over_keys_of_several_threads() {
    let database = Database::all().into_iter().next().expect("SQLite");
    let (_process, mut client) = database.serve(&OPTIONS);
    let keys = keys();
    let [a, b, c, d] = &keys[..] else { panic!("four keys") };
    client.send(lines(&format!(
        "SET {a} 1 \n SET {b} 2 \n MGET {b} {c} {a} \n MGET {a} {b} \n DEL {a} {c} {b} {d} \n MGET {a} {b}"
    )));
    let replies = "+OK\r\n+OK\r\n*3\r\n$1\r\n2\r\n$-1\r\n$1\r\n1\r\n*2\r\n$1\r\n1\r\n$1\r\n2\r\n:2\r\n*2\r\n$-1\r\n$-1\r\n";
    assert_eq!(client.replies(6), replies);
    // A transaction can be over the keys of several threads.
    client.send(lines(&format!("MULTI \n SET {a} 1 \n SET {b} 2 \n GET {a} \n GET {b} \n EXEC")));
    let replies = format!("+OK\r\n{}*4\r\n+OK\r\n+OK\r\n$1\r\n1\r\n$1\r\n2\r\n", "+QUEUED\r\n".repeat(4));
    assert_eq!(client.replies(6), replies);
}

#[test]
fn a_client_of_any_thread_reads_its_own_writes() {
    clients_read_their_own_writes(&["--threads", "4", "--memory", "4"]);
}
