//! Compares how both servers show commands to operators: `MONITOR`, `SLOWLOG`, `INFO` and `LATENCY`.

use super::{
    deviations::{Deviation, Rules},
    pair::{Pair, in_turn},
    script::{conversations, words},
};
use crate::support::{RawClient, Reply, request};

/// The observed requests. Each paragraph is sent by a new client.
const CONVERSATIONS: &str = include_str!("observed.txt");

/// The last request, which ends the output of `MONITOR`.
const END: &str = "ECHO end";

#[test]
fn operators_see_the_same_as_in_redis() {
    let rules = Rules::of(&Deviation::listed());
    let mut has_other_database = false;
    for pair in [Pair::start(), Pair::with_password(&[])] {
        let [kv, redis] = pair.addresses().map(View::of);
        has_other_database |= kv.monitor != redis.monitor;
        let monitor =
            |view: &View| view.monitor.iter().map(|line| rules.monitor_line(line)).collect::<Vec<_>>();
        assert_same("MONITOR", &monitor(&kv), &monitor(&redis));
        assert_same("SLOWLOG", &kv.slowlog, &redis.slowlog);
        assert_same("INFO", &kv.info, &redis.info);
        assert_same("LATENCY", &kv.latency, &redis.latency);
    }
    assert!(
        has_other_database,
        "MONITOR shows the same databases, although differences.txt lists a difference"
    );
}

fn assert_same(name: &str, kv: &[String], redis: &[String]) {
    assert!(redis.len() > 2, "{name} has no output");
    let differences: Vec<_> = kv.iter().zip(redis).filter(|(kv, redis)| kv != redis).collect();
    assert!(kv.len() == redis.len() && differences.is_empty(), "{name} of kv and redis: {differences:#?}");
}

/// The operators' view of the requests, without times.
struct View {
    /// The lines of `MONITOR`.
    monitor: Vec<String>,
    /// The entries of `SLOWLOG`.
    slowlog: Vec<String>,
    /// The fields of `INFO` that count commands and errors.
    info: Vec<String>,
    /// The number of calls in `LATENCY HISTOGRAM`.
    latency: Vec<String>,
}

impl View {
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
        for conversation in conversations(CONVERSATIONS) {
            let mut client = RawClient::connect(address);
            in_turn(&mut client, None, None, &conversation, [0; 2]);
            client.half_close();
            client.rest();
        }
        ask(END);
        let reply = |bytes: &[u8]| Reply::only(bytes).expect("a reply");
        View {
            monitor: watched(&mut watcher),
            slowlog: slow(reply(&ask("SLOWLOG GET -1"))),
            info: counts(reply(&ask("INFO commandstats errorstats"))),
            latency: calls(reply(&ask("LATENCY HISTOGRAM"))),
        }
    }
}

/// Returns the lines of `MONITOR` up to the last request, without the times.
fn watched(watcher: &mut RawClient) -> Vec<String> {
    let mut lines = Vec::new();
    while lines.last().is_none_or(|line: &String| !line.ends_with("\"end\"\r\n")) {
        let line = watcher.reply();
        let (time, line) = std::str::from_utf8(&line).expect("text").split_once(' ').expect("a time");
        assert!(time.starts_with('+') && time[1..].parse::<f64>().is_ok(), "{time}");
        lines.push(line.to_owned());
    }
    lines
}

/// Returns the words, the client's address and the client's name of each entry.
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

/// Joins quoted strings with spaces.
fn shown(strings: &[Reply]) -> String {
    let shown = strings.iter().map(|string| match string {
        Reply::Bulk(bytes) => format!("\"{}\"", bytes.escape_ascii()),
        other => panic!("{other:?} is not a string"),
    });
    shown.collect::<Vec<_>>().join(" ")
}

/// Returns `name:calls=1,rejected_calls=0` per command, sorted by name.
fn counts(info: Reply) -> Vec<String> {
    let Reply::Bulk(text) = info else { panic!("{info:?}") };
    let without_times =
        |line: &str| line.split(',').filter(|part| !part.starts_with("usec")).collect::<Vec<_>>().join(",");
    let mut lines: Vec<_> = std::str::from_utf8(&text).expect("text").lines().map(without_times).collect();
    lines.sort();
    lines
}

/// Returns the names of commands with their number of calls, sorted by name.
fn calls(histograms: Reply) -> Vec<String> {
    let Reply::Array(histograms) = histograms else { panic!("{histograms:?}") };
    let mut calls: Vec<_> = histograms
        .chunks(2)
        .map(|pair| match pair {
            [name, Reply::Array(fields)] => format!("{name:?} {:?} {:?}", fields[0], fields[1]),
            other => panic!("{other:?} is not a histogram"),
        })
        .collect();
    calls.sort();
    calls
}
