//! Acknowledged writes survive a graceful stop, a kill, and a truncated log.

use std::{collections::HashSet, fs, thread, time::Duration};

use super::{ENGINES, start};
use crate::support::{Folder, Process, RawClient, Reply, eventually, line, lines};

fn ask(client: &mut RawClient, text: &str) -> Reply {
    Reply::only(&client.ask(line(text))).expect("a whole reply")
}

fn stop(process: Process) {
    process.signal("TERM");
    assert!(process.wait().success());
}

#[test]
fn keys_and_deadlines_survive_a_restart() {
    for engine in ENGINES {
        let folder = Folder::new();
        let (process, mut client) = start(engine, folder.path(), &[]);
        client.send(lines(
            "SET a 1 \n SET b 2 EX 1000 \n SET gone 3 PX 30 \n APPEND a 23 \n INCR a \n SET removed x",
        ));
        client.send(lines("DEL removed \n SELECT 9 \n SET a nine \n SELECT 0"));
        client.replies(10);
        stop(process);
        thread::sleep(Duration::from_millis(40));

        let (process, mut client) = start(engine, folder.path(), &[]);
        assert_eq!(client.ask(line("MGET a b gone removed")), "*4\r\n$3\r\n124\r\n$1\r\n2\r\n$-1\r\n$-1\r\n");
        let Reply::Integer(left @ 990..=1000) = ask(&mut client, "TTL b") else {
            panic!("it has a deadline")
        };
        eventually(|| (ask(&mut client, "DBSIZE") == Reply::Integer(2)).then_some(()));
        client.send(lines("SELECT 9 \n GET a \n FLUSHDB \n SET b flushed \n SELECT 0"));
        assert_eq!(client.replies(5), "+OK\r\n$4\r\nnine\r\n+OK\r\n+OK\r\n+OK\r\n");
        drop(process); // Kills the process.

        let (_process, mut client) = start(engine, folder.path(), &[]);
        assert_eq!(client.ask(line("GET a")), "$3\r\n124\r\n");
        assert!(matches!(ask(&mut client, "TTL b"), Reply::Integer(still) if (0..=left).contains(&still)));
        client.send(lines("SELECT 9 \n GET a \n GET b \n DBSIZE"));
        assert_eq!(client.replies(4), "+OK\r\n$-1\r\n$7\r\nflushed\r\n:1\r\n");
    }
}

/// The scan finds each key that exists throughout, once.
#[test]
fn a_scan_continues_after_a_restart() {
    for engine in ENGINES {
        let folder = Folder::new();
        let (mut process, mut client) = start(engine, folder.path(), &[]);
        client.send((0..500).flat_map(|n| line(&format!("SET stays:{n} v"))).collect::<Vec<_>>());
        client.replies(500);
        let (mut cursor, mut seen, mut pages) = ("0".to_owned(), HashSet::new(), 0);
        loop {
            // Some keys of a page are not on disk yet, and others are deleted.
            client.send(lines(&format!(
                "MULTI \n SET comes:{pages} v \n SCAN {cursor} COUNT 50 \n DEL comes:{pages} \n EXEC"
            )));
            client.replies(4);
            let Some(Reply::Array(replies)) = Reply::only(&client.reply()) else { panic!("it is run") };
            let Reply::Array(page) = &replies[1] else { panic!("a page") };
            let [Reply::Bulk(next), Reply::Array(keys)] = &page[..] else { panic!("a cursor and keys") };
            for key in keys {
                let Reply::Bulk(key) = key else { panic!("a key") };
                assert!(seen.insert(key.clone()) || key.starts_with(b"comes"), "{key:?} is seen twice");
            }
            cursor = String::from_utf8(next.clone()).expect("a number");
            pages += 1;
            if cursor == "0" {
                break;
            }
            if pages == 3 {
                drop(process);
                (process, client) = start(engine, folder.path(), &[]);
            }
        }
        assert_eq!(seen.iter().filter(|key| key.starts_with(b"stays")).count(), 500);
        assert!(matches!(ask(&mut client, "RANDOMKEY"), Reply::Bulk(key) if seen.contains(&key)));
    }
}

#[test]
fn flushed_keys_are_gone_after_a_restart() {
    for engine in ENGINES {
        let folder = Folder::new();
        let (process, mut client) = start(engine, folder.path(), &[]);
        for round in 0..3 {
            client
                .send((0..3000).flat_map(|n| line(&format!("SET {n} {round} EX 1000"))).collect::<Vec<_>>());
            client.send(lines("FLUSHALL \n DBSIZE \n GET 1"));
            client.replies(3000);
            assert_eq!(client.replies(3), "+OK\r\n:0\r\n$-1\r\n");
        }
        assert_eq!(ask(&mut client, "SET k v"), Reply::Simple(b"OK".into()));
        // `kv-disk` removes flushed keys between commands.
        thread::sleep(Duration::from_millis(300));
        drop(process);
        let (_process, mut client) = start(engine, folder.path(), &[]);
        assert_eq!(client.ask(line("KEYS *")), "*1\r\n$1\r\nk\r\n");
        assert_eq!(ask(&mut client, "DBSIZE"), Reply::Integer(1));
    }
}

/// The operating system has the writes even if the disk does not have them yet.
#[test]
fn a_kill_loses_nothing_with_any_durability() {
    for engine in ENGINES {
        for durability in [&["--durability", "os"][..], &["--durability", "every=20"]] {
            let folder = Folder::new();
            let (process, mut client) = start(engine, folder.path(), durability);
            client.send((0..1000).flat_map(|n| line(&format!("SET {n} v"))).collect::<Vec<_>>());
            client.replies(1000);
            thread::sleep(Duration::from_millis(50));
            assert_eq!(ask(&mut client, "SET last v"), Reply::Simple(b"OK".into()));
            drop(process);
            let (_process, mut client) = start(engine, folder.path(), durability);
            assert_eq!(ask(&mut client, "DBSIZE"), Reply::Integer(1001), "{engine}, {durability:?}");
        }
    }
}

/// After a power failure the end of the log may be missing.
#[test]
fn a_truncated_log_loses_only_its_last_transaction() {
    for (engine, log) in [("lsm", "lsm/0.jnl"), ("sqlite", "sqlite/kv.db-wal")] {
        for torn in [1, 7, 30] {
            let folder = Folder::new();
            let (process, mut client) = start(engine, folder.path(), &[]);
            for n in 0..20 {
                client.ask(line(&format!("MSET a {n} b {n}")));
            }
            drop(process);
            let path = folder.path().join(log);
            let bytes = fs::read(&path).expect("the log is there");
            // The file may have preallocated space at its end.
            let end = bytes.iter().rposition(|byte| *byte != 0).expect("something was written") + 1;
            fs::write(&path, &bytes[..end - torn]).expect("the log can be truncated");

            let (process, mut client) = start(engine, folder.path(), &[]);
            let values = client.ask(line("MGET a b"));
            assert_eq!(
                values, "*2\r\n$2\r\n18\r\n$2\r\n18\r\n",
                "{engine} without the last {torn} bytes of its log"
            );
            assert_eq!(client.ask(line("MSET a new b new")), "+OK\r\n");
            drop(process);
            let (_process, mut client) = start(engine, folder.path(), &[]);
            assert_eq!(client.ask(line("MGET a b")), "*2\r\n$3\r\nnew\r\n$3\r\nnew\r\n");
        }
    }
}
