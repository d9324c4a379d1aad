//! What others see of a conversation: all that observes commands, on both servers.

use super::{
    pair::{Pair, in_turn},
    script::{conversations, words},
};
use crate::support::{RawClient, Reply, request};

/// What is said, by a client for each paragraph.
const TALK: &str = include_str!("observed.txt");

/// The last request of the talk.
const END: &str = "ECHO end";

#[test]
fn others_see_what_redis_shows() {
    for pair in [Pair::start(), Pair::with_password()] {
        let [kv, redis] = pair.addresses().map(Seen::of);
        same("MONITOR", &kv.monitor, &redis.monitor);
        same("SLOWLOG", &kv.slowlog, &redis.slowlog);
        same("INFO", &kv.info, &redis.info);
        same("LATENCY", &kv.latency, &redis.latency);
    }
}

fn same(what: &str, kv: &[String], redis: &[String]) {
    assert!(redis.len() > 2, "{what} shows something");
    let differences: Vec<_> = kv.iter().zip(redis).filter(|(kv, redis)| kv != redis).collect();
    assert!(kv.len() == redis.len() && differences.is_empty(), "{what} of kv and redis: {differences:#?}");
}

/// What is seen of the talk, without times.
struct Seen {
    /// The lines of `MONITOR`.
    monitor: Vec<String>,
    /// The entries of `SLOWLOG`.
    slowlog: Vec<String>,
    /// The fields of `INFO` that count commands and errors.
    info: Vec<String>,
    /// The calls that `LATENCY HISTOGRAM` knows of.
    latency: Vec<String>,
}

impl Seen {
    fn of(address: &str) -> Self {
        let mut operator = RawClient::connect(address);
        let mut ask = |text: &str| operator.ask(request(words(text)));
        ask("AUTH secret");
        ask("CONFIG SET slowlog-log-slower-than 0 slowlog-max-len 1000 latency-tracking yes");
        ask("SLOWLOG RESET");
        ask("CONFIG RESETSTAT");
        let mut watcher = RawClient::connect(address);
        watcher.ask(request(["AUTH", "secret"]));
        watcher.ask(request(["MONITOR"]));
        for conversation in conversations(TALK) {
            let mut talker = RawClient::connect(address);
            in_turn(&mut talker, None, &conversation, [0; 2]);
            talker.half_close();
            talker.rest();
        }
        ask(END);
        let reply = |bytes: &[u8]| Reply::only(bytes).expect("a reply");
        Seen {
            monitor: watched(&mut watcher),
            slowlog: slow(reply(&ask("SLOWLOG GET -1"))),
            info: counts(reply(&ask("INFO commandstats errorstats"))),
            latency: calls(reply(&ask("LATENCY HISTOGRAM"))),
        }
    }
}

/// The lines up to the end, without the time. `kv` shows a command before it runs, Redis shows it
/// afterwards: which database the client uses differs in the line of a command that changes it.
fn watched(watcher: &mut RawClient) -> Vec<String> {
    let mut lines = Vec::new();
    while lines.last().is_none_or(|line: &String| !line.ends_with("\"end\"\r\n")) {
        let line = watcher.reply();
        let (time, line) = std::str::from_utf8(&line).expect("text").split_once(' ').expect("a time");
        assert!(time.starts_with('+') && time[1..].parse::<f64>().is_ok(), "{time}");
        let changes_database = line.ends_with("\"SELECT\" \"3\"\r\n") || line.ends_with("\"RESET\"\r\n");
        lines.push(if changes_database { line.replace("[3 ", "[0 ") } else { line.to_owned() });
    }
    lines
}

/// The words, the address and the name of the client of each entry.
fn slow(entries: Reply) -> Vec<String> {
    let Reply::Array(entries) = entries else { panic!("{entries:?}") };
    let shown = entries.iter().map(|entry| {
        let Reply::Array(parts) = entry else { panic!("{entry:?}") };
        let [Reply::Integer(_), Reply::Integer(_), Reply::Integer(_), Reply::Array(words), client @ ..] =
            &parts[..]
        else {
            panic!("{parts:?}")
        };
        format!("{} from {}", shown(words), shown(client))
    });
    shown.collect()
}

/// Strings, one behind the other.
fn shown(strings: &[Reply]) -> String {
    let shown = strings.iter().map(|string| match string {
        Reply::Bulk(bytes) => format!("\"{}\"", bytes.escape_ascii()),
        other => panic!("{other:?} is no string"),
    });
    shown.collect::<Vec<_>>().join(" ")
}

/// `name:calls=1,rejected_calls=0`, in the order of the names.
fn counts(info: Reply) -> Vec<String> {
    let Reply::Bulk(text) = info else { panic!("{info:?}") };
    let without_times =
        |line: &str| line.split(',').filter(|part| !part.starts_with("usec")).collect::<Vec<_>>().join(",");
    let mut lines: Vec<_> = std::str::from_utf8(&text).expect("text").lines().map(without_times).collect();
    lines.sort();
    lines
}

/// The names of commands with how often they were called, in the order of the names.
fn calls(histograms: Reply) -> Vec<String> {
    let Reply::Array(histograms) = histograms else { panic!("{histograms:?}") };
    let mut calls: Vec<_> = histograms
        .chunks(2)
        .map(|pair| match pair {
            [name, Reply::Array(fields)] => format!("{name:?} {:?} {:?}", fields[0], fields[1]),
            other => panic!("{other:?} is no histogram"),
        })
        .collect();
    calls.sort();
    calls
}
