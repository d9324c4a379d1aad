use thegiant::{ClientClass, OutputLimit};

use crate::support::{ANY_PORT, RawClient, Served, app, eventually, line, lines, request};

/// Lines of `INFO commandstats`, as `get:calls=1,rejected=0,failed=0`, those of `INFO` aside.
fn counted(client: &mut RawClient) -> Vec<String> {
    let text = String::from_utf8(client.ask(line("INFO commandstats")).to_vec()).expect("text");
    let rows = text.lines().filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(':'));
    rows.filter(|(name, _)| *name != "info").map(|(name, counts)| count_row(name, counts)).collect()
}

fn count_row(name: &str, counts: &str) -> String {
    let count = |name: &str| {
        let count = counts.split(',').find_map(|count| count.strip_prefix(name)?.strip_prefix('='));
        count.expect("each row has it")
    };
    format!(
        "{name}:calls={},rejected={},failed={}",
        count("calls"),
        count("rejected_calls"),
        count("failed_calls")
    )
}

#[test]
fn commands_are_counted_by_what_became_of_them() {
    let served = Served::start(app);
    let mut client = RawClient::connect(served.address());
    client.send(lines("GET a \n GET a \n SET a b \n GET \n PANIC \n NOPE \n GET a"));
    client.replies(7);
    client.ask(line("FIRST.STOP"));
    client.send(lines("GET a \n PING"));
    client.replies(2);
    let expected = [
        "first.stop:calls=1,rejected=0,failed=0",
        "get:calls=3,rejected=2,failed=0",
        "panic:calls=1,rejected=0,failed=1",
        "ping:calls=1,rejected=0,failed=0",
        "set:calls=1,rejected=0,failed=0",
    ];
    let mut counted = counted(&mut client);
    counted.sort();
    assert_eq!(counted, expected);
}

/// What a client has sent behind its last request is neither run nor counted.
#[test]
fn what_is_not_run_is_not_counted() {
    let served = Served::start(app);
    let mut client = RawClient::connect(served.address());
    client.send(lines("GET a \n QUIT \n GET a \n SET a b"));
    assert_eq!(client.rest(), "$-1\r\n+OK\r\n");
    let counted = counted(&mut RawClient::connect(served.address()));
    assert_eq!(counted, ["get:calls=1,rejected=0,failed=0", "quit:calls=1,rejected=0,failed=0"]);
}

#[test]
fn what_is_run_is_counted_even_if_nobody_takes_the_reply() {
    let served = Served::with(app, |server| {
        server.output_limit(ClientClass::Normal, OutputLimit::hard(1024)).bind(ANY_PORT)
    });
    let text = vec![b'x'; 16 << 20];
    let mut silent = RawClient::connect(served.address());
    silent.send(request([b"FIRST", &text[..]]));
    let mut client = RawClient::connect(served.address());
    eventually(|| (counted(&mut client) == ["first:calls=1,rejected=0,failed=0"]).then_some(()));
    assert!(silent.rest().len() < text.len());
}
