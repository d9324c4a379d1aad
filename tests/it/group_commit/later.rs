//! Group commit of blocked commands and of futures.

use super::app::{FULL, Options, asynchronous, clients, is_held, let_store_run, serve};
use crate::support::{line, lines};

#[test]
fn a_blocked_client_gets_its_reply_after_the_commit() {
    let (served, disk) = serve(asynchronous());
    let [mut waiting, mut writer, mut other] = clients(&served);
    waiting.send(lines("AWAIT k \n GET k"));
    let_store_run(&mut other);
    assert!(disk.committed().is_empty());
    writer.send(line("SET k v"));
    assert!(is_held(&mut writer, &mut other));
    assert!(waiting.is_silent(), "its reply waits for the commit");
    disk.complete_one();
    assert_eq!((writer.reply(), waiting.replies(2)), ("+OK\r\n".into(), "$1\r\nv\r\n$1\r\nv\r\n".into()));
    assert_eq!(disk.committed(), [1]);
}

#[test]
fn commands_before_a_blocking_command_are_committed_first() {
    let (served, disk) = serve(asynchronous());
    let [mut waiting, mut writer, mut other] = clients(&served);
    waiting.send(lines("SET a 1 \n AWAIT k \n SET b 2"));
    assert!(is_held(&mut waiting, &mut other));
    disk.complete_one();
    assert_eq!(waiting.reply(), "+OK\r\n");
    writer.send(line("SET k v"));
    disk.complete_one();
    assert_eq!(writer.reply(), "+OK\r\n");
    assert!(is_held(&mut waiting, &mut other), "the client continues before the commit");
    disk.complete_one();
    assert_eq!(waiting.replies(2), "$1\r\nv\r\n+OK\r\n");
    assert_eq!(disk.committed(), [1, 1, 1]);
}

#[test]
fn a_responder_may_send_during_the_commit_of_earlier_commands() {
    let (served, disk) = serve(asynchronous());
    let [mut waiting, mut writer, mut other] = clients(&served);
    waiting.send(lines("SET a 1 \n AWAIT k \n GET a"));
    assert!(is_held(&mut waiting, &mut other));
    writer.send(line("SET k v"));
    assert!(is_held(&mut writer, &mut other));
    disk.complete_one();
    assert_eq!(waiting.reply(), "+OK\r\n");
    assert!(is_held(&mut waiting, &mut other));
    disk.complete_one();
    assert_eq!((writer.reply(), waiting.replies(2)), ("+OK\r\n".into(), "$1\r\nv\r\n$1\r\n1\r\n".into()));
}

#[test]
fn an_immediate_responder_joins_the_same_group() {
    let (served, disk) = serve(Options::default());
    let [mut client] = clients(&served);
    client.send(lines("SETATONCE a 1 \n SET b 2 \n SETATONCE c 3 \n GET a"));
    assert_eq!(client.replies(4), "+OK\r\n+OK\r\n+OK\r\n$1\r\n1\r\n");
    assert_eq!(disk.committed(), [3]);
}

#[test]
fn a_blocked_write_needs_no_commit_until_it_gets_its_reply() {
    let (served, disk) = serve(Options::default());
    let [mut waiting, mut writer] = clients(&served);
    waiting.send(line("AWAITWRITE k"));
    let_store_run(&mut writer);
    assert!(disk.committed().is_empty());
    assert_eq!(writer.ask(line("SET k v")), "+OK\r\n");
    assert_eq!(waiting.reply(), "$1\r\nv\r\n");
}

#[test]
fn a_future_of_a_read_command_needs_no_commit() {
    let (served, disk) = serve(Options::default());
    let [mut client] = clients(&served);
    client.send(lines("READLATER a \n READLATER b \n SAY c"));
    assert_eq!(client.replies(3), "$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n");
    assert!(disk.committed().is_empty());
}

#[test]
fn a_failed_commit_fails_blocked_clients() {
    let (served, disk) = serve(Options::default());
    let [mut waiting, mut writer] = clients(&served);
    waiting.send(line("AWAIT k"));
    let_store_run(&mut writer);
    disk.set_full(true);
    assert_eq!(writer.ask(line("SET k v")), FULL);
    assert_eq!(waiting.reply(), FULL);
}

#[test]
fn an_operator_can_unblock_a_client() {
    let (served, _) = serve(Options::default());
    let [mut waiting, mut other] = clients(&served);
    let id = waiting.id();
    waiting.send(line("AWAITWRITE k"));
    let_store_run(&mut other);
    assert_eq!(other.ask(line(&format!("CLIENT UNBLOCK {id} ERROR"))), ":1\r\n");
    assert_eq!(waiting.reply(), "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n");
    assert_eq!(waiting.ask(line("GET k")), "$-1\r\n");
}

/// The writes before a command that waits are refused, and the command goes on waiting.
#[test]
fn a_failed_commit_leaves_a_command_behind_it_waiting() {
    let (served, disk) = serve(Options::default());
    let [mut waiting, mut writer] = clients(&served);
    disk.set_full(true);
    waiting.send(lines("SET a 1 \n GET a \n SET b 2 \n AWAIT k \n GET b"));
    assert_eq!(waiting.replies(3), format!("{FULL}$-1\r\n{FULL}"));
    disk.set_full(false);
    assert_eq!(writer.ask(line("SET k v")), "+OK\r\n");
    assert_eq!(waiting.replies(2), "$1\r\nv\r\n$-1\r\n");
}
