//! Tests `thegiant::test` as users of the toolkit call it.

use std::{
    env,
    process::Command,
    time::{Duration, Instant},
};

use actix_rt::{System, time::sleep};
use thegiant::{
    Timeouts,
    prelude::*,
    test::{TestClient, TestServer, assert_replies},
};
use tokio::time::timeout;

use crate::{later, support::PATIENCE};

/// Runs a test in a new actix system.
fn run(test: impl Future<Output = ()>) {
    System::new().block_on(test);
}

/// Returns when this many clients wait for `it`.
async fn wait_until_blocked(client: &mut TestClient, count: i64) {
    let waiting = async { while client.call(["WAITING", "it"]).await != Value::Integer(count) {} };
    timeout(PATIENCE, waiting).await.expect("the expected number of clients waits");
}

#[test]
fn a_test_client_sends_requests_and_reads_replies() {
    run(async {
        let server = TestServer::start(later::app());
        let mut client = server.connect();
        assert_eq!(client.call(["SAY", "a"]).await, Value::bulk("a"));
        assert_eq!(client.call([&b"SAY"[..], b"\0\r\n"]).await, Value::bulk(&b"\0\r\n"[..]));
        assert!(matches!(client.call(["NOPE"]).await, Value::Error(error) if error.code() == "ERR"));
        client.send("SAY b\r\nSAY c\r\n").await;
        client.expect("$1\r\nb\r\n$1\r\nc\r\n").await;
        let large = "x".repeat(1 << 20);
        assert_eq!(client.call(["SAY", &large]).await, Value::bulk(large));
        client.send("SAY d\r\nQUIT\r\n").await;
        assert_eq!(client.rest().await, "$1\r\nd\r\n+OK\r\n");
    });
}

#[test]
fn one_client_unblocks_another() {
    run(async {
        let server = TestServer::start(later::app());
        let (mut waiting, mut other) = (server.connect(), server.connect());
        waiting.send("AWAIT it\r\n").await;
        wait_until_blocked(&mut other, 1).await;
        assert_eq!(other.call(["GIVE", "it", "x"]).await, Value::Integer(1));
        assert_eq!(waiting.reply().await, Value::bulk("x"));
        waiting.send("AWAIT it\r\n").await;
        wait_until_blocked(&mut other, 1).await;
        drop(waiting);
        wait_until_blocked(&mut other, 0).await;
    });
}

#[test]
fn pushes_are_separated_from_replies() {
    run(async {
        let server = TestServer::start(later::app());
        let mut client = server.connect().resp3().await;
        assert_eq!(client.call(["PUSHME", "2"]).await, Value::Integer(2));
        assert_eq!(client.call(["SAY", "a"]).await, Value::bulk("a"));
        for number in 1..=2 {
            assert_eq!(client.pushed().await, [Value::bulk("own"), Value::Integer(number)]);
        }
        let (mut client, mut other) = (server.connect(), server.connect());
        let Value::Integer(id) = client.call(["CLIENT", "ID"]).await else { panic!("an id is an integer") };
        client.call(["SUBSCRIBE", "channel"]).await;
        other.call(["PUSH", &id.to_string(), "own", "text"]).await;
        assert_eq!(client.pushed().await, [Value::bulk("own"), Value::bulk("text")]);
    });
}

#[test]
fn paused_time_makes_a_day_pass_at_once() {
    let begun = Instant::now();
    run(async {
        tokio::time::pause();
        let day = Duration::from_secs(24 * 60 * 60);
        let server = TestServer::with(Server::new(later::app()).timeouts(Timeouts::new().idle(day)));
        let mut client = server.connect();
        let milliseconds = (day.as_millis() / 2).to_string();
        assert_eq!(client.call(["AWAITFOR", "it", &milliseconds]).await, Value::Null);
        assert_eq!(client.call(["FUTURE", &milliseconds, "a"]).await, Value::bulk("a"));
        // A client that sends nothing for a day is closed.
        sleep(day / 2).await;
        assert_eq!(client.call(["SAY", "a"]).await, Value::bulk("a"));
        let mut reader = server.connect().resp3().await;
        reader.call(["PUSHME", "1"]).await;
        sleep(day + Duration::from_secs(10)).await;
        assert_eq!(client.rest().await, "");
        // A client that received a push is not idle.
        reader.pushed().await;
        assert_eq!(reader.call(["SAY", "a"]).await, Value::bulk("a"));
    });
    assert!(begun.elapsed() < Duration::from_secs(12 * 60 * 60));
}

#[test]
fn a_stop_unblocks_waiting_clients() {
    run(async {
        let server = TestServer::start(later::app());
        let mut client = server.connect();
        client.send("AWAIT it\r\n").await;
        let mut other = server.connect();
        wait_until_blocked(&mut other, 1).await;
        server.stop().await.expect("it ends");
        assert_eq!(client.rest().await, "-UNBLOCKED the server is shutting down\r\n");
    });
}

#[test]
fn assert_replies_sends_the_bytes_in_pieces() {
    run(async {
        let requests = "SAY a\r\n*2\r\n$6\r\nATONCE\r\n$2\r\nbc\r\nFUTURE 0 d\r\n*x\r\n";
        let replies = "$1\r\na\r\n$2\r\nbc\r\n$1\r\nd\r\n-ERR Protocol error: invalid multibulk length\r\n";
        assert_replies(later::app, requests, replies).await;
    });
}

#[test]
#[should_panic(expected = r#"expected b"+NO\r\n", received b"$1\r\na\r\n""#)]
fn an_unexpected_reply_is_shown() {
    run(async {
        let server = TestServer::start(later::app());
        let mut client = server.connect();
        client.send("SAY a\r\n").await;
        client.expect("+NO\r\n").await;
    });
}

/// The place of the panic is the `.await`, not a line of the test kit.
#[test]
fn a_failure_has_the_line_of_the_test() {
    let this_program = env::current_exe().expect("a path");
    let test = "test_kit::an_unexpected_reply_is_shown";
    let output = Command::new(this_program).args(["--exact", test, "--nocapture"]).output().expect("output");
    let shown = String::from_utf8_lossy(&output.stderr);
    let mut lines = include_str!("test_kit.rs").lines();
    let line = lines.position(|line| line.contains("client.expect(\"+NO")).expect("the line") + 1;
    assert!(shown.contains(&format!("panicked at {}:{line}:", file!())), "{shown}");
}

#[test]
#[should_panic(expected = "expected a reply, received nothing in time after b\"\"")]
fn waiting_for_a_reply_ends_with_the_patience() {
    run(async {
        let server = TestServer::start(later::app());
        server.connect().patience(Duration::from_millis(50)).call(["NEVER"]).await;
    });
}

#[test]
fn the_patience_is_real_time_while_the_clock_is_paused() {
    run(async {
        tokio::time::pause();
        let server = TestServer::start(later::app());
        let mut client = server.connect();
        client.send("AWAIT it\r\n").await;
        let mut other = server.connect();
        wait_until_blocked(&mut other, 1).await;
        // More than the patience of both.
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(other.call(["GIVE", "it", "x"]).await, Value::Integer(1));
        assert_eq!(client.reply().await, Value::bulk("x"));
    });
}

#[test]
#[should_panic(expected = "the TestServer was dropped before: keep it in a variable")]
fn a_client_whose_server_was_dropped_fails_at_once() {
    run(async {
        let mut client = TestServer::start(later::app()).connect();
        client.call(["SAY", "a"]).await;
    });
}

#[test]
#[should_panic(expected = "the TestServer was dropped before: keep it in a variable")]
fn a_client_that_waits_fails_when_its_server_is_dropped() {
    run(async {
        let server = TestServer::start(later::app());
        let mut client = server.connect();
        client.call(["SAY", "a"]).await;
        client.send("AWAIT it\r\n").await;
        drop(server);
        client.reply().await;
    });
}

#[test]
#[should_panic(expected = "for requests in 2 pieces, the first of 0 bytes")]
fn a_failure_shows_how_the_bytes_were_cut() {
    run(assert_replies(later::app, "SAY a\r\n", "+NO\r\n"));
}

#[test]
fn timeouts_below_a_second_are_exact() {
    const BRIEF: Duration = Duration::from_millis(200);
    run(async {
        tokio::time::pause();
        let server = Server::new(later::app())
            .timeouts(Timeouts::new().reply(BRIEF))
            .timeouts(Timeouts::new().shutdown(BRIEF));
        let server = TestServer::with(server);
        let mut client = server.connect();
        // The paused clock advances only for timers, so these checks do not depend on the speed of the
        // machine.
        let begun = tokio::time::Instant::now();
        assert!(matches!(client.call(["NEVER"]).await, Value::Error(error) if error.code() == "TIMEOUT"));
        assert!((BRIEF..2 * BRIEF).contains(&begun.elapsed()), "{:?}", begun.elapsed());
        for (name, seconds) in [("reply-timeout", "1"), ("shutdown-timeout", "1")] {
            let shown = Value::Array(vec![Value::bulk(name), Value::bulk(seconds)]);
            assert_eq!(client.call(["CONFIG", "GET", name]).await, shown);
        }
        // The client does not read this reply.
        let large = "x".repeat(8 << 20);
        client.send(format!("*2\r\n$3\r\nSAY\r\n${}\r\n{large}\r\n", large.len())).await;
        let begun = tokio::time::Instant::now();
        server.stop().await.expect("it ends in order");
        assert!((BRIEF..2 * BRIEF).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    });
}
