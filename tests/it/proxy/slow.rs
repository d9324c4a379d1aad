//! Commands that are slow by nature.

use std::{thread, time::Duration};

use thegiant::{App, proxy::Upstream};

use super::server::{Place, proxy};
use crate::support::{ANY_PORT, Process, RawClient, Served, eventually, info, line};

/// Waits until a slow command has a connection of its own.
fn wait_until_detached(proxy: &Served) {
    let mut client = RawClient::connect(proxy.address());
    eventually(|| {
        let upstream = info(&mut client, "upstream");
        (upstream.number("upstream_private_connections") == 1).then_some(())
    });
}

#[test]
fn a_slow_command_costs_only_its_caller() {
    let place = Place::new();
    let (upstream, asks) = place.open();
    let proxy = proxy(&place.address(), |upstream| upstream.reply_timeout(Duration::from_secs(3)));
    let [mut slow, mut behind, mut later] = [(); 3].map(|()| RawClient::connect(proxy.address()));
    eventually(|| (later.ask(line("PING")) == "+PONG\r\n").then_some(()));
    slow.send(line("KEYS *"));
    assert_eq!(asks.recv().as_deref(), Ok("*"));
    behind.send(line("PING"));
    wait_until_detached(&proxy);
    // Requests use another connection, also after the reply timeout.
    for _ in 0..4 {
        assert_eq!(later.ask(line("PING")), "+PONG\r\n");
        thread::sleep(Duration::from_secs(1));
    }
    RawClient::connect(upstream.address()).ask(line("OPEN"));
    assert_eq!(slow.reply(), "+open\r\n");
    assert_eq!(behind.reply(), "+PONG\r\n");
    let upstream = info(&mut later, "upstream");
    assert_eq!(upstream.number("upstream_commands_lost") + upstream.number("upstream_commands_unsent"), 0);
}

#[test]
fn a_slow_command_without_a_reply_fails_after_its_own_timeout() {
    let place = Place::new();
    let (_upstream, asks) = place.open();
    let proxy = proxy(&place.address(), |upstream| {
        upstream.reply_timeout(Duration::from_secs(1)).slow_reply_timeout(Duration::from_secs(3))
    });
    let mut client = RawClient::connect(proxy.address());
    eventually(|| (client.ask(line("PING")) == "+PONG\r\n").then_some(()));
    client.send(line("KEYS *"));
    assert_eq!(asks.recv().as_deref(), Ok("*"));
    let error = client.reply();
    assert!(String::from_utf8_lossy(&error).contains("(nothing has come from it for 3 s)"), "{error:?}");
}

/// Redis runs one command at a time, so it does not answer the handshake of the other connection either.
#[test]
fn requests_wait_for_an_upstream_that_is_busy_with_a_slow_command() {
    let redis = Process::redis(&["--enable-debug-command", "yes"]);
    let upstream = Upstream::new(redis.address()).connect_timeout(Duration::from_millis(100));
    // The upstream gets `DEBUG` in place of the server.
    let app = || App::new().without("DEBUG").proxy(upstream.start());
    let proxy = Served::with(app, |server| server.bind(ANY_PORT));
    let [mut slow, mut later] = [(); 2].map(|()| RawClient::connect(proxy.address()));
    eventually(|| (later.ask(line("PING")) == "+PONG\r\n").then_some(()));
    slow.send(line("DEBUG SLEEP 3"));
    wait_until_detached(&proxy);
    assert_eq!(later.ask(line("SET a b")), "+OK\r\n");
    assert_eq!(slow.reply(), "+OK\r\n");
}
