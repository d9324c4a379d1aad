use std::time::Duration;

use thegiant::{ClientClass, OutputLimit};

use super::set;
use crate::support::{
    ANY_PORT, Fields, RawClient, Served, app, client_list, eventually, info, line, lines, listed, request,
};

const OK: &str = "+OK\r\n";
const LIMITS: &str = "client-output-buffer-limit";

/// A server with this limit for replies, one who operates it, and a value of 16 MiB.
fn limited(limit: OutputLimit) -> (Served, RawClient) {
    let served =
        Served::with(app, move |server| server.output_limit(ClientClass::Normal, limit).bind(ANY_PORT));
    let mut operator = RawClient::connect(served.address());
    set_value(&mut operator);
    (served, operator)
}

fn set_value(operator: &mut RawClient) {
    assert_eq!(operator.ask(request([&b"SET"[..], b"k", &[b'x'; 16 << 20]])), OK);
}

/// A client that has asked for the value and does not read it.
fn deaf(served: &Served) -> (RawClient, u64) {
    let mut deaf = RawClient::connect(served.address());
    let id = deaf.id();
    deaf.send(lines("GET k \n PING"));
    (deaf, id)
}

fn waits_for_it(operator: &mut RawClient, id: u64) -> Option<Fields> {
    listed(operator, id).filter(|line| line.number("obl") > 0)
}

fn is_cut_off(operator: &mut RawClient, (mut deaf, id): (RawClient, u64)) {
    eventually(|| listed(operator, id).is_none().then_some(()));
    assert!(deaf.rest().len() < 16 << 20);
    assert_eq!(info(operator, "memory").number("mem_clients_normal"), 0);
}

#[test]
fn replies_over_the_hard_limit() {
    let (served, mut operator) = limited(OutputLimit::hard(1 << 20));
    let deaf = deaf(&served);
    is_cut_off(&mut operator, deaf);
    // Less than the limit may wait.
    assert_eq!(operator.ask(request([&b"SET"[..], b"k", &[b'x'; 1000]])), OK);
    assert_eq!(operator.ask(line("GET k")).len(), 1009);
}

#[test]
fn replies_under_no_limit_wait() {
    for limit in [OutputLimit::NONE, OutputLimit::NONE.soft(1 << 20, Duration::from_secs(3600))] {
        let (served, mut operator) = limited(limit);
        let (mut deaf, id) = deaf(&served);
        eventually(|| waits_for_it(&mut operator, id));
        // Two ticks of the clock that the limits are held to.
        let age = |operator: &mut RawClient| listed(operator, id).expect("it is there").number("age");
        let before = age(&mut operator);
        eventually(|| (age(&mut operator) >= before + 2).then_some(()));
        assert_eq!(deaf.reply().len(), (16 << 20) + "$16777216\r\n\r\n".len());
        assert_eq!(deaf.reply(), "+PONG\r\n");
    }
}

#[test]
fn replies_over_the_soft_limit_for_too_long() {
    let (served, mut operator) = limited(OutputLimit::NONE.soft(1 << 20, Duration::from_secs(1)));
    let deaf = deaf(&served);
    is_cut_off(&mut operator, deaf);
}

#[test]
fn limits_for_replies_take_hold_of_those_that_wait_already() {
    for limit in ["normal 1mb 0 0", "normal 0 1mb 1"] {
        let (served, mut operator) = limited(OutputLimit::NONE);
        let deaf = deaf(&served);
        eventually(|| waits_for_it(&mut operator, deaf.1));
        set(&mut operator, LIMITS, limit);
        is_cut_off(&mut operator, deaf);
    }
}

/// A client that is shown all commands and reads none of it, with about so many bytes that wait for it.
fn deaf_monitor(served: &Served, operator: &mut RawClient, bytes: u64) -> (RawClient, u64) {
    let mut deaf = RawClient::connect(served.address());
    let id = deaf.id();
    assert_eq!(deaf.ask(line("MONITOR")), OK);
    show_until(operator, |operator| listed(operator, id).is_none_or(|line| line.number("omem") > bytes));
    (deaf, id)
}

/// Makes commands to be shown.
fn show_until(operator: &mut RawClient, mut is_enough: impl FnMut(&mut RawClient) -> bool) {
    let echo = request([&b"ECHO"[..], &[b'x'; 100_000]]);
    eventually(|| {
        operator.ask(&echo);
        is_enough(operator).then_some(())
    });
}

#[test]
fn what_is_pushed_has_limits_of_its_own() {
    let limit = OutputLimit::hard(2 << 20);
    let served =
        Served::with(app, move |server| server.output_limit(ClientClass::PubSub, limit).bind(ANY_PORT));
    let mut operator = RawClient::connect(served.address());
    let (mut deaf, id) = deaf_monitor(&served, &mut operator, 1 << 20);
    assert!(listed(&mut operator, id).is_some());
    show_until(&mut operator, |operator| listed(operator, id).is_none());
    deaf.rest();
    // Replies are not meant.
    set_value(&mut operator);
    let (mut late, id) = self::deaf(&served);
    eventually(|| waits_for_it(&mut operator, id));
    assert_eq!(late.reply().len(), (16 << 20) + "$16777216\r\n\r\n".len());
    assert_eq!(info(&mut operator, "memory").number("mem_clients_normal"), 0);
}

#[test]
fn limits_for_what_is_pushed_take_hold_of_those_that_wait_already() {
    for limit in ["pubsub 1mb 0 0", "pubsub 0 1mb 1"] {
        let served = Served::start(app);
        let mut operator = RawClient::connect(served.address());
        let (mut deaf, id) = deaf_monitor(&served, &mut operator, 2 << 20);
        set(&mut operator, LIMITS, limit);
        // Nothing more is shown to it: CLIENT LIST is for operators.
        eventually(|| (client_list(&mut operator, "").len() == 1).then_some(()));
        deaf.rest();
        assert!(listed(&mut operator, id).is_none());
    }
}
