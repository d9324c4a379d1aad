//! Tests the ways in which a blocked command ends without its value.

use std::{thread, time::Duration};

use thegiant::Timeouts;

use super::app::{app, wait_until_blocked};
use crate::support::{ANY_PORT, RawClient, Served, eventually, line, lines};

fn connected(served: &Served) -> RawClient {
    RawClient::connect(served.address())
}

#[test]
fn a_disconnected_client_is_noticed_at_once_and_its_value_is_returned() {
    let served = Served::start(app);
    let mut other = connected(&served);
    let leave: [fn(RawClient); 3] = [drop, RawClient::reset, |client| {
        client.half_close();
        // The client still reads, but sends no further requests.
        thread::spawn(move || drop(client));
    }];
    let large = |words: usize| {
        format!("AWAIT it{}", format!(" \n SAY {}", "x".repeat(words)).repeat(300_000 / words))
    };
    let [many, larger] = [10, 100_000].map(large);
    for leave in leave {
        for requests in [
            "AWAIT it",
            "AWAITUNTOLD it",
            "SAY a \n AWAIT it",
            "AWAIT it \n SAY b",
            "SAY a \n AWAIT it \n SAY b",
            "CLIENT REPLY OFF \n SAY a \n AWAIT it",
            &many,
            &larger,
        ] {
            let (mut first, mut second) = (connected(&served), connected(&served));
            first.send(lines(requests));
            wait_until_blocked(&mut other, "it", 1);
            second.send(line("AWAIT it"));
            wait_until_blocked(&mut other, "it", 2);
            leave(first);
            wait_until_blocked(&mut other, "it", 1);
            assert_eq!(other.ask(line("GIVE it value")), ":1\r\n");
            assert_eq!(second.reply(), "$5\r\nvalue\r\n");
        }
    }
}

#[test]
fn the_future_of_a_disconnected_client_is_dropped() {
    let served = Served::start(app);
    let mut other = connected(&served);
    for (count, command) in ["NEVER", "ACTNEVER", "SAY a\r\nNEVER", "NEVER\r\nSAY a"].iter().enumerate() {
        let mut client = connected(&served);
        client.send(format!("{command}\r\n"));
        other.let_server_read();
        assert_eq!(other.ask(line("DROPPED")), format!(":{count}\r\n"));
        drop(client);
        eventually(|| (other.ask(line("DROPPED")) == format!(":{}\r\n", count + 1)).then_some(()));
    }
}

#[test]
fn a_responders_timeout_sends_its_reply() {
    let served = Served::start(app);
    let (mut client, mut other) = (connected(&served), connected(&served));
    assert_eq!(client.ask(line("AWAITFOR it 20")), "$-1\r\n");
    assert_eq!(other.ask(line("GIVE it late")), ":0\r\n");
    // The timeouts end in another order than they began, and one value comes before its timeout.
    client.send(lines("AWAITFOR it 100000 \n AWAITFOR it 10 \n AWAITFOR it 30 \n AWAITFOR it 20 \n SAY end"));
    wait_until_blocked(&mut other, "it", 1);
    assert_eq!(other.ask(line("GIVE it early")), ":1\r\n");
    assert_eq!(client.replies(5), "$5\r\nearly\r\n$-1\r\n$-1\r\n$-1\r\n$3\r\nend\r\n");
    client.send(lines("HELLO 3 \n AWAITFOR it 1"));
    client.reply();
    assert_eq!(client.reply(), "_\r\n");
}

#[test]
fn rows_and_servers_have_timeouts_too() {
    let served = Served::with(app, |server| {
        server.timeouts(Timeouts::new().reply(Duration::from_secs(1))).bind(ANY_PORT)
    });
    let mut client = connected(&served);
    client.send(lines("AWAITROW it \n NEVER \n SAY end"));
    let late = "-TIMEOUT the command was not answered in time\r\n";
    assert_eq!(client.replies(3), format!("{late}{late}$3\r\nend\r\n"));
    let mut other = connected(&served);
    assert_eq!(other.ask(line("DROPPED")), ":1\r\n");
    // The timeout of the responder replaces that of the server.
    assert_eq!(client.ask(line("CONFIG SET reply-timeout 1")), "+OK\r\n");
    assert_eq!(client.ask(line("AWAITFOR it 1500")), "$-1\r\n");
}

#[test]
fn client_unblock_ends_a_blocked_command() {
    let served = Served::start(app);
    let (mut client, mut other) = (connected(&served), connected(&served));
    let id = client.id();
    let mut unblock = |how: &str, waits: &str| {
        client.send(lines(&format!("SAY a \n {waits} \n SAY b")));
        client.reply();
        wait_until_blocked(&mut other, "it", 1);
        assert_eq!(other.ask(line(format!("CLIENT UNBLOCK {id} {how}").trim_end())), ":1\r\n");
        let replies = client.replies(2);
        assert_eq!(other.ask(line(format!("CLIENT UNBLOCK {id} {how}").trim_end())), ":0\r\n");
        replies
    };
    assert_eq!(unblock("", "AWAIT it"), "$-1\r\n$1\r\nb\r\n");
    assert_eq!(unblock("timeout", "AWAITFOR it 100000"), "$-1\r\n$1\r\nb\r\n");
    let error = "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n";
    assert_eq!(unblock("ERROR", "AWAIT it"), format!("{error}$1\r\nb\r\n"));
    assert_eq!(other.ask(line("CLIENT UNBLOCK 123456")), ":0\r\n");
    assert_eq!(other.ask(line("CLIENT UNBLOCK -1")), ":0\r\n");
}

#[test]
fn a_stop_ends_a_blocked_command() {
    let served = Served::start(app);
    let (mut client, mut other) = (connected(&served), connected(&served));
    client.send(lines("SAY a \n AWAIT it \n SAY b \n NEVER \n AWAITFOR it 100000"));
    assert_eq!(client.reply(), "$1\r\na\r\n");
    wait_until_blocked(&mut other, "it", 1);
    served.stop().expect("it ends in order");
    let stops = "-UNBLOCKED the server is shutting down\r\n";
    assert_eq!(client.rest(), format!("{stops}$1\r\nb\r\n{stops}{stops}"));
}

#[test]
fn a_dropped_responder_is_an_error() {
    let served = Served::start(app);
    let (mut client, mut other) = (connected(&served), connected(&served));
    client.send(lines("AWAIT it \n SAY a"));
    wait_until_blocked(&mut other, "it", 1);
    assert_eq!(other.ask(line("FORGET it")), ":1\r\n");
    assert_eq!(client.replies(2), "-ERR the command was dropped without a reply\r\n$1\r\na\r\n");
}

#[test]
fn a_panic_is_an_internal_error() {
    let served = Served::start(app);
    let mut client = connected(&served);
    let error = "-ERR internal error\r\n";
    for command in ["PANIC", "BOOM", "ACTBOOM"] {
        client.send(lines(&format!("SAY a \n {command} \n ATONCE b \n FUTURE 1 c")));
        assert_eq!(client.replies(4), format!("$1\r\na\r\n{error}$1\r\nb\r\n$1\r\nc\r\n"), "{command}");
    }
}
