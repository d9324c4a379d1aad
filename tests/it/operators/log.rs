use thegiant::{App, Request, Simple};
use tracing::Level;

use crate::support::{Log, RawClient, Served, eventually, line};

/// Starts a server that answers every command, and whose handler logs.
fn logged(level: Level) -> (Served, Log) {
    let log = Log::default();
    let log_of_server = log.clone();
    let served = Served::start(move || {
        log_of_server.keep(level);
        App::new().fallback(|request: &Request<'_>| {
            tracing::info!("{}", String::from_utf8_lossy(request.name()));
            Simple("done")
        })
    });
    (served, log)
}

/// Returns the lines of the log as soon as there are `count`.
fn lines_of(log: &Log, count: usize) -> Vec<String> {
    eventually(|| Some(log.lines()).filter(|lines| lines.len() >= count))
}

#[test]
fn the_log_shows_the_life_of_a_connection() {
    let (served, log) = logged(Level::DEBUG);
    let mut client = RawClient::connect(served.address());
    let one = format!("id=1 client={}", client.local_address());
    client.send("ONE\r\n*x\r\n");
    assert_eq!(client.rest(), "+done\r\n-ERR Protocol error: invalid multibulk length\r\n");
    drop(client);
    let mut expected = vec![
        format!("DEBUG connection opened {one}"),
        format!("INFO batch{{{one}}}: ONE"),
        format!("INFO closed: protocol error {one} error=Protocol error: invalid multibulk length"),
        format!("DEBUG connection closed {one} reason=\"the last reply was sent\""),
    ];
    assert_eq!(lines_of(&log, 4), expected);

    let mut killed = RawClient::connect(served.address());
    let two = format!("id=2 client={}", killed.local_address());
    killed.let_server_read();
    let mut client = RawClient::connect(served.address());
    let three = format!("id=3 client={}", client.local_address());
    assert_eq!(client.ask(line("CLIENT KILL ID 2")), ":1\r\n");
    assert_eq!(killed.rest(), "");
    expected.push(format!("DEBUG connection opened {two}"));
    expected.push(format!("DEBUG connection opened {three}"));
    expected.push(format!("DEBUG connection closed {two} reason=\"the client was killed\""));
    assert_eq!(lines_of(&log, 7), expected);
    drop(client);
    expected.push(format!("DEBUG connection closed {three} reason=\"the client has left\""));
    assert_eq!(lines_of(&log, 8), expected);

    let mut last = RawClient::connect(served.address());
    let four = format!("id=4 client={}", last.local_address());
    last.let_server_read();
    served.handle().stop();
    assert_eq!(last.rest(), "");
    expected.push(format!("DEBUG connection opened {four}"));
    expected.push("INFO stopping clients=1".to_owned());
    expected.push(format!("DEBUG connection closed {four} reason=\"the server is shutting down\""));
    drop(last);
    assert_eq!(lines_of(&log, 11), expected);
}

/// At the level INFO, the log has only the application's lines, faults and the stop.
#[test]
fn the_log_at_info_omits_ordinary_events() {
    let (served, log) = logged(Level::INFO);
    let mut client = RawClient::connect(served.address());
    assert_eq!(client.ask(line("ONE")), "+done\r\n");
    client.ask(line("QUIT"));
    assert_eq!(client.rest(), "");
    served.stop().expect("it ends in order");
    assert_eq!(log.lines(), ["INFO ONE", "INFO stopping clients=0"]);
}
