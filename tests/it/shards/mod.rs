//! Actors whose keys are divided among shards.

mod later;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use thegiant::{App, Commit, Disconnected, GroupCommit, Responder, prelude::*};

use crate::support::{ANY_PORT, RawClient, Reply, Served, eventually, info, line, lines, report, request};

const CROSS_SLOT: &str = "-CROSSSLOT Keys in request don't hash to the same slot\r\n";

/// One shard of a store.
#[derive(Default)]
struct Shard {
    number: usize,
    values: HashMap<Bytes, Bytes>,
    waiting: Vec<(Bytes, Responder<Bytes>)>,
    later: Vec<(Bytes, Bytes, Responder<()>)>,
    /// The number of `BIG` commands that have run.
    big: Arc<AtomicUsize>,
    /// The number of messages about clients that have disconnected.
    disconnected: Arc<AtomicUsize>,
}

impl Handler<Disconnected> for Shard {
    type Result = ();

    fn handle(&mut self, _: Disconnected, _: &mut Context<Self>) {
        self.disconnected.fetch_add(1, Relaxed);
    }
}

/// `[LIMIT limit] FROM key [key …]`
#[derive(Args)]
struct Take {
    #[arg("LIMIT")]
    limit: Option<Bytes>,
    #[arg("FROM")]
    from: Vec<Key>,
}

impl Actor for Shard {
    type Context = Context<Self>;
}

#[commands]
impl Shard {
    #[command("SET", write)]
    fn set(&mut self, key: Key, value: Bytes) {
        let Key(key) = key;
        for waiting in self.waiting.extract_if(.., |(wanted, _)| *wanted == key) {
            drop(waiting.1.send(value.clone()));
        }
        self.values.insert(key, value);
    }

    #[command("GET", readonly)]
    fn get(&self, key: Key<&[u8]>) -> Option<Bytes> {
        self.values.get(*key).cloned()
    }

    #[command("APPEND", write)]
    fn append(&mut self, key: Key, value: &[u8]) -> usize {
        let all = [self.values.get(&*key).cloned().unwrap_or_default().as_ref(), value].concat();
        let len = all.len();
        self.values.insert(key.into(), all.into());
        len
    }

    #[command("MGET", readonly, split)]
    fn mget(&self, keys: Vec<Key<&[u8]>>) -> Vec<Option<Bytes>> {
        keys.into_iter().map(|key| self.values.get(*key).cloned()).collect()
    }

    #[command("MSET", write, split = "all_succeeded")]
    fn mset(&mut self, pairs: Vec<(Key, Bytes)>) -> Result<(), Error> {
        if pairs.iter().any(|(_, value)| value == "no") {
            return Err(Error::new("NO", format!("shard {} refuses", self.number)));
        }
        self.values.extend(pairs.into_iter().map(|(key, value)| (key.into(), value)));
        Ok(())
    }

    #[command("DEL", write, split = "agg_sum")]
    fn del(&mut self, keys: Vec<Key<&[u8]>>) -> usize {
        keys.into_iter().filter(|key| self.values.remove(**key).is_some()).count()
    }

    #[command("DBSIZE", readonly, all = "agg_sum")]
    fn dbsize(&self) -> usize {
        self.values.len()
    }

    #[command("KEYS", readonly, all)]
    fn keys(&self) -> Vec<Bytes> {
        self.values.keys().cloned().collect()
    }

    #[command("NUMBERS", readonly, all)]
    fn numbers(&self) -> Vec<usize> {
        vec![self.number]
    }

    /// Its page has one key: the smallest one after the cursor-th.
    #[command("SCAN", readonly, all = "scan")]
    fn scan(&self, cursor: usize) -> (String, Vec<Bytes>) {
        let keys: BTreeSet<_> = self.values.keys().collect();
        let next = if cursor + 1 < keys.len() { cursor + 1 } else { 0 };
        (next.to_string(), keys.into_iter().skip(cursor).take(1).cloned().collect())
    }

    #[command("SAME", readonly)]
    fn same(&self, one: Key, other: Key) -> bool {
        self.values.get(&*one) == self.values.get(&*other)
    }

    #[command("NUMBER", readonly)]
    fn number(&self, _key: Key) -> usize {
        self.number
    }

    /// Returns the shard, and the number of keys.
    #[command("TAKE", readonly)]
    fn take(&self, options: Take) -> (usize, usize, Option<Bytes>) {
        (self.number, options.from.len(), options.limit)
    }

    #[command("ANYWHERE", readonly)]
    fn anywhere(&self) -> Simple {
        Simple("here")
    }

    #[command("BIG", readonly)]
    fn big(&self, key: Key<&[u8]>, len: usize) -> Vec<u8> {
        self.big.fetch_add(1, Relaxed);
        key.iter().copied().cycle().take(len).collect()
    }

    /// Sets a value at the next `RELEASE`, and replies then.
    #[command("SETLATER", write)]
    fn set_later(&mut self, key: Key, value: Bytes, responder: Responder<()>) {
        self.later.push((key.into(), value, responder));
    }

    #[command("RELEASE")]
    fn release(&mut self, _key: Key<&[u8]>) {
        for (key, value, responder) in self.later.drain(..) {
            self.values.insert(key, value);
            let _ = responder.send(());
        }
    }

    /// Waits for the next `SET` of a key.
    #[command("WAITFOR", readonly, blocking)]
    fn wait_for(&mut self, key: Key, responder: Responder<Bytes>) {
        self.waiting.push((key.into(), responder));
    }

    /// Is not flagged `blocking`, and replies later all the same.
    #[command("LATER", readonly)]
    async fn later(key: Key) -> Bytes {
        actix_rt::time::sleep(Duration::from_millis(1)).await;
        key.into()
    }

    /// Runs alone, since it is flagged `blocking`, but never waits.
    #[command("ALONE", readonly, blocking)]
    fn alone(&self, key: Key, responder: Responder<Bytes>) {
        drop(responder.send(key.into()));
    }

    #[command("PANIC")]
    fn panic(&self, _key: Key) {
        panic!("as the test asks for");
    }

    #[command("STOP")]
    fn stop(&self, _key: Key, context: &mut Context<Self>) {
        context.stop();
    }
}

fn app(shards: u16) -> App {
    App::new().mount_shards(shards, |number| Shard { number, ..Shard::default() })
}

fn served(app: App, workers: u16) -> Served {
    let app = std::sync::Mutex::new(Some(app));
    Served::with(
        move || app.lock().expect("no panic").take().expect("one server"),
        move |server| server.workers(workers).bind(ANY_PORT),
    )
}

fn shards(shards: u16, workers: u16) -> Served {
    Served::with(move || app(shards), move |server| server.workers(workers).bind(ANY_PORT))
}

/// Returns keys of different shards.
fn keys_of_shards(shards: u16) -> Vec<String> {
    let key_of = |shard: u16| {
        (0..).map(|n| format!("key{n}")).find(|key| thegiant::shard(key.as_bytes(), shards) == shard)
    };
    (0..shards).filter_map(key_of).collect()
}

#[test]
fn the_slot_of_a_key_decides_which_shard_has_it() {
    for (count, workers) in [(1, 1), (2, 1), (2, 2), (8, 3), (3, 8)] {
        let served = shards(count, workers);
        let mut client = RawClient::connect(served.address());
        for (shard, key) in keys_of_shards(count).iter().enumerate() {
            assert_eq!(client.ask(line(&format!("NUMBER {key}"))), format!(":{shard}\r\n"), "{count}");
        }
        // A part in braces decides alone.
        let last = &keys_of_shards(count)[usize::from(count) - 1];
        assert_eq!(client.ask(line(&format!("NUMBER a{{{last}}}b"))), format!(":{}\r\n", count - 1));
    }
}

#[test]
fn a_command_over_several_keys_is_split_and_merged() {
    for (count, workers) in [(1, 1), (2, 2), (8, 3)] {
        let served = shards(count, workers);
        let mut client = RawClient::connect(served.address());
        let large = "x".repeat(100_000);
        let numbers = 0..100;
        let pairs = numbers.clone().flat_map(|n| [format!("k{n}"), format!("v{n}")]);
        assert_eq!(client.ask(request(["MSET".to_owned()].into_iter().chain(pairs))), "+OK\r\n");
        client.ask(request(["SET", "large", &large]));

        let keys = numbers.clone().rev().flat_map(|n| [format!("k{n}"), format!("missing{n}")]);
        let keys = keys.chain(["large".to_owned(), "k7".to_owned(), "k7".to_owned()]);
        let reply = client.ask(request(["MGET".to_owned()].into_iter().chain(keys)));
        let bulk = |value: String| format!("${}\r\n{value}\r\n", value.len());
        let values = numbers.clone().rev().map(|n| bulk(format!("v{n}")) + "$-1\r\n").collect::<String>();
        let rest = bulk(large) + &bulk("v7".to_owned()).repeat(2);
        assert!(reply == format!("*203\r\n{values}{rest}"), "{count} shards");

        assert_eq!(client.ask(line("DBSIZE")), ":101\r\n");
        let mut reply = client.ask(line("NUMBERS"));
        let all = (0..count).map(|shard| format!(":{shard}\r\n")).collect::<String>();
        assert_eq!(reply, format!("*{count}\r\n{all}"));

        let Some(Reply::Array(found)) = Reply::only(&client.ask(line("KEYS"))) else { panic!("an array") };
        assert_eq!(found.len(), 101);
        assert_eq!(found.iter().map(|key| format!("{key:?}")).collect::<BTreeSet<_>>().len(), 101);

        reply = client.ask(request((0..50).map(|n| format!("k{n}")).fold(
            vec!["DEL".to_owned()],
            |mut all, key| {
                all.extend([key.clone(), key]);
                all
            },
        )));
        assert_eq!(reply, ":50\r\n");
        assert_eq!(client.ask(line("DBSIZE")), ":51\r\n");
    }
}

#[test]
fn a_scan_passes_all_shards() {
    for count in [1, 2, 8] {
        let served = shards(count, 2);
        let mut client = RawClient::connect(served.address());
        (0..50).for_each(|n| drop(client.ask(line(&format!("SET k{n} v")))));
        let mut found = BTreeSet::new();
        let mut cursor = b"0".to_vec();
        for _ in 0..100 {
            let reply = client.ask(request([&b"SCAN"[..], &cursor]));
            let Some(Reply::Array(page)) = Reply::only(&reply) else { panic!("{reply:?}") };
            let [Reply::Bulk(next), Reply::Array(keys)] = &page[..] else { panic!("{reply:?}") };
            found.extend(keys.iter().map(|key| format!("{key:?}")));
            cursor.clone_from(next);
            if cursor == b"0" {
                break;
            }
        }
        assert_eq!((found.len(), &cursor[..]), (50, &b"0"[..]), "{count} shards");
        assert_eq!(client.ask(line("SCAN nothing")), "-ERR value is not an integer or out of range\r\n");
    }
}

#[test]
fn the_error_of_one_shard_is_the_reply() {
    let served = shards(2, 2);
    let mut client = RawClient::connect(served.address());
    let keys = keys_of_shards(2);
    let [first, second] = &keys[..] else { panic!("two shards") };
    assert_eq!(client.ask(line(&format!("MSET {first} 1 {second} no"))), "-NO shard 1 refuses\r\n");
    assert_eq!(client.ask(line(&format!("MSET {first} no {second} no"))), "-NO shard 0 refuses\r\n");
    // The other shard has run its part.
    assert_eq!(client.ask(line(&format!("MGET {second} {first}"))), "*2\r\n$-1\r\n$1\r\n1\r\n");
    let stats = report(&mut client, "INFO errorstats");
    assert!(stats.contains("errorstat_NO:count=2"), "{stats}");
}

/// No shard runs a part of a request that another shard refuses for its number of words.
#[test]
fn a_request_with_a_key_without_its_value_runs_nowhere() {
    let served = shards(2, 2);
    let mut client = RawClient::connect(served.address());
    let keys = keys_of_shards(2);
    let [first, second] = &keys[..] else { panic!("two shards") };
    for (one, other) in [(first, second), (second, first)] {
        let reply = client.ask(line(&format!("MSET {one} 1 {other}")));
        assert_eq!(reply, "-ERR wrong number of arguments for 'mset' command\r\n");
    }
    assert_eq!(client.ask(line("DBSIZE")), ":0\r\n");
}

#[test]
fn keys_of_several_shards_are_refused_without_a_split() {
    let served = shards(2, 2);
    let mut client = RawClient::connect(served.address());
    let keys = keys_of_shards(2);
    let [first, second] = &keys[..] else { panic!("two shards") };
    assert_eq!(client.ask(line(&format!("SAME {first} {second}"))), CROSS_SLOT);
    assert_eq!(client.ask(line(&format!("SAME {first} {{{first}}}2"))), ":1\r\n");
    client.send(lines(&format!("SET {first} 1 \n SAME {first} {second} \n SET {second} 2 \n ANYWHERE")));
    assert_eq!(client.replies(4), format!("+OK\r\n{CROSS_SLOT}+OK\r\n+here\r\n"));
}

#[test]
fn keys_can_be_the_last_option() {
    let served = shards(4, 2);
    let mut client = RawClient::connect(served.address());
    let keys = keys_of_shards(4);
    for (shard, key) in keys.iter().enumerate() {
        assert_eq!(client.ask(line(&format!("TAKE FROM {key}"))), format!("*3\r\n:{shard}\r\n:1\r\n$-1\r\n"));
        let reply = client.ask(line(&format!("TAKE limit FROM from {key} {{{key}}}2")));
        assert_eq!(reply, format!("*3\r\n:{shard}\r\n:2\r\n$4\r\nFROM\r\n"));
    }
    assert_eq!(client.ask(line(&format!("TAKE FROM {} {}", keys[1], keys[2]))), CROSS_SLOT);
    assert_eq!(client.ask(line(&format!("TAKE {} FROM {}", keys[1], keys[2]))), "-ERR syntax error\r\n");
}

#[test]
fn all_shards_learn_of_disconnected_clients() {
    let count = Arc::new(AtomicUsize::new(0));
    let disconnected = Arc::clone(&count);
    let make = move || {
        let app = App::new()
            .mount_shards(4, move |_| Shard { disconnected: Arc::clone(&disconnected), ..Shard::default() });
        let shards = app.shards::<Shard>();
        assert_eq!(shards.len(), 4);
        shards.into_iter().fold(app, App::on_disconnect)
    };
    let served = Served::with(make, |server| server.workers(2).bind(ANY_PORT));
    for clients in 1..=3 {
        drop(RawClient::connect(served.address()));
        eventually(|| (count.load(Relaxed) == 4 * clients).then_some(()));
    }
}

/// Several clients send pipelines of plain, split, built-in and late commands. All replies are as if one actor had all
/// keys.
#[test]
fn replies_keep_the_order_of_the_requests() {
    let served = shards(8, 4);
    thread::scope(|scope| {
        for client in 0..20u64 {
            let address = served.address();
            scope.spawn(move || {
                let mut random = client + 1;
                let mut next = |max: u64| {
                    random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    (random >> 33) % max
                };
                let mut values: HashMap<String, String> = HashMap::new();
                let mut connection = RawClient::connect(address);
                for _ in 0..50 {
                    let (mut requests, mut replies) = (Vec::new(), String::new());
                    for number in 0..next(60) {
                        let key = format!("c{client}:{}", next(30));
                        let bulk = |value: Option<&String>| {
                            value.map_or("$-1\r\n".to_owned(), |value| {
                                format!("${}\r\n{value}\r\n", value.len())
                            })
                        };
                        match next(9) {
                            0..3 => {
                                requests.extend(line(&format!("SET {key} {number}")));
                                values.insert(key, number.to_string());
                                replies += "+OK\r\n";
                            }
                            3 | 4 => {
                                requests.extend(line(&format!("GET {key}")));
                                replies += &bulk(values.get(&key));
                            }
                            5 => {
                                let keys: Vec<_> =
                                    (0..=next(5)).map(|_| format!("c{client}:{}", next(30))).collect();
                                requests.extend(line(&format!("MGET {}", keys.join(" "))));
                                replies += &format!("*{}\r\n", keys.len());
                                replies.extend(keys.iter().map(|key| bulk(values.get(key))));
                            }
                            6 => {
                                let other = format!("c{client}:{}", next(30));
                                requests.extend(line(&format!("DEL {key} {other}")));
                                let removed = [values.remove(&key), values.remove(&other)];
                                replies += &format!(":{}\r\n", removed.iter().flatten().count());
                            }
                            7 => {
                                requests.extend(line(&format!("PING {number}")));
                                replies += &bulk(Some(&number.to_string()));
                            }
                            _ if number % 3 == 0 => {
                                requests.extend(line(&format!("LATER {key}")));
                                replies += &bulk(Some(&key));
                            }
                            _ => {
                                requests.extend(line(&format!("APPEND {key} x")));
                                let value = values.entry(key).or_default();
                                value.push('x');
                                replies += &format!(":{}\r\n", value.len());
                            }
                        }
                    }
                    connection.send(requests);
                    connection.send(line("PING end"));
                    replies += "$3\r\nend\r\n";
                    let mut received = Vec::new();
                    while received.len() < replies.len() {
                        received.extend(connection.reply());
                    }
                    assert_eq!(String::from_utf8(received).expect("text"), replies);
                }
            });
        }
    });
}

/// A client that does not read gets no more than some replies for each shard.
#[test]
fn unsent_replies_are_bounded() {
    const LEN: usize = 100_000;
    const REQUESTS: usize = 600;
    let big = Arc::new(AtomicUsize::new(0));
    let of_shards = Arc::clone(&big);
    let app = App::new().mount_shards(4, move |number| Shard {
        number,
        big: Arc::clone(&of_shards),
        ..Shard::default()
    });
    let served = served(app, 2);
    let mut client = RawClient::connect(served.address());
    let requests = |n: usize| line(&format!("BIG {n:03} {LEN}"));
    client.send((0..REQUESTS).flat_map(requests).collect::<Vec<u8>>());
    // The replies that the sockets buffer come on top.
    let mut before = 0;
    eventually(|| {
        thread::sleep(Duration::from_millis(100));
        let now = big.load(Relaxed);
        (now > 0 && std::mem::replace(&mut before, now) == now).then_some(())
    });
    assert!(before < REQUESTS / 2, "{before} commands have run");
    for n in 0..REQUESTS {
        let reply = client.reply();
        let value: Vec<u8> = format!("{n:03}").bytes().cycle().take(LEN).collect();
        assert!(reply == [format!("${LEN}\r\n").as_bytes(), &value, b"\r\n"].concat(), "reply {n}");
    }
    assert_eq!(big.load(Relaxed), REQUESTS);
}

/// A command that waits holds back the commands behind it, whichever shards they are for.
#[test]
fn commands_behind_one_that_waits_run_after_it() {
    let served = shards(4, 2);
    let keys = keys_of_shards(4);
    let mut client = RawClient::connect(served.address());
    let mut other = RawClient::connect(served.address());
    let [a, b, c, d] = &keys[..] else { panic!("four shards") };
    client.send(lines(&format!("SET {a} 1 \n WAITFOR {b} \n SET {c} 2 \n LATER {d} \n SET {d} 3")));
    assert_eq!(client.reply(), "+OK\r\n");
    assert_eq!(other.ask(line(&format!("MGET {a} {c} {d}"))), "*3\r\n$1\r\n1\r\n$-1\r\n$-1\r\n");
    other.ask(line(&format!("SET {b} go")));
    let later = format!("${}\r\n{d}\r\n", d.len());
    assert_eq!(client.replies(4), format!("$2\r\ngo\r\n+OK\r\n{later}+OK\r\n"));
    assert_eq!(other.ask(line(&format!("MGET {c} {d}"))), "*2\r\n$1\r\n2\r\n$1\r\n3\r\n");
}

#[test]
fn a_client_that_leaves_does_not_hold_up_its_shards() {
    let served = shards(4, 2);
    let keys = keys_of_shards(4);
    for _ in 0..50 {
        let mut leaving = RawClient::connect(served.address());
        let requests: String =
            keys.iter().map(|key| format!("BIG {key} 100000 \n MGET {}\n", keys.join(" "))).collect();
        leaving.send(lines(&requests.repeat(5)));
        leaving.reset();
    }
    let mut client = RawClient::connect(served.address());
    assert_eq!(client.ask(line(&format!("MSET {}", keys.join(" 1 ") + " 1"))), "+OK\r\n");
    assert_eq!(client.ask(line("DBSIZE")), ":4\r\n");
    eventually(|| (info(&mut client, "clients").number("connected_clients") == 1).then_some(()));
}

#[test]
fn a_transaction_belongs_to_one_shard() {
    let served = shards(4, 2);
    let mut client = RawClient::connect(served.address());
    let mut other = RawClient::connect(served.address());
    let keys = keys_of_shards(4);
    let [a, b, c, _] = &keys[..] else { panic!("four shards") };
    client.send(lines(&format!("MULTI \n ANYWHERE \n PING \n SET {c} 1 \n ANYWHERE \n GET {c} \n EXEC")));
    client.replies(6);
    assert_eq!(client.reply(), "*5\r\n+here\r\n+PONG\r\n+OK\r\n+here\r\n$1\r\n1\r\n");
    let all_shards = "-CROSSSLOT 'dbsize' runs on all shards, and a transaction on one: send it outside of MULTI, or call App::atomic \
                      in the server\r\n";
    let second = [
        (format!("GET {b}"), CROSS_SLOT),
        (format!("MGET {a} {b}"), CROSS_SLOT),
        ("DBSIZE".to_owned(), all_shards),
    ];
    for (second, refused) in second {
        client.send(lines(&format!("MULTI \n SET {a} 1 \n {second} \n EXEC")));
        let aborted = "-EXECABORT Transaction discarded because of previous errors.\r\n";
        assert_eq!(client.replies(4), format!("+OK\r\n+QUEUED\r\n{refused}{aborted}"), "{second}");
    }
    // A watched key of another shard cannot be checked together with the transaction.
    client.send(lines(&format!("WATCH {a} \n MULTI \n SET {b} 1 \n EXEC \n GET {b}")));
    assert_eq!(client.replies(5), format!("+OK\r\n+OK\r\n+QUEUED\r\n{CROSS_SLOT}$-1\r\n"));
    client.send(lines(&format!("WATCH {a} {{{a}}}2 \n MULTI \n SET {a} 2 \n EXEC")));
    assert_eq!(client.replies(4), "+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n");
    assert_eq!(client.ask(line(&format!("WATCH {a}"))), "+OK\r\n");
    assert_eq!(other.ask(line(&format!("MSET {a} 3 {b} 3"))), "+OK\r\n");
    client.send(lines(&format!("MULTI \n GET {a} \n EXEC")));
    assert_eq!(client.replies(3), "+OK\r\n+QUEUED\r\n*-1\r\n");
}

/// The replies of a transaction have no limit, also behind a command that several shards run.
#[test]
fn a_transaction_goes_on_behind_large_replies_of_several_shards() {
    let served = served(app(2).atomic(), 2);
    let keys = keys_of_shards(2);
    let [a, b] = &keys[..] else { panic!("two shards") };
    let mut client = RawClient::connect(served.address());
    let large = "x".repeat(2_000_000);
    for key in [a, b] {
        assert_eq!(client.ask(request(["SET", key, &large])), "+OK\r\n");
    }
    client.send(lines(&format!("MULTI \n MGET {a} {b} \n SET {a} 1 \n PING \n GET {a} \n EXEC \n PING")));
    client.replies(5);
    let bulk = format!("${}\r\n{large}\r\n", large.len());
    assert!(client.reply() == format!("*4\r\n*2\r\n{bulk}{bulk}+OK\r\n+PONG\r\n$1\r\n1\r\n"));
    assert_eq!(client.reply(), "+PONG\r\n");
}

/// Nobody sees a part of a transaction over several shards, and no two transactions wait for each other.
#[test]
fn transactions_over_several_shards_are_atomic() {
    const SUM: usize = 1000;
    let served = served(app(4).atomic(), 3);
    let keys = keys_of_shards(4);
    let all = keys.join(" ");
    let mut client = RawClient::connect(served.address());
    client.ask(line(&format!(
        "MSET {}",
        keys.iter().map(|key| format!("{key} 0")).collect::<Vec<_>>().join(" ")
    )));
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let (address, keys) = (served.address(), &keys);
                scope.spawn(move || {
                    let mut client = RawClient::connect(address);
                    for round in 0..SUM / 4 {
                        // Each writer names the shards in another order.
                        let names = keys.iter().cycle().skip(writer).take(4);
                        let sets: String =
                            names.map(|key| format!("SET {key} {writer}.{round}\nPING\n")).collect();
                        client.send(lines(&format!("MULTI\n{sets}DBSIZE\nEXEC")));
                        client.replies(10);
                        assert_eq!(client.reply(), format!("*9\r\n{}:4\r\n", "+OK\r\n+PONG\r\n".repeat(4)));
                    }
                })
            })
            .collect();
        for _ in 0..2 {
            let (address, all, keys, is_done) = (served.address(), &all, &keys, &is_done);
            scope.spawn(move || {
                let mut client = RawClient::connect(address);
                while !is_done.load(Relaxed) {
                    let gets: String = keys.iter().rev().map(|key| format!("GET {key}\n")).collect();
                    client.send(lines(&format!("MULTI\n{gets}MGET {all}\nEXEC")));
                    client.replies(6);
                    let reply = client.reply();
                    let Some(Reply::Array(replies)) = Reply::only(&reply) else { panic!("{reply:?}") };
                    let Some((Reply::Array(mget), gets)) = replies.split_last() else { panic!("{reply:?}") };
                    let seen: BTreeSet<String> =
                        gets.iter().chain(mget).map(|value| format!("{value:?}")).collect();
                    assert_eq!(seen.len(), 1, "a part of a transaction is visible: {reply:?}");
                }
            });
        }
        for writer in writers {
            writer.join().expect("no panic");
        }
        is_done.store(true, Relaxed);
    });
}

/// Counters in two shards that only change together never differ, because `WATCH` notices a change of either.
#[test]
fn watched_keys_of_several_shards_make_a_transaction_fail() {
    let served = served(app(2).atomic(), 2);
    let keys = keys_of_shards(2);
    let [a, b] = &keys[..] else { panic!("two shards") };
    let start = Barrier::new(4);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = RawClient::connect(served.address());
                start.wait();
                for _ in 0..100 {
                    loop {
                        client.ask(line(&format!("WATCH {a} {b}")));
                        let reply = client.ask(line(&format!("MGET {a} {b}")));
                        let Some(Reply::Array(values)) = Reply::only(&reply) else { panic!("{reply:?}") };
                        let number = |value: &Reply| match value {
                            Reply::Bulk(digits) => String::from_utf8_lossy(digits).parse().expect("a number"),
                            _ => 0,
                        };
                        let [a_before, b_before]: [u32; 2] = [number(&values[0]), number(&values[1])];
                        client.send(lines(&format!(
                            "MULTI \n SET {a} {} \n SET {b} {} \n EXEC",
                            a_before + 1,
                            b_before + 1
                        )));
                        client.replies(3);
                        if client.reply() != "*-1\r\n" {
                            break;
                        }
                    }
                }
            });
        }
    });
    let mut client = RawClient::connect(served.address());
    assert_eq!(client.ask(line(&format!("MGET {a} {b}"))), "*2\r\n$3\r\n400\r\n$3\r\n400\r\n");
}

/// Keys that clients begin to observe while another client's batch is on its way: its later commands are reported.
#[test]
fn keys_are_observed_also_by_the_commands_that_were_sent_before() {
    let served = shards(2, 2);
    let keys = keys_of_shards(2);
    let [a, b] = &keys[..] else { panic!("two shards") };
    let mut writer = RawClient::connect(served.address());
    let mut watcher = RawClient::connect(served.address());
    let mut tracker = RawClient::connect(served.address());
    tracker.send(lines("HELLO 3 \n PING"));
    tracker.replies(2);
    // The writer does not read, so that its shards stop before the last two commands.
    let large = format!("BIG {a} 4000000 \n BIG {b} 4000000 \n").repeat(10);
    writer.send(lines(&format!("{large} SET {a} 1 \n MSET {a} 2 {b} 2")));
    writer.reply();
    assert_eq!(watcher.ask(line(&format!("WATCH {a}"))), "+OK\r\n");
    assert_eq!(watcher.ask(line(&format!("GET {a}"))), "$-1\r\n");
    assert_eq!(tracker.ask(line("CLIENT TRACKING ON")), "+OK\r\n");
    assert_eq!(tracker.ask(line(&format!("GET {b}"))), "_\r\n");
    writer.replies(21);
    assert_eq!(tracker.reply(), format!(">2\r\n$10\r\ninvalidate\r\n*1\r\n${}\r\n{b}\r\n", b.len()));
    watcher.send(lines(&format!("MULTI \n GET {a} \n EXEC")));
    assert_eq!(watcher.replies(3), "+OK\r\n+QUEUED\r\n*-1\r\n");
}

/// A client begins to watch a key before the command of another client, or while that command waits for its reply.
#[test]
fn keys_are_observed_also_by_commands_that_reply_later() {
    let served = shards(2, 2);
    let [mut writer, mut watcher, mut other] = [(); 3].map(|()| RawClient::connect(served.address()));
    for key in keys_of_shards(2) {
        for watches_first in [true, false] {
            if watches_first {
                assert_eq!(watcher.ask(line(&format!("WATCH {key}"))), "+OK\r\n");
            }
            writer.send(line(&format!("SETLATER {key} {watches_first}")));
            eventually(|| (info(&mut other, "clients").number("blocked_clients") == 1).then_some(()));
            if !watches_first {
                assert_eq!(watcher.ask(line(&format!("WATCH {key}"))), "+OK\r\n");
            }
            assert_eq!(other.ask(line(&format!("RELEASE {key}"))), "+OK\r\n");
            assert_eq!(writer.reply(), "+OK\r\n");
            watcher.send(lines(&format!("MULTI \n GET {key} \n EXEC")));
            assert_eq!(watcher.replies(3), "+OK\r\n+QUEUED\r\n*-1\r\n", "{watches_first}");
        }
    }
}

#[test]
fn statistics_count_a_split_command_once() {
    let served = shards(4, 2);
    let mut client = RawClient::connect(served.address());
    let mut monitor = RawClient::connect(served.address());
    monitor.ask(line("MONITOR"));
    client.ask(line("CONFIG SET slowlog-log-slower-than 0"));
    let keys = keys_of_shards(4).join(" ");
    client.send(lines(&format!("MGET {keys} \n GET a \n MGET {keys} \n DBSIZE \n GET b")));
    client.replies(5);
    let stats = info(&mut client, "commandstats");
    for (name, calls) in [("mget", 2), ("get", 2), ("dbsize", 1)] {
        let stat = stats.text(&format!("cmdstat_{name}"));
        assert!(stat.starts_with(&format!("calls={calls},")), "{name}: {stat}");
    }
    // MGET, GET, MGET, DBSIZE, GET and INFO.
    assert_eq!(client.ask(line("SLOWLOG LEN")), ":6\r\n");
    let seen = String::from_utf8(monitor.replies(6).to_vec()).expect("text");
    let names: Vec<_> = seen.lines().filter_map(|line| line.split('"').nth(1)).collect();
    assert_eq!(names, ["MGET", "GET", "MGET", "DBSIZE", "GET", "INFO"]);
}

#[test]
fn a_panic_fails_one_request() {
    let served = shards(2, 2);
    let keys = keys_of_shards(2);
    let [a, b] = &keys[..] else { panic!("two shards") };
    let mut client = RawClient::connect(served.address());
    client.send(lines(&format!("SET {a} 1 \n PANIC {b} \n SET {b} 2 \n PANIC {a} \n MGET {a} {b}")));
    let internal = "-ERR internal error\r\n";
    let expected = format!("+OK\r\n{internal}+OK\r\n{internal}*2\r\n$1\r\n1\r\n$1\r\n2\r\n");
    assert_eq!(client.replies(5), expected);
}

#[test]
fn a_shard_that_ends_is_reported_and_ends_the_server() {
    let served = shards(2, 2);
    let keys = keys_of_shards(2);
    let [a, b] = &keys[..] else { panic!("two shards") };
    let mut client = RawClient::connect(served.address());
    // The server has read all requests when it notices the end. `ALONE` keeps the last ones from running before it.
    client.send(lines(&format!("STOP {b} \n ALONE {a} \n SET {a} 1 \n GET {b} \n MGET {b} {a}")));
    let down = "-ACTORDOWN the actor that answers this command has ended\r\n";
    let alone = format!("${}\r\n{a}\r\n", a.len());
    assert_eq!(client.replies(5), format!("+OK\r\n{alone}+OK\r\n{down}{down}"));
    let error = served.ended().expect_err("a shard has ended");
    assert!(error.to_string().contains("Shard"), "{error}");
}

#[test]
fn command_shows_the_tips() {
    let served = shards(2, 1);
    let mut client = RawClient::connect(served.address());
    let tips = |client: &mut RawClient, name: &str| {
        let reply = String::from_utf8_lossy(&client.ask(line(&format!("COMMAND INFO {name}")))).into_owned();
        reply.lines().filter(|line| line.contains("_policy:")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(tips(&mut client, "MGET"), ["request_policy:multi_shard"]);
    assert_eq!(tips(&mut client, "DEL"), ["request_policy:multi_shard", "response_policy:agg_sum"]);
    assert_eq!(tips(&mut client, "DBSIZE"), ["request_policy:all_shards", "response_policy:agg_sum"]);
    assert_eq!(tips(&mut client, "SCAN"), ["request_policy:special"]);
    assert_eq!(tips(&mut client, "GET"), [""; 0]);
}

/// A shard whose next commit fails after the value `bad`.
#[derive(Default)]
struct Ledger {
    committed: HashMap<Bytes, Bytes>,
    values: HashMap<Bytes, Bytes>,
    is_bad: bool,
}

impl Actor for Ledger {
    type Context = Context<Self>;
}

impl GroupCommit for Ledger {
    fn commit(&mut self, _: &mut Context<Self>) -> Commit {
        let is_bad = std::mem::take(&mut self.is_bad);
        if !is_bad {
            self.committed = self.values.clone();
        }
        Commit::later(async move {
            actix_rt::time::sleep(Duration::from_millis(1)).await;
            if is_bad { Err(Error::new("DISK", "full")) } else { Ok(()) }
        })
    }

    fn rollback(&mut self, _: &Error, _: &mut Context<Self>) {
        self.values = self.committed.clone();
    }
}

#[commands(group_commit)]
impl Ledger {
    #[command("SET", write)]
    fn set(&mut self, key: Key, value: Bytes) {
        self.is_bad |= value == "bad";
        self.values.insert(key.into(), value);
    }

    #[command("GET", readonly)]
    fn get(&self, key: Key<&[u8]>) -> Option<Bytes> {
        self.values.get(*key).cloned()
    }

    #[command("MSET", write, split = "all_succeeded")]
    fn mset(&mut self, pairs: Vec<(Key, Bytes)>) {
        self.values.extend(pairs.into_iter().map(|(key, value)| (key.into(), value)));
    }
}

/// Each shard commits its part of a pipeline. A commit that fails takes back the writes of its shard alone.
#[test]
fn shards_commit_in_groups() {
    let served = Served::with(
        || App::new().mount_shards(2, |_| Ledger::default()),
        |server| server.workers(2).bind(ANY_PORT),
    );
    let mut client = RawClient::connect(served.address());
    let keys = keys_of_shards(2);
    let [a, b] = &keys[..] else { panic!("two shards") };
    for _ in 0..20 {
        client.send(lines(&format!("MSET {a} 1 {b} 1 \n GET {b} \n SET {a} 2 \n SET {b} 2 \n GET {a}")));
        assert_eq!(client.replies(5), "+OK\r\n$1\r\n1\r\n+OK\r\n+OK\r\n$1\r\n2\r\n");
        client.send(lines(&format!("SET {a} 3 \n SET {b} bad \n GET {a} \n GET {b} \n MSET {a} 4 {b} 4")));
        let refused = "-DISK full\r\n";
        assert_eq!(client.replies(5), format!("+OK\r\n{refused}$1\r\n3\r\n$1\r\n2\r\n{refused}"));
    }
}

#[test]
#[should_panic(expected = "a transaction over several shards cannot use group commit")]
fn shards_with_group_commit_are_not_atomic() {
    let _ = App::new().mount_shards(2, |_| Ledger::default()).atomic();
}
