use super::{OK, PONG, open_to_operators};
use crate::support::{ANY_PORT, RawClient, Reply, Served, app, info, line, lines, request};

fn elements(reply: Reply) -> Vec<Reply> {
    match reply {
        Reply::Array(elements) => elements,
        other => panic!("{other:?} has no elements"),
    }
}

fn text(reply: &Reply) -> String {
    match reply {
        Reply::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => panic!("{other:?} is not a text"),
    }
}

fn integer(reply: &Reply) -> i64 {
    match reply {
        Reply::Integer(integer) => *integer,
        other => panic!("{other:?} is not an integer"),
    }
}

fn ask(client: &mut RawClient, request: &str) -> Reply {
    Reply::only(&client.ask(line(request))).expect("a well-formed reply")
}

/// An entry of the slow log.
#[derive(Debug)]
struct Slow {
    id: i64,
    at: i64,
    micros: i64,
    words: Vec<String>,
    client: String,
    name: String,
}

/// Returns the entries of `SLOWLOG GET`, with this count if it is not empty.
fn slow_entries(client: &mut RawClient, count: &str) -> Vec<Slow> {
    let entries = elements(ask(client, format!("SLOWLOG GET {count}").trim_end()));
    let entry = |entry: Reply| match &elements(entry)[..] {
        [id, at, micros, words, client, name] => Slow {
            id: integer(id),
            at: integer(at),
            micros: integer(micros),
            words: elements(words.clone()).iter().map(text).collect(),
            client: text(client),
            name: text(name),
        },
        other => panic!("{other:?}"),
    };
    entries.into_iter().map(entry).collect()
}

/// Returns the commands in the slow log, oldest first.
fn slow_commands(client: &mut RawClient) -> Vec<String> {
    slow_entries(client, "-1").iter().rev().map(|slow| slow.words.join(" ")).collect()
}

fn set(client: &mut RawClient, name: &str, value: &str) {
    assert_eq!(client.ask(request(["CONFIG", "SET", name, value])), OK, "{name} {value}");
}

#[test]
fn slow_commands_are_logged_from_the_threshold_on() {
    let served = open_to_operators();
    let mut operator = RawClient::connect(served.address());
    let mut client = RawClient::connect(served.address());
    client.send(lines("CLIENT SETNAME sleeper \n DEBUG SLEEP 0.02"));
    client.replies(2);
    assert_eq!(operator.ask(line("SLOWLOG LEN")), ":0\r\n", "the slow log is off by default");

    // No other command takes half a second.
    set(&mut operator, "slowlog-log-slower-than", "500000");
    client.send(lines("PING \n DEBUG SLEEP 0.6 \n PING"));
    client.replies(3);
    let entries = slow_entries(&mut operator, "");
    let [entry] = &entries[..] else { panic!("{entries:?}") };
    assert_eq!(entry.words, ["DEBUG", "SLEEP", "0.6"]);
    assert!(entry.micros >= 600_000 && entry.at > 1_700_000_000 && entry.id == 0, "{entry:?}");
    assert_eq!((entry.client.as_str(), entry.name.as_str()), (client.local_address().as_str(), "sleeper"));

    set(&mut operator, "slowlog-log-slower-than", "-1");
    client.send(lines("DEBUG SLEEP 0.001 \n PING"));
    client.replies(2);
    assert_eq!(operator.ask(line("SLOWLOG LEN")), ":1\r\n");
}

#[test]
fn each_command_of_a_pipeline_is_logged() {
    let served = Served::with(app, |server| {
        server.slowlog_slower_than(Some(std::time::Duration::ZERO)).bind(ANY_PORT)
    });
    let mut client = RawClient::connect(served.address());
    client.send(lines("SET a 1 \n PING \n SECOND x \n GET a \n NOPE \n GET \n CLIENT HELP \n FORGET a"));
    client.replies(8);
    // Refused commands take no time.
    assert_eq!(slow_commands(&mut client), ["SET a 1", "PING", "SECOND x", "GET a", "FORGET a"]);
}

#[test]
fn the_slow_log_lists_the_newest_first_and_drops_the_oldest() {
    let served = open_to_operators();
    let mut client = RawClient::connect(served.address());
    set(&mut client, "slowlog-log-slower-than", "0");
    set(&mut client, "slowlog-max-len", "3");
    assert_eq!(client.ask(line("SLOWLOG RESET")), OK);
    client.send(lines("ECHO 1 \n ECHO 2 \n ECHO 3 \n ECHO 4 \n ECHO 5"));
    client.replies(5);
    set(&mut client, "slowlog-log-slower-than", "-1");
    let words = |entries: &[Slow]| entries.iter().map(|slow| slow.words[1].clone()).collect::<Vec<_>>();
    let all = slow_entries(&mut client, "-1");
    assert!(
        words(&all).ends_with(&["5".to_owned(), "4".to_owned()]) || words(&all) == ["5", "4", "3"],
        "{all:?}"
    );
    assert!(all.windows(2).all(|pair| pair[0].id == pair[1].id + 1), "{all:?}");
    assert_eq!(slow_entries(&mut client, "1").len(), 1);
    assert_eq!(slow_entries(&mut client, "0").len(), 0);
    for mistake in ["-2", "x"] {
        let error = "-ERR count should be greater than or equal to -1\r\n";
        assert_eq!(client.ask(line(&format!("SLOWLOG GET {mistake}"))), error);
    }
    assert_eq!(client.ask(line("SLOWLOG RESET")), OK);
    assert_eq!(client.ask(line("SLOWLOG LEN")), ":0\r\n");
}

#[test]
fn slowlog_get_returns_ten_entries_by_default() {
    let served = open_to_operators();
    let mut client = RawClient::connect(served.address());
    set(&mut client, "slowlog-log-slower-than", "0");
    client.send(line("PING").repeat(20));
    client.replies(20);
    set(&mut client, "slowlog-log-slower-than", "-1");
    assert_eq!(slow_entries(&mut client, "").len(), 10);
    assert!(slow_entries(&mut client, "15").len() == 15 && slow_entries(&mut client, "-1").len() >= 20);
}

#[test]
fn the_slow_log_cuts_long_requests() {
    let served = open_to_operators();
    let mut client = RawClient::connect(served.address());
    set(&mut client, "slowlog-log-slower-than", "0");
    let last = |client: &mut RawClient, words: &[String]| {
        assert_eq!(client.ask(line("SLOWLOG RESET")), OK);
        client.send(request(words));
        client.reply();
        slow_entries(client, "1").remove(0).words
    };
    let words = |count: usize| {
        (0..count).map(|n| if n == 0 { "DEL".into() } else { n.to_string() }).collect::<Vec<_>>()
    };
    assert_eq!(last(&mut client, &words(32)), words(32));
    let cut = last(&mut client, &words(33));
    assert_eq!((cut.len(), cut[30].as_str(), cut[31].as_str()), (32, "30", "... (2 more arguments)"));
    let cut = last(&mut client, &words(1000));
    assert_eq!((cut.len(), cut[31].as_str()), (32, "... (969 more arguments)"));

    let echo = |len: usize| ["ECHO".to_owned(), "x".repeat(len)];
    assert_eq!(last(&mut client, &echo(128)), echo(128));
    assert_eq!(last(&mut client, &echo(129))[1], format!("{}... (1 more bytes)", "x".repeat(128)));
    assert_eq!(last(&mut client, &echo(1_000_000))[1], format!("{}... (999872 more bytes)", "x".repeat(128)));
}

#[test]
fn the_slow_log_redacts_passwords() {
    let served = Served::with(app, |server| {
        server.slowlog_slower_than(Some(std::time::Duration::ZERO)).password("secret").bind(ANY_PORT)
    });
    let mut client = RawClient::connect(served.address());
    client.send(lines("AUTH wrong \n GET k \n AUTH secret \n HELLO 2 AUTH default secret SETNAME me"));
    client.replies(4);
    let commands = slow_commands(&mut client);
    assert_eq!(commands.last().map(String::as_str), Some("HELLO 2 AUTH (redacted) (redacted) SETNAME me"));
    assert!(
        !commands.iter().any(|command| command.contains("secret") || command.contains("wrong")),
        "{commands:?}"
    );
}

/// Returns the number of calls and the last cumulative count of a histogram.
fn histogram(client: &mut RawClient, command: &str) -> Option<(i64, i64)> {
    let reply = elements(ask(client, &format!("LATENCY HISTOGRAM {command}")));
    let [name, histogram] = &reply[..] else { return None };
    assert_eq!(text(name), command);
    let fields = elements(histogram.clone());
    let [calls_name, calls, buckets_name, buckets] = &fields[..] else { panic!("{fields:?}") };
    assert_eq!((text(calls_name), text(buckets_name)), ("calls".into(), "histogram_usec".into()));
    let buckets: Vec<i64> = elements(buckets.clone()).iter().map(integer).collect();
    let (limits, counts): (Vec<_>, Vec<_>) = buckets.chunks(2).map(|pair| (pair[0], pair[1])).unzip();
    assert!(limits.is_sorted() && counts.is_sorted_by(|a, b| a < b), "{buckets:?}");
    Some((integer(calls), *counts.last()?))
}

#[test]
fn histograms_are_kept_while_latency_tracking_is_on() {
    let served = open_to_operators();
    let mut client = RawClient::connect(served.address());
    let pipeline = lines("FIRST a \n FIRST b \n DEL x \n FORGET y \n FIRST \n CLIENT ID");
    client.send(&pipeline);
    client.replies(6);
    assert_eq!(histogram(&mut client, "first"), None);
    assert_eq!(info(&mut client, "latencystats").0, []);

    set(&mut client, "latency-tracking", "yes");
    client.send(&pipeline);
    client.replies(6);
    assert_eq!(histogram(&mut client, "first"), Some((2, 2)));
    assert_eq!(histogram(&mut client, "del"), Some((2, 2)), "an alias counts for its command");
    assert_eq!(histogram(&mut client, "client|id"), Some((1, 1)));
    assert_eq!(histogram(&mut client, "get"), None);
    assert_eq!(elements(ask(&mut client, "LATENCY HISTOGRAM FIRST nope Client")).len(), 4);
    let stats = info(&mut client, "latencystats commandstats");
    let percentiles = stats.text("latency_percentiles_usec_first");
    assert!(
        percentiles.starts_with("p50=") && percentiles.contains(",p99=") && percentiles.contains(",p99.9=")
    );
    assert!(!stats.text("cmdstat_first").contains("usec=0,"), "{stats:?}");

    set(&mut client, "latency-tracking", "no");
    client.send(&pipeline);
    client.replies(6);
    assert_eq!(histogram(&mut client, "first"), Some((2, 2)));
    assert_eq!(client.ask(line("CONFIG RESETSTAT")), OK);
    assert_eq!(histogram(&mut client, "first"), None);
}

#[test]
fn a_histogram_shows_durations() {
    let served = open_to_operators();
    let mut client = RawClient::connect(served.address());
    set(&mut client, "latency-tracking", "yes");
    client.send(lines("DEBUG SLEEP 0.05 \n PING"));
    assert_eq!(client.replies(2), format!("{OK}{PONG}"));
    let stats = info(&mut client, "latencystats");
    let median = |name: &str| -> f64 {
        let fields = stats.text(&format!("latency_percentiles_usec_{name}"));
        fields.split(',').next().and_then(|p50| p50.strip_prefix("p50=")?.parse().ok()).expect("a number")
    };
    assert!(median("debug|sleep") >= 49_000.0 && median("ping") < median("debug|sleep"), "{stats:?}");
}

#[test]
fn latency_events_are_always_empty() {
    let served = open_to_operators();
    let mut client = RawClient::connect(served.address());
    assert_eq!(client.ask(line("LATENCY LATEST")), "*0\r\n");
    assert_eq!(client.ask(line("LATENCY RESET")), ":0\r\n");
    assert_eq!(client.ask(line("LATENCY RESET command")), ":0\r\n");
}

/// The slow log needs the durations, but histograms are a separate setting.
#[test]
fn the_slow_log_alone_tracks_no_latencies() {
    let served = open_to_operators();
    let mut client = RawClient::connect(served.address());
    client.ask(line("CONFIG SET slowlog-log-slower-than 0"));
    client.ask(line("ECHO x"));
    assert_eq!(client.ask(line("LATENCY HISTOGRAM")), "*0\r\n");
    assert_ne!(client.ask(line("SLOWLOG LEN")), ":0\r\n");
}
