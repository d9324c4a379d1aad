use thegiant::{App, Responder, Role, prelude::*, proxy::Upstream};

use crate::support::{ANY_PORT, Process, RawClient, Served, eventually, info, line, lines, report};

/// Commands with the names and flags of Redis.
#[derive(Default)]
struct Keys {
    waiting: Vec<Responder<i64>>,
}

impl Actor for Keys {
    type Context = Context<Self>;
}

#[commands]
impl Keys {
    /// Sets a value.
    #[command("SET", write)]
    fn set(&self, _key: Key, _value: Bytes) {}

    /// Returns no value.
    #[command("GET", readonly, fast)]
    fn get(&self, _key: Key) -> Option<Bytes> {
        None
    }

    /// Waits for a value that nobody sends.
    #[command("BLPOP", write, noscript, blocking)]
    fn blpop(&mut self, _key: Key, _timeout: i64, responder: Responder<i64>) {
        self.waiting.push(responder);
    }

    /// Waits, on a replica, too.
    #[command("LISTEN", stale, blocking)]
    fn listen(&mut self, responder: Responder<i64>) {
        self.waiting.push(responder);
    }

    /// Takes its time, and is no command that only waits.
    #[command("BEGIN", write)]
    fn begin(&mut self, _key: Key, responder: Responder<i64>) {
        self.waiting.push(responder);
    }

    /// Answers all commands that wait.
    #[command("FINISH", stale, all = "agg_sum")]
    fn finish(&mut self) -> usize {
        self.waiting.drain(..).filter_map(|responder| responder.send(1).ok()).count()
    }
}

fn app() -> App {
    sharded(1)
}

fn sharded(shards: u16) -> App {
    App::new().mount_shards(shards, |_| Keys::default())
}

/// The address of a master that does not exist.
const MASTER: (&str, u16) = ("127.0.0.1", 1);

/// The states of a replica whose master does not exist, in the reply to `ROLE`.
const CONNECT: &str = "$7\r\nconnect\r\n";
const CONNECTING: &str = "$10\r\nconnecting\r\n";

/// A server that can be made a replica.
trait Server {
    fn address(&self) -> &str;
    fn make_replica(&self);
    fn make_master(&self);

    fn client(&self) -> RawClient {
        RawClient::connect(self.address())
    }
}

struct Redis(Process);

impl Server for Redis {
    fn address(&self) -> &str {
        self.0.address()
    }

    fn make_replica(&self) {
        let (host, port) = MASTER;
        assert_eq!(self.client().ask(line(&format!("REPLICAOF {host} {port}"))), "+OK\r\n");
    }

    fn make_master(&self) {
        assert_eq!(self.client().ask(line("REPLICAOF NO ONE")), "+OK\r\n");
    }
}

impl Server for Served {
    fn address(&self) -> &str {
        self.address()
    }

    fn make_replica(&self) {
        self.handle().set_role(Role::replica_of(MASTER.0, MASTER.1));
    }

    fn make_master(&self) {
        self.handle().set_role(Role::Master);
    }
}

/// Starts a real server, and one of the toolkit that sends requests on to it.
fn in_front_of_redis() -> (Process, Served) {
    let upstream = Process::redis(&[]);
    let address = upstream.address().to_owned();
    let served = Served::start(move || App::new().proxy(Upstream::new(&address).start()));
    (upstream, served)
}

/// Checks that a real server and one of the toolkit reply the same.
fn alike<T: PartialEq + std::fmt::Debug>(replies: impl Fn(&dyn Server) -> T) {
    let redis = Redis(Process::redis(&["--replica-serve-stale-data", "no"]));
    let expected = replies(&redis);
    for threads in [1, 2] {
        let served =
            Served::with(move || sharded(threads), move |server| server.workers(threads).bind(ANY_PORT));
        assert_eq!(replies(&served), expected);
    }
}

/// Pipelines whose last request is not an error of the connection.
const PIPELINES: &[&str] = &[
    "ROLE \n SET a b \n GET a \n GET b \n SET c d \n PING \n ECHO x \n GET a \n SET a b \n ECHO y",
    "SELECT 0 \n PUBLISH a b \n SPUBLISH a b \n WATCH a \n UNWATCH \n CONFIG GET port \n CLIENT ID \n READONLY \n RESET \n LOLWUT",
    "NOSUCH x \n GET \n SET a \n CLIENT NOSUCH \n BLPOP a 0",
    "MULTI \n EXEC \n MULTI \n ECHO a \n EXEC \n MULTI \n GET a \n EXEC \n MULTI \n SET a b \n EXEC \n MULTI \n DISCARD \n EXEC",
    "MULTI \n ECHO a \n PING \n EXEC \n EXEC \n WATCH a \n MULTI \n ECHO a \n EXEC",
    "SUBSCRIBE x \n GET a \n SET a b \n PING \n ECHO x \n UNSUBSCRIBE",
];

#[test]
fn a_replica_replies_like_one_of_redis() {
    alike(|server| {
        server.make_replica();
        let replies = PIPELINES.iter().map(|pipeline| {
            let mut client = server.client();
            let pipeline = pipeline.replace("CONFIG GET port \n CLIENT ID", "CLIENT GETNAME");
            client.send(lines(&pipeline));
            let replies = client.replies(pipeline.lines().count());
            // Redis tries to reach the master again and again.
            let text = String::from_utf8_lossy(&replies).replace(CONNECTING, CONNECT);
            text.split_once("Redis ver.").map_or(text.clone(), |(before, _)| before.to_owned())
        });
        replies.collect::<Vec<_>>()
    });
}

/// The proxy has no flags for the commands that it sends on.
#[test]
fn a_replica_refuses_writes_for_an_upstream_like_one_of_redis() {
    let replies = |server: &dyn Server| {
        server.make_replica();
        let mut client = server.client();
        client.send(lines(
            "GET a \n SET a b \n INCR a \n incr a \n MGET a b \n BLPOP a 0 \n XADD a * b c \n GET a",
        ));
        client.replies(8)
    };
    let redis = Redis(Process::redis(&["--replica-serve-stale-data", "no"]));
    let no_server = format!("{}:{}", MASTER.0, MASTER.1);
    let served = Served::start(move || App::new().proxy(Upstream::new(&no_server).start()));
    assert_eq!(replies(&served), replies(&redis));
    // The server does not know the flags of commands that Redis lacks.
    assert!(served.client().ask(line("OWN a")).starts_with(b"-READONLY "));
}

/// `ROLE` is about this server, and a transaction is refused command by command.
#[test]
fn a_replica_in_front_of_an_upstream_replies_to_role_and_transactions_like_one_of_redis() {
    let (_upstream, served) = in_front_of_redis();
    let redis = Redis(Process::redis(&["--replica-serve-stale-data", "no"]));
    let replies = |server: &dyn Server| {
        let mut client = server.client();
        let master = client.ask(line("ROLE"));
        server.make_replica();
        let at_once = [
            "ROLE \n PING \n ROLE",
            "MULTI \n EXEC \n MULTI \n GET a \n EXEC \n EXEC \n MULTI \n SET a b \n EXEC",
            "MULTI \n GET a \n DISCARD \n DISCARD \n WATCH a \n UNWATCH \n WATCH a \n MULTI \n GET a \n EXEC",
        ];
        let at_once = at_once.map(|pipeline| {
            client.send(lines(pipeline));
            client.replies(pipeline.lines().count())
        });
        let one_by_one = [
            "MULTI", "EXEC", "MULTI", "SET a b", "GET a", "EXEC", "MULTI", "GET a", "DISCARD", "EXEC",
            "MULTI", "EXEC a", "EXEC", "WATCH a", "MULTI", "EXEC", "MULTI", "MULTI", "EXEC", "ROLE",
        ];
        let one_by_one = one_by_one.map(|request| client.ask(line(request)));
        let text = |reply: &Bytes| String::from_utf8_lossy(reply).replace(CONNECTING, CONNECT);
        [&[master], &at_once[..], &one_by_one].concat().iter().map(text).collect::<Vec<_>>()
    };
    assert_eq!(replies(&served), replies(&redis));
}

#[test]
fn an_empty_transaction_on_a_replica_needs_no_upstream() {
    let replies = |server: &dyn Server| {
        server.make_replica();
        let mut client = server.client();
        let one_by_one =
            ["MULTI", "EXEC", "MULTI", "GET a", "EXEC", "MULTI", "SET a b", "DISCARD", "MULTI", "DISCARD"]
                .map(|request| client.ask(line(request)));
        client.send(lines("MULTI \n EXEC \n MULTI \n DISCARD \n MULTI \n SET a b \n EXEC"));
        [&one_by_one[..], &[client.replies(7)]].concat()
    };
    let redis = Redis(Process::redis(&["--replica-serve-stale-data", "no"]));
    let no_server = format!("{}:{}", MASTER.0, MASTER.1);
    let served = Served::start(move || App::new().proxy(Upstream::new(&no_server).start()));
    assert_eq!(replies(&served), replies(&redis));
}

#[test]
fn a_replica_in_front_of_an_upstream_serves_channels_like_one_of_redis() {
    let (_upstream, served) = in_front_of_redis();
    let redis = Redis(Process::redis(&["--replica-serve-stale-data", "no"]));
    let replies = |server: &dyn Server| {
        server.make_replica();
        let [mut subscriber, mut other] = [server.client(), server.client()];
        let subscribed =
            ["SUBSCRIBE a", "PSUBSCRIBE b*", "SSUBSCRIBE c"].map(|request| subscriber.ask(line(request)));
        assert!(!subscribed.iter().any(|reply| reply.starts_with(b"-")), "{subscribed:?}");
        let published =
            ["PUBLISH a x", "PUBLISH bb y", "SPUBLISH c z", "PUBSUB NUMSUB a", "PUBLISH none x", "GET a"]
                .map(|request| other.ask(line(request)));
        let received = subscriber.replies(3);
        let ended = ["UNSUBSCRIBE a", "PUNSUBSCRIBE b*", "SUNSUBSCRIBE c", "GET a"]
            .map(|request| subscriber.ask(line(request)));
        [&subscribed[..], &published, &[received], &ended].concat()
    };
    assert_eq!(replies(&served), replies(&redis));
}

/// The upstream has queued it, and would run it.
#[test]
fn a_transaction_on_an_upstream_that_began_on_a_master_fails() {
    let (upstream, served) = in_front_of_redis();
    let mut client = served.client();
    for end in ["EXEC", "UNWATCH \n EXEC", "DISCARD \n EXEC", "MULTI \n EXEC"] {
        served.make_master();
        client.send(lines("MULTI \n SET a b"));
        assert_eq!(client.replies(2), "+OK\r\n+QUEUED\r\n");
        served.make_replica();
        client.send(lines(end));
        let replies = client.replies(end.lines().count());
        let is_refused = [&b"-EXECABORT "[..], b"-ERR EXEC without MULTI"].map(|error| has(&replies, error));
        assert!(is_refused.contains(&true), "{end}: {replies:?}");
        assert_eq!(RawClient::connect(upstream.address()).ask(line("GET a")), "$-1\r\n", "{end}");
        // The transaction has ended.
        assert_eq!(client.ask(line("EXEC")), "-ERR EXEC without MULTI\r\n", "{end}");
    }
}

fn has(replies: &[u8], text: &[u8]) -> bool {
    replies.windows(text.len()).any(|window| window == text)
}

#[test]
fn a_transaction_that_was_queued_on_a_master_fails() {
    alike(|server| {
        let queued = ["SET a b \n GET a", "GET a", "ECHO a", "", "GET a \n SET a b", "GET a \n NOSUCH"];
        let mut clients = queued.map(|queued| {
            let mut client = server.client();
            client.ask(line("MULTI"));
            for request in queued.lines().map(str::trim).filter(|request| !request.is_empty()) {
                client.ask(line(request));
            }
            client
        });
        server.make_replica();
        let ends = clients.iter_mut().map(|client| {
            client.send(lines("ECHO x \n EXEC \n EXEC"));
            client.replies(3)
        });
        ends.collect::<Vec<_>>()
    });
}

#[test]
fn a_command_that_waits_ends_with_its_connection() {
    alike(|server| {
        let [mut waiting, mut other] = [server.client(), server.client()];
        waiting.send(lines("BLPOP a 0"));
        eventually(|| (info(&mut other, "clients").number("blocked_clients") == 1).then_some(()));
        server.make_replica();
        (waiting.rest(), other.ask(line("ECHO x")))
    });
}

/// A replica runs the command, because it has the flag `stale`.
#[test]
fn a_command_that_needs_no_master_goes_on_waiting() {
    let served = Served::start(app);
    served.make_replica();
    let [mut waiting, mut other] = [served.client(), served.client()];
    waiting.send(line("LISTEN"));
    eventually(|| (info(&mut other, "clients").number("blocked_clients") == 1).then_some(()));
    served.handle().set_role(Role::replica_of("h", 2));
    assert_eq!(other.ask(line("FINISH")), ":1\r\n");
    assert_eq!(waiting.reply(), ":1\r\n");
}

/// Without the flag `blocking`, the command may have begun to change data.
#[test]
fn a_command_that_has_begun_goes_on() {
    let served = Served::start(app);
    let [mut waiting, mut other] = [served.client(), served.client()];
    waiting.send(line("BEGIN a"));
    eventually(|| (info(&mut other, "clients").number("blocked_clients") == 1).then_some(()));
    served.make_replica();
    assert_eq!(other.ask(line("FINISH")), ":1\r\n");
    assert_eq!(waiting.reply(), ":1\r\n");
}

#[test]
fn a_replica_becomes_a_master() {
    alike(|server| {
        server.make_replica();
        let mut client = server.client();
        let before = client.ask(line("SET a b"));
        server.make_master();
        client.send(lines("SET a b \n GET nothing \n ROLE \n PING"));
        (before, client.replies(4))
    });
}

#[test]
fn hello_and_info_name_the_role() {
    alike(|server| {
        let roles = || {
            let mut client = server.client();
            let hello = String::from_utf8_lossy(&client.ask(line("HELLO 2"))).into_owned();
            let (_, role) = hello.split_once("role").expect("a role");
            (role.to_owned(), report(&mut client, "INFO replication"))
        };
        let (master, _) = roles();
        server.make_replica();
        let (replica, info) = roles();
        let info: Vec<_> =
            info.lines().take_while(|line| !line.contains("failover_state")).map(str::to_owned).collect();
        let info: Vec<_> = info.into_iter().filter(|line| !line.starts_with("master_repl_offset")).collect();
        (master, replica, info)
    });
}

#[test]
fn a_role_can_be_set_before_the_server_runs() {
    let served = Served::with(app, |server| {
        server.handle().set_role(Role::replica_of("h", 1));
        server.bind(ANY_PORT)
    });
    let mut client = served.client();
    assert!(client.ask(line("SET a b")).starts_with(b"-READONLY "));
    // It is no change.
    served.handle().set_role(Role::replica_of("h", 1));
    served.handle().set_role(Role::replica_of("h", 2));
    assert_eq!(client.ask(line("ROLE")), "*5\r\n$5\r\nslave\r\n$1\r\nh\r\n:2\r\n$7\r\nconnect\r\n:-1\r\n");
}

#[test]
fn clients_are_closed_after_their_replies() {
    let served = Served::start(app);
    let [mut idle, mut busy] = [served.client(), served.client()];
    assert_eq!(idle.ask(line("PING")), "+PONG\r\n");
    busy.send(line("BEGIN a"));
    eventually(|| (info(&mut idle, "clients").number("blocked_clients") == 1).then_some(()));
    served.handle().close_clients();
    assert_eq!(idle.rest(), "");
    assert!(busy.is_silent());
    assert_eq!(served.client().ask(line("FINISH")), ":1\r\n");
    assert_eq!(busy.rest(), ":1\r\n");
}
