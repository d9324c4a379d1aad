use std::thread;

use crate::support::{RawClient, Served, app, exchange, line, lines, request};

/// Returns a request and its reply. Consecutive numbers are answered by different actors, or by the
/// connection.
fn numbered(number: usize) -> (Vec<u8>, String) {
    let bulk = |text: String| format!("${}\r\n{text}\r\n", text.len());
    match number % 6 {
        0 => (line(&format!("FIRST {number}")), bulk(format!("first {number}"))),
        1 => (line(&format!("SECOND {number}")), bulk(format!("second {number}"))),
        2 => (format!("ECHO {number}\r\n").into_bytes(), bulk(number.to_string())),
        3 => (
            line(&format!("NOPE {number}")),
            format!("-ERR unknown command 'NOPE', with args beginning with: '{number}' \r\n"),
        ),
        4 => (
            line(&format!("FIRST {number} x")),
            "-ERR wrong number of arguments for 'first' command\r\n".into(),
        ),
        _ => (line(&format!("PING {number}")), bulk(number.to_string())),
    }
}

fn pipeline(numbers: std::ops::Range<usize>) -> (Vec<u8>, String) {
    let (requests, replies): (Vec<Vec<u8>>, Vec<String>) = numbers.map(numbered).unzip();
    (requests.concat(), replies.concat())
}

#[test]
fn ten_thousand_requests_in_one_pipeline_are_answered_in_order() {
    let served = Served::start(app);
    let (requests, replies) = pipeline(0..10_000);
    assert!(exchange(served.address(), requests) == replies);
}

#[test]
fn fifty_concurrent_pipelines_are_answered_in_order() {
    let served = Served::start(app);
    thread::scope(|scope| {
        for client in 0..50 {
            let address = served.address();
            scope.spawn(move || {
                let (requests, replies) = pipeline(client * 1000..(client + 1) * 1000);
                assert!(exchange(address, requests) == replies, "client {client}");
            });
        }
    });
}

/// An actor sees the changes that earlier commands of the pipeline made.
#[test]
fn a_pipeline_sees_its_own_writes() {
    let served = Served::start(app);
    let requests = lines("SET k 1 \n GET k \n SECOND x \n SET k 2 \n PING \n GET k \n DEL k \n GET k");
    assert_eq!(
        exchange(served.address(), requests),
        "+OK\r\n$1\r\n1\r\n$8\r\nsecond x\r\n+OK\r\n+PONG\r\n$1\r\n2\r\n:1\r\n$-1\r\n"
    );
}

#[test]
fn requests_before_a_protocol_error_are_answered_and_later_ones_do_not_run() {
    let served = Served::start(app);
    let requests = [lines("SET k 1 \n FIRST a \n PING \n SECOND b"), b"*x\r\n".to_vec(), line("SET k 2")];
    assert_eq!(
        exchange(served.address(), requests.concat()),
        "+OK\r\n$7\r\nfirst a\r\n+PONG\r\n$8\r\nsecond b\r\n-ERR Protocol error: invalid multibulk length\r\n"
    );
    assert_eq!(exchange(served.address(), line("GET k")), "$1\r\n1\r\n");
}

#[test]
fn requests_after_quit_do_not_run() {
    let served = Served::start(app);
    let requests = lines("FIRST a \n QUIT \n SET k 1 \n PING");
    assert_eq!(exchange(served.address(), requests), "$7\r\nfirst a\r\n+OK\r\n");
    assert_eq!(exchange(served.address(), line("GET k")), "$-1\r\n");
}

#[test]
fn hello_changes_the_protocol_from_the_next_reply_on() {
    let served = Served::start(app);
    let mut client = RawClient::connect(served.address());
    client.send(lines(
        "GET k \n HELLO 3 \n GET k \n CLIENT GETNAME \n HELLO 2 \n GET k \n HELLO 3 \n RESET \n GET k",
    ));
    assert_eq!(client.reply(), "$-1\r\n");
    assert!(client.reply().starts_with(b"%7\r\n"), "HELLO 3 answers a map");
    assert_eq!(client.replies(2), "_\r\n_\r\n");
    assert!(client.reply().starts_with(b"*14\r\n"), "HELLO 2 answers an array");
    assert_eq!(client.reply(), "$-1\r\n");
    assert!(client.reply().starts_with(b"%7\r\n"), "HELLO 3 answers a map");
    assert_eq!(client.replies(2), "+RESET\r\n$-1\r\n");
}

#[test]
fn hello_changes_the_protocol_of_a_partly_received_request() {
    let served = Served::start(app);
    let mut client = RawClient::connect(served.address());
    client.send("HELLO 3\r\nGET mis");
    assert!(client.reply().starts_with(b"%7\r\n"), "HELLO 3 answers a map");
    assert_eq!(client.ask("sing\r\nRESET\r\nGET mis"), "_\r\n");
    assert_eq!(client.reply(), "+RESET\r\n");
    assert_eq!(client.ask("sing\r\n"), "$-1\r\n");
}

#[test]
fn replies_are_sent_despite_unread_input() {
    let served = Served::start(app);
    let value = "x".repeat(1 << 20);
    let set = exchange(served.address(), request(["SET", "k", &value]));
    assert_eq!(set, "+OK\r\n");
    // The server never reads the 4 MiB after the protocol error.
    let requests = [line("GET k").repeat(20), b"*1\r\n!".to_vec(), vec![b'x'; 4 << 20]].concat();
    let replies = exchange(served.address(), requests);
    let expected = format!("${}\r\n{value}\r\n", value.len()).repeat(20)
        + "-ERR Protocol error: expected '$', got '!'\r\n";
    assert!(replies == expected, "{} bytes of {}", replies.len(), expected.len());
}
