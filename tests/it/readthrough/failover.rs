//! The primary is killed, and a standby takes over.

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    thread,
    time::Duration,
};

use super::stat;
use crate::support::{Postgres, Process, RawClient, Reply, eventually, info, line};

const CLIENTS: usize = 50;

/// The phases of the test. The clients check different things in each.
const UNDISTURBED: u64 = 0;
const FAILING: u64 = 1;
const PROMOTED: u64 = 2;
const OVER: u64 = 3;

#[test]
fn a_promoted_standby_takes_over() {
    let primary = Postgres::start();
    let standby = primary.standby();
    let url = format!("postgres://test@{},{}/postgres", standby.host(), primary.host());
    let options = ["--database", &url, "--ttl", "0.3", "--query-timeout", "20000"];
    let process = Process::program_with("readthrough", &options);
    let address = process.address();
    let mut client = RawClient::connect(address);
    assert_eq!(info(&mut client, "readthrough").text("database_server"), primary.host());
    client.ask(line("SET cached value"));
    client.ask(line("GET cached"));

    let (phase, rounds) = (AtomicU64::new(UNDISTURBED), [const { AtomicUsize::new(0) }; CLIENTS]);
    // Waits until each client has written again.
    let each_writes = || {
        let before: Vec<usize> = rounds.iter().map(|count| count.load(Relaxed)).collect();
        eventually(|| {
            rounds.iter().zip(&before).all(|(count, before)| count.load(Relaxed) > before + 1).then_some(())
        });
    };
    thread::scope(|scope| {
        let phase = &phase;
        for (number, rounds) in rounds.iter().enumerate() {
            scope.spawn(move || write(RawClient::connect(address), number, phase, rounds));
        }
        each_writes();
        phase.store(FAILING, Relaxed);
        primary.kill();
        // The standby has the key, but it may lag.
        let lost = "-DATABASE no server accepts writes: ";
        eventually(|| client.ask(line("GET key:1")).starts_with(lost.as_bytes()).then_some(()));
        let refusal = client.ask(line("SET other 1"));
        let read_only = format!("{}: the server is read-only", standby.host());
        let refusal = String::from_utf8_lossy(&refusal).into_owned();
        assert!(refusal.starts_with(lost) && refusal.contains(&read_only), "{refusal}");
        assert_eq!(info(&mut client, "readthrough").text("database_server"), "none");
        assert_eq!(client.ask(line("GET cached")), "$5\r\nvalue\r\n");

        standby.promote();
        eventually(|| (client.ask(line("SET other 1")) == "+OK\r\n").then_some(()));
        assert_eq!(info(&mut client, "readthrough").text("database_server"), standby.host());
        phase.store(PROMOTED, Relaxed);
        each_writes();
        primary.up_as_standby();
        each_writes();
        phase.store(OVER, Relaxed);
    });
    assert_eq!(stat(&mut client, "database_changes"), 2);
    let connections = "SELECT count(*) - 1 FROM pg_stat_activity WHERE backend_type = 'client backend'";
    assert_eq!(primary.answer(connections), "0", "the former primary has no connections");
    assert_eq!(primary.answer("SELECT pg_is_in_recovery()"), "t");
}

/// Writes a growing number to its own key and reads it again, and reads a cached key.
fn write(mut client: RawClient, key: usize, phase: &AtomicU64, rounds: &AtomicUsize) {
    let (mut acknowledged, mut number) = (0, 0);
    loop {
        let phase_before = phase.load(Relaxed);
        if phase_before == OVER {
            return;
        }
        number += 1;
        // Returns `None` for an error, which must have a reason.
        let ask = |client: &mut RawClient, request: &str| {
            let reply = client.ask(line(request));
            let is_error = reply.starts_with(b"-");
            let may_fail = phase_before <= FAILING && phase.load(Relaxed) >= FAILING;
            assert!(!is_error || may_fail && reply.starts_with(b"-DATABASE "), "{request}: {reply:?}");
            if is_error {
                // As a client does that tries again.
                thread::sleep(Duration::from_millis(5));
            }
            (!is_error).then_some(reply)
        };
        if let Some(reply) = ask(&mut client, &format!("SET key:{key} {number}")) {
            assert_eq!(reply, "+OK\r\n");
            acknowledged = number;
            rounds.fetch_add(1, Relaxed);
        }
        // A write that failed may have happened.
        if let Some(reply) = ask(&mut client, &format!("GET key:{key}")) {
            let found = match Reply::only(&reply) {
                Some(Reply::Bulk(found)) => String::from_utf8_lossy(&found).parse().expect("a number"),
                _ => 0,
            };
            assert!((acknowledged..=number).contains(&found), "{found} after {acknowledged}, up to {number}");
        }
        assert_eq!(client.ask(line("GET cached")), "$5\r\nvalue\r\n");
    }
}

#[test]
fn a_server_that_has_become_a_standby_gets_no_query() {
    let server = Postgres::start();
    let url = format!("postgres://test@{}/postgres?target_session_attrs=read-write", server.host());
    let process = Process::program_with("readthrough", &["--database", &url, "--query-timeout", "20000"]);
    let mut client = RawClient::connect(process.address());
    assert_eq!(client.ask(line("SET key value")), "+OK\r\n");
    server.kill();
    server.up_as_standby();
    let refusal =
        format!("-DATABASE no server accepts writes: {}: the server is read-only\r\n", server.host());
    for request in ["GET key", "SET key other", "DEL key"] {
        assert_eq!(client.ask(line(request)), refusal, "{request}");
    }
    server.promote();
    eventually(|| (client.ask(line("GET key")) == "$5\r\nvalue\r\n").then_some(()));
    assert_eq!(client.ask(line("SET key other")), "+OK\r\n");
}
