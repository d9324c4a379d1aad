//! A balancer on several threads, each with connections of its own to the servers.

use super::Three;
use crate::support::{RawClient, Reply, eventually, line, lines, request};

/// Clients of all four threads: the server gives a connection to the thread with the fewest.
fn clients(three: &Three) -> [RawClient; 4] {
    [(); 4].map(|()| {
        let mut client = three.client();
        assert_eq!(client.ask(line("PING")), "+PONG\r\n");
        client
    })
}

#[test]
fn each_thread_has_its_own_connections() {
    let three = Three::start(&["--threads", "4"]);
    let mut clients = clients(&three);
    let mut upstream = || String::from_utf8_lossy(&clients[0].ask(line("INFO upstream"))).into_owned();
    let connected =
        eventually(|| Some(upstream()).filter(|info| info.contains("upstream_connections:12\r\n")));
    let address = |server: usize| format!("upstream{server}:address=unix:");
    assert!((0..3).all(|server| connected.contains(&address(server))), "{connected}");
    assert!(!connected.contains(&address(3)), "{connected}");
    let requests = (0..400).map(|number| request(["SET", &format!("key{number}"), "x"])).collect::<Vec<_>>();
    for (client, requests) in clients.iter_mut().zip(requests.chunks(100)) {
        client.send(requests.concat());
        assert_eq!(client.replies(100), "+OK\r\n".repeat(100));
    }
    for client in &mut clients {
        assert_eq!(client.ask(line("DBSIZE")), ":400\r\n");
        assert_eq!(client.ask(line("EXISTS key0 key100 key200 key300 none")), ":4\r\n");
    }
}

#[test]
fn a_scan_continues_on_the_connections_of_other_threads() {
    let three = Three::start(&["--threads", "4"]);
    let mut clients = clients(&three);
    for number in 0..300 {
        assert_eq!(clients[0].ask(request(["SET", &format!("key{number}"), "x"])), "+OK\r\n");
    }
    let (mut cursor, mut found) = ("0".to_owned(), Vec::new());
    for turn in 0.. {
        let page = clients[turn % 4].ask(request(["SCAN", &cursor, "COUNT", "10"]));
        let Some(Reply::Array(fields)) = Reply::only(&page) else { panic!("{page:?}") };
        let [Reply::Bulk(next), Reply::Array(keys)] = &fields[..] else { panic!("{fields:?}") };
        found.extend(keys.iter().map(|key| format!("{key:?}")));
        cursor = String::from_utf8_lossy(next).into_owned();
        if cursor == "0" {
            break;
        }
    }
    found.sort();
    found.dedup();
    assert_eq!(found.len(), 300);
}

#[test]
fn publishers_and_subscribers_of_all_threads_meet() {
    let three = Three::start(&["--threads", "4"]);
    let mut subscribers = clients(&three);
    for subscriber in &mut subscribers {
        subscriber.ask(line("SUBSCRIBE news"));
    }
    for mut publisher in clients(&three) {
        assert_eq!(publisher.ask(line("PUBLISH news x")), ":4\r\n");
    }
    for subscriber in &mut subscribers {
        assert_eq!(subscriber.replies(4), "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\nx\r\n".repeat(4));
    }
}

#[test]
fn transactions_and_watched_keys_work_on_all_threads() {
    let three = Three::start(&["--threads", "4"]);
    let mut clients = clients(&three);
    for client in &mut clients {
        assert_eq!(client.ask(line("WATCH {a}1")), "+OK\r\n");
        assert_eq!(client.ask(line("MULTI")), "+OK\r\n");
        assert_eq!(client.ask(line("INCR {a}1")), "+QUEUED\r\n");
    }
    // The first transaction changes the watched key of the others.
    let replies = clients.each_mut().map(|client| client.ask(line("EXEC")));
    assert_eq!(replies, ["*1\r\n:1\r\n", "*-1\r\n", "*-1\r\n", "*-1\r\n"]);
    for client in &mut clients {
        client.send(lines("MULTI \n INCR {a}1 \n EXEC"));
        assert!(client.replies(3).starts_with(b"+OK\r\n+QUEUED\r\n*1\r\n:"));
    }
}
