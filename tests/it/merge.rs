use std::sync::{Arc, Mutex, mpsc};

use thegiant::{
    Connected, Disconnected, Published,
    middleware::{Decision, Middleware},
    prelude::*,
    proxy::Upstream,
    test::TestServer,
};

use crate::support::{ANY_PORT, RawClient, Served, app, eventually, line, lines, report};

/// A part of a server, with everything that an application can have.
struct Jobs {
    keyspace: Keyspace,
    pubsub: PubSub,
    seen: mpsc::Sender<String>,
}

impl Actor for Jobs {
    type Context = Context<Self>;
}

#[commands]
impl Jobs {
    /// Adds a job.
    #[command("ADD", write, alias = "PUSH")]
    fn add(&mut self, queue: Key<&[u8]>, _job: &[u8]) -> usize {
        self.pubsub.publish("jobs", *queue)
    }

    /// Changes a key without naming it.
    #[command("TOUCHED")]
    fn touched(&mut self, name: &[u8]) {
        self.keyspace.modified(0, name);
    }

    /// Returns the number of jobs.
    #[command("QUEUE LEN", readonly)]
    fn len(&self) -> i64 {
        7
    }

    /// Ends the actor.
    #[command("END")]
    fn end(&mut self, context: &mut Context<Self>) {
        context.stop();
    }

    /// Panics.
    #[command("BREAK")]
    fn break_it(&self) {
        panic!("on purpose");
    }
}

impl Handler<Connected> for Jobs {
    type Result = ();

    fn handle(&mut self, _: Connected, _: &mut Context<Self>) {
        let _ = self.seen.send("connected".to_owned());
    }
}

impl Handler<Disconnected> for Jobs {
    type Result = ();

    fn handle(&mut self, _: Disconnected, _: &mut Context<Self>) {
        let _ = self.seen.send("disconnected".to_owned());
    }
}

impl Handler<Published> for Jobs {
    type Result = ();

    fn handle(&mut self, message: Published, _: &mut Context<Self>) {
        let _ = self.seen.send(String::from_utf8_lossy(&message.message).into_owned());
    }
}

fn jobs(seen: mpsc::Sender<String>) -> App {
    let app = App::new();
    let (keyspace, pubsub) = (app.keyspace(), app.pubsub());
    let actor = Jobs { keyspace, pubsub: pubsub.clone(), seen }.start();
    pubsub.subscribe("news", actor.clone());
    app.mount(actor.clone())
        .on_connect(actor.clone())
        .on_disconnect(actor)
        .info("Jobs", |info| info.field("jobs_waiting", 7))
}

fn merged(prefix: &'static str) -> (Served, mpsc::Receiver<String>) {
    let (seen, sees) = mpsc::channel();
    let served = Served::start(move || match prefix {
        "" => app().merge(jobs(seen)),
        prefix => app().merge_with_prefix(prefix, jobs(seen)),
    });
    (served, sees)
}

#[test]
fn both_applications_answer_their_commands() {
    let (served, _) = merged("");
    let mut client = RawClient::connect(served.address());
    client.send(lines("FIRST a \n ADD q j \n SECOND b \n PUSH q j \n QUEUE LEN \n BREAK \n SECOND c"));
    let expected =
        "$7\r\nfirst a\r\n:0\r\n$8\r\nsecond b\r\n:0\r\n:7\r\n-ERR internal error\r\n$8\r\nsecond c\r\n";
    assert_eq!(client.replies(7), expected);
}

#[test]
fn a_prefix_is_part_of_all_names() {
    let (served, _) = merged("jobs.");
    let mut client = RawClient::connect(served.address());
    client.send(lines("jobs.add q j \n JOBS.PUSH q j \n jobs.queue len \n JOBS.ADD q \n jobs.queue len 3 \n jobs.queue what \n ADD q j"));
    let expected = "\
        :0\r\n:0\r\n:7\r\n\
        -ERR wrong number of arguments for 'jobs.add' command\r\n\
        -ERR wrong number of arguments for 'jobs.queue|len' command\r\n\
        -ERR unknown subcommand 'what'. Try JOBS.QUEUE HELP.\r\n\
        -ERR unknown command 'ADD', with args beginning with: 'q' 'j' \r\n";
    assert_eq!(client.replies(7), expected);
    client.send(lines("COMMAND INFO jobs.add \n COMMAND GETKEYS jobs.push q j \n COMMAND DOCS jobs.queue \n JOBS.QUEUE HELP"));
    let replies = String::from_utf8_lossy(&client.replies(4)).into_owned();
    for part in ["jobs.add", "jobs.queue|len", "+JOBS.QUEUE <subcommand>", "*1\r\n$1\r\nq\r\n"] {
        assert!(replies.contains(part), "{part} is missing in {replies}");
    }
    let stats = report(&mut client, "INFO commandstats");
    assert!(stats.contains("cmdstat_jobs.add:calls=2,"), "{stats}");
}

#[test]
fn handles_from_before_the_merge_reach_the_same_server() {
    let (served, sees) = merged("jobs.");
    let [mut client, mut watcher, mut other] = [(); 3].map(|()| RawClient::connect(served.address()));
    client.send(lines("HELLO 3 \n SUBSCRIBE jobs"));
    client.replies(2);
    // The actor publishes, and receives what it subscribed to before.
    assert_eq!(watcher.ask(line("JOBS.ADD q j")), ":1\r\n");
    assert_eq!(client.reply(), ">3\r\n$7\r\nmessage\r\n$4\r\njobs\r\n$1\r\nq\r\n");
    assert_eq!(watcher.ask(line("PUBLISH news hello")), ":1\r\n");
    assert!(sees.iter().any(|seen| seen == "hello"));
    // Changes of keys reach `WATCH`, from a command and from the handle.
    for change in ["JOBS.ADD k x", "JOBS.TOUCHED k"] {
        watcher.send(lines("WATCH k \n MULTI"));
        watcher.replies(2);
        other.ask(line(change));
        assert_eq!(watcher.ask(line("EXEC")), "*-1\r\n", "{change}");
    }
    drop(client);
    assert!(sees.iter().any(|seen| seen == "disconnected"));
    assert!(report(&mut watcher, "INFO jobs").contains("jobs_waiting:7"));
}

#[test]
fn the_end_of_a_merged_actor_stops_the_server() {
    let (served, _) = merged("");
    let mut client = RawClient::connect(served.address());
    client.send(line("END"));
    client.try_reply().ok();
    eventually(|| {
        let _ = client.try_send(line("ADD q j"));
        client.try_reply().is_err().then_some(())
    });
    let error = served.ended().expect_err("an actor has ended").to_string();
    assert!(error.contains("merge::Jobs"), "{error}");
}

/// Counts in a shard or in a supervised actor.
#[derive(Default)]
struct Counter(i64);

impl Actor for Counter {
    type Context = Context<Self>;
}

#[commands]
impl Counter {
    /// Counts.
    #[command("COUNT", write)]
    fn count(&mut self, _key: Key<&[u8]>) -> i64 {
        self.0 += 1;
        self.0
    }

    /// Returns the sum of all shards.
    #[command("SUM", readonly, all = "agg_sum")]
    fn sum(&self) -> i64 {
        self.0
    }

    /// Ends the actor.
    #[command("FINISH")]
    fn finish(&mut self, context: &mut Context<Self>) {
        context.stop();
    }
}

#[test]
fn merged_shards_and_supervised_actors_run() {
    let served = Served::with(
        || {
            let shards = App::new().mount_shards(3, |_| Counter::default()).atomic();
            let supervised = App::new().mount_supervised(Counter::default);
            let app = app().merge_with_prefix("shards.", shards).merge_with_prefix("one.", supervised);
            assert_eq!(app.shards::<Counter>().len(), 3);
            app
        },
        |server| server.workers(2).bind(ANY_PORT),
    );
    let mut client = RawClient::connect(served.address());
    client.send(lines("SHARDS.COUNT a \n SHARDS.COUNT b \n SHARDS.COUNT c \n SHARDS.COUNT d \n SHARDS.SUM \n ONE.COUNT a \n ONE.SUM"));
    let replies = client.replies(7);
    assert!(replies.ends_with(b":4\r\n:1\r\n:1\r\n"), "{replies:?}");
    client.send(lines("MULTI \n SHARDS.COUNT a \n SHARDS.COUNT b \n EXEC \n ONE.FINISH"));
    let replies = client.replies(5);
    assert!(replies.starts_with(b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:"), "{replies:?}");
    // The supervised actor is started again, with a new state.
    eventually(|| (client.ask(line("ONE.COUNT a")) == ":1\r\n").then_some(()));
}

#[test]
fn a_merged_proxy_and_fallback_get_the_other_commands() {
    let upstream = Served::start(app);
    let address = upstream.address().to_owned();
    let served = Served::start(move || {
        App::new()
            .merge_with_prefix("count.", App::new().mount(Counter::default().start()))
            .merge(App::new().proxy(Upstream::new(address).start()))
    });
    let mut client = RawClient::connect(served.address());
    client.send(lines("FIRST a \n COUNT.SUM \n SET a 1"));
    assert_eq!(client.replies(3), "$7\r\nfirst a\r\n:0\r\n+OK\r\n");
    let served = Served::start(|| app().merge(App::new().fallback(|_: &Request| "any")));
    let mut client = RawClient::connect(served.address());
    client.send(lines("FIRST a \n NOSUCH"));
    assert_eq!(client.replies(2), "$7\r\nfirst a\r\n$3\r\nany\r\n");
}

/// Records the requests that it sees.
#[derive(Clone)]
struct Seen(&'static str, Arc<Mutex<Vec<String>>>);

impl Middleware for Seen {
    fn before(&self, request: &Request) -> Decision {
        let text = format!("{} {}", self.0, String::from_utf8_lossy(request.name()));
        self.1.lock().expect("no panic").push(text);
        Decision::Run
    }
}

#[thegiant::test]
async fn middleware_of_a_part_applies_to_its_commands_only() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let middleware = |name| Seen(name, Arc::clone(&seen));
    let counter = || App::new().mount(Counter::default().start());
    let innermost = counter().middleware(middleware("innermost"));
    let inner = App::new().middleware(middleware("inner")).merge_with_prefix("b.", innermost);
    let inner = inner.merge_with_prefix("a.", counter());
    let app = App::new().merge_with_prefix("x.", inner).merge(counter()).middleware(middleware("outer"));
    let server = TestServer::start(app);
    let mut client = server.connect();
    for name in ["X.B.SUM", "X.A.SUM", "SUM", "PING", "NOSUCH"] {
        client.call([name]).await;
    }
    let expected = [
        "outer X.B.SUM",
        "inner X.B.SUM",
        "innermost X.B.SUM",
        "outer X.A.SUM",
        "inner X.A.SUM",
        "outer SUM",
        "outer PING",
        "outer NOSUCH",
    ];
    assert_eq!(*seen.lock().expect("no panic"), expected);
}

#[thegiant::test]
async fn databases_and_removed_commands_of_a_part_apply_to_the_whole() {
    let part = App::new().databases(4).without("ECHO");
    let server = TestServer::start(app().merge(part));
    let mut client = server.connect();
    assert_eq!(client.call(["SELECT", "3"]).await, Value::Simple("OK".into()));
    assert!(matches!(client.call(["ECHO", "a"]).await, Value::Error(_)));
}

#[test]
#[should_panic(expected = "call `shards` of each application before it is merged")]
fn shards_of_one_type_in_two_applications_have_no_common_addresses() {
    let of_jobs = |_| -> Jobs { unreachable!("no server runs the application") };
    let [one, two] = [(); 2].map(|()| App::new().mount_shards(2, of_jobs));
    assert_eq!(one.shards::<Jobs>().len(), 2);
    let merged = App::new().merge_with_prefix("one", one).merge_with_prefix("two", two);
    let _ = merged.shards::<Jobs>();
}

#[test]
#[should_panic(expected = "no actor with shards has the type")]
fn an_actor_without_shards_has_no_addresses_of_shards() {
    let _ = App::new().shards::<Jobs>();
}
