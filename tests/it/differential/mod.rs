//! Sends the same bytes to `kv` and to a real redis-server, and compares the replies byte by byte. Each
//! conversation runs in both protocols, and is sent request by request, in one write, and byte by byte.
//!
//! The rows are in the text files of this folder, one file per family of commands. Add rows when you add a
//! command. Empty lines separate conversations. Each conversation has a new client and starts without keys. A
//! line is a request as redis-cli takes it, unless its first word is one of these:
//!
//! - `#` a comment
//! - `>` raw bytes with escapes (`\r \n \t \xHH \\`); the client does not wait for a reply
//! - `~` a request in whose reply numbers may differ
//! - `seconds`, `milliseconds` a request in whose reply numbers may differ by the time that the conversation has
//!   taken, in this unit
//! - `sorted` a request that is answered with an array or a map in any order
//! - `fields` a request that is answered like `CLIENT LIST`: sizes of buffers may differ
//! - `sections` a request that is answered like `INFO`: counts may differ, fields may be missing
//! - `other` a request of a second client
//!
//! The rows of `password.txt` go to servers with a password, so each client starts unauthenticated. The rows
//! of `observed.txt` run while operators watch, and the test compares the operators' view.
//!
//! `{x*1000}` stands for `x` a thousand times. `{id}` stands for the client's ID, `{other}` for the second
//! client's.

mod chance;
mod comparison;
mod observed;
mod pair;
mod script;

use std::{
    fmt,
    io::{self, Write},
    thread,
};

use thegiant::Bytes;

use pair::{Answers, Pair, Variant};
use script::{Conversation, Line, conversations};

macro_rules! families {
    ($($name:literal)*) => { [$(($name, include_str!(concat!($name, ".txt")).to_owned())),*] };
}

/// Returns the written rows by family, and the generated ones.
fn families() -> Vec<(&'static str, String)> {
    let written = families! {
        "strings" "keys" "expiry" "connection" "client" "command" "config" "info" "server" "errors" "protocol" "large"
        "password" "pubsub" "transactions" "tracking"
    };
    let generated = [
        ("random commands", chance::commands()),
        ("random sums", chance::sums()),
        ("random transactions", chance::transactions()),
        ("random tracking", chance::tracking()),
        ("all ranges", chance::ranges()),
        ("all types of a bulk", chance::bulk_types()),
    ];
    written.into_iter().chain(generated).collect()
}

/// Conversations that must differ, each with its reason. Keep it short.
const DIFFERENCES: &str = include_str!("differences.txt");

#[test]
fn replies_are_the_same_as_in_redis() {
    let servers = |family: &str| if family == "password" { Pair::with_password() } else { Pair::start() };
    assert_same("differential", &families(), servers);
}

/// Other threads serve the connections.
#[test]
fn workers_reply_as_redis() {
    const ABOUT_CLIENTS: [&str; 4] = ["client", "pubsub", "transactions", "tracking"];
    let families: Vec<_> = families().into_iter().filter(|(name, _)| ABOUT_CLIENTS.contains(name)).collect();
    assert_same("kv with threads", &families, |_| Pair::of("kv", &["--threads", "3"]));
}

/// `kv-disk` has the same commands with another storage engine.
#[test]
fn keys_on_disk_behave_as_in_redis() {
    const ABOUT_KEYS: [&str; 6] =
        ["strings", "keys", "expiry", "transactions", "random commands", "random tracking"];
    let families: Vec<_> = families().into_iter().filter(|(name, _)| ABOUT_KEYS.contains(name)).collect();
    for engine in ["lsm", "sqlite"] {
        assert_same(&format!("kv-disk, {engine}"), &families, |_| Pair::of("kv-disk", &["--engine", engine]));
    }
}

#[test]
fn streams_behave_as_in_redis() {
    let families =
        [("streams", include_str!("streams.txt").to_owned()), ("random streams", chance::streams())];
    assert_same("collector", &families, |_| Pair::of("collector", &[]));
}

/// The proxy must return the replies of the upstream unchanged.
#[test]
fn proxied_replies_are_the_same_as_in_redis() {
    const PROXIED: [&str; 9] = [
        "strings",
        "keys",
        "expiry",
        "errors",
        "protocol",
        "large",
        "random commands",
        "random sums",
        "all ranges",
    ];
    let mut families: Vec<_> = families().into_iter().filter(|(name, _)| PROXIED.contains(name)).collect();
    families.push(("proxy", include_str!("proxy.txt").to_owned()));
    families.push(("streams", include_str!("streams.txt").to_owned()));
    assert_same("proxy", &families, |_| Pair::proxied());
}

/// Only a command with keys on two servers reveals that there are several.
#[test]
fn balanced_replies_are_the_same_as_in_redis() {
    const BALANCED: [&str; 7] =
        ["strings", "expiry", "errors", "protocol", "large", "random sums", "all ranges"];
    const MULTI_KEY: [&str; 4] = ["RENAME", "COPY", "MSETNX", "STREAMS S T"];
    let crosses = |line: &str| MULTI_KEY.iter().any(|name| line.to_uppercase().contains(name));
    let mut families: Vec<_> = families().into_iter().filter(|(name, _)| BALANCED.contains(name)).collect();
    families.push(("streams", include_str!("streams.txt").to_owned()));
    for (_, rows) in &mut families {
        let kept: Vec<_> = rows.lines().filter(|line| !crosses(line)).collect();
        *rows = kept.join("\n");
    }
    assert_same("balancer", &families, |_| Pair::balanced());
}

fn assert_same(name: &str, families: &[(&str, String)], servers: impl Fn(&str) -> Pair + Copy + Send) {
    let (sent, differences) = thread::scope(|scope| {
        let play = |(name, rows)| scope.spawn(move || play(name, rows, servers(name)));
        let threads: Vec<_> = families.iter().map(|(name, rows)| (*name, rows.as_str())).map(play).collect();
        let played = threads.into_iter().map(|thread| thread.join().expect("no conversation panics"));
        played.fold((0, Vec::new()), |(sent, differences), (more_sent, more)| {
            (sent + more_sent, [differences, more].concat())
        })
    });
    // Writes to stderr directly, because the test harness hides `println!` output of passing tests.
    let _ = writeln!(io::stderr(), "{name}: {sent} byte sequences compared with redis-server");
    let first: Vec<_> = differences.iter().take(20).map(String::as_str).collect();
    assert!(differences.is_empty(), "{} differences\n{}", differences.len(), first.join("\n"));
}

#[test]
fn documented_differences_still_exist() {
    let pair = Pair::start();
    for conversation in conversations(DIFFERENCES) {
        let differ =
            |variant| !differences(&conversation, variant, pair.answers(&conversation, variant)).is_empty();
        let differs = pair.variants(&conversation).any(differ);
        assert!(
            differs,
            "differences.txt, line {}: both servers reply the same now",
            conversation.lines[0].number
        );
    }
}

/// Sends the rows of a family in all variants. Returns the number of byte sequences and the differences.
fn play(family: &str, rows: &str, pair: Pair) -> (usize, Vec<String>) {
    let conversations = conversations(rows);
    let variants = conversations.iter().flat_map(|it| pair.variants(it).map(move |variant| (it, variant)));
    let variants: Vec<_> = variants.collect();
    let found = variants.iter().flat_map(|(conversation, variant)| {
        differences(conversation, *variant, whole_answers(&pair, conversation, *variant))
    });
    let mut found: Vec<_> = found.collect();
    found.sort_by_key(|difference| difference.line.number);
    found.dedup_by_key(|difference| difference.line.number);
    let sent = variants.len();
    println!("{family}: {sent} byte sequences");
    (sent, found.iter().map(|difference| format!("{family}, {difference}")).collect())
}

/// Returns the replies to a conversation that differ.
fn differences<'s>(
    conversation: &'s Conversation<'s>,
    variant: Variant,
    Answers { kv, redis, took }: Answers,
) -> Vec<Difference<'s>> {
    let answers = (0..kv.len().max(redis.len())).zip(conversation.lines_answered()).map(|(index, line)| {
        let [kv, redis] = [&kv, &redis].map(|answers| answers.get(index).cloned().unwrap_or_default());
        Difference { line, variant, kv, redis }
    });
    answers.filter(|answer| !answer.line.comparison.holds(&answer.kv, &answer.redis, took)).collect()
}

/// Repeats a conversation in which Redis sent less than `kv` and nothing else. On a busy machine, Redis drops
/// unsent replies when the client shuts its side down.
fn whole_answers(pair: &Pair, conversation: &Conversation<'_>, variant: Variant) -> Answers {
    const ATTEMPTS: usize = 5;
    let mut answers = pair.answers(conversation, variant);
    for _ in 1..ATTEMPTS {
        let [kv, redis] = [&answers.kv, &answers.redis].map(|answers| answers.concat());
        if kv.len() == redis.len() || !kv.starts_with(&redis) {
            break;
        }
        answers = pair.answers(conversation, variant);
    }
    answers
}

/// The replies of both servers to one line.
struct Difference<'s> {
    line: &'s Line<'s>,
    variant: Variant,
    kv: Bytes,
    redis: Bytes,
}

impl fmt::Display for Difference<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Variant { protocol, delivery } = self.variant;
        let same = self.kv.iter().zip(&self.redis).take_while(|(kv, redis)| kv == redis).count();
        let [kv, redis] = [&self.kv, &self.redis].map(|answer| {
            let shown = same.saturating_sub(100)..answer.len().min(same + 1000);
            format!("{:?} of {} bytes", answer.slice(shown), answer.len())
        });
        writeln!(f, "line {}: {} (RESP{protocol}, {delivery:?})", self.line.number, self.line.text)?;
        writeln!(f, "   after {same} bytes\n      kv: {kv}\n   redis: {redis}")
    }
}
