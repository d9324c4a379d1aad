use std::{thread, time::Duration};

use super::set;
use crate::support::{ANY_PORT, RawClient, Served, app, eventually, gated, line, lines, listed};
use thegiant::Timeouts;

const SECOND: Option<Duration> = Some(Duration::from_secs(1));

/// Runs `act` again and again until the server closes the slow client.
fn assert_closed_while(mut slow: RawClient, mut act: impl FnMut()) {
    thread::scope(|scope| {
        let end = scope.spawn(move || slow.rest());
        while !end.is_finished() {
            act();
            thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(end.join().expect("the thread does not panic"), "");
    });
}

/// Sends three requests at a time, so that the server always has an incomplete one.
struct Pieces {
    client: RawClient,
    bytes: Vec<u8>,
    at: usize,
}

impl Pieces {
    fn new(served: &Served) -> Self {
        let mut client = RawClient::connect(served.address());
        let bytes = lines("FIRST a \n FIRST a \n FIRST a");
        client.send(&bytes[..5]);
        Pieces { client, bytes, at: 5 }
    }

    /// Sends three requests, and begins and ends in the middle of one.
    fn send(&mut self) {
        let (end, rest) = self.bytes.split_at(self.at);
        self.client.send([rest, end].concat());
        assert_eq!(self.client.replies(3), "$7\r\nfirst a\r\n".repeat(3));
    }
}

#[test]
fn a_client_that_sends_a_request_too_slowly_is_closed() {
    let served = Served::with(app, |server| server.timeouts(Timeouts::new().request(SECOND)).bind(ANY_PORT));
    let mut idle = RawClient::connect(served.address());
    let mut busy = Pieces::new(&served);
    let mut slow = RawClient::connect(served.address());
    slow.let_server_read();
    slow.send("*2\r\n$4\r\nECHO\r\n$5\r\nhe");
    assert_closed_while(slow, || busy.send());
    // The timeout applies even if bytes arrive all the time.
    let mut slow = RawClient::connect(served.address());
    slow.send("*2\r\n$4\r\nECHO\r\n$50000\r\n");
    let end = eventually(|| {
        busy.send();
        thread::sleep(Duration::from_millis(20));
        slow.try_send("x").err()
    });
    drop(end);
    // A client that sends nothing is only idle.
    assert_eq!(idle.ask(line("PING")), "+PONG\r\n");
}

/// The request timeout does not count the time in which an earlier command runs.
#[test]
fn a_client_that_waits_for_the_server_is_not_slow() {
    let (app, gatekeeper) = gated();
    let served = Served::with(app, |server| server.timeouts(Timeouts::new().request(SECOND)).bind(ANY_PORT));
    let mut waiting = RawClient::connect(served.address());
    waiting.send([line("GATE"), b"*2\r\n$5\r\nFIRST\r\n$1\r".to_vec()].concat());
    gatekeeper.wait();
    // Each of these clients is closed after the timeout.
    for _ in 0..2 {
        let mut slow = RawClient::connect(served.address());
        slow.send("*1\r\n$4\r\nPI");
        assert_eq!(slow.rest(), "");
    }
    gatekeeper.open();
    assert_eq!(waiting.reply(), "+through\r\n");
    waiting.send("\na\r\n");
    assert_eq!(waiting.reply(), "$7\r\nfirst a\r\n");
}

#[test]
fn a_client_that_does_not_authenticate_is_closed() {
    let served = Served::with(app, |server| {
        server.password("secret").timeouts(Timeouts::new().auth(SECOND)).bind(ANY_PORT)
    });
    let mut operator = RawClient::connect(served.address());
    assert_eq!(operator.ask(line("AUTH secret")), "+OK\r\n");
    let silent = RawClient::connect(served.address());
    assert_closed_while(silent, || drop(operator.ask(line("PING"))));
    // Failed attempts and RESET do not extend the time.
    let mut refused = RawClient::connect(served.address());
    eventually(|| {
        thread::sleep(Duration::from_millis(20));
        let sent = refused.try_send(lines("PING \n AUTH nope \n RESET"));
        sent.and_then(|()| (0..3).try_for_each(|_| refused.try_reply().map(drop))).err()
    });
    assert_eq!(operator.ask(line("PING")), "+PONG\r\n");
}

/// The timeout starts with the logout, not with the connection.
#[test]
fn a_client_that_logs_out_has_time_to_log_in() {
    let served = Served::with(app, |server| {
        server.password("secret").timeouts(Timeouts::new().auth(SECOND)).bind(ANY_PORT)
    });
    let mut operator = RawClient::connect(served.address());
    assert_eq!(operator.ask(line("AUTH secret")), "+OK\r\n");
    let id = operator.id();
    eventually(|| (listed(&mut operator, id)?.number("age") >= 3).then_some(()));
    // The attempts come at different times between the checks of the clients cron.
    for _ in 0..15 {
        assert_eq!(operator.ask(line("RESET")), "+RESET\r\n");
        thread::sleep(Duration::from_millis(100));
        assert_eq!(operator.ask(line("AUTH secret")), "+OK\r\n");
    }
    assert_eq!(operator.ask(line("RESET")), "+RESET\r\n");
    assert_eq!(operator.rest(), "");
}

#[test]
fn timeouts_can_be_changed_at_run_time() {
    let served = Served::with(app, |server| {
        server.password("secret").timeouts(Timeouts::new().auth(None)).bind(ANY_PORT)
    });
    let mut operator = RawClient::connect(served.address());
    assert_eq!(operator.ask(line("AUTH secret")), "+OK\r\n");
    let [mut half, mut idle] = [(); 2].map(|()| RawClient::connect(served.address()));
    let silent = RawClient::connect(served.address());
    for client in [&mut half, &mut idle] {
        assert_eq!(client.ask(line("AUTH secret")), "+OK\r\n");
    }
    half.send("*1\r\n$4\r\nPI");
    set(&mut operator, "request-timeout", "1");
    assert_closed_while(half, || drop(operator.ask(line("PING"))));
    set(&mut operator, "request-timeout", "0");
    set(&mut operator, "auth-timeout", "1");
    assert_closed_while(silent, || drop(operator.ask(line("PING"))));
    assert_eq!(idle.ask(line("PING")), "+PONG\r\n");
    set(&mut operator, "timeout", "1");
    assert_closed_while(idle, || drop(operator.ask(line("PING"))));
}

/// A monitor sends no requests, but receives commands.
#[test]
fn a_monitor_is_not_idle() {
    let served = Served::with(app, |server| server.timeouts(Timeouts::new().idle(SECOND)).bind(ANY_PORT));
    let mut monitor = RawClient::connect(served.address());
    assert_eq!(monitor.ask(line("MONITOR")), "+OK\r\n");
    for _ in 0..2 {
        assert_eq!(RawClient::connect(served.address()).rest(), "");
    }
    let mut client = RawClient::connect(served.address());
    assert_eq!(client.ask(line("PING")), "+PONG\r\n");
    assert!(monitor.reply().ends_with(b"\"PING\"\r\n"));
}
