use super::{OK, PONG, open_to_operators, open_with};
use crate::support::{RawClient, app, exchange, gated, info, line, lines};

/// What a pipeline is answered with, sent in one segment, in one segment behind another, and a request at a time.
fn answers(pipeline: &str, expected: &str) {
    let served = open_to_operators();
    assert_eq!(exchange(served.address(), lines(pipeline)), expected, "{pipeline}");

    let mut client = RawClient::connect(served.address());
    client.send(lines(pipeline));
    client.half_close();
    assert_eq!(client.rest(), expected, "{pipeline}");

    let mut client = RawClient::connect(served.address());
    let mut bystander = RawClient::connect(served.address());
    for request in pipeline.split(" \n ") {
        client.send(line(request));
        bystander.let_server_read();
    }
    client.half_close();
    assert_eq!(client.rest(), expected, "a request at a time: {pipeline}");
}

#[test]
fn off_and_on() {
    answers(
        "PING \n CLIENT REPLY OFF \n PING \n SET a 1 \n CLIENT REPLY ON \n GET a",
        "+PONG\r\n+OK\r\n$1\r\n1\r\n",
    );
    answers("CLIENT REPLY OFF \n CLIENT REPLY OFF \n PING", "");
    answers("CLIENT REPLY ON \n CLIENT REPLY ON \n PING", "+OK\r\n+OK\r\n+PONG\r\n");
}

#[test]
fn skip_is_for_the_next_request_only() {
    answers("CLIENT REPLY SKIP \n PING \n ECHO x", "$1\r\nx\r\n");
    answers("CLIENT REPLY SKIP \n FIRST a \n FIRST b", "$7\r\nfirst b\r\n");
    answers("CLIENT REPLY SKIP \n SECOND a \n FIRST b \n PING", "$7\r\nfirst b\r\n+PONG\r\n");
    answers("FIRST a \n CLIENT REPLY SKIP \n FIRST b \n SECOND c", "$7\r\nfirst a\r\n$8\r\nsecond c\r\n");
    answers("CLIENT REPLY SKIP \n CLIENT REPLY SKIP \n PING \n ECHO x", "$1\r\nx\r\n");
    answers("CLIENT REPLY SKIP \n CLIENT REPLY ON \n PING", "+OK\r\n+PONG\r\n");
    answers("CLIENT REPLY SKIP \n CLIENT REPLY OFF \n PING", "");
}

#[test]
fn skip_changes_nothing_while_it_is_off() {
    answers(
        "CLIENT REPLY OFF \n CLIENT REPLY SKIP \n PING \n PING \n CLIENT REPLY ON \n PING",
        "+OK\r\n+PONG\r\n",
    );
}

#[test]
fn errors_and_help_are_no_exception() {
    answers("CLIENT REPLY OFF \n NOPE \n GET \n CLIENT HELP \n CLIENT NOPE \n PANIC \n CLIENT REPLY ON", OK);
    for skipped in ["NOPE", "GET", "CLIENT HELP", "CLIENT NOPE", "CLIENT REPLY NOPE", "PANIC", "PANIC.LATE"] {
        answers(&format!("CLIENT REPLY SKIP \n {skipped} \n PING \n PING"), "+PONG\r\n+PONG\r\n");
    }
    answers("CLIENT REPLY NOPE \n PING", "-ERR syntax error\r\n+PONG\r\n");
}

#[test]
fn a_protocol_error_is_not_said_to_who_does_not_listen() {
    let served = open_to_operators();
    for mode in ["OFF", "SKIP"] {
        let pipeline = [line(&format!("CLIENT REPLY {mode}")), b"*1\r\n!4\r\n".to_vec()].concat();
        assert_eq!(exchange(served.address(), pipeline), "", "{mode}");
    }
}

#[test]
fn reset_and_the_end_of_the_connection_forget_it() {
    answers("CLIENT REPLY OFF \n PING \n RESET \n PING", "+RESET\r\n+PONG\r\n");
    let served = open_to_operators();
    assert_eq!(exchange(served.address(), lines("CLIENT REPLY OFF \n QUIT \n PING")), "");
    for _ in 0..3 {
        // Each has the buffers of the one before.
        assert_eq!(
            exchange(served.address(), lines("FIRST a \n CLIENT REPLY OFF \n FIRST b")),
            "$7\r\nfirst a\r\n"
        );
    }
    assert_eq!(exchange(served.address(), line("PING")), PONG);
}

#[test]
fn it_waits_with_the_request_for_its_actor() {
    let (app, gatekeeper) = gated();
    let served = open_with(app);
    let mut client = RawClient::connect(served.address());
    client.send(lines("CLIENT REPLY SKIP \n GATE \n PING"));
    gatekeeper.wait();
    client.send(line("ECHO x"));
    gatekeeper.open();
    assert_eq!(client.replies(2), "+PONG\r\n$1\r\nx\r\n");
}

/// What nobody hears is counted all the same.
#[test]
fn silent_commands_are_counted() {
    let served = open_with(app);
    let mut client = RawClient::connect(served.address());
    client.send(lines("CLIENT REPLY OFF \n GET a \n GET a b \n NOPE \n SET a 1 \n CLIENT REPLY ON"));
    assert_eq!(client.reply(), OK);
    let stats = info(&mut client, "commandstats errorstats");
    assert!(stats.text("cmdstat_get").starts_with("calls=1,"), "{stats:?}");
    assert!(stats.text("cmdstat_get").contains("rejected_calls=1,"), "{stats:?}");
    assert_eq!(stats.text("errorstat_ERR"), "count=2");
}
