use std::collections::BTreeMap;

use crate::support::{Process, RawClient, eventually, info, line, lines};

/// Returns the metrics that are not zero, without the buckets of histograms.
fn scraped(endpoint: &str) -> BTreeMap<String, f64> {
    let mut client = RawClient::connect(endpoint);
    client.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let response = String::from_utf8(client.rest().to_vec()).expect("text");
    let (head, body) = response.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    let is_shown = |line: &&str| !line.starts_with('#') && !line.is_empty() && !line.contains("_bucket{");
    let samples = body.lines().filter(is_shown);
    let samples = samples.map(|line| {
        let (name, value) = line.rsplit_once(' ').expect("a name and a value");
        (name.to_owned(), value.parse::<f64>().expect("a number"))
    });
    samples.filter(|(_, value)| *value != 0.0).collect()
}

#[test]
fn metrics_are_scraped() {
    let (process, endpoint) = Process::prometheus_example();
    assert_eq!(scraped(&endpoint), BTreeMap::new());

    let mut client = RawClient::connect(process.address());
    let sent = [lines("VOTE a \n VOTE a \n VOTE b \n VOTES a \n VOTE \n NOPE"), line("VOTES b")];
    client.send(&sent[0]);
    let votes = ":1\r\n:2\r\n:1\r\n:2\r\n";
    let errors = "-ERR wrong number of arguments for 'vote' command\r\n\
                  -ERR unknown command 'NOPE', with args beginning with: \r\n";
    assert_eq!(client.replies(6), format!("{votes}{errors}"));
    assert_eq!(client.ask(&sent[1]), ":1\r\n");

    let mut seen = scraped(&endpoint);
    for command in ["vote", "votes"] {
        let seconds = seen.remove(&format!("thegiant_command_duration_seconds_sum{{command=\"{command}\"}}"));
        assert!(seconds.is_some_and(|seconds| seconds > 0.0), "{seconds:?} for {command}");
    }
    let expected = [
        ("ballot_votes_total", 3.0),
        ("thegiant_batch_commands_count", 2.0),
        ("thegiant_batch_commands_sum", 7.0),
        ("thegiant_batches_total", 2.0),
        ("thegiant_command_duration_seconds_count{command=\"vote\"}", 3.0),
        ("thegiant_command_duration_seconds_count{command=\"votes\"}", 2.0),
        ("thegiant_commands_total{command=\"vote\"}", 3.0),
        ("thegiant_commands_total{command=\"votes\"}", 2.0),
        ("thegiant_connections", 1.0),
        ("thegiant_connections_accepted_total", 1.0),
        ("thegiant_errors_total{code=\"ERR\"}", 2.0),
        ("thegiant_received_bytes_total", (sent[0].len() + sent[1].len()) as f64),
        ("thegiant_sent_bytes_total", (votes.len() + errors.len() + ":1\r\n".len()) as f64),
    ];
    let expected: BTreeMap<String, f64> = expected.map(|(name, value)| (name.to_owned(), value)).into();
    assert_eq!(seen, expected);

    // `INFO` shows the counter of the application, too.
    assert_eq!(info(&mut client, "ballot").number("ballot_votes_total"), 3);

    // The server rejects the next client.
    assert_eq!(client.ask(line("CONFIG SET maxclients 1")), "+OK\r\n");
    RawClient::connect(process.address()).rest();
    assert_eq!(scraped(&endpoint).get("thegiant_connections_rejected_total"), Some(&1.0));
    drop(client);
    eventually(|| (!scraped(&endpoint).contains_key("thegiant_connections")).then_some(()));
}
