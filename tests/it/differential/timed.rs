//! Conversations in which time passes, compared with redis-server: expiry, as several clients see it.
//!
//! `timed.txt` has the written rows; empty lines separate conversations. A line is `CLIENT: REQUEST`, where `CLIENT` is a
//! letter, or `pause N`. The clients begin to run in their order, one request at a time. Time passes in steps: a pause
//! takes N steps, and `{N}` stands for the milliseconds of N steps. Deadlines lie in the middle of a step, such as
//! `PX {1.5}`, and requests run at its start. On a busy machine they may run too late. The conversation then runs again with
//! longer steps.
//!
//! The events of each key are compared, too: at the end, all keys are used once, and each must have had the same events in
//! the same order.

use std::{
    collections::BTreeMap,
    fmt, thread,
    time::{Duration, Instant},
};

use super::{chance::Chance, script::words};
use crate::support::{Folder, Process, RawClient, Reply, request};

const WRITTEN: &str = include_str!("timed.txt");

/// Steps in milliseconds. A conversation that is late in all of them is not compared.
const STEPS: [u64; 3] = [16, 80, 400];

/// Number of random conversations, and of those that run at the same time.
const RANDOM: u64 = 96;
const AT_ONCE: u64 = 8;

/// The servers that are compared with redis-server.
fn subjects(folder: &Folder) -> Vec<(&'static str, Process)> {
    let disk = |engine: &str| {
        let path = folder.path().join(engine);
        let options = ["--engine", engine, "--dir", path.to_str().expect("text"), "--durability", "os"];
        Process::program_with("kv-disk", &options)
    };
    vec![("kv", Process::program("kv")), ("kv-disk lsm", disk("lsm")), ("kv-disk sqlite", disk("sqlite"))]
}

#[test]
fn keys_end_at_the_same_time_as_in_redis() {
    let folder = Folder::new();
    let redis = Process::redis(&[]);
    let subjects = subjects(&folder);
    let conversations: Vec<Conversation> = WRITTEN.split("\n\n").map(Conversation::parse).collect();
    assert!(conversations.len() > 30);
    let compared = conversations.iter().filter(|conversation| compare(conversation, &redis, &subjects));
    assert!(compared.count() > 0, "the machine is too busy");
}

#[test]
fn keys_end_at_the_same_time_as_in_redis_in_random_conversations() {
    let folder = Folder::new();
    let redis = Process::redis(&[]);
    let subjects = subjects(&folder);
    let compared: usize = thread::scope(|scope| {
        let threads = (0..AT_ONCE).map(|first| {
            let (redis, subjects) = (&redis, &subjects);
            scope.spawn(move || {
                let numbers = (first..RANDOM).step_by(AT_ONCE as usize);
                let conversations = numbers.map(|number| Conversation::random(&mut Chance(number), number));
                conversations.filter(|conversation| compare(conversation, redis, subjects)).count()
            })
        });
        let threads: Vec<_> = threads.collect();
        threads.into_iter().map(|thread| thread.join().expect("the replies are the same")).sum()
    });
    println!("{compared} random conversations compared");
    assert!(compared > 0, "the machine is too busy");
}

/// Requests of several clients, and pauses.
struct Conversation {
    /// The number of a random conversation. Its keys begin with `%`, which stands for a prefix of their own.
    number: Option<u64>,
    acts: Vec<Act>,
}

enum Act {
    Pause(u32),
    Request(usize, String),
}

impl Conversation {
    fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        Conversation { number: None, acts: lines.map(Act::parse).collect() }
    }

    /// Returns a random conversation of three clients about three keys.
    fn random(random: &mut Chance, number: u64) -> Self {
        let mut acts = Vec::new();
        for _ in 0..12 {
            let client = random.below(3);
            for _ in 0..=random.below(3) {
                acts.extend(random_requests(random).into_iter().map(|text| Act::Request(client, text)));
            }
            if random.below(2) == 0 {
                acts.push(Act::Pause(1));
            }
        }
        Conversation { number: Some(number), acts }
    }

    /// Runs the conversation with a server.
    fn run(&self, address: &str, step: Duration) -> Outcome {
        let mut operator = RawClient::connect(address);
        let mut clients: Vec<_> = (0..4).map(|_| RawClient::connect(address)).collect();
        let mut listener = RawClient::connect(address);
        let prefix = self.number.map_or_else(String::new, |number| format!("{number}/{}:", step.as_millis()));
        if self.number.is_none() {
            operator.ask(request(["FLUSHALL"]));
        }
        operator.ask(request(["CONFIG", "SET", "notify-keyspace-events", "KA"]));
        let end = format!("end of {prefix}");
        listener.ask(request(["SUBSCRIBE", &end]));
        listener.ask(request(["PSUBSCRIBE", &format!("__keyspace@*__:{prefix}*")]));
        let (start, mut steps) = (Instant::now(), 0);
        let mut is_late = false;
        let mut replies = Vec::new();
        for act in &self.acts {
            match act {
                Act::Pause(more) => {
                    steps += more;
                    thread::sleep((start + step * steps).saturating_duration_since(Instant::now()));
                }
                Act::Request(client, text) => {
                    let reply = clients[*client]
                        .ask(request(words(&in_milliseconds(text, step).replace('%', &prefix))));
                    replies.push((text.clone(), shown(text, &reply)));
                    is_late |= start.elapsed() > step * steps + step / 3;
                }
            }
        }
        // A key with a deadline of a few steps is found to have expired now at the latest.
        steps += 3;
        thread::sleep((start + step * steps).saturating_duration_since(Instant::now()));
        for db in ["0", "1"] {
            operator.ask(request(["SELECT", db]));
            for name in KEYS {
                operator.ask(request(["EXISTS", &format!("{prefix}{name}")]));
            }
        }
        is_late |= start.elapsed() > step * steps + step / 3;
        operator.ask(request(["PUBLISH", &end, ""]));
        Outcome { replies, events: events(&mut listener, &prefix), is_late }
    }
}

impl Act {
    fn parse(line: &str) -> Self {
        if let Some(steps) = line.strip_prefix("pause ") {
            return Act::Pause(steps.parse().expect("a number of steps"));
        }
        let (client, text) = line.split_once(": ").unwrap_or_else(|| panic!("{line}"));
        let client = ["A", "B", "C", "D"].iter().position(|name| *name == client);
        Act::Request(client.unwrap_or_else(|| panic!("{line}")), text.to_owned())
    }
}

/// The names of the keys.
const KEYS: [&str; 3] = ["x", "y", "z"];

/// Returns one request, or a transaction.
fn random_requests(random: &mut Chance) -> Vec<String> {
    if random.below(6) > 0 {
        return vec![random_request(random)];
    }
    let commands = (0..=random.below(2)).map(|_| random_request(random));
    let commands = commands.filter(|text| !has_time(text) && !text.starts_with("WATCH")).collect::<Vec<_>>();
    ["MULTI".to_owned()].into_iter().chain(commands).chain(["EXEC".to_owned()]).collect()
}

fn random_request(random: &mut Chance) -> String {
    const FORMS: [&str; 40] = [
        "SET KEY 5",
        "SET KEY 7 PX TIME",
        "SET KEY 8 PX TIME",
        "SET KEY 9 PX TIME NX",
        "SET KEY 10 PX TIME XX GET",
        "SET KEY 11 KEEPTTL",
        "SET KEY 12 GET",
        "SET KEY 13 PXAT 1",
        "PSETEX KEY TIME 3",
        "SETNX KEY 4",
        "GET KEY",
        "GET KEY",
        "GETEX KEY",
        "GETEX KEY PX TIME",
        "GETEX KEY PERSIST",
        "GETEX KEY PXAT 1",
        "GETDEL KEY",
        "GETSET KEY 6",
        "INCR KEY",
        "INCRBYFLOAT KEY 1",
        "APPEND KEY 1",
        "SETRANGE KEY 1 2",
        "STRLEN KEY",
        "PEXPIRE KEY TIME",
        "PEXPIRE KEY TIME",
        "PEXPIRE KEY TIME NX",
        "PEXPIRE KEY TIME XX",
        "PEXPIRE KEY -1",
        "PERSIST KEY",
        "PTTL KEY",
        "PEXPIRETIME KEY",
        "EXISTS KEY KEY",
        "DEL KEY KEY",
        "UNLINK KEY",
        "RENAME KEY KEY",
        "RENAMENX KEY KEY",
        "COPY KEY KEY",
        "COPY KEY KEY REPLACE",
        "MSETNX KEY 1 KEY 2",
        "WATCH KEY",
    ];
    let form = FORMS[random.below(FORMS.len())];
    let word = |word: &str, random: &mut Chance| match word {
        "KEY" => format!("%{}", KEYS[random.below(KEYS.len())]),
        "TIME" => format!("{{{}.5}}", random.below(3)),
        word => word.to_owned(),
    };
    form.split(' ').map(|text| word(text, random)).collect::<Vec<_>>().join(" ")
}

/// Returns whether the reply to a request is a time.
fn has_time(text: &str) -> bool {
    ["TTL ", "PTTL ", "EXPIRETIME ", "PEXPIRETIME "].iter().any(|name| text.starts_with(name))
}

/// Replaces `{1.5}` by the milliseconds of one and a half steps.
fn in_milliseconds(text: &str, step: Duration) -> String {
    let Some((before, rest)) = text.split_once('{') else { return text.to_owned() };
    let (steps, after) = rest.split_once('}').expect("a closing brace");
    let time = step.mul_f64(steps.parse().expect("a number of steps"));
    format!("{before}{}{after}", time.as_millis())
}

/// Returns a reply as text, without the time that a key has left.
fn shown(text: &str, reply: &[u8]) -> String {
    let shown = reply.escape_ascii().to_string();
    let is_time = has_time(text) && !shown.starts_with(":-");
    if is_time { "a time".to_owned() } else { shown }
}

/// Reads the events of each key, up to the end.
fn events(listener: &mut RawClient, prefix: &str) -> BTreeMap<String, Vec<String>> {
    let mut events = BTreeMap::<_, Vec<_>>::new();
    loop {
        let Some(Reply::Array(words)) = Reply::only(&listener.reply()) else {
            panic!("a message is an array")
        };
        let text = |word: &Reply| match word {
            Reply::Bulk(text) => String::from_utf8_lossy(text).into_owned(),
            other => panic!("{other:?}"),
        };
        match &words[..] {
            [_, _, channel, event] => {
                events.entry(text(channel).replacen(prefix, "%", 1)).or_default().push(text(event))
            }
            _ => return events,
        }
    }
}

/// The replies of the clients, and the events of the listener.
#[derive(Clone, PartialEq)]
struct Outcome {
    /// Each request with its reply.
    replies: Vec<(String, String)>,
    events: BTreeMap<String, Vec<String>>,
    /// A request ran when the deadlines of its step were near.
    is_late: bool,
}

/// Runs a conversation with all servers at once, until none is late. Returns whether it could be compared.
fn compare(conversation: &Conversation, redis: &Process, subjects: &[(&str, Process)]) -> bool {
    for step in STEPS.map(Duration::from_millis) {
        let (expected, outcomes) = thread::scope(|scope| {
            let run = |process: &Process| {
                let address = process.address().to_owned();
                scope.spawn(move || conversation.run(&address, step))
            };
            let expected = run(redis);
            let running: Vec<_> = subjects.iter().map(|(name, process)| (*name, run(process))).collect();
            let expected = expected.join().expect("redis-server runs");
            let outcomes = running.into_iter().map(|(name, run)| (name, run.join().expect("it runs")));
            (expected, outcomes.collect::<Vec<_>>())
        });
        if expected.is_late || outcomes.iter().any(|(_, outcome)| outcome.is_late) {
            continue;
        }
        let different = outcomes.into_iter().filter(|(_, outcome)| *outcome != expected);
        let different =
            different.map(|(name, outcome)| Difference { name, outcome, expected: expected.clone() });
        let different: Vec<_> = different.collect();
        assert!(different.is_empty(), "{different:#?}");
        return true;
    }
    false
}

/// A server that does not behave as redis-server.
struct Difference<'s> {
    name: &'s str,
    outcome: Outcome,
    expected: Outcome,
}

impl fmt::Debug for Difference<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} and redis-server:", self.name)?;
        for ((request, reply), (_, expected)) in self.outcome.replies.iter().zip(&self.expected.replies) {
            let mark = if reply == expected { ' ' } else { '!' };
            writeln!(f, "{mark} {request}: {reply} and {expected}")?;
        }
        writeln!(f, "events: {:?} and {:?}", self.outcome.events, self.expected.events)
    }
}
