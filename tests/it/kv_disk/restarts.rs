//! What has been said is so, after an end in order and after a sudden one.

use std::{collections::HashSet, fs, thread, time::Duration};

use super::{ENGINES, start};
use crate::support::{Folder, Process, RawClient, Reply, eventually, line, lines};

fn ask(client: &mut RawClient, text: &str) -> Reply {
    Reply::only(&client.ask(line(text))).expect("a whole reply")
}

fn end(process: Process) {
    process.signal("TERM");
    assert!(process.wait().success());
}

#[test]
fn everything_is_found_again() {
    for engine in ENGINES {
        let folder = Folder::new();
        let (process, mut client) = start(engine, folder.path(), &[]);
        client.send(lines(
            "SET a 1 \n SET b 2 EX 1000 \n SET gone 3 PX 30 \n APPEND a 23 \n INCR a \n SET removed x",
        ));
        client.send(lines("DEL removed \n SELECT 9 \n SET a nine \n SELECT 0"));
        client.replies(10);
        end(process);
        thread::sleep(Duration::from_millis(40));

        let (process, mut client) = start(engine, folder.path(), &[]);
        assert_eq!(client.ask(line("MGET a b gone removed")), "*4\r\n$3\r\n124\r\n$1\r\n2\r\n$-1\r\n$-1\r\n");
        let Reply::Integer(left @ 990..=1000) = ask(&mut client, "TTL b") else {
            panic!("it has a deadline")
        };
        eventually(|| (ask(&mut client, "DBSIZE") == Reply::Integer(2)).then_some(()));
        client.send(lines("SELECT 9 \n GET a \n FLUSHDB \n SET b flushed \n SELECT 0"));
        assert_eq!(client.replies(5), "+OK\r\n$4\r\nnine\r\n+OK\r\n+OK\r\n+OK\r\n");
        drop(process); // It is killed.

        let (_process, mut client) = start(engine, folder.path(), &[]);
        assert_eq!(client.ask(line("GET a")), "$3\r\n124\r\n");
        assert!(matches!(ask(&mut client, "TTL b"), Reply::Integer(still) if (0..=left).contains(&still)));
        client.send(lines("SELECT 9 \n GET a \n GET b \n DBSIZE"));
        assert_eq!(client.replies(4), "+OK\r\n$-1\r\n$7\r\nflushed\r\n:1\r\n");
    }
}

/// A key that is there all the time is seen by a scan that goes on behind a restart, once.
#[test]
fn scans_go_on() {
    for engine in ENGINES {
        let folder = Folder::new();
        let (mut process, mut client) = start(engine, folder.path(), &[]);
        client.send((0..500).flat_map(|n| line(&format!("SET stays:{n} v"))).collect::<Vec<_>>());
        client.replies(500);
        let (mut cursor, mut seen, mut pages) = ("0".to_owned(), HashSet::new(), 0);
        loop {
            // Some of a page are not on disk yet, and some are gone.
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

/// Whatever is cleared leaves nothing behind, in the end.
#[test]
fn what_was_cleared_is_removed() {
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
        // It is looked for between commands.
        thread::sleep(Duration::from_millis(300));
        drop(process);
        let (_process, mut client) = start(engine, folder.path(), &[]);
        assert_eq!(client.ask(line("KEYS *")), "*1\r\n$1\r\nk\r\n");
        assert_eq!(ask(&mut client, "DBSIZE"), Reply::Integer(1));
    }
}

/// The operating system has what was written, whenever the disk gets it: a process that is killed loses nothing.
#[test]
fn whenever_the_disk_gets_it() {
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

/// The end of what was written last is missing, as after the loss of power. It was promised to nobody.
#[test]
fn a_torn_end_is_dropped() {
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
            // There may be room behind what was written.
            let end = bytes.iter().rposition(|byte| *byte != 0).expect("something was written") + 1;
            fs::write(&path, &bytes[..end - torn]).expect("it can be cut");

            let (process, mut client) = start(engine, folder.path(), &[]);
            let values = client.ask(line("MGET a b"));
            assert_eq!(values, "*2\r\n$2\r\n18\r\n$2\r\n18\r\n", "{engine} without its last {torn} bytes");
            assert_eq!(client.ask(line("MSET a new b new")), "+OK\r\n");
            drop(process);
            let (_process, mut client) = start(engine, folder.path(), &[]);
            assert_eq!(client.ask(line("MGET a b")), "*2\r\n$3\r\nnew\r\n$3\r\nnew\r\n");
        }
    }
}
