//! Tests pub/sub between clients, and between clients and actors. `differential/pubsub.txt` compares the
//! replies with Redis.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::Duration,
};

use actix_rt::Arbiter;
use thegiant::{
    Address, ClientClass, Limits, OutputLimit, PubSub, Published, Server, Timeouts, Value,
    prelude::{Actor, App, AsyncContext, Context, Handler, Responder, commands},
    test::{TestClient, TestServer},
};

use tokio::time::timeout;

use crate::support::{PATIENCE, Process};

/// Records the messages that it receives.
#[derive(Default)]
struct Recorder {
    received: Vec<String>,
    pubsub: PubSub,
}

impl Actor for Recorder {
    type Context = Context<Self>;
}

impl Handler<Published> for Recorder {
    type Result = ();

    fn handle(&mut self, message: Published, _: &mut Context<Self>) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let pattern = message.pattern.map_or(String::new(), |pattern| format!(" by {}", text(&pattern)));
        self.received.push(format!("{}: {}{pattern}", text(&message.channel), text(&message.message)));
    }
}

#[commands]
impl Recorder {
    /// Returns the recorded messages.
    #[command("HEARD")]
    fn received(&self) -> &[String] {
        &self.received
    }

    /// Publishes `count` messages.
    #[command("SHOUT")]
    fn shout(&self, channel: &str, count: usize) -> usize {
        (0..count).map(|number| self.pubsub.publish(channel, number.to_string())).sum()
    }

    /// Unsubscribes from a channel.
    #[command("DEAFEN")]
    fn unsubscribe(&self, channel: &str, context: &mut Context<Self>) -> bool {
        self.pubsub.unsubscribe(channel, &context.address().recipient())
    }
}

fn server() -> TestServer {
    TestServer::start(app())
}

fn app() -> App {
    let app = App::new();
    let pubsub = app.pubsub();
    let recorder = Recorder { pubsub: pubsub.clone(), ..Recorder::default() }.start();
    pubsub.subscribe("news", recorder.clone());
    pubsub.psubscribe("n*", recorder.clone());
    app.mount(recorder)
}

fn bulks(texts: &[&str]) -> Vec<Value> {
    texts.iter().map(|text| Value::bulk(text.to_string())).collect()
}

async fn subscribed(server: &TestServer, verb: &str, name: &str) -> TestClient {
    let mut client = server.connect().resp3().await;
    client.send(format!("{verb} {name}\r\n")).await;
    assert_eq!(client.pushed().await.len(), 3);
    client
}

#[thegiant::test]
async fn messages_reach_all_subscribers() {
    let server = server();
    let mut channel = subscribed(&server, "SUBSCRIBE", "a").await;
    let mut pattern = subscribed(&server, "PSUBSCRIBE", "?").await;
    let mut shard = subscribed(&server, "SSUBSCRIBE", "a").await;
    let mut plain = server.connect();
    plain.send("SUBSCRIBE a\r\n").await;
    plain.expect("*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n").await;
    let mut publisher = server.connect();
    assert_eq!(publisher.call(["PUBLISH", "a", "x"]).await, Value::Integer(3));
    assert_eq!(publisher.call(["SPUBLISH", "a", "y"]).await, Value::Integer(1));
    assert_eq!(channel.pushed().await, bulks(&["message", "a", "x"]));
    assert_eq!(pattern.pushed().await, bulks(&["pmessage", "?", "a", "x"]));
    assert_eq!(shard.pushed().await, bulks(&["smessage", "a", "y"]));
    plain.expect("*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n").await;
}

#[thegiant::test]
async fn actors_publish_and_subscribe() {
    let server = server();
    let mut listener = subscribed(&server, "SUBSCRIBE", "news").await;
    let mut client = server.connect();
    assert_eq!(client.call(["SHOUT", "news", "2"]).await, Value::Integer(6));
    assert_eq!(client.call(["PUBLISH", "no", "x"]).await, Value::Integer(1));
    for number in ["0", "1"] {
        assert_eq!(listener.pushed().await, bulks(&["message", "news", number]));
    }
    let received = ["news: 0", "news: 0 by n*", "news: 1", "news: 1 by n*", "no: x by n*"];
    assert_eq!(client.call(["HEARD"]).await, Value::Array(bulks(&received)));
    assert_eq!(client.call(["DEAFEN", "news"]).await, Value::Integer(1));
    assert_eq!(client.call(["DEAFEN", "news"]).await, Value::Integer(0));
    assert_eq!(
        client.call(["PUBSUB", "NUMSUB", "news"]).await,
        Value::Array(vec![Value::bulk("news"), Value::Integer(1)])
    );
}

/// Works for a while in its own thread, and never replies.
#[derive(Default)]
struct SlowActor(Vec<Responder<()>>);

impl Actor for SlowActor {
    type Context = Context<Self>;
}

#[commands]
impl SlowActor {
    /// Works for a while, then never replies.
    #[command("BROOD", blocking)]
    fn block(&mut self, answer: Responder<()>) {
        self.work();
        self.0.push(answer);
    }

    /// Works for a while.
    #[command("PONDER")]
    fn work(&self) {
        thread::sleep(Duration::from_millis(200));
    }
}

fn slow_app() -> App {
    App::new().mount(SlowActor::start_in_arbiter(&Arbiter::new().handle(), |_| SlowActor::default()))
}

/// The connection cannot send the message while the actor has the batch, and no other event wakes it.
#[thegiant::test]
async fn messages_published_before_a_command_blocks_are_sent_while_it_is_blocked() {
    // A TCP socket wakes the connection only when there is something to read, so no other wake-up hides a
    // fault.
    let server = TestServer::with(Server::new(slow_app()).bind("127.0.0.1:0").expect("a free port"));
    let Address::Tcp(address) = server.addrs()[0] else { panic!("no port") };
    let listener = TestClient::connect(address).await.expect("a connection");
    let mut listener = listener.resp3().await.patience(Duration::from_secs(5));
    listener.send("SUBSCRIBE a\r\n").await;
    assert_eq!(listener.pushed().await.len(), 3);
    listener.send("BROOD\r\n").await;
    actix_rt::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(server.connect().call(["PUBLISH", "a", "x"]).await, Value::Integer(1));
    assert_eq!(listener.pushed().await, bulks(&["message", "a", "x"]));
}

/// A client would take a message after the end of its subscription for the reply to another command.
#[thegiant::test]
async fn messages_come_before_the_end_of_a_subscription() {
    for (ends, ended) in [
        ("UNSUBSCRIBE a", ">3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n"),
        ("RESET", "+RESET\r\n"),
        ("HELLO 2", "*14\r\n"),
    ] {
        let server = TestServer::start(slow_app());
        let mut listener = subscribed(&server, "SUBSCRIBE", "a").await;
        listener.send(format!("PONDER\r\n{ends}\r\n")).await;
        actix_rt::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(server.connect().call(["PUBLISH", "a", "x"]).await, Value::Integer(1));
        listener.expect("+OK\r\n").await;
        listener.expect(">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n").await;
        listener.expect(ended).await;
    }
}

#[thegiant::test]
async fn a_disconnected_client_is_unsubscribed() {
    let server = server();
    let listeners = [
        subscribed(&server, "SUBSCRIBE", "a").await,
        subscribed(&server, "PSUBSCRIBE", "a").await,
        subscribed(&server, "SSUBSCRIBE", "a").await,
    ];
    let mut client = server.connect();
    assert_eq!(client.call(["PUBLISH", "a", "x"]).await, Value::Integer(2));
    drop(listeners);
    for publish in ["PUBLISH", "SPUBLISH"] {
        let no_subscriber_is_left =
            async { while client.call([publish, "a", "x"]).await != Value::Integer(0) {} };
        timeout(PATIENCE, no_subscriber_is_left)
            .await
            .expect("the server notices that all subscribers have disconnected");
    }
    for names in ["CHANNELS", "SHARDCHANNELS"] {
        assert_eq!(client.call(["PUBSUB", names, "a"]).await, Value::Array(Vec::new()));
    }
    // The actor's own pattern is left.
    assert_eq!(client.call(["PUBSUB", "NUMPAT"]).await, Value::Integer(1));
}

#[thegiant::test]
async fn a_slow_subscriber_is_disconnected_and_the_others_get_everything() {
    let limit = OutputLimit::hard(1024 * 1024);
    let server =
        TestServer::with(Server::new(app()).limits(Limits::new().output_buffer(ClientClass::PubSub, limit)));
    let mut slow = subscribed(&server, "SUBSCRIBE", "a").await;
    let mut listener = subscribed(&server, "SUBSCRIBE", "a").await;
    let mut publisher = server.connect();
    let text = "x".repeat(1000);
    let mut reached_counts = Vec::new();
    for number in 0..4000 {
        let message = format!("{number} {text}");
        let Value::Integer(reached) = publisher.call(["PUBLISH", "a", &message]).await else {
            panic!("no number")
        };
        reached_counts.push(reached);
        assert_eq!(listener.pushed().await, bulks(&["message", "a", &message]));
    }
    assert_eq!((reached_counts[0], reached_counts[3999]), (2, 1), "the slow subscriber is disconnected");
    let rest = slow.rest().await;
    assert!(rest.len() < 2 * 1024 * 1024, "{} bytes sent to the slow subscriber", rest.len());
}

/// Channel names count as memory of the client.
#[thegiant::test]
async fn a_client_with_too_many_subscriptions_is_closed() {
    let server = TestServer::with(Server::new(app()).limits(Limits::new().client_memory(1 << 20)));
    let (mut greedy, mut operator) = (server.connect(), server.connect());
    for number in 0..750 {
        let name = format!("{number} {}", "x".repeat(1000));
        greedy.send(format!("SUBSCRIBE \"{name}\"\r\n")).await;
        greedy.reply().await;
    }
    let last: String = ["a", "b", "c", "d"].map(|name| format!(" {}", name.repeat(15_000))).concat();
    greedy.send(format!("SUBSCRIBE{last}\r\n")).await;
    greedy.rest().await;
    // The actor's own channel is left.
    assert_eq!(operator.call(["PUBSUB", "CHANNELS"]).await, Value::Array(bulks(&["news"])));
}

#[thegiant::test]
async fn subscribers_are_not_idle_and_belong_to_the_pubsub_class() {
    tokio::time::pause();
    let server = TestServer::with(Server::new(app()).timeouts(Timeouts::new().idle(Duration::from_secs(5))));
    let mut listener = subscribed(&server, "SUBSCRIBE", "a").await;
    let mut idle = server.connect();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(idle.rest().await.is_empty(), "the idle client is closed");
    let mut operator = server.connect();
    operator.call(["PUBLISH", "a", "x"]).await;
    assert_eq!(listener.pushed().await, bulks(&["message", "a", "x"]));
    assert_eq!(operator.call(["CLIENT", "KILL", "TYPE", "pubsub"]).await, Value::Integer(1));
    assert!(listener.rest().await.is_empty(), "the killed client is closed");
}

/// One subscriber never reads. All others receive ten million messages in order.
#[test]
fn ten_million_messages_are_delivered_without_loss() {
    const LISTENERS: usize = 50;
    const BATCHES: usize = 1000;
    const BATCH_SIZE: usize = 200;
    let kv = Process::program("kv");
    let connect = || {
        let stream = TcpStream::connect(kv.address()).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream
    };
    let listen = || {
        let mut listener = connect();
        listener.write_all(b"SUBSCRIBE news\r\n").expect("it is read");
        receive(&mut listener, b"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n");
        listener
    };
    let mut slow = listen();
    let mut listeners: Vec<_> = (0..LISTENERS).map(|_| listen()).collect();
    let mut publisher = connect();
    publisher.write_all(b"CONFIG SET client-output-buffer-limit \"pubsub 1mb 0 0\"\r\n").expect("it is read");
    receive(&mut publisher, b"+OK\r\n");
    let mut reached_counts = Vec::new();
    for batch in 0..BATCHES {
        let numbers = batch * BATCH_SIZE..(batch + 1) * BATCH_SIZE;
        let message = |number: usize| format!("$4\r\nnews\r\n$64\r\n{number:064}\r\n");
        let all =
            |head: &str| numbers.clone().map(|number| [head, &message(number)].concat()).collect::<String>();
        publisher.write_all(all("*3\r\n$7\r\nPUBLISH\r\n").as_bytes()).expect("it is read");
        let expected = all("*3\r\n$7\r\nmessage\r\n");
        listeners.iter_mut().for_each(|listener| receive(listener, expected.as_bytes()));
        for _ in 0..BATCH_SIZE {
            let mut count = [0; 5];
            publisher.read_exact(&mut count).expect("a reply");
            reached_counts.push(count);
        }
    }
    let first_without_slow = reached_counts
        .iter()
        .position(|count| count == b":50\r\n")
        .expect("the slow subscriber is disconnected");
    assert!(reached_counts[..first_without_slow].iter().all(|count| count == b":51\r\n"));
    assert!(reached_counts[first_without_slow..].iter().all(|count| count == b":50\r\n"));
    // The slow subscriber still receives the bytes that the server had already sent.
    let mut rest = Vec::new();
    let _ = slow.read_to_end(&mut rest);
    assert!(rest.len() < 16 * 1024 * 1024, "{}", rest.len());
}

fn receive(stream: &mut TcpStream, expected: &[u8]) {
    let mut bytes = vec![0; expected.len()];
    stream.read_exact(&mut bytes).expect("all expected bytes");
    assert!(
        bytes == expected,
        "{:?} was expected",
        String::from_utf8_lossy(&expected[..200.min(expected.len())])
    );
}
