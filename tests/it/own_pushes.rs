use actix::ResponseFuture;
use actix_rt::{Arbiter, task::yield_now};
use thegiant::{ArrayStream, Commit, GroupCommit, PubSub, Server, prelude::*};

use crate::support::{ANY_PORT, RawClient, Served, info, line, lines};

/// Sells things, and publishes each sale. Group commit fails for the thing `nothing`.
#[derive(Default)]
struct Shop {
    pubsub: PubSub,
    sold: i64,
    is_broken: bool,
    waiting: Vec<Responder<()>>,
}

impl Actor for Shop {
    type Context = Context<Self>;
}

#[commands]
impl Shop {
    /// Sells a thing, and publishes it twice.
    #[command("SELL", write)]
    fn sell(&mut self, thing: &str) -> i64 {
        self.pubsub.publish("sales", thing);
        self.pubsub.spublish("sales", thing);
        self.sold += 1;
        self.sold
    }

    /// Publishes a thing, then panics.
    #[command("BREAK", write)]
    fn fail(&mut self, thing: &str) {
        self.pubsub.publish("sales", thing);
        panic!("on purpose");
    }

    /// Publishes a thing, and replies with a stream.
    #[command("LIST", readonly)]
    fn list(&self, thing: &str) -> ArrayStream {
        self.pubsub.publish("sales", thing);
        ArrayStream::new([1, 2, 3])
    }

    /// Changes a key.
    #[command("SET", write)]
    fn set(&self, _key: Key<&[u8]>) {}

    /// Changes a key, and replies later.
    #[command("SETLATER", write)]
    fn set_later(&self, _key: Key<&[u8]>) -> ResponseFuture<()> {
        Box::pin(yield_now())
    }

    /// Reads a key.
    #[command("GET", readonly)]
    fn get(&self, _key: Key<&[u8]>) -> i64 {
        7
    }

    /// Replies after `RELEASE`.
    #[command("HOLD")]
    fn hold(&mut self, responder: Responder<()>) {
        self.waiting.push(responder);
    }

    /// Lets all `HOLD` reply.
    #[command("RELEASE")]
    fn release(&mut self) -> usize {
        self.waiting.drain(..).filter_map(|responder| responder.send(()).ok()).count()
    }
}

/// A shop with group commit.
#[derive(Default)]
struct DurableShop(Shop);

impl Actor for DurableShop {
    type Context = Context<Self>;
}

#[commands(group_commit)]
impl DurableShop {
    /// Sells a thing durably, unless it is `nothing`.
    #[command("SELLSAFE", write)]
    fn sell(&mut self, thing: &str) -> i64 {
        self.0.is_broken |= thing == "nothing";
        self.0.sell(thing)
    }
}

impl GroupCommit for DurableShop {
    fn commit(&mut self, _: &mut Context<Self>) -> Commit {
        let is_broken = std::mem::take(&mut self.0.is_broken);
        if is_broken { Err(Error::new("MISCONF", "the disk is full")) } else { Ok(()) }.into()
    }

    fn rollback(&mut self, _: &Error, _: &mut Context<Self>) {
        self.0.sold = 0;
    }
}

fn shop(pubsub: &PubSub) -> Shop {
    Shop { pubsub: pubsub.clone(), ..Shop::default() }
}

fn app() -> App {
    let app = App::new();
    let pubsub = app.pubsub();
    app.mount(shop(&pubsub).start()).mount(DurableShop(shop(&pubsub)).start())
}

/// Returns an app whose actor has its own thread.
fn app_with_thread() -> App {
    let app = App::new();
    let pubsub = app.pubsub();
    app.mount(Shop::start_in_arbiter(&Arbiter::new().handle(), move |_| shop(&pubsub)))
}

/// Connects a RESP3 client that has subscribed to the channel `sales`.
fn subscriber(served: &Served) -> RawClient {
    let mut client = RawClient::connect(served.address());
    client.ask(line("HELLO 3"));
    client.ask(line("SUBSCRIBE sales"));
    client
}

/// Connects a RESP3 client that tracks the keys that it reads.
fn tracker(served: &Served, options: &str) -> RawClient {
    let mut client = RawClient::connect(served.address());
    client.ask(line("HELLO 3"));
    client.ask(line(format!("CLIENT TRACKING ON {options}").trim()));
    client
}

fn push(words: &str) -> String {
    let words: Vec<_> = words.split(' ').map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
    format!(">{}\r\n{}", words.len(), words.concat())
}

fn message(text: &str) -> String {
    push(&format!("message sales {text}"))
}

fn invalidation(key: &str) -> String {
    format!(">2\r\n$10\r\ninvalidate\r\n*1\r\n${}\r\n{key}\r\n", key.len())
}

/// Sends a pipeline, and compares everything that the client gets.
#[track_caller]
fn assert_gets(client: &mut RawClient, pipeline: &str, expected: &[&str]) {
    client.send(lines(pipeline));
    assert_eq!(client.replies(expected.len()), expected.concat(), "{pipeline}");
    assert_eq!(client.ask(line("PING end")), "$3\r\nend\r\n", "{pipeline}");
}

#[test]
fn a_message_follows_the_reply_to_its_own_publish() {
    let served = Served::start(app);
    let mut client = subscriber(&served);
    let [one, two] = ["one", "two"].map(message);
    assert_gets(
        &mut client,
        "PUBLISH sales one \n PUBLISH sales two \n PING",
        &[":1\r\n", &one, ":1\r\n", &two, "+PONG\r\n"],
    );
    client.send(lines("PSUBSCRIBE s* \n SSUBSCRIBE sales"));
    client.replies(2);
    assert_gets(
        &mut client,
        "PUBLISH sales one \n SPUBLISH sales two \n NOPE",
        &[
            ":2\r\n",
            &one,
            &push("pmessage s* sales one"),
            ":1\r\n",
            &push("smessage sales two"),
            "-ERR unknown command 'NOPE', with args beginning with: \r\n",
        ],
    );
}

#[test]
fn messages_of_a_transaction_follow_its_reply() {
    let served = Served::start(app);
    let mut client = subscriber(&served);
    let [one, two, three, four] = ["one", "two", "three", "four"].map(message);
    let expected = [
        ":1\r\n",
        &one,
        "+OK\r\n",
        "+QUEUED\r\n",
        "+QUEUED\r\n",
        "+QUEUED\r\n",
        "*3\r\n:1\r\n:1\r\n:1\r\n",
        &two,
        &three,
        &four,
        "+PONG\r\n",
    ];
    let commands =
        "PUBLISH sales one \n MULTI \n PUBLISH sales two \n SELL three \n PUBLISH sales four \n EXEC \n PING";
    assert_gets(&mut client, commands, &expected);
    let expected = ["+OK\r\n", "+QUEUED\r\n", "*1\r\n:1\r\n", &one];
    assert_gets(&mut client, "MULTI \n PUBLISH sales one \n EXEC", &expected);
}

/// The messages of a channel keep their order.
#[test]
fn messages_before_a_transaction_that_waits_are_sent_first() {
    let served = Served::start(app);
    let mut client = subscriber(&served);
    let mut other = RawClient::connect(served.address());
    client.send(lines("PUBLISH sales one \n MULTI \n HOLD \n EXEC"));
    other.let_server_read();
    assert_eq!(other.ask(line("PUBLISH sales two")), ":1\r\n");
    let [one, two] = ["one", "two"].map(message);
    assert_eq!(client.replies(5), [":1\r\n", &one, "+OK\r\n+QUEUED\r\n", &two].concat());
    assert_eq!(other.ask(line("RELEASE")), ":1\r\n");
    assert_eq!(client.reply(), "*1\r\n+OK\r\n");
}

#[test]
fn messages_are_sent_where_replies_are_not() {
    let served = Served::start(app);
    let mut client = subscriber(&served);
    let [one, two, three, four] = ["one", "two", "three", "four"].map(message);
    let commands = "CLIENT REPLY SKIP \n PUBLISH sales one \n PUBLISH sales two \n CLIENT REPLY OFF \n \
                    PUBLISH sales three \n NOPE \n CLIENT REPLY ON \n PUBLISH sales four \n NOPE";
    let commands: String = commands.split(" \n ").map(|command| format!("{command}\n")).collect();
    let unknown = "-ERR unknown command 'NOPE', with args beginning with: \r\n";
    assert_gets(&mut client, &commands, &[&one, ":1\r\n", &two, &three, "+OK\r\n", ":1\r\n", &four, unknown]);
    // The server notices an error that follows a message.
    assert_eq!(info(&mut client, "errorstats").text("errorstat_ERR"), "count=2");
}

/// Sends sales in one pipeline, and compares everything that the client gets.
#[track_caller]
fn assert_sells(served: &Served, command: &str) {
    let mut client = subscriber(served);
    client.ask(line("SSUBSCRIBE sales"));
    let commands: String = (1..=100).map(|thing| format!("{command} {thing}\n")).collect();
    let messages =
        |thing: i32| [message(&thing.to_string()), push(&format!("smessage sales {thing}"))].concat();
    let expected: String = (1..=100).map(|thing| format!(":{thing}\r\n{}", messages(thing))).collect();
    client.send(lines(&commands));
    assert_eq!(client.replies(300), expected);
}

#[test]
fn messages_of_an_actor_follow_the_reply_to_its_command() {
    let served = Served::start(app);
    assert_sells(&served, "SELL");
    assert_sells(&served, "SELLSAFE");
    let served = Served::with(app, |server: Server| server.workers(3).bind(ANY_PORT));
    assert_sells(&served, "SELL");
    assert_sells(&served, "SELLSAFE");
}

#[test]
fn messages_of_an_actor_on_another_thread_follow_the_reply_to_its_command() {
    for workers in [1, 3] {
        let served = Served::with(app_with_thread, move |server| server.workers(workers).bind(ANY_PORT));
        assert_sells(&served, "SELL");
    }
}

#[test]
fn messages_follow_a_panic_and_a_streaming_reply() {
    let served = Served::start(app);
    let mut client = subscriber(&served);
    assert_gets(
        &mut client,
        "BREAK one \n LIST two \n GET k",
        &["-ERR internal error\r\n", &message("one"), "*3\r\n:1\r\n:2\r\n:3\r\n", &message("two"), ":7\r\n"],
    );
}

/// A message that was published is not lost when the commit fails.
#[test]
fn messages_survive_a_rollback() {
    let served = Served::start(app);
    let mut client = subscriber(&served);
    let [one, nothing, two] = ["one", "nothing", "two"].map(message);
    let full = "-MISCONF the disk is full\r\n";
    assert_gets(
        &mut client,
        "SELLSAFE one \n SELLSAFE nothing \n SELLSAFE two",
        &[":1\r\n", &one, full, &nothing, ":1\r\n", &two],
    );
}

#[test]
fn invalidations_follow_the_reply_to_their_own_command() {
    let served = Served::start(app);
    let [a, b] = ["a", "b"].map(invalidation);
    let mut client = tracker(&served, "");
    assert_gets(
        &mut client,
        "GET a \n SET a \n GET b \n GET a \n SET b \n SETLATER a \n SET a \n PING",
        &[":7\r\n", "+OK\r\n", &a, ":7\r\n", ":7\r\n", "+OK\r\n", &b, "+OK\r\n", &a, "+OK\r\n", "+PONG\r\n"],
    );
    assert_gets(
        &mut client,
        "GET a \n MULTI \n SET a \n GET b \n EXEC \n SET b",
        &[":7\r\n", "+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "*2\r\n+OK\r\n:7\r\n", &a, "+OK\r\n", &b],
    );
    assert_gets(&mut client, "GET a \n CLIENT REPLY SKIP \n SET a \n GET a", &[":7\r\n", &a, ":7\r\n"]);
    let mut client = tracker(&served, "NOLOOP");
    assert_gets(&mut client, "GET a \n SET a \n GET a", &[":7\r\n", "+OK\r\n", ":7\r\n"]);
    let mut client = tracker(&served, "BCAST");
    let both = ">2\r\n$10\r\ninvalidate\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n";
    assert_gets(&mut client, "SET b \n GET a \n SET a", &["+OK\r\n", ":7\r\n", "+OK\r\n", both]);
}

#[test]
fn keyspace_events_follow_the_reply_to_their_own_command() {
    let served = Served::start(app);
    let mut client = RawClient::connect(served.address());
    client.send(lines("HELLO 3 \n CONFIG SET notify-keyspace-events KA \n SUBSCRIBE __keyspace@0__:a"));
    client.replies(3);
    let event = push("message __keyspace@0__:a set");
    assert_gets(
        &mut client,
        "SET a \n SET b \n GET a \n MULTI \n SET a \n SET a \n EXEC",
        &[
            "+OK\r\n",
            &event,
            "+OK\r\n",
            ":7\r\n",
            "+OK\r\n",
            "+QUEUED\r\n",
            "+QUEUED\r\n",
            "*2\r\n+OK\r\n+OK\r\n",
            &event,
            &event,
        ],
    );
}
