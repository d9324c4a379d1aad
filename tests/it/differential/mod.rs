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
//! - `groups` a request that is answered like `XINFO GROUPS`: counts of consumers and events may differ
//! - `sections` a request that is answered like `INFO`: counts may differ, fields may be missing
//! - `other` a request of a second client
//!
//! `differences.txt` lists all deviations from redis-server 7.0.15, with their origin and reason. There, `!` marks the
//! requests with different replies. A deviation that occurs in many conversations has a rule, which applies to all
//! files. A test asserts that the marked replies differ and that no others do. `stream_differences.txt` does the same
//! for `collector`.
//!
//! The rows of `password.txt` go to servers with a password, so each client starts unauthenticated. The rows
//! of `observed.txt` run while operators watch, and the test compares the operators' view.
//!
//! `{x*1000}` stands for `x` a thousand times. `{id}` stands for the client's ID, `{other}` for the second
//! client's.

mod chance;
mod comparison;
mod deviations;
mod observed;
mod pair;
mod script;
mod timed;

use std::{
    collections::BTreeSet,
    fmt,
    io::{self, Write},
    thread,
};

use thegiant::Bytes;

use deviations::{Deviation, Rules};
use pair::{Answers, Pair, Variant};
use script::{Conversation, Line, conversations};

macro_rules! families {
    ($($name:literal)*) => { [$(($name, include_str!(concat!($name, ".txt")).to_owned())),*] };
}

/// Returns the written rows by family, and the generated ones.
fn families() -> Vec<(&'static str, String)> {
    let written = families! {
        "strings" "keys" "expiry" "connection" "client" "command" "config" "info" "server" "errors" "protocol" "large"
        "password" "pubsub" "transactions" "tracking" "users"
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

#[test]
fn replies_are_the_same_as_in_redis() {
    let servers = |family: &str| if family == "password" { Pair::with_password(&[]) } else { Pair::start() };
    assert_same("differential", &families(), servers);
}

/// Several threads serve the connections, and the keys are divided among as many shards.
#[test]
fn two_shards_reply_as_redis() {
    // These are about the decoder, which knows no shards.
    const ABOUT_BYTES: [&str; 4] = ["protocol", "large", "all ranges", "all types of a bulk"];
    shards_reply_as_redis("2", |family| !ABOUT_BYTES.contains(&family));
}

#[test]
fn eight_shards_reply_as_redis() {
    const SEVERAL_KEYS: [&str; 4] = ["keys", "transactions", "tracking", "random transactions"];
    shards_reply_as_redis("8", |family| SEVERAL_KEYS.contains(&family));
}

/// Only a command that needs keys of two shards at once, and the cursor of `SCAN`, reveal that there are several. Another
/// thread may end the second client some time after the reply to its `QUIT`, so that its end shows later.
fn shards_reply_as_redis(shards: &str, is_wanted: fn(&str) -> bool) {
    let families = families().into_iter().filter(|(name, _)| is_wanted(name)).collect();
    let families = without_commands(families, &CROSSING);
    let servers = |family: &str| match family {
        "password" => Pair::with_password(&["--threads", shards]),
        _ => Pair::of("kv", &["--threads", shards]),
    };
    assert_same("kv with shards", &families, servers);
}

/// Requests that need two shards at once, the cursor of `SCAN`, deletions of keys that such requests have made, and the end of the
/// second client.
const CROSSING: [&str; 11] = [
    "RENAME",
    "COPY",
    "MSETNX",
    "LCS ",
    "DEL G",
    "UNLINK B C",
    "GETDEL D",
    "SCAN 0",
    "SCAN +0",
    "SCAN \"\"",
    "OTHER QUIT",
];

/// Removes the requests with one of these words.
fn without_commands(
    mut families: Vec<(&'static str, String)>,
    words: &[&str],
) -> Vec<(&'static str, String)> {
    let has_word = |line: &str| words.iter().any(|word| line.to_uppercase().contains(word));
    for (_, rows) in &mut families {
        let kept: Vec<_> = rows.lines().filter(|line| !has_word(line)).collect();
        *rows = kept.join("\n");
    }
    families
}

/// Among other tenants, a tenant has a server of its own.
#[test]
fn a_tenant_has_the_replies_of_a_redis_of_its_own() {
    // A page of `SCAN` also has keys of others, which are left out.
    let families = without_commands(tenant_families(), &["SCAN 0", "SCAN +0", "SCAN \"\""]);
    assert_same("tenants", &families, |_| Pair::with_tenants(&[]));
}

#[test]
fn a_tenant_of_two_shards_has_the_replies_of_a_redis_of_its_own() {
    let families = without_commands(tenant_families(), &CROSSING);
    assert_same("tenants with shards", &families, |_| Pair::with_tenants(&["--threads", "2"]));
}

/// Returns the rows for tenants, without the commands that could show or change something of others.
fn tenant_families() -> Vec<(&'static str, String)> {
    const WANTED: [&str; 12] = [
        "strings",
        "keys",
        "expiry",
        "command",
        "errors",
        "large",
        "pubsub",
        "transactions",
        "tracking",
        "random commands",
        "random transactions",
        "random tracking",
    ];
    // They change the user, or are refused.
    const UNWANTED: [&str; 6] = ["RESET", "AUTH", "CLIENT KILL", "SHUTDOWN", "MONITOR", "SLOWLOG"];
    let is_wanted = |rows: &&str| !UNWANTED.iter().any(|word| rows.contains(word));
    let wanted = families().into_iter().filter(|(name, _)| WANTED.contains(name));
    let without_unwanted =
        |rows: String| rows.split("\n\n").filter(is_wanted).collect::<Vec<_>>().join("\n\n");
    wanted.map(|(name, rows)| (name, without_unwanted(rows))).collect()
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
    let mut families: Vec<_> = families().into_iter().filter(|(name, _)| BALANCED.contains(name)).collect();
    families.push(("streams", include_str!("streams.txt").to_owned()));
    let families = without_commands(families, &["RENAME", "COPY", "MSETNX", "LCS ", "STREAMS S T"]);
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
fn replies_differ_from_redis_as_listed_and_nowhere_else() {
    assert_listed("differences.txt", &Deviation::listed(), &Pair::start());
}

#[test]
fn streams_differ_from_redis_as_listed() {
    assert_listed("stream_differences.txt", &Deviation::of_streams(), &Pair::of("collector", &[]));
}

/// Asserts that the marked replies differ, and no others.
fn assert_listed(name: &str, deviations: &[Deviation<'_>], pair: &Pair) {
    let rules = Rules::of(deviations);
    let shown = deviations.iter().flat_map(|it| it.conversations.iter().map(move |shown| (it, shown)));
    let wrong: Vec<_> = shown
        .flat_map(|(deviation, conversation)| {
            let marked = conversation.lines.iter().filter(|line| line.must_differ).map(|line| line.number);
            let marked = marked.collect();
            match deviation.rule {
                Some(rule) => {
                    let unruled = unexpected(pair, conversation, &rules.without(rule), &marked);
                    [unruled, unexpected(pair, conversation, &rules, &BTreeSet::new())].concat()
                }
                None => unexpected(pair, conversation, &rules, &marked),
            }
        })
        .collect();
    assert!(wrong.is_empty(), "{name} is wrong in {} lines\n{}", wrong.len(), wrong.join("\n"));
}

/// Returns a text for each line whose replies differ although they must not, or are the same although they must
/// differ.
fn unexpected(
    pair: &Pair,
    conversation: &Conversation<'_>,
    rules: &Rules<'_>,
    expected: &BTreeSet<usize>,
) -> Vec<String> {
    let found = pair.variants(conversation).flat_map(|variant| {
        differences(conversation, variant, whole_answers(pair, conversation, variant), rules)
    });
    let found: Vec<_> = found.collect();
    let differing: BTreeSet<_> = found.iter().map(|difference| difference.line.number).collect();
    let mut shown = BTreeSet::new();
    let surplus = found.iter().filter(|difference| {
        !expected.contains(&difference.line.number) && shown.insert(difference.line.number)
    });
    let surplus = surplus.map(|difference| format!("not marked: {difference}"));
    let missing = expected.difference(&differing).map(|line| format!("marked, but the same: line {line}"));
    surplus.chain(missing).collect()
}

/// Sends the rows of a family in all variants. Returns the number of byte sequences and the differences.
fn play(family: &str, rows: &str, pair: Pair) -> (usize, Vec<String>) {
    let rules = pair.rules(&Deviation::listed());
    let conversations = conversations(rows);
    let variants = conversations.iter().flat_map(|it| pair.variants(it).map(move |variant| (it, variant)));
    let variants: Vec<_> = variants.collect();
    let found = variants.iter().flat_map(|(conversation, variant)| {
        differences(conversation, *variant, whole_answers(&pair, conversation, *variant), &rules)
    });
    let mut found: Vec<_> = found.collect();
    pair.assert_kept();
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
    rules: &Rules<'_>,
) -> Vec<Difference<'s>> {
    // Most replies are the same.
    let redis = if kv == redis { redis } else { rules.apply(redis, conversation) };
    let answers = (0..kv.len().max(redis.len())).zip(conversation.lines_answered()).map(|(index, line)| {
        let [kv, redis] = [&kv, &redis].map(|answers| answers.get(index).cloned().unwrap_or_default());
        Difference { line, variant, kv, redis }
    });
    answers.filter(|answer| !answer.line.comparison.holds(&answer.kv, &answer.redis, took, rules)).collect()
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
