use std::time::{Duration, Instant};

use super::{OK, PONG, open_to_operators, open_with};
use thegiant::{Value, test::TestServer};

use crate::support::{Process, RawClient, Served, app, client_list, eventually, gated, info, line, lines};

/// Pauses all clients for longer than any test takes.
fn pause(operator: &mut RawClient, mode: &str) {
    assert_eq!(operator.ask(line(&format!("CLIENT PAUSE 600000 {mode}"))), OK);
}

fn unpause(operator: &mut RawClient) {
    assert_eq!(operator.ask(line("CLIENT UNPAUSE")), OK);
}

/// Returns when `count` clients are blocked.
fn wait_until_blocked(operator: &mut RawClient, count: usize) {
    eventually(|| {
        let waiting =
            client_list(operator, "").iter().filter(|line| line.text("flags").contains('b')).count();
        (waiting == count).then_some(())
    });
}

fn two_clients(served: &Served) -> [RawClient; 2] {
    [(); 2].map(|()| RawClient::connect(served.address()))
}

#[test]
fn paused_clients_continue_in_order() {
    let served = open_to_operators();
    let [mut operator, mut client] = two_clients(&served);
    pause(&mut operator, "ALL");
    client.send(lines("SET a 1 \n PING \n FIRST x \n GET a"));
    wait_until_blocked(&mut operator, 1);
    client.send(lines("DEL a \n GET a"));
    unpause(&mut operator);
    assert_eq!(client.replies(6), "+OK\r\n+PONG\r\n$7\r\nfirst x\r\n$1\r\n1\r\n:1\r\n$-1\r\n");
    wait_until_blocked(&mut operator, 0);
}

#[test]
fn reads_go_on_while_writes_wait() {
    let served = open_to_operators();
    let [mut operator, mut client] = two_clients(&served);
    let mut reader = RawClient::connect(served.address());
    assert_eq!(operator.ask(line("SET a 1")), OK);
    pause(&mut operator, "WRITE");
    client.send(line("GET a"));
    assert_eq!(client.reply(), "$1\r\n1\r\n");
    client.send(lines("SET a 2 \n GET a"));
    wait_until_blocked(&mut operator, 1);
    for _ in 0..10 {
        assert_eq!(reader.ask(line("GET a")), "$1\r\n1\r\n");
        assert_eq!(reader.ask(line("PING")), PONG);
    }
    unpause(&mut operator);
    assert_eq!(client.replies(2), "+OK\r\n$1\r\n2\r\n");
}

/// Administrative commands run during a pause, also within a pipeline.
#[test]
fn administrative_commands_run_during_a_pause() {
    let served = open_to_operators();
    let [mut operator, mut client] = two_clients(&served);
    pause(&mut operator, "ALL");
    client.send(line("PING"));
    wait_until_blocked(&mut operator, 1);
    assert_eq!(operator.ask(line("CONFIG SET timeout 0")), OK);
    assert_eq!(operator.ask(line("SLOWLOG LEN")), ":0\r\n");
    operator.send(lines("CLIENT UNPAUSE \n PING"));
    assert_eq!(operator.replies(2), "+OK\r\n+PONG\r\n");
    assert_eq!(client.reply(), PONG);
}

#[test]
fn the_client_that_pauses_is_paused_too() {
    let served = open_to_operators();
    let [mut operator, mut client] = two_clients(&served);
    client.send(lines("SET a 1 \n CLIENT PAUSE 600000 \n GET a"));
    assert_eq!(client.reply(), OK);
    wait_until_blocked(&mut operator, 1);
    unpause(&mut operator);
    assert_eq!(client.replies(2), "+OK\r\n$1\r\n1\r\n");
}

#[test]
fn a_pause_ends_by_itself() {
    let served = open_to_operators();
    let [mut operator, mut client] = two_clients(&served);
    let begin = Instant::now();
    assert_eq!(operator.ask(line("CLIENT PAUSE 300")), OK);
    assert_eq!(client.ask(line("PING")), PONG);
    assert!(begin.elapsed() >= Duration::from_millis(300));
    // Later commands are not paused.
    assert_eq!(info(&mut operator, "clients").number("blocked_clients"), 0);
    assert_eq!(client.ask(line("PING")), PONG);
}

#[test]
fn a_second_pause_never_weakens_the_first() {
    let served = open_to_operators();
    let [mut operator, mut client] = two_clients(&served);
    pause(&mut operator, "ALL");
    assert_eq!(operator.ask(line("CLIENT PAUSE 1 WRITE")), OK);
    client.send(line("GET a"));
    wait_until_blocked(&mut operator, 1);
    std::thread::sleep(Duration::from_millis(50));
    wait_until_blocked(&mut operator, 1);
    unpause(&mut operator);
    assert_eq!(client.reply(), "$-1\r\n");
}

/// The clock is paused, so it jumps to the next timer while the client waits.
#[thegiant::test]
async fn the_last_pause_ends_the_wait() {
    tokio::time::pause();
    let server = TestServer::start(app());
    let (mut operator, mut client) = (server.connect(), server.connect());
    for (requests, wait) in [
        ("CLIENT PAUSE 1000 \n CLIENT PAUSE 5000 WRITE \n CLIENT PAUSE 10", 5),
        ("CLIENT PAUSE 1000 \n CLIENT UNPAUSE \n CLIENT PAUSE 5000", 5),
        ("CLIENT PAUSE 5000 \n CLIENT UNPAUSE \n CLIENT PAUSE 1000", 1),
        ("CLIENT PAUSE 1000 \n CLIENT UNPAUSE", 0),
    ] {
        let begin = tokio::time::Instant::now();
        operator.send(lines(requests)).await;
        operator.expect(OK.repeat(requests.matches("CLIENT").count())).await;
        assert_eq!(client.call(["PING"]).await, Value::Simple("PONG".into()));
        assert_eq!(begin.elapsed().as_secs(), wait, "{requests}");
    }
}

/// A timer takes half a kilobyte.
#[test]
fn many_pauses_leave_no_timers() {
    const PAUSES: usize = 100_000;
    let kv = Process::program("kv");
    let mut operator = RawClient::connect(kv.address());
    for pauses in ["CLIENT PAUSE 99999999 WRITE", "CLIENT PAUSE 99999999 WRITE \n CLIENT UNPAUSE"] {
        let before = kv.resident();
        let requests = lines(pauses).repeat(100);
        let replies = OK.repeat(pauses.lines().count() * 100);
        for _ in 0..PAUSES / 100 {
            operator.send(&requests);
            assert_eq!(operator.replies(replies.len() / OK.len()), replies);
        }
        let more = kv.resident().saturating_sub(before);
        assert!(more < 10_000, "{pauses}: {more} KiB");
        unpause(&mut operator);
    }
}

#[test]
fn mistakes_in_client_pause_are_refused() {
    let served = open_to_operators();
    let mut operator = RawClient::connect(served.address());
    for (mistake, error) in [
        ("x", "timeout is not an integer or out of range"),
        ("-1", "timeout is negative"),
        ("1 NOPE", "CLIENT PAUSE mode must be WRITE or ALL"),
    ] {
        assert_eq!(
            operator.ask(line(&format!("CLIENT PAUSE {mistake}"))),
            format!("-ERR {error}\r\n"),
            "{mistake}"
        );
    }
    assert_eq!(operator.ask(line("PING")), PONG);
    assert_eq!(operator.ask(line("CLIENT UNPAUSE")), OK);
    assert_eq!(operator.ask(line("CLIENT PAUSE 9223372036854775807")), OK);
    unpause(&mut operator);
    assert_eq!(operator.ask(line("PING")), PONG);
}

/// The server answers the requests that it has read, then stops.
#[test]
fn a_stop_ends_a_pause() {
    let served = open_to_operators();
    let [mut operator, mut client] = two_clients(&served);
    pause(&mut operator, "ALL");
    client.send(lines("SET a 1 \n FIRST x \n GET a"));
    wait_until_blocked(&mut operator, 1);
    served.stop().expect("it ends in order");
    assert_eq!(client.rest(), "+OK\r\n$7\r\nfirst x\r\n$1\r\n1\r\n");
}

/// The command that already runs is answered. The next one waits.
#[test]
fn a_pause_does_not_stop_a_running_command() {
    let (app, gatekeeper) = gated();
    let served = open_with(app);
    let [mut operator, mut client] = two_clients(&served);
    client.send(lines("GATE \n PING"));
    gatekeeper.wait();
    pause(&mut operator, "ALL");
    gatekeeper.open();
    wait_until_blocked(&mut operator, 1);
    unpause(&mut operator);
    assert_eq!(client.replies(2), "+through\r\n+PONG\r\n");
}

#[test]
fn a_paused_client_that_disconnects_is_removed() {
    let served = open_with(app);
    let [mut operator, mut client] = two_clients(&served);
    pause(&mut operator, "ALL");
    client.send(line("PING"));
    wait_until_blocked(&mut operator, 1);
    client.reset();
    eventually(|| (client_list(&mut operator, "").len() == 1).then_some(()));
    unpause(&mut operator);
}
