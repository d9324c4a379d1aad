use thegiant::Bytes;

use crate::support::{RawClient, Served, app, exchange, gated, line, lines, request};

/// Returns requests of every shape, each with its reply.
fn samples() -> Vec<(Vec<u8>, &'static str)> {
    vec![
        (line("PING"), "+PONG\r\n"),
        (line("FIRST a"), "$7\r\nfirst a\r\n"),
        (line("SECOND a"), "$8\r\nsecond a\r\n"),
        (request(["SET", "key", "two\r\nlines"]), "+OK\r\n"),
        (line("GET key"), "$10\r\ntwo\r\nlines\r\n"),
        (request(["ECHO", ""]), "$0\r\n\r\n"),
        (line("get missing"), "$-1\r\n"),
        (line("MSET a 1 b 2 c 3"), "+OK\r\n"),
        (line("FORGET missing"), ":0\r\n"),
        (line("SELECT 0"), "+OK\r\n"),
        (line("PANIC"), "-ERR internal error\r\n"),
        (line("NOPE a"), "-ERR unknown command 'NOPE', with args beginning with: 'a' \r\n"),
        (line("FIRST"), "-ERR wrong number of arguments for 'first' command\r\n"),
        (b"PING\r\n".to_vec(), "+PONG\r\n"),
        (b"first a\n".to_vec(), "$7\r\nfirst a\r\n"),
        (b"  ECHO\t'a b'  \r\n".to_vec(), "$3\r\na b\r\n"),
        (b"ECHO \"\\x41\\n\\\"\"\r\n".to_vec(), "$3\r\nA\n\"\r\n"),
        (b"\r\n\n *1\r\n".to_vec(), "-ERR unknown command '*1', with args beginning with: \r\n"),
        (b"*0\r\n*-1\r\n\r\n*1\r\n$4\r\nPING\r\n".to_vec(), "+PONG\r\n"),
    ]
}

fn all_samples() -> (Vec<u8>, String) {
    samples().into_iter().fold(Default::default(), |(mut requests, mut replies), (request, reply)| {
        requests.extend(request);
        replies.push_str(reply);
        (requests, replies)
    })
}

#[test]
fn requests_split_at_any_byte_are_answered() {
    let served = Served::start(app);
    let mut client = RawClient::connect(served.address());
    let mut bystander = RawClient::connect(served.address());
    for (request, reply) in samples() {
        for middle in 1..request.len() {
            client.send(&request[..middle]);
            bystander.let_server_read();
            client.send(&request[middle..]);
            assert_eq!(client.reply(), reply, "{:?} in two at {middle}", Bytes::from(request.clone()));
        }
    }
}

#[test]
fn all_requests_in_one_segment_are_answered() {
    let served = Served::start(app);
    let (requests, replies) = all_samples();
    assert_eq!(exchange(served.address(), requests), replies);
}

#[test]
fn requests_sent_byte_by_byte_are_answered() {
    let served = Served::start(app);
    let mut client = RawClient::connect(served.address());
    let mut bystander = RawClient::connect(served.address());
    let (requests, replies) = all_samples();
    for byte in requests.chunks(1) {
        client.send(byte);
        bystander.let_server_read();
    }
    client.half_close();
    assert_eq!(client.rest(), replies);
}

/// The reply comes as soon as the request is complete, even if the next request has begun to arrive.
#[test]
fn a_request_does_not_wait_for_the_next_one() {
    let served = Served::start(app);
    let mut client = RawClient::connect(served.address());
    let (request, reply) = (line("FIRST a"), "$7\r\nfirst a\r\n");
    for behind in 1..request.len() {
        client.send([&request, &request[..behind]].concat());
        assert_eq!(client.reply(), reply);
        client.send(&request[behind..]);
        assert_eq!(client.reply(), reply);
    }
}

/// A server that gave up during the pause would read the rest as an inline command.
#[test]
fn a_pause_inside_a_bulk_does_not_end_it() {
    let served = Served::start(app);
    let mut client = RawClient::connect(served.address());
    let mut bystander = RawClient::connect(served.address());
    client.send("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$10\r\nab\r\n");
    for _ in 0..100 {
        bystander.let_server_read();
    }
    client.send("PING\r\n");
    bystander.let_server_read();
    client.send("\r\n");
    assert_eq!(client.reply(), "+OK\r\n");
    assert_eq!(client.ask(line("GET k")), "$10\r\nab\r\nPING\r\n\r\n");
}

#[test]
fn a_half_closed_client_still_gets_its_replies() {
    let served = Served::start(app);
    let (requests, replies) = all_samples();
    let mut client = RawClient::connect(served.address());
    client.send([requests.as_slice(), b"*2\r\n$5\r\nFIRST\r\n$100\r\nunfinished"].concat());
    client.half_close();
    assert_eq!(client.rest(), replies);
}

#[test]
fn a_half_closed_client_still_gets_late_replies() {
    let (app, gatekeeper) = gated();
    let served = Served::start(app);
    let mut client = RawClient::connect(served.address());
    client.send(lines("GATE \n FIRST a \n PING"));
    client.half_close();
    gatekeeper.wait();
    RawClient::connect(served.address()).let_server_read();
    gatekeeper.open();
    assert_eq!(client.rest(), "+through\r\n$7\r\nfirst a\r\n+PONG\r\n");
}

#[test]
fn a_client_that_disconnects_during_a_command_does_no_harm() {
    let (app, gatekeeper) = gated();
    let served = Served::start(app);
    let mut client = RawClient::connect(served.address());
    client.send(lines("GATE \n FIRST a"));
    gatekeeper.wait();
    drop(client);
    let mut bystander = RawClient::connect(served.address());
    bystander.let_server_read();
    gatekeeper.open();
    bystander.send(lines("GATE \n FIRST b"));
    gatekeeper.wait();
    gatekeeper.open();
    assert_eq!(bystander.replies(2), "+through\r\n$7\r\nfirst b\r\n");
}
