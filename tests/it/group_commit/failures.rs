//! A failed commit undoes its commands.

use std::sync::atomic::Ordering::SeqCst;

use super::app::{FULL, Options, asynchronous, clients, counts, is_held, serve};
use crate::support::{line, lines};

const ACTOR_DOWN: &str = "-ACTORDOWN the actor that answers this command has ended\r\n";

#[test]
fn a_full_disk_fails_writes_and_reads_see_the_old_values() {
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

#[test]
fn a_streaming_reply_is_generated_again_after_a_rollback() {
    let (served, disk) = serve(Options::default());
    let [mut client] = clients(&served);
    client.ask(line("SET a 1"));
    disk.set_full(true);
    client.send(lines("SET b 2 \n VALUES \n GET b"));
    assert_eq!(client.replies(2), format!("{FULL}*1\r\n$1\r\n1\r\n"));
    assert_eq!(client.reply(), "$-1\r\n");
}

#[test]
fn commands_that_run_again_after_a_rollback_are_counted_once() {
    let (served, disk) = serve(Options::default());
    let [mut client] = clients(&served);
    client.ask(line("CONFIG SET latency-tracking yes"));
    disk.set_full(true);
    client.send(lines("SET k v \n GET k \n PANIC \n SET k v"));
    assert_eq!(client.replies(4), format!("{FULL}$-1\r\n-ERR internal error\r\n{FULL}"));
    let stats = client.ask(line("INFO commandstats"));
    let stats = String::from_utf8_lossy(&stats).into_owned();
    let counts_of = |command: &str| {
        let line = stats
            .lines()
            .find(|line| line.starts_with(&format!("cmdstat_{command}:")))
            .expect("the command was called");
        line.split([':', ','])
            .filter(|field| !field.contains("usec") && field.contains('='))
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(counts_of("set"), "calls=2 rejected_calls=0 failed_calls=2");
    assert_eq!(counts_of("get"), "calls=1 rejected_calls=0 failed_calls=0");
    assert_eq!(counts_of("panic"), "calls=1 rejected_calls=0 failed_calls=1");
}

/// The later commands depend on the values of the failed commit.
#[test]
fn a_failed_commit_also_fails_the_commands_that_ran_during_it() {
    let (served, disk) = serve(asynchronous());
    let [mut first, mut second, mut reader, mut other] = clients(&served);
    disk.set_full(true);
    first.send(line("SET k 1"));
    assert!(is_held(&mut first, &mut other));
    second.send(line("SET l 2"));
    reader.send(lines("GET k \n GET l"));
    assert!(is_held(&mut second, &mut other));
    disk.complete_one();
    assert_eq!((first.reply(), second.reply()), (FULL.into(), FULL.into()));
    assert_eq!(reader.replies(2), "$-1\r\n$-1\r\n");
    assert_eq!(disk.committed(), [1], "nothing is left to commit");
    disk.set_full(false);
    disk.complete_one();
    assert_eq!(first.ask(line("SET k 1")), "+OK\r\n");
}

#[test]
fn a_failed_commit_aborts_the_whole_transaction() {
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
fn a_failed_commit_respects_client_reply() {
    let (served, disk) = serve(Options::default());
    let [mut client] = clients(&served);
    disk.set_full(true);
    client.send(lines("CLIENT REPLY SKIP \n SET a 1 \n GET a \n SET b 1"));
    assert_eq!(client.replies(2), format!("$-1\r\n{FULL}"));
    client.send(lines("CLIENT REPLY OFF \n SET a 1 \n GET a \n CLIENT REPLY ON"));
    assert_eq!(client.reply(), "+OK\r\n");
}

#[test]
fn a_panic_in_commit_and_rollback_ends_the_server() {
    let (served, disk) = serve(Options::default());
    let [mut client] = clients(&served);
    disk.panics.store(true, SeqCst);
    // The rollback panics too, so the actor stops.
    client.send(lines("SET k v \n GET k \n SAY on \n GET k"));
    assert_eq!(client.replies(2), "-ERR internal error\r\n".repeat(2));
    assert_eq!(client.rest(), format!("$2\r\non\r\n{ACTOR_DOWN}"));
    served.ended().expect_err("the store has ended");
}

#[test]
fn an_actor_that_stops_during_a_commit_fails_its_commands() {
    let (served, _disk) = serve(asynchronous());
    let [mut first, mut second, mut other] = clients(&served);
    first.send(line("SET k v"));
    assert!(is_held(&mut first, &mut other));
    second.send(line("STOP"));
    assert_eq!((first.reply(), second.reply()), (ACTOR_DOWN.into(), ACTOR_DOWN.into()));
    assert_eq!(other.rest(), "");
    served.ended().expect_err("the store has ended");
}
