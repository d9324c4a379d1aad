//! Byte sequences that are sent to `kv` and to a real redis-server, whose replies are compared byte
//! by byte: in both protocols, a request at a time, all at once, and a byte at a time.
//!
//! The rows are in the text files of this folder, one a family: who adds a command adds rows. They
//! are conversations, parted by empty lines. Each has a client of its own, and finds no keys. A line
//! is a request as redis-cli takes it, or something else by its first word:
//!
//! - `#` a comment
//! - `>` bytes as they are but for escapes (`\r \n \t \xHH \\`); a reply to them is not waited for
//! - `~1000` a request in whose reply numbers may differ by 1000; `~` alone: by anything
//! - `sorted` a request whose reply is an array or a map in any order
//! - `fields` a request whose reply is that of `CLIENT LIST`: sizes of buffers may differ
//! - `sections` a request whose reply is that of `INFO`: counts may differ, fields may be missing
//!
//! The rows of `password.txt` go to servers with a password, where each client is a stranger at first;
//! those of `observed.txt` to servers whose operators look on: what they see is compared.
//!
//! `{x*1000}` stands for a thousand times `x`, `{id}` for the number of the client.

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

use pair::{Pair, Variant};
use script::{Conversation, Line, conversations};

macro_rules! families {
    ($($name:literal)*) => { [$(($name, include_str!(concat!($name, ".txt")).to_owned())),*] };
}

/// The rows by family, and some that nobody has written.
fn families() -> Vec<(&'static str, String)> {
    let written = families! {
        "strings" "keys" "expiry" "connection" "client" "command" "config" "info" "server" "errors" "protocol" "large"
        "password" "pubsub" "transactions" "tracking"
    };
    let made = [
        ("random commands", chance::commands()),
        ("random sums", chance::sums()),
        ("random transactions", chance::transactions()),
        ("random tracking", chance::tracking()),
        ("all ranges", chance::ranges()),
        ("all types of a bulk", chance::bulk_types()),
    ];
    written.into_iter().chain(made).collect()
}

/// What cannot be the same, with the reason above each conversation. Keep it short.
const DIFFERENCES: &str = include_str!("differences.txt");

#[test]
fn replies_are_those_of_redis() {
    let servers = |family: &str| if family == "password" { Pair::with_password() } else { Pair::start() };
    assert_same("differential", &families(), servers);
}

/// The commands are the same; what keeps the keys is not.
#[test]
fn keys_on_disk_are_as_in_redis() {
    const ABOUT_KEYS: [&str; 6] =
        ["strings", "keys", "expiry", "transactions", "random commands", "random tracking"];
    let families: Vec<_> = families().into_iter().filter(|(name, _)| ABOUT_KEYS.contains(name)).collect();
    for engine in ["lsm", "sqlite"] {
        assert_same(&format!("kv-disk, {engine}"), &families, |_| Pair::of("kv-disk", &["--engine", engine]));
    }
}

#[test]
fn streams_are_those_of_redis() {
    let families =
        [("streams", include_str!("streams.txt").to_owned()), ("random streams", chance::streams())];
    assert_same("collector", &families, |_| Pair::of("collector", &[]));
}

/// What is sent on to a redis-server comes back as if that had been asked.
#[test]
fn what_is_proxied_is_as_in_redis() {
    const RELAYED: [&str; 9] = [
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
    let mut families: Vec<_> = families().into_iter().filter(|(name, _)| RELAYED.contains(name)).collect();
    families.push(("proxy", include_str!("proxy.txt").to_owned()));
    families.push(("streams", include_str!("streams.txt").to_owned()));
    assert_same("proxy", &families, |_| Pair::proxied());
}

/// Which of several servers has a key does not show, unless a command is about keys of two of them.
#[test]
fn what_is_balanced_is_as_in_redis() {
    const BALANCED: [&str; 7] =
        ["strings", "expiry", "errors", "protocol", "large", "random sums", "all ranges"];
    const CROSSING: [&str; 4] = ["RENAME", "COPY", "MSETNX", "STREAMS S T"];
    let crosses = |line: &str| CROSSING.iter().any(|name| line.to_uppercase().contains(name));
    let mut families: Vec<_> = families().into_iter().filter(|(name, _)| BALANCED.contains(name)).collect();
    families.push(("streams", include_str!("streams.txt").to_owned()));
    for (_, rows) in &mut families {
        let kept: Vec<_> = rows.lines().filter(|line| !crosses(line)).collect();
        *rows = kept.join("\n");
    }
    assert_same("balancer", &families, |_| Pair::balanced());
}

fn assert_same(what: &str, families: &[(&str, String)], servers: impl Fn(&str) -> Pair + Copy + Send) {
    let (sent, differences) = thread::scope(|scope| {
        let play = |(name, rows)| scope.spawn(move || play(name, rows, servers(name)));
        let threads: Vec<_> = families.iter().map(|(name, rows)| (*name, rows.as_str())).map(play).collect();
        let played = threads.into_iter().map(|thread| thread.join().expect("it is played to the end"));
        played.fold((0, Vec::new()), |(sent, differences), (more_sent, more)| {
            (sent + more_sent, [differences, more].concat())
        })
    });
    // Past the test's own output, which is shown only if it fails.
    let _ = writeln!(io::stderr(), "{what}: {sent} byte sequences compared with redis-server");
    let first: Vec<_> = differences.iter().take(20).map(String::as_str).collect();
    assert!(differences.is_empty(), "{} differences\n{}", differences.len(), first.join("\n"));
}

#[test]
fn what_cannot_be_the_same_is_not() {
    let pair = Pair::start();
    for conversation in conversations(DIFFERENCES) {
        let differ =
            |variant| !differences(&conversation, variant, pair.answers(&conversation, variant)).is_empty();
        let differs = pair.variants(&conversation).any(differ);
        assert!(differs, "differences.txt, line {}: no difference any more", conversation.lines[0].number);
    }
}

/// Sends the rows of a family in all ways; returns how many byte sequences these were, and where
/// the answers differ.
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

/// Where the answers to a conversation differ.
fn differences<'s>(
    conversation: &'s Conversation<'s>,
    variant: Variant,
    [kv, redis]: [Vec<Bytes>; 2],
) -> Vec<Difference<'s>> {
    let answers = (0..kv.len().max(redis.len())).map(|index| {
        let [kv, redis] = [&kv, &redis].map(|answers| answers.get(index).cloned().unwrap_or_default());
        Difference { line: conversation.line_answered(index), variant, kv, redis }
    });
    answers.filter(|answer| !answer.line.comparison.holds(&answer.kv, &answer.redis)).collect()
}

/// Redis drops the replies that it could not write at once when the client ends its side, as happens on a busy machine.
/// So if it has said less than `kv`, and nothing else, both are asked again.
fn whole_answers(pair: &Pair, conversation: &Conversation<'_>, variant: Variant) -> [Vec<Bytes>; 2] {
    const ATTEMPTS: usize = 5;
    let mut answers = pair.answers(conversation, variant);
    for _ in 1..ATTEMPTS {
        let [kv, redis] = answers.each_ref().map(|answers| answers.concat());
        if kv.len() == redis.len() || !kv.starts_with(&redis) {
            break;
        }
        answers = pair.answers(conversation, variant);
    }
    answers
}

/// What both say to a line.
struct Difference<'s> {
    line: &'s Line<'s>,
    variant: Variant,
    kv: Bytes,
    redis: Bytes,
}

impl fmt::Display for Difference<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Variant { protocol, way } = self.variant;
        let same = self.kv.iter().zip(&self.redis).take_while(|(kv, redis)| kv == redis).count();
        let [kv, redis] = [&self.kv, &self.redis].map(|answer| {
            let shown = same.saturating_sub(100)..answer.len().min(same + 1000);
            format!("{:?} of {} bytes", answer.slice(shown), answer.len())
        });
        writeln!(f, "line {}: {} (RESP{protocol}, {way:?})", self.line.number, self.line.text)?;
        writeln!(f, "   after {same} bytes\n      kv: {kv}\n   redis: {redis}")
    }
}
