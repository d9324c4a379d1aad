use std::time::Duration;

use thegiant::{ClientClass, Limits, OutputLimit};

use super::set;
use crate::support::{
    ANY_PORT, Fields, RawClient, Served, app, client_list, eventually, info, line, lines, listed, request,
};

const OK: &str = "+OK\r\n";
const LIMITS: &str = "client-output-buffer-limit";

/// Starts a server with this limit for replies. Also returns an operator, which has set a value of 16 MiB.
fn limited(limit: OutputLimit) -> (Served, RawClient) {
    let served = Served::with(app, move |server| {
        server.limits(Limits::new().output_buffer(ClientClass::Normal, limit)).bind(ANY_PORT)
    });
    let mut operator = RawClient::connect(served.address());
    set_value(&mut operator);
    (served, operator)
}

fn set_value(operator: &mut RawClient) {
    assert_eq!(operator.ask(request([&b"SET"[..], b"k", &[b'x'; 16 << 20]])), OK);
}

/// Returns a client that requests the value and does not read it, and its ID.
fn slow_client(served: &Served) -> (RawClient, u64) {
    let mut slow_client = RawClient::connect(served.address());
    let id = slow_client.id();
    slow_client.send(lines("GET k \n PING"));
    (slow_client, id)
}

fn with_unsent_replies(operator: &mut RawClient, id: u64) -> Option<Fields> {
    listed(operator, id).filter(|line| line.number("obl") > 0)
}

fn assert_disconnected(operator: &mut RawClient, (mut slow_client, id): (RawClient, u64)) {
    eventually(|| listed(operator, id).is_none().then_some(()));
    assert!(slow_client.rest().len() < 16 << 20);
    assert_eq!(info(operator, "memory").number("mem_clients_normal"), 0);
}

#[test]
fn replies_over_the_hard_limit_disconnect_the_client() {
    let (served, mut operator) = limited(OutputLimit::hard(1 << 20));
    let slow_client = slow_client(&served);
    assert_disconnected(&mut operator, slow_client);
    // A reply below the limit is sent.
    assert_eq!(operator.ask(request([&b"SET"[..], b"k", &[b'x'; 1000]])), OK);
    assert_eq!(operator.ask(line("GET k")).len(), 1009);
}

#[test]
fn replies_without_a_limit_are_kept() {
    for limit in [OutputLimit::NONE, OutputLimit::NONE.soft(1 << 20, Duration::from_secs(3600))] {
        let (served, mut operator) = limited(limit);
        let (mut slow_client, id) = slow_client(&served);
        eventually(|| with_unsent_replies(&mut operator, id));
        // Waits for two more rounds of the cron that checks the limits.
        let age =
            |operator: &mut RawClient| listed(operator, id).expect("the client is listed").number("age");
        let before = age(&mut operator);
        eventually(|| (age(&mut operator) >= before + 2).then_some(()));
        assert_eq!(slow_client.reply().len(), (16 << 20) + "$16777216\r\n\r\n".len());
        assert_eq!(slow_client.reply(), "+PONG\r\n");
    }
}

#[test]
fn replies_over_the_soft_limit_for_too_long_disconnect_the_client() {
    let (served, mut operator) = limited(OutputLimit::NONE.soft(1 << 20, Duration::from_secs(1)));
    let slow_client = slow_client(&served);
    assert_disconnected(&mut operator, slow_client);
}

#[test]
fn a_new_limit_applies_to_replies_that_are_buffered_already() {
    for limit in ["normal 1mb 0 0", "normal 0 1mb 1"] {
        let (served, mut operator) = limited(OutputLimit::NONE);
        let slow_client = slow_client(&served);
        eventually(|| with_unsent_replies(&mut operator, slow_client.1));
        set(&mut operator, LIMITS, limit);
        assert_disconnected(&mut operator, slow_client);
    }
}

/// Returns a client that monitors without reading, with about `bytes` of output in its buffer, and its ID.
fn slow_monitor(served: &Served, operator: &mut RawClient, bytes: u64) -> (RawClient, u64) {
    let mut slow_client = RawClient::connect(served.address());
    let id = slow_client.id();
    assert_eq!(slow_client.ask(line("MONITOR")), OK);
    show_until(operator, |operator| listed(operator, id).is_none_or(|line| line.number("omem") > bytes));
    (slow_client, id)
}

/// Sends commands, which monitors are shown, until `is_enough`.
fn show_until(operator: &mut RawClient, mut is_enough: impl FnMut(&mut RawClient) -> bool) {
    let echo = request([&b"ECHO"[..], &[b'x'; 100_000]]);
    eventually(|| {
        operator.ask(&echo);
        is_enough(operator).then_some(())
    });
}

#[test]
fn pushes_have_their_own_limits() {
    let limit = OutputLimit::hard(2 << 20);
    let served = Served::with(app, move |server| {
        server.limits(Limits::new().output_buffer(ClientClass::PubSub, limit)).bind(ANY_PORT)
    });
    let mut operator = RawClient::connect(served.address());
    let (mut slow_client, id) = slow_monitor(&served, &mut operator, 1 << 20);
    assert!(listed(&mut operator, id).is_some());
    show_until(&mut operator, |operator| listed(operator, id).is_none());
    slow_client.rest();
    // The limit for pushes does not apply to replies.
    set_value(&mut operator);
    let (mut late, id) = self::slow_client(&served);
    eventually(|| with_unsent_replies(&mut operator, id));
    assert_eq!(late.reply().len(), (16 << 20) + "$16777216\r\n\r\n".len());
    eventually(|| (info(&mut operator, "memory").number("mem_clients_normal") == 0).then_some(()));
}

#[test]
fn a_new_limit_applies_to_pushes_that_are_buffered_already() {
    for limit in ["pubsub 1mb 0 0", "pubsub 0 1mb 1"] {
        let served = Served::start(app);
        let mut operator = RawClient::connect(served.address());
        let (mut slow_client, id) = slow_monitor(&served, &mut operator, 2 << 20);
        set(&mut operator, LIMITS, limit);
        // No further output is added: monitors do not see CLIENT LIST.
        eventually(|| (client_list(&mut operator, "").len() == 1).then_some(()));
        slow_client.rest();
        assert!(listed(&mut operator, id).is_none());
    }
}
