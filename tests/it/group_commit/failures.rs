//! What cannot be committed has not been done.

use std::sync::atomic::Ordering::SeqCst;

use super::app::{FULL, Options, clients, counts, is_held, later, let_store_run, serve};
use crate::support::{line, lines};

#[test]
fn writes_fail_and_reads_are_true() {
    let (served, disk) = serve(Options::default());
    let [mut client] = clients(&served);
    client.ask(line("SET k old"));
    disk.set_full(true);
    client.send(lines("GET k \n SET k new \n GET k \n SAY other \n SET l new \n GET l \n PING"));
    let expected = format!("$3\r\nold\r\n{FULL}$3\r\nold\r\n$5\r\nother\r\n{FULL}$-1\r\n+PONG\r\n");
    assert_eq!(client.replies(7), expected);
    assert_eq!(client.ask(line("GET k")), "$3\r\nold\r\n");
    assert_eq!(counts(&mut client)[3..], ["commit_failures:2", "last_commit_status:err"]);
    disk.set_full(false);
    assert_eq!(client.ask(line("SET k new")), "+OK\r\n");
    assert_eq!(client.ask(line("GET k")), "$3\r\nnew\r\n");
    assert_eq!(counts(&mut client)[3..], ["commit_failures:2", "last_commit_status:ok"]);
}

/// Elements are made again, too.
#[test]
fn what_is_written_as_it_is_taken() {
    let (served, disk) = serve(Options::default());
    let [mut client] = clients(&served);
    client.ask(line("SET a 1"));
    disk.set_full(true);
    client.send(lines("SET b 2 \n VALUES \n GET b"));
    assert_eq!(client.replies(2), format!("{FULL}*1\r\n$1\r\n1\r\n"));
    assert_eq!(client.reply(), "$-1\r\n");
}

#[test]
fn commands_that_were_taken_back_are_counted_once() {
    let (served, disk) = serve(Options::default());
    let [mut client] = clients(&served);
    client.ask(line("CONFIG SET latency-tracking yes"));
    disk.set_full(true);
    client.send(lines("SET k v \n GET k \n PANIC \n SET k v"));
    assert_eq!(client.replies(4), format!("{FULL}$-1\r\n-ERR internal error\r\n{FULL}"));
    let stats = client.ask(line("INFO commandstats"));
    let stats = String::from_utf8_lossy(&stats).into_owned();
    let of = |command: &str| {
        let line = stats.lines().find(|line| line.starts_with(&format!("cmdstat_{command}:"))).expect("used");
        line.split([':', ','])
            .filter(|field| !field.contains("usec") && field.contains('='))
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(of("set"), "calls=2 rejected_calls=0 failed_calls=2");
    assert_eq!(of("get"), "calls=1 rejected_calls=0 failed_calls=0");
    assert_eq!(of("panic"), "calls=1 rejected_calls=0 failed_calls=1");
}

/// What was run while a commit was under way has been run on what that was to make hold.
#[test]
fn what_came_after_fails_as_well() {
    let (served, disk) = serve(later());
    let [mut first, mut second, mut reader, mut other] = clients(&served);
    disk.set_full(true);
    first.send(line("SET k 1"));
    assert!(is_held(&mut first, &mut other));
    second.send(line("SET l 2"));
    reader.send(lines("GET k \n GET l"));
    assert!(is_held(&mut second, &mut other));
    disk.let_one_end();
    assert_eq!((first.reply(), second.reply()), (FULL.into(), FULL.into()));
    assert_eq!(reader.replies(2), "$-1\r\n$-1\r\n");
    assert_eq!(disk.committed(), [1], "there is nothing left to be committed");
    disk.set_full(false);
    disk.let_one_end();
    assert_eq!(first.ask(line("SET k 1")), "+OK\r\n");
}

#[test]
fn a_transaction_has_not_taken_place() {
    let (served, disk) = serve(Options::default());
    let [mut client] = clients(&served);
    let aborted = "-EXECABORT Transaction discarded because of: MISCONF the disk is full\r\n";
    disk.set_full(true);
    client.send(lines("MULTI \n SET a 1 \n GET a \n EXEC \n GET a"));
    assert_eq!(client.replies(5), format!("+OK\r\n+QUEUED\r\n+QUEUED\r\n{aborted}$-1\r\n"));
    client.send(lines("MULTI \n SET a 1 \n PUBLISH news b \n SET b 1 \n EXEC \n GET a"));
    client.replies(4);
    assert_eq!(client.replies(2), format!("{aborted}$-1\r\n"));
    disk.set_full(false);
    client.send(lines("MULTI \n SET a 1 \n EXEC"));
    client.replies(2);
    assert_eq!(client.reply(), "*1\r\n+OK\r\n");
}

#[test]
fn replies_that_nobody_wants_stay_unsent() {
    let (served, disk) = serve(Options::default());
    let [mut client] = clients(&served);
    disk.set_full(true);
    client.send(lines("CLIENT REPLY SKIP \n SET a 1 \n GET a \n SET b 1"));
    assert_eq!(client.replies(2), format!("$-1\r\n{FULL}"));
    client.send(lines("CLIENT REPLY OFF \n SET a 1 \n GET a \n CLIENT REPLY ON"));
    assert_eq!(client.reply(), "+OK\r\n");
}

#[test]
fn a_commit_that_panics_has_failed() {
    let (served, disk) = serve(Options::default());
    let [mut client, mut other] = clients(&served);
    disk.panics.store(true, SeqCst);
    // That cannot be taken back either: the actor stops.
    client.send(lines("SET k v \n GET k"));
    assert_eq!(client.replies(2), "-ERR internal error\r\n".repeat(2));
    assert_eq!(other.ask(line("GET k")), "-ERR the actor that answers this command has stopped\r\n");
    assert_eq!(other.ask(line("SAY on")), "$2\r\non\r\n");
}

#[test]
fn an_actor_that_stops_meanwhile() {
    let (served, _disk) = serve(later());
    let [mut first, mut second, mut other] = clients(&served);
    first.send(line("SET k v"));
    assert!(is_held(&mut first, &mut other));
    second.send(line("STOP"));
    let stopped = "-ERR the actor that answers this command has stopped\r\n";
    assert_eq!((first.reply(), second.reply()), (stopped.into(), stopped.into()));
    assert_eq!(other.ask(line("GET k")), stopped);
    let_store_run(&mut other);
}
