//! Tests pushes to clients, and the notifications about new and disconnected clients.

use std::time::Duration;

use thegiant::{ClientClass, Limits, OutputLimit, SlowConsumers};

use super::app::{app, wait_until_blocked};
use crate::support::{ANY_PORT, RawClient, Served, eventually, line, lines};

fn connected(served: &Served) -> RawClient {
    RawClient::connect(served.address())
}

#[test]
fn pushes_are_sent_between_replies_and_while_a_command_is_blocked() {
    let served = Served::start(app);
    let (mut client, mut other) = (connected(&served), connected(&served));
    client.ask(line("HELLO 3"));
    let id = client.id();
    let mut push = |text: &str| other.ask(line(&format!("PUSH {id} news {text}")));
    assert_eq!(push("idle"), ":1\r\n");
    assert_eq!(client.reply(), ">2\r\n$4\r\nnews\r\n$4\r\nidle\r\n");
    client.send(lines("SAY a \n AWAIT it \n SAY b"));
    assert_eq!(client.reply(), "$1\r\na\r\n");
    for text in ["one", "two"] {
        push(text);
        assert_eq!(client.reply(), format!(">2\r\n$4\r\nnews\r\n$3\r\n{text}\r\n"));
    }
    other.ask(line("GIVE it x"));
    assert_eq!(client.replies(2), "$1\r\nx\r\n$1\r\nb\r\n");
    // Pushes of a client's own command come after the replies to its batch.
    client.send(lines("PUSHME 2 \n SAY c"));
    let own = |number| format!(">2\r\n$3\r\nown\r\n:{number}\r\n");
    assert_eq!(client.replies(4), format!(":2\r\n$1\r\nc\r\n{}{}", own(1), own(2)));
}

#[test]
fn a_client_with_resp2_gets_pushes_only_with_a_subscription() {
    let served = Served::start(app);
    let (mut client, mut other) = (connected(&served), connected(&served));
    let id = client.id();
    let mut push = || other.ask(line(&format!("PUSH {id} news text")));
    client.send(lines("PUSHME 1 \n SAY a"));
    assert_eq!(client.replies(2), ":0\r\n$1\r\na\r\n");
    assert_eq!(push(), "$-1\r\n");
    assert_eq!(client.ask(line("SUBSCRIBE channel")), "*3\r\n$9\r\nsubscribe\r\n$7\r\nchannel\r\n:1\r\n");
    assert_eq!(push(), ":1\r\n");
    assert_eq!(client.reply(), "*2\r\n$4\r\nnews\r\n$4\r\ntext\r\n");
    assert_eq!(client.ask(line("UNSUBSCRIBE")), "*3\r\n$11\r\nunsubscribe\r\n$7\r\nchannel\r\n:0\r\n");
    assert_eq!(push(), "$-1\r\n");
    assert_eq!(client.ask(line("SAY b")), "$1\r\nb\r\n");
}

#[test]
fn pushes_keep_their_order_among_replies() {
    let served = Served::start(app);
    let (mut client, mut other) = (connected(&served), connected(&served));
    client.ask(line("HELLO 3"));
    let id = client.id();
    for round in 0..200 {
        other.send((0..10).map(|n| format!("PUSH {id} n {}\r\n", round * 10 + n)).collect::<String>());
        client.send("SAY x\r\n".repeat(5));
        other.replies(10);
    }
    let (mut replies, mut pushes) = (0, Vec::new());
    while replies < 1000 || pushes.len() < 2000 {
        let reply = client.reply();
        if reply == "$1\r\nx\r\n" {
            replies += 1;
        } else {
            let text = String::from_utf8(reply.to_vec()).expect("text");
            pushes.push(text.lines().nth(4).expect("a push").parse::<usize>().expect("a number"));
        }
    }
    assert_eq!(pushes, (0..2000).collect::<Vec<_>>());
}

#[test]
fn an_actor_knows_which_pushes_were_sent() {
    let served = Served::start(app);
    let (mut client, mut other) = (connected(&served), connected(&served));
    client.ask(line("HELLO 3"));
    let id = client.id();
    assert_eq!(other.ask(line(&format!("TAKEN {id}"))), ":0\r\n");
    for number in 1..=3 {
        assert_eq!(other.ask(line(&format!("PUSH {id} k v"))), format!(":{number}\r\n"));
        client.reply();
    }
    eventually(|| (other.ask(line(&format!("TAKEN {id}"))) == ":3\r\n").then_some(()));
    // The socket of a client that does not read cannot buffer 16 MiB.
    let large = "x".repeat(16 << 20);
    other.send(format!(
        "*4\r\n$4\r\nPUSH\r\n${}\r\n{id}\r\n$1\r\nk\r\n${}\r\n{large}\r\n",
        id.to_string().len(),
        large.len()
    ));
    assert_eq!(other.reply(), ":4\r\n");
    other.let_server_read();
    drop(client);
    eventually(|| (other.ask(line(&format!("ISTHERE {id}"))) == ":0\r\n").then_some(()));
    assert_eq!(other.ask(line(&format!("TAKEN {id}"))), ":3\r\n");
    assert_eq!(other.ask(line(&format!("PUSH {id} k v"))), "$-1\r\n");
}

#[test]
fn actors_are_notified_of_new_and_disconnected_clients() {
    let served = Served::start(app);
    let mut other = connected(&served);
    let mut ids = Vec::new();
    for leave in
        [drop, RawClient::reset, |mut client: RawClient| assert_eq!(client.ask(line("QUIT")), "+OK\r\n")]
    {
        let mut client = connected(&served);
        let id = client.id();
        eventually(|| (other.ask(line(&format!("ISTHERE {id}"))) == ":1\r\n").then_some(()));
        leave(client);
        eventually(|| (other.ask(line(&format!("ISTHERE {id}"))) == ":0\r\n").then_some(()));
        ids.push(format!(":{id}\r\n"));
    }
    eventually(|| (other.ask(line("GONE")) == format!("*3\r\n{}", ids.concat())).then_some(()));
}

#[test]
fn an_actor_closes_a_client() {
    let served = Served::start(app);
    let (mut client, mut other) = (connected(&served), connected(&served));
    let id = client.id();
    eventually(|| (other.ask(line(&format!("CLOSE {id}"))) == ":1\r\n").then_some(()));
    assert_eq!(client.rest(), "");
}

#[test]
fn attached_data_stays_with_its_client_until_reset() {
    let served = Served::start(app);
    let (mut client, mut other) = (connected(&served), connected(&served));
    for number in 1..=3 {
        assert_eq!(client.ask(line("VISITS")), format!(":{number}\r\n"));
    }
    assert_eq!(other.ask(line("VISITS")), ":1\r\n");
    client.ask(line("RESET"));
    assert_eq!(client.ask(line("VISITS")), ":1\r\n", "RESET drops the application's data");
    assert_eq!(other.ask(line("VISITS")), ":2\r\n");
}

const LIMIT: usize = 4 << 20;

fn with_limit(slow: SlowConsumers) -> Served {
    let limit = OutputLimit::hard(LIMIT).soft(LIMIT / 2, Duration::from_secs(1));
    Served::with(app, move |server| {
        let limits = Limits::new().output_buffer(ClientClass::PubSub, limit).slow_consumers(slow);
        server.limits(limits).bind(ANY_PORT)
    })
}

/// Pushes ten times the limit to `id`. Returns the number of accepted pushes.
fn flood(other: &mut RawClient, id: u64) -> usize {
    let value = "x".repeat(LIMIT / 16);
    let request = format!(
        "*4\r\n$4\r\nPUSH\r\n${}\r\n{id}\r\n$1\r\nk\r\n${}\r\n{value}\r\n",
        id.to_string().len(),
        value.len()
    );
    (0..160).filter(|_| other.ask(&request).starts_with(b":")).count()
}

#[test]
fn a_client_that_does_not_read_its_pushes_is_disconnected() {
    let served = with_limit(SlowConsumers::Disconnect);
    let (mut client, mut other) = (connected(&served), connected(&served));
    client.ask(line("HELLO 3"));
    let id = client.id();
    wait_until_blocked(&mut other, "it", 0);
    assert!(flood(&mut other, id) < 160);
    eventually(|| (other.ask(line(&format!("ISTHERE {id}"))) == ":0\r\n").then_some(()));
}

#[test]
fn a_client_that_does_not_read_its_pushes_may_lose_the_oldest() {
    let served = with_limit(SlowConsumers::DropOldest);
    let (mut client, mut other) = (connected(&served), connected(&served));
    client.ask(line("HELLO 3"));
    let id = client.id();
    assert_eq!(flood(&mut other, id), 160);
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(other.ask(line(&format!("PUSH {id} last one"))), ":161\r\n");
    let mut received = 0;
    while client.reply() != ">2\r\n$4\r\nlast\r\n$3\r\none\r\n" {
        received += 1;
    }
    assert!((15..160).contains(&received), "{received} of 160");
    assert_eq!(client.ask(line("SAY a")), "$1\r\na\r\n");
}
