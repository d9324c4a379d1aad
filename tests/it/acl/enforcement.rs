//! Where the rules of a user apply.

use std::{io::ErrorKind, time::Duration};

use thegiant::{Server, prelude::*, proxy::Upstream};

use crate::support::{ANY_PORT, Process, RawClient, Served, app, gated, line, lines, request};

const NO_COMMAND: &str = "-NOPERM this user has no permissions to run the 'get' command\r\n";
const NO_KEY: &str = "-NOPERM this user has no permissions to access one of the keys used as arguments\r\n";
const NO_CHANNEL: &str =
    "-NOPERM this user has no permissions to access one of the channels used as arguments\r\n";

/// Returns a client of a user with these rules, on a server of its own.
fn client_of(served: &Served, rules: &str) -> RawClient {
    let mut admin = RawClient::connect(served.address());
    assert_eq!(admin.ask(line(&format!("ACL SETUSER u reset on nopass {rules}"))), "+OK\r\n");
    log_in(served.address())
}

pub(super) fn log_in(address: &str) -> RawClient {
    let mut client = RawClient::connect(address);
    assert_eq!(client.ask(line("AUTH u x")), "+OK\r\n");
    client
}

#[test]
fn a_pipeline_runs_what_is_allowed() {
    let served = Served::start(app);
    let mut client = client_of(&served, "+@all -get ~a*");
    client
        .send(lines("SET a 1 \n SET b 1 \n GET a \n FIRST x \n SET a2 1 \n SECOND x \n DEL a a2 \n DEL a b"));
    assert_eq!(
        client.replies(8),
        format!("+OK\r\n{NO_KEY}{NO_COMMAND}$7\r\nfirst x\r\n+OK\r\n$8\r\nsecond x\r\n:2\r\n{NO_KEY}")
    );
}

#[test]
fn every_shard_is_guarded() {
    let kv = Process::program_with("kv", &["--threads", "3"]);
    let mut admin = RawClient::connect(kv.address());
    admin.ask(line("ACL SETUSER u reset on nopass +@all -get ~a*"));
    let mut client = log_in(kv.address());
    let keys: Vec<String> = (0..50).flat_map(|number| [format!("a{number}"), format!("b{number}")]).collect();
    let requests: Vec<u8> = keys.iter().flat_map(|key| request(["SET", key, "1"])).collect();
    client.send(requests);
    assert_eq!(client.replies(100), format!("+OK\r\n{NO_KEY}").repeat(50));
    client.send(lines("MSET a1 x a2 x b1 x \n MGET a1 a2 \n MGET a1 a2 b2 \n GET a1 \n DBSIZE"));
    assert_eq!(client.replies(5), format!("{NO_KEY}*2\r\n$1\r\n1\r\n$1\r\n1\r\n{NO_KEY}{NO_COMMAND}:50\r\n"));
}

/// A request waits with its actor, and the next ones with it, while the rules change.
#[test]
fn requests_that_wait_are_checked_by_the_rules_of_their_turn() {
    let (app, gate) = gated();
    let served = Served::start(app);
    let mut client = client_of(&served, "+@all ~*");
    client.send(lines("GATE \n GET a \n FIRST x"));
    gate.wait();
    let mut admin = RawClient::connect(served.address());
    assert_eq!(admin.ask(line("ACL SETUSER u -get")), "+OK\r\n");
    gate.open();
    client.reply();
    assert_eq!(client.replies(2), format!("{NO_COMMAND}$7\r\nfirst x\r\n"));
}

/// Replies never.
struct Blocking {
    waiting: Vec<Responder<i64>>,
}

impl Actor for Blocking {
    type Context = Context<Self>;
}

#[commands]
impl Blocking {
    #[command("WAIT.FOR", readonly, blocking)]
    fn wait_for(&mut self, _key: Key, responder: Responder<i64>) {
        self.waiting.push(responder);
    }
}

#[test]
fn a_command_that_blocks_ends_when_its_user_may_no_longer_run_it() {
    let served = Served::start(|| App::new().mount(Blocking { waiting: Vec::new() }.start()));
    let mut client = client_of(&served, "+@all ~a* ~b*");
    let mut other = log_in(served.address());
    client.send(line("WAIT.FOR a1"));
    other.send(line("WAIT.FOR b1"));
    let mut admin = RawClient::connect(served.address());
    let blocked = |admin: &mut RawClient| {
        let clients = admin.ask(line("CLIENT LIST"));
        String::from_utf8_lossy(&clients).matches("flags=b").count()
    };
    while blocked(&mut admin) < 2 {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(admin.ask(line("ACL SETUSER u resetkeys ~a*")), "+OK\r\n");
    assert_eq!(other.reply(), NO_KEY);
    assert!(client.is_silent());
    assert_eq!(admin.ask(line("ACL SETUSER u -wait.for")), "+OK\r\n");
    assert_eq!(client.reply(), "-NOPERM this user has no permissions to run the 'wait.for' command\r\n");
    assert_eq!(client.ask(line("PING")), "+PONG\r\n");
}

#[test]
fn a_subscriber_that_may_no_longer_listen_is_closed() {
    let served = Served::start(app);
    let mut admin = RawClient::connect(served.address());
    let mut closed = Vec::new();
    let mut client = client_of(&served, "+@all &news &a*");
    client.ask(line("SUBSCRIBE news"));
    closed.push(client);
    let mut pattern = log_in(served.address());
    assert_eq!(pattern.ask(line("PSUBSCRIBE a**")), NO_CHANNEL);
    pattern.ask(line("PSUBSCRIBE a*"));
    let mut shard = log_in(served.address());
    shard.ask(line("SSUBSCRIBE news"));
    closed.push(shard);
    // In RESP3, a subscriber can send other commands.
    let mut kept = log_in(served.address());
    kept.ask(line("HELLO 3"));
    kept.ask(line("SUBSCRIBE a1"));
    assert_eq!(kept.ask(line("SUBSCRIBE b1")), NO_CHANNEL);
    assert_eq!(admin.ask(line("ACL SETUSER u resetchannels &a*")), "+OK\r\n");
    for client in &mut closed {
        assert_eq!(client.rest(), "");
    }
    assert_eq!(kept.ask(line("PING")), "+PONG\r\n");
    assert_eq!(admin.ask(line("PUBLISH a1 x")), ":2\r\n");
    assert_eq!(admin.ask(line("ACL DELUSER u")), ":1\r\n");
    pattern.reply();
    assert_eq!(pattern.rest(), "");
}

#[test]
fn keyspace_events_reach_those_who_may_read_the_key() {
    let kv = Process::program("kv");
    let mut admin = RawClient::connect(kv.address());
    admin.ask(line("CONFIG SET notify-keyspace-events KEA"));
    admin.ask(line("ACL SETUSER u reset on nopass +@all ~a* %W~w* allchannels"));
    let mut limited = log_in(kv.address());
    let mut free = RawClient::connect(kv.address());
    for client in [&mut limited, &mut free] {
        client.ask(line("PSUBSCRIBE __key*"));
    }
    admin.send(lines("SET b 1 \n SET w 1 \n SET a 1 \n DEL b"));
    admin.replies(4);
    let event = |channel: &str, message: &str| request(["pmessage", "__key*", channel, message]);
    let of_key = |key: &str, event_name: &str| {
        [
            event(&format!("__keyspace@0__:{key}"), event_name),
            event(&format!("__keyevent@0__:{event_name}"), key),
        ]
        .concat()
    };
    assert_eq!(limited.replies(2), of_key("a", "set"));
    assert!(limited.is_silent());
    let all = [of_key("b", "set"), of_key("w", "set"), of_key("a", "set"), of_key("b", "del")].concat();
    assert_eq!(free.replies(8), all);
}

#[test]
fn tracking_of_prefixes_needs_their_keys() {
    let kv = Process::program("kv");
    let mut admin = RawClient::connect(kv.address());
    admin.ask(line("ACL SETUSER u reset on nopass +@all ~a:* %W~w* ~[b]*"));
    let mut client = log_in(kv.address());
    client.ask(line("HELLO 3"));
    let refused = ["NOLOOP", "PREFIX a", "PREFIX w", "PREFIX b", "PREFIX a:1 PREFIX c"];
    for prefixes in refused {
        assert_eq!(client.ask(line(&format!("CLIENT TRACKING ON BCAST {prefixes}"))), NO_KEY, "{prefixes}");
    }
    assert_eq!(client.ask(line("CLIENT TRACKING ON BCAST PREFIX a:1")), "+OK\r\n");
    admin.ask(line("ACL SETUSER u +get"));
    admin.ask(line("SET a:1 x"));
    assert_eq!(client.reply(), ">2\r\n$10\r\ninvalidate\r\n*1\r\n$3\r\na:1\r\n");
    admin.ask(line("ACL SETUSER u resetkeys ~b*"));
    assert_eq!(client.rest(), "");
}

/// The upstream says which words are keys.
#[test]
fn a_proxy_checks_the_keys_of_the_upstream() {
    let redis = Process::redis(&[]);
    let address = redis.address().to_owned();
    let served = Served::start(move || App::new().proxy(Upstream::new(&address).start()));
    let mut client = client_of(&served, "+@all -@dangerous -lpop +sort +config|get ~a* %R~r* &n*");
    assert_eq!(client.ask(line("SET a b")), "+OK\r\n");
    let no =
        |command: &str| format!("-NOPERM this user has no permissions to run the '{command}' command\r\n");
    for (request, reply) in [
        ("RPUSH a1 x", ":1\r\n".to_owned()),
        ("RPUSH b1 x", NO_KEY.to_owned()),
        ("RPUSH r1 x", NO_KEY.to_owned()),
        ("LRANGE r1 0 -1", "*0\r\n".to_owned()),
        ("LPOP a1", no("lpop")),
        ("ZUNIONSTORE a2 2 r1 r2", ":0\r\n".to_owned()),
        ("ZUNIONSTORE a2 2 r1 b2", NO_KEY.to_owned()),
        ("XREAD COUNT 1 STREAMS a3 b3 0 0", NO_KEY.to_owned()),
        ("BLPOP a1 b1 1", NO_KEY.to_owned()),
        ("SORT a1 ALPHA", NO_KEY.to_owned()),
        ("WATCH b1", NO_KEY.to_owned()),
        ("MIGRATE h 1 a1 0 1", no("migrate")),
        ("FLUSHALL", no("flushall")),
        ("EVAL 'return 1' 0", no("eval")),
        ("evalsha x 0", no("evalsha")),
        ("FCALL x 0", no("fcall")),
        ("NOSUCH a1", "-ERR unknown command 'NOSUCH', with args beginning with: 'a1' \r\n".to_owned()),
        ("NOSUCH b1", NO_KEY.to_owned()),
        ("PUBLISH n1 x", ":0\r\n".to_owned()),
        ("PUBLISH x n1", NO_CHANNEL.to_owned()),
        ("SUBSCRIBE n1 x", NO_CHANNEL.to_owned()),
    ] {
        assert_eq!(client.ask(line(request)), reply, "{request}");
    }
    client.send(lines("MULTI \n SET a1 x \n SET b1 x \n EXEC"));
    assert_eq!(
        client.replies(4),
        format!("+OK\r\n+QUEUED\r\n{NO_KEY}-EXECABORT Transaction discarded because of previous errors.\r\n")
    );
    let mut admin = RawClient::connect(served.address());
    let dry = |request: &str| line(&format!("ACL DRYRUN u {request}"));
    assert_eq!(admin.ask(dry("rpush a1 x")), "+OK\r\n");
    let reason = "This user has no permissions to access the 'b1' key";
    assert_eq!(admin.ask(dry("rpush b1 x")), format!("${}\r\n{reason}\r\n", reason.len()));
    assert_eq!(admin.ask(request(["EVAL", "return 1", "0"])), ":1\r\n");
}

/// As in Redis, rules can name `HELP`.
#[test]
fn rules_apply_to_the_help_of_a_container() {
    let [kv, redis] = [Process::program("kv"), Process::redis(&[])];
    let replies = [&kv, &redis].map(|server| {
        let mut admin = RawClient::connect(server.address());
        let mut all = Vec::new();
        for rules in
            ["-@all", "-@all +client", "+@all -client|help", "-@all +@slow", "-@all +@connection -config"]
        {
            assert_eq!(admin.ask(line(&format!("ACL SETUSER u reset on nopass {rules}"))), "+OK\r\n");
            let mut client = log_in(server.address());
            for request in ["CLIENT HELP", "config help", "ACL HELP"] {
                let dry = admin.ask(line(&format!("ACL DRYRUN u {request}")));
                let reply = client.ask(line(request));
                let denied = reply.starts_with(b"-").then_some(reply);
                assert_eq!(denied.is_none(), dry == "+OK\r\n", "{rules} {request}");
                all.push((rules, request, denied, dry));
            }
        }
        all
    });
    assert_eq!(replies[0], replies[1]);
}

#[test]
fn a_fallback_counts_each_argument_as_a_key() {
    let served = Served::start(|| App::new().fallback(|request: &Request| request.len()));
    let mut client = client_of(&served, "+@all ~a* &a* -forbidden");
    assert_eq!(client.ask(line("ANY a1 a2")), ":3\r\n");
    assert_eq!(client.ask(line("ANY a1 b1")), NO_KEY);
    assert_eq!(
        client.ask(line("FORBIDDEN")),
        "-NOPERM this user has no permissions to run the 'forbidden' command\r\n"
    );
}

#[test]
fn middleware_does_not_see_what_the_rules_refuse() {
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = std::sync::Arc::clone(&seen);
    let served = Served::start(move || {
        app().middleware(move |request: &Request| {
            log.lock().expect("no panic").push(String::from_utf8_lossy(request.name()).into_owned());
            thegiant::middleware::Decision::Run
        })
    });
    let mut client = client_of(&served, "+@all -get ~*");
    seen.lock().expect("no panic").clear();
    client.send(lines("SET a 1 \n GET a \n FIRST x"));
    assert_eq!(client.replies(3), format!("+OK\r\n{NO_COMMAND}$7\r\nfirst x\r\n"));
    assert_eq!(*seen.lock().expect("no panic"), ["SET", "FIRST"]);
}

#[test]
fn a_program_sets_users() {
    let with = |server: Server| {
        Ok(server.bind(ANY_PORT)?.user("worker", "on >secret ~job* +get").user("default", "off"))
    };
    let served = Served::with(app, with);
    let mut client = RawClient::connect(served.address());
    assert_eq!(client.ask(line("GET job1")), "-NOAUTH Authentication required.\r\n");
    assert_eq!(
        client.ask(line("AUTH default x")),
        "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
    );
    assert_eq!(client.ask(line("AUTH worker secret")), "+OK\r\n");
    assert_eq!(client.ask(line("GET job1")), "$-1\r\n");
    assert_eq!(client.ask(line("GET other")), NO_KEY);
}

#[test]
fn a_mistake_in_a_user_ends_the_start() {
    let error = |user: &'static str, rules: &'static str| {
        let served =
            Served::try_with(app, move |server: Server| Ok(server.bind(ANY_PORT)?.user(user, rules)));
        let error = match served {
            Ok(served) => served.ended().expect_err("a mistake"),
            Err(error) => error,
        };
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        error.to_string()
    };
    assert_eq!(
        error("u", "on +nosuch"),
        "the user `u` has a mistake: Error in ACL SETUSER modifier '+nosuch': Unknown command or category name in ACL"
    );
    // The text has no password.
    assert!(!error("u", "on >secret nonsense").contains("secret"));
}
