use super::{OK, PONG, open_to_operators, open_with};
use crate::support::{RawClient, app, exchange, gated, info, line, lines};

/// Checks the replies to a pipeline that is sent at once, by two clients, and then request by request.
fn assert_replies(pipeline: &str, expected: &str) {
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
fn off_suppresses_replies_until_on() {
    assert_replies(
        "PING \n CLIENT REPLY OFF \n PING \n SET a 1 \n CLIENT REPLY ON \n GET a",
        "+PONG\r\n+OK\r\n$1\r\n1\r\n",
    );
    assert_replies("CLIENT REPLY OFF \n CLIENT REPLY OFF \n PING", "");
    assert_replies("CLIENT REPLY ON \n CLIENT REPLY ON \n PING", "+OK\r\n+OK\r\n+PONG\r\n");
}

#[test]
fn skip_suppresses_the_next_reply_only() {
    assert_replies("CLIENT REPLY SKIP \n PING \n ECHO x", "$1\r\nx\r\n");
    assert_replies("CLIENT REPLY SKIP \n FIRST a \n FIRST b", "$7\r\nfirst b\r\n");
    assert_replies("CLIENT REPLY SKIP \n SECOND a \n FIRST b \n PING", "$7\r\nfirst b\r\n+PONG\r\n");
    assert_replies(
        "FIRST a \n CLIENT REPLY SKIP \n FIRST b \n SECOND c",
        "$7\r\nfirst a\r\n$8\r\nsecond c\r\n",
    );
    assert_replies("CLIENT REPLY SKIP \n CLIENT REPLY SKIP \n PING \n ECHO x", "$1\r\nx\r\n");
    assert_replies("CLIENT REPLY SKIP \n CLIENT REPLY ON \n PING", "+OK\r\n+PONG\r\n");
    assert_replies("CLIENT REPLY SKIP \n CLIENT REPLY OFF \n PING", "");
}

#[test]
fn skip_has_no_effect_while_replies_are_off() {
    assert_replies(
        "CLIENT REPLY OFF \n CLIENT REPLY SKIP \n PING \n PING \n CLIENT REPLY ON \n PING",
        "+OK\r\n+PONG\r\n",
    );
}

#[test]
fn errors_and_help_are_suppressed_too() {
    assert_replies(
        "CLIENT REPLY OFF \n NOPE \n GET \n CLIENT HELP \n CLIENT NOPE \n PANIC \n CLIENT REPLY ON",
        OK,
    );
    for skipped in ["NOPE", "GET", "CLIENT HELP", "CLIENT NOPE", "CLIENT REPLY NOPE", "PANIC", "PANIC.LATE"] {
        assert_replies(&format!("CLIENT REPLY SKIP \n {skipped} \n PING \n PING"), "+PONG\r\n+PONG\r\n");
    }
    assert_replies("CLIENT REPLY NOPE \n PING", "-ERR syntax error\r\n+PONG\r\n");
}

#[test]
fn a_protocol_error_is_suppressed_too() {
    let served = open_to_operators();
    for mode in ["OFF", "SKIP"] {
        let pipeline = [line(&format!("CLIENT REPLY {mode}")), b"*1\r\n!4\r\n".to_vec()].concat();
        assert_eq!(exchange(served.address(), pipeline), "", "{mode}");
    }
}

#[test]
fn reset_and_a_new_connection_switch_replies_on() {
    assert_replies("CLIENT REPLY OFF \n PING \n RESET \n PING", "+RESET\r\n+PONG\r\n");
    let served = open_to_operators();
    assert_eq!(exchange(served.address(), lines("CLIENT REPLY OFF \n QUIT \n PING")), "");
    for _ in 0..3 {
        // A new connection may reuse the buffers of an earlier one.
        assert_eq!(
            exchange(served.address(), lines("FIRST a \n CLIENT REPLY OFF \n FIRST b")),
            "$7\r\nfirst a\r\n"
        );
    }
    assert_eq!(exchange(served.address(), line("PING")), PONG);
}

#[test]
fn skip_applies_to_a_command_that_waits_for_its_actor() {
    let (app, gatekeeper) = gated();
    let served = open_with(app);
    let mut client = RawClient::connect(served.address());
    client.send(lines("CLIENT REPLY SKIP \n GATE \n PING"));
    gatekeeper.wait();
    client.send(line("ECHO x"));
    gatekeeper.open();
    assert_eq!(client.replies(2), "+PONG\r\n$1\r\nx\r\n");
}

/// Commands without a reply count in the statistics.
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
