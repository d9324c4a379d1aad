//! Expiry, scans across other commands, databases, and the end of `kv`.

use std::collections::HashSet;

use crate::support::{Process, RawClient, Reply, eventually, line, lines, request};

fn ask(client: &mut RawClient, text: &str) -> Reply {
    Reply::only(&client.ask(line(text))).expect("a whole reply")
}

#[test]
fn expired_keys_are_removed_without_access() {
    let kv = Process::program("kv");
    let mut client = RawClient::connect(kv.address());
    // More keys than one cycle of expiry removes, in two databases.
    let count = 3_000;
    for db in [0, 9] {
        client.send(line(&format!("SELECT {db}")));
        client.send((0..count).flat_map(|n| line(&format!("SET {n} v PX 50"))).collect::<Vec<_>>());
        client.send(line("SET stays v"));
        client.replies(count + 2);
    }
    for db in [0, 9] {
        ask(&mut client, &format!("SELECT {db}"));
        eventually(|| (ask(&mut client, "DBSIZE") == Reply::Integer(1)).then_some(()));
        assert_eq!(client.ask(line("GET stays")), "$1\r\nv\r\n");
    }
}

/// Expiry aborts the transaction of a watcher, invalidates a client-side cache, and sends a keyspace notification.
#[test]
fn clients_are_notified_of_expired_keys() {
    let kv = Process::program("kv");
    let [mut watcher, mut tracker, mut listener, mut writer] =
        [(); 4].map(|()| RawClient::connect(kv.address()));
    writer.ask(line("CONFIG SET notify-keyspace-events Ex"));
    writer.ask(line("SELECT 9"));
    writer.ask(line("SET brief v PX 50"));
    watcher.send(lines("SELECT 9\nWATCH brief"));
    tracker.send(lines("SELECT 9\nHELLO 3\nCLIENT TRACKING ON\nGET brief"));
    listener.ask(line("SUBSCRIBE __keyevent@9__:expired"));
    assert_eq!(watcher.replies(2), "+OK\r\n+OK\r\n");
    tracker.replies(4);
    assert_eq!(listener.reply(), "*3\r\n$7\r\nmessage\r\n$22\r\n__keyevent@9__:expired\r\n$5\r\nbrief\r\n");
    assert_eq!(tracker.reply(), ">2\r\n$10\r\ninvalidate\r\n*1\r\n$5\r\nbrief\r\n");
    watcher.send(lines("MULTI\nSET brief w\nEXEC"));
    assert_eq!(watcher.replies(3), "+OK\r\n+QUEUED\r\n*-1\r\n");
}

#[test]
fn a_replaced_deadline_does_not_expire_a_key() {
    let kv = Process::program("kv");
    let mut client = RawClient::connect(kv.address());
    // In one write, so that the first keys do not expire before the last commands.
    client.send(lines(
        "SET persisted v PX 50\nSET later v PX 50\nSET renamed v PX 50\nSET set v PX 50\nPERSIST persisted\n\
         EXPIRE later 1000\nRENAME renamed gone\nSET set w\nSET witness v PX 60",
    ));
    client.replies(9);
    eventually(|| (ask(&mut client, "DBSIZE") == Reply::Integer(3)).then_some(()));
    assert_eq!(ask(&mut client, "EXISTS persisted later set"), Reply::Integer(3));
}

/// Other clients add and remove keys between the pages of the scan.
#[test]
fn a_scan_finds_all_keys_that_exist_throughout() {
    let kv = Process::program("kv");
    let mut client = RawClient::connect(kv.address());
    for n in 0..1_000 {
        ask(&mut client, &format!("SET stays:{n} v"));
        ask(&mut client, &format!("SET goes:{n} v"));
    }
    let mut found = HashSet::new();
    let mut cursor = "0".to_owned();
    for round in 0.. {
        let (next, page) = scan(&mut client, &cursor);
        assert!(page.len() <= 50, "a page of {}", page.len());
        found.extend(page);
        for n in round * 40..(round + 1) * 40 {
            ask(&mut client, &format!("DEL goes:{} goes:{}", 999 - n.min(999), n / 3));
            ask(&mut client, &format!("SET comes:{n} v"));
            ask(&mut client, &format!("RENAME stays:{} stays:{}", n % 1000, n % 1000));
        }
        if next == "0" {
            break;
        }
        cursor = next;
    }
    let missing: Vec<usize> =
        (0..1_000).filter(|n| !found.contains(format!("stays:{n}").as_bytes())).collect();
    assert_eq!(missing, [0; 0]);
}

fn scan(client: &mut RawClient, cursor: &str) -> (String, Vec<Vec<u8>>) {
    let Reply::Array(parts) = ask(client, &format!("SCAN {cursor} COUNT 50")) else { panic!("no array") };
    let [Reply::Bulk(cursor), Reply::Array(page)] = &parts[..] else { panic!("{parts:?}") };
    let page = page.iter().map(|key| match key {
        Reply::Bulk(key) => key.clone(),
        other => panic!("{other:?}"),
    });
    (String::from_utf8(cursor.clone()).expect("text"), page.collect())
}

#[test]
fn databases_are_separate() {
    let kv = Process::program("kv");
    let mut clients = [(); 16].map(|()| RawClient::connect(kv.address()));
    for (client, db) in clients.iter_mut().zip(0..) {
        assert_eq!(client.ask(line(&format!("SELECT {db}"))), "+OK\r\n");
        assert_eq!(client.ask(line(&format!("SET k {db}"))), "+OK\r\n");
    }
    for (client, db) in clients.iter_mut().zip(0..) {
        assert_eq!(ask(client, "GET k"), Reply::Bulk(format!("{db}").into_bytes()));
        assert_eq!(ask(client, "DBSIZE"), Reply::Integer(1));
    }
}

#[test]
fn kv_sends_all_pending_replies_before_it_stops() {
    let kv = Process::program("kv");
    let mut client = RawClient::connect(kv.address());
    let value = vec![b'v'; 1 << 20];
    client.ask(request([&b"SET"[..], b"k", &value]));
    // More than the buffers of both sockets hold, so that the server is still sending.
    client.send(line("GET k").repeat(64));
    client.reply();
    kv.signal("TERM");
    let rest = client.rest();
    assert_eq!(rest.len(), 63 * (value.len() + "$1048576\r\n\r\n".len()));
    assert!(kv.wait().success());
}
