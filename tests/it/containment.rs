use tracing::Level;

use crate::support::{Log, RawClient, Served, app, exchange, line, lines};

const INTERNAL: &str = "-ERR internal error\r\n";

#[test]
fn a_panic_is_answered_and_other_commands_still_run() {
    let served = Served::start(app);
    let mut bystander = RawClient::connect(served.address());
    let mut client = RawClient::connect(served.address());
    let id = client.ask(line("CLIENT ID"));
    client.send(lines("SET k v \n PANIC \n FIRST a \n PANIC \n PANIC \n SECOND b \n PING \n GET k"));
    assert_eq!(
        client.replies(8),
        format!(
            "+OK\r\n{INTERNAL}$7\r\nfirst a\r\n{INTERNAL}{INTERNAL}$8\r\nsecond b\r\n+PONG\r\n$1\r\nv\r\n"
        )
    );
    assert_eq!(client.ask(line("CLIENT ID")), id);
    assert_eq!(bystander.ask(line("GET k")), "$1\r\nv\r\n");
}

/// The server discards the part of the reply that the handler wrote before it panicked.
#[test]
fn a_panic_in_the_middle_of_a_reply_discards_the_reply() {
    let served = Served::start(app);
    assert_eq!(
        exchange(served.address(), lines("FIRST a \n PANIC.LATE \n FIRST b \n PANIC.LATE")),
        format!("$7\r\nfirst a\r\n{INTERNAL}$7\r\nfirst b\r\n{INTERNAL}")
    );
}

#[test]
fn a_hundred_panics_are_all_answered() {
    let served = Served::start(app);
    assert_eq!(exchange(served.address(), line("PANIC").repeat(100)), INTERNAL.repeat(100));
    assert_eq!(exchange(served.address(), line("PING")), "+PONG\r\n");
}

#[test]
fn a_fallback_function_that_panics_keeps_its_state() {
    let served = Served::start(|| {
        let mut calls = 0;
        thegiant::App::new().fallback(move |request: &thegiant::Request<'_>| {
            calls += 1;
            assert!(request.name() != b"PANIC", "as the test asks for");
            calls
        })
    });
    assert_eq!(exchange(served.address(), lines("A \n PANIC \n A")), format!(":1\r\n{INTERNAL}:3\r\n"));
}

#[test]
fn the_log_names_the_command_that_panicked() {
    let log = Log::default();
    let log_of_server = log.clone();
    let served = Served::start(move || {
        log_of_server.keep(Level::INFO);
        app()
    });
    let mut client = RawClient::connect(served.address());
    client.send(lines("PING \n panic.Late"));
    assert_eq!(client.replies(2), format!("+PONG\r\n{INTERNAL}"));
    let client_fields = format!("id=1 client={}", client.local_address());
    assert_eq!(log.lines(), [format!("ERROR a handler panicked {client_fields} command=\"panic.Late\"")]);
}
