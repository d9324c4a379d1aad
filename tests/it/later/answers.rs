//! Tests replies that come later: they keep the order of the requests.

use actix::{Arbiter, SyncArbiter, SyncContext};
use thegiant::prelude::*;

use super::app::{Waiters, app, wait_until_blocked};
use crate::support::{RawClient, Served, info, line, lines, listed};

fn connected(served: &Served) -> RawClient {
    RawClient::connect(served.address())
}

#[test]
fn a_blocked_client_does_not_block_other_clients() {
    let served = Served::start(app);
    let (mut waiting, mut other) = (connected(&served), connected(&served));
    waiting.send(lines("SAY before \n AWAIT it \n SAY behind \n AWAIT it \n SAY end"));
    assert_eq!(waiting.reply(), "$6\r\nbefore\r\n", "earlier replies are sent at once");
    wait_until_blocked(&mut other, "it", 1);
    assert_eq!(other.ask(line("SAY meanwhile")), "$9\r\nmeanwhile\r\n");
    assert_eq!(other.ask(line("GIVE it first")), ":1\r\n");
    assert_eq!(waiting.replies(2), "$5\r\nfirst\r\n$6\r\nbehind\r\n");
    wait_until_blocked(&mut other, "it", 1);
    assert_eq!(other.ask(line("GIVE it second")), ":1\r\n");
    assert_eq!(waiting.replies(2), "$6\r\nsecond\r\n$3\r\nend\r\n");
    assert_eq!(other.ask(line("GIVE it third")), ":0\r\n");
}

#[test]
fn the_longest_blocked_client_is_served_first() {
    let served = Served::start(app);
    let mut other = connected(&served);
    let mut waiting: Vec<RawClient> = (1..=20)
        .map(|count| {
            let mut client = connected(&served);
            client.send(line("AWAIT it"));
            wait_until_blocked(&mut other, "it", count);
            client
        })
        .collect();
    for number in 0..20 {
        other.ask(line(&format!("GIVE it {number}")));
    }
    for (number, client) in waiting.iter_mut().enumerate() {
        let text = number.to_string();
        assert_eq!(client.reply(), format!("${}\r\n{text}\r\n", text.len()));
    }
}

#[test]
fn a_responder_may_reply_within_the_handler() {
    let served = Served::start(app);
    let mut client = connected(&served);
    let requests: String = (0..1000).map(|n| format!("ATONCE a{n}\r\nSAY b{n}\r\n")).collect();
    let text = |text: String| format!("${}\r\n{text}\r\n", text.len());
    let expected: String = (0..1000).map(|n| text(format!("a{n}")) + &text(format!("b{n}"))).collect();
    client.send(requests);
    assert_eq!(client.replies(2000), expected);
    // A large reply is sent without a copy, in its place.
    let large = "x".repeat(100_000);
    client.send(format!("SAY a\r\n*2\r\n$6\r\nATONCE\r\n$100000\r\n{large}\r\nSAY b\r\n"));
    assert_eq!(client.replies(3), format!("$1\r\na\r\n$100000\r\n{large}\r\n$1\r\nb\r\n"));
}

#[test]
fn requests_in_pieces_of_any_size_are_answered() {
    let served = Served::start(app);
    let mut other = connected(&served);
    let requests = lines("SAY a \n AWAIT it \n ATONCE b \n FUTURE 1 c \n SAY d");
    for size in [1, 2, 5, 11, 1000] {
        let mut client = connected(&served);
        for piece in requests.chunks(size) {
            client.send(piece);
            other.let_server_read();
        }
        wait_until_blocked(&mut other, "it", 1);
        other.ask(line("GIVE it here"));
        assert_eq!(client.replies(5), "$1\r\na\r\n$4\r\nhere\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n");
    }
}

#[test]
fn a_long_pipeline_after_a_blocked_command_is_answered() {
    let served = Served::start(app);
    let (mut client, mut other) = (connected(&served), connected(&served));
    let value = "x".repeat(1000);
    let requests = format!("AWAIT it\r\n{}", format!("SAY {value}\r\n").repeat(2000));
    let reply = format!("$1000\r\n{value}\r\n");
    let replies = client.while_sending(&[requests.as_bytes()], |client| {
        wait_until_blocked(&mut other, "it", 1);
        other.ask(line("GIVE it x"));
        client.replies(2001)
    });
    assert_eq!(replies, format!("$1\r\nx\r\n{}", reply.repeat(2000)));
}

#[test]
fn futures_send_replies() {
    let served = Served::start(app);
    let (mut client, mut other) = (connected(&served), connected(&served));
    client.send(lines("FUTURE 20 a \n ACTFUTURE 5 \n ASYNC 1 b c \n FUTURE 0 d"));
    assert_eq!(other.ask(line("SAY meanwhile")), "$9\r\nmeanwhile\r\n");
    assert_eq!(client.replies(4), "$1\r\na\r\n:0\r\n*2\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n");
    assert_eq!(client.ask(line("FUTURE x y")), "-ERR value is not an integer or out of range\r\n");
}

#[test]
fn a_fallback_may_return_a_future() {
    let served = Served::start(|| {
        App::new().fallback(|request: &Request| -> actix::ResponseFuture<String> {
            let words = request.len();
            Box::pin(async move { format!("{words} words") })
        })
    });
    assert_eq!(connected(&served).ask(line("ANY THING")), "$7\r\n2 words\r\n");
}

#[test]
fn a_responder_replies_from_any_thread() {
    let served = Served::start(|| {
        App::new().mount(Waiters::start_in_arbiter(&Arbiter::new().handle(), |_| Waiters::default()))
    });
    let (mut client, mut other) = (connected(&served), connected(&served));
    for _ in 0..100 {
        client.send(lines("SAY a \n AWAIT it \n SAY b"));
        wait_until_blocked(&mut other, "it", 1);
        assert_eq!(other.ask(line("GIVEFAR it far")), "+OK\r\n");
        assert_eq!(client.replies(3), "$1\r\na\r\n$3\r\nfar\r\n$1\r\nb\r\n");
    }
}

struct Pool;

impl Actor for Pool {
    type Context = SyncContext<Self>;
}

#[commands]
impl Pool {
    /// Replies through a responder, on a thread of the pool.
    #[command("POOLED", blocking)]
    fn pooled(&self, value: Bytes, responder: Responder<Bytes>) {
        assert_eq!(responder.send(value), Ok(()));
    }
}

#[test]
fn a_pool_may_reply_through_a_responder() {
    let served = Served::start(|| App::new().mount(SyncArbiter::start(2, || Pool)));
    let mut client = connected(&served);
    client.send(lines("POOLED a \n POOLED b"));
    assert_eq!(client.replies(2), "$1\r\na\r\n$1\r\nb\r\n");
}

#[test]
fn late_replies_obey_client_reply() {
    let served = Served::start(app);
    let (mut client, mut other) = (connected(&served), connected(&served));
    client.send(lines("CLIENT REPLY SKIP \n AWAIT it \n SAY heard"));
    wait_until_blocked(&mut other, "it", 1);
    other.ask(line("GIVE it unheard"));
    assert_eq!(client.reply(), "$5\r\nheard\r\n");
    client.send(lines("CLIENT REPLY OFF \n ATONCE a \n AWAIT it \n FUTURE 1 b \n CLIENT REPLY ON"));
    wait_until_blocked(&mut other, "it", 1);
    other.ask(line("GIVE it unheard"));
    assert_eq!(client.reply(), "+OK\r\n");
}

#[test]
fn operators_see_blocked_clients() {
    let served = Served::start(app);
    let (mut client, mut other) = (connected(&served), connected(&served));
    let id = client.id();
    client.send(line("AWAIT it"));
    wait_until_blocked(&mut other, "it", 1);
    assert_eq!(listed(&mut other, id).expect("the client is listed").text("flags"), "b");
    assert_eq!(info(&mut other, "clients").text("blocked_clients"), "1");
    other.ask(line("REFUSE it"));
    assert_eq!(client.reply(), "-NOPE not today\r\n");
    client.ask(line("SAY done"));
    assert_eq!(listed(&mut other, id).expect("the client is listed").text("flags"), "N");
    assert_eq!(info(&mut other, "errorstats").text("errorstat_NOPE"), "count=1");
    let stats = info(&mut other, "commandstats");
    let stats = stats.text("cmdstat_await");
    assert!(stats.starts_with("calls=1,"), "{}", stats);
    assert!(stats.ends_with("failed_calls=1"), "{}", stats);
    let flags = other.ask(line("COMMAND INFO AWAIT"));
    assert!(flags.windows(8).any(|word| word == b"blocking"));
}
