//! Upstreams that violate the protocol.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread,
};

use thegiant::Value;

use super::server::proxy;
use crate::support::{RawClient, eventually, line, lines};

/// Starts an upstream that replies to `PING`, `COMMAND` and `HELLO 3` correctly, and to all else with `answer`.
///
/// Returns its address.
fn upstream(answer: impl Fn(&[u8]) -> Vec<u8> + Clone + Send + 'static) -> String {
    let (listener, address) = listener();
    accept(listener, answer);
    address
}

/// A listener, and its address.
pub(super) fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    (listener, address)
}

/// Serves the connections of a listener, as [`upstream`] does.
pub(super) fn accept(listener: TcpListener, answer: impl Fn(&[u8]) -> Vec<u8> + Clone + Send + 'static) {
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let answer = answer.clone();
            thread::spawn(move || serve(stream, answer));
        }
    });
}

/// Serves a connection, one reply per request. Each read is assumed to contain whole requests, because they are short.
fn serve(mut stream: TcpStream, answer: impl Fn(&[u8]) -> Vec<u8>) {
    let mut buffer = [0; 65536];
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        let (mut rest, mut reply) = (&buffer[..read], Vec::new());
        while !rest.is_empty() {
            if let Some(behind) = rest.strip_prefix(b"*1\r\n$4\r\nPING\r\n") {
                reply.extend_from_slice(b"+PONG\r\n");
                rest = behind;
            } else if let Some(behind) = rest.strip_prefix(b"*1\r\n$7\r\nCOMMAND\r\n") {
                reply.extend_from_slice(b"*0\r\n");
                rest = behind;
            } else if let Some(behind) = rest.strip_prefix(b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n") {
                reply.extend_from_slice(b">1\r\n+welcome\r\n%0\r\n");
                rest = behind;
            } else {
                let len = Value::parse(rest).ok().flatten().map_or(rest.len(), |(_, len)| len);
                reply.extend(answer(&rest[..len]));
                rest = &rest[len..];
            }
        }
        if stream.write_all(&reply).is_err() {
            return;
        }
    }
}

#[test]
fn an_invalid_reply_ends_the_connection() {
    for wrong in
        ["GET / HTTP/1.1\r\n", "$x\r\n", "$1\r\nab\r\n", "*99999999999999999999\r\n", "\r\n", "-a\rb\r\n"]
    {
        let proxy = proxy(&upstream(|_| wrong.into()), |upstream| upstream);
        let mut client = RawClient::connect(proxy.address());
        let reply = eventually(|| {
            Some(client.ask(line("GET x"))).filter(|reply| !reply.starts_with(b"-UPSTREAMDOWN"))
        });
        let text = String::from_utf8_lossy(&reply).into_owned();
        assert!(text.contains("(invalid reply: "), "{wrong:?}: {text}");
        eventually(|| (client.ask(line("PING")) == "+PONG\r\n").then_some(()));
    }
}

#[test]
fn an_unexpected_reply_ends_the_connection() {
    let proxy = proxy(&upstream(|_| b"+first\r\n+second\r\n".to_vec()), |upstream| upstream);
    let [mut client, mut other] = [(); 2].map(|()| RawClient::connect(proxy.address()));
    // No other request is in flight to which the second reply could belong.
    assert_eq!(client.ask(line("PING")), "+PONG\r\n");
    assert_eq!(client.ask(line("GET x")), "+first\r\n");
    // No other client gets the second reply.
    let reply = eventually(|| Some(other.ask(line("PING"))).filter(|reply| !reply.starts_with(b"-")));
    assert_eq!(reply, "+PONG\r\n");
}

#[test]
fn an_unexpected_push_reaches_no_client() {
    let proxy = proxy(&upstream(|_| b">2\r\n+news\r\n+of others\r\n+mine\r\n".to_vec()), |upstream| upstream);
    let mut client = RawClient::connect(proxy.address());
    client.send(lines("HELLO 3 \n GET x"));
    client.reply();
    assert_eq!(client.reply(), "+mine\r\n");
}

#[test]
fn an_incomplete_reply_fails_only_its_own_request() {
    let broken = upstream(|request| {
        if !request.ends_with(b"c\r\n") {
            return b"$5\r\nwhole\r\n".to_vec();
        }
        let mut answer = b"$1000\r\nhalf of it, then nonsense".to_vec();
        answer.resize(answer.len() + 1000, b'x');
        answer
    });
    let proxy = proxy(&broken, |upstream| upstream);
    let mut client = RawClient::connect(proxy.address());
    eventually(|| (client.ask(line("PING")) == "+PONG\r\n").then_some(()));
    client.send(lines("GET a \n GET b \n GET c"));
    assert_eq!(client.replies(2), "$5\r\nwhole\r\n$5\r\nwhole\r\n");
    assert!(client.reply().starts_with(b"-UPSTREAM "));
}

#[test]
fn nested_values_do_not_exhaust_the_stack() {
    let deep = || [&b"*1\r\n".repeat(1_000_000)[..], b":1\r\n"].concat();
    let proxy = proxy(&upstream(move |_| deep()), |upstream| upstream);
    let mut client = RawClient::connect(proxy.address());
    eventually(|| (client.ask(line("PING")) == "+PONG\r\n").then_some(()));
    // The reader of the test would overflow the stack too, so the test checks only the length.
    client.send(line("GET x"));
    client.half_close();
    assert_eq!(client.rest().len(), 4_000_004);
    // The proxy parses the replies on a dedicated connection.
    let mut client = RawClient::connect(proxy.address());
    client.send(line("SUBSCRIBE x"));
    client.half_close();
    client.rest();
    let mut other = RawClient::connect(proxy.address());
    assert_eq!(other.ask(line("PING")), "+PONG\r\n");
}
