//! What is answered later is committed as well.

use super::app::{FULL, Options, clients, is_held, later, let_store_run, serve};
use crate::support::{line, lines};

#[test]
fn who_waits_is_told_when_it_holds() {
    let (served, disk) = serve(later());
    let [mut waiting, mut writer, mut other] = clients(&served);
    waiting.send(lines("AWAIT k \n GET k"));
    let_store_run(&mut other);
    assert!(disk.committed().is_empty());
    writer.send(line("SET k v"));
    assert!(is_held(&mut writer, &mut other));
    assert!(waiting.is_silent(), "it would be told of what may be lost");
    disk.let_one_end();
    assert_eq!((writer.reply(), waiting.replies(2)), ("+OK\r\n".into(), "$1\r\nv\r\n$1\r\nv\r\n".into()));
    assert_eq!(disk.committed(), [1]);
}

#[test]
fn what_comes_before_a_command_that_waits_is_committed_first() {
    let (served, disk) = serve(later());
    let [mut waiting, mut writer, mut other] = clients(&served);
    waiting.send(lines("SET a 1 \n AWAIT k \n SET b 2"));
    assert!(is_held(&mut waiting, &mut other));
    disk.let_one_end();
    assert_eq!(waiting.reply(), "+OK\r\n");
    writer.send(line("SET k v"));
    disk.let_one_end();
    assert_eq!(writer.reply(), "+OK\r\n");
    assert!(is_held(&mut waiting, &mut other), "it goes on before it is written");
    disk.let_one_end();
    assert_eq!(waiting.replies(2), "$1\r\nv\r\n+OK\r\n");
    assert_eq!(disk.committed(), [1, 1, 1]);
}

/// The answer comes while what precedes the command is being committed.
#[test]
fn an_answer_in_the_meantime() {
    let (served, disk) = serve(later());
    let [mut waiting, mut writer, mut other] = clients(&served);
    waiting.send(lines("SET a 1 \n AWAIT k \n GET a"));
    assert!(is_held(&mut waiting, &mut other));
    writer.send(line("SET k v"));
    assert!(is_held(&mut writer, &mut other));
    disk.let_one_end();
    assert_eq!(waiting.reply(), "+OK\r\n");
    assert!(is_held(&mut waiting, &mut other));
    disk.let_one_end();
    assert_eq!((writer.reply(), waiting.replies(2)), ("+OK\r\n".into(), "$1\r\nv\r\n$1\r\n1\r\n".into()));
}

#[test]
fn an_answer_at_once_is_in_the_same_group() {
    let (served, disk) = serve(Options::default());
    let [mut client] = clients(&served);
    client.send(lines("SETATONCE a 1 \n SET b 2 \n SETATONCE c 3 \n GET a"));
    assert_eq!(client.replies(4), "+OK\r\n+OK\r\n+OK\r\n$1\r\n1\r\n");
    assert_eq!(disk.committed(), [3]);
}

#[test]
fn one_who_has_waited_to_write_is_committed_for() {
    let (served, disk) = serve(Options::default());
    let [mut waiting, mut writer] = clients(&served);
    waiting.send(line("AWAITWRITE k"));
    let_store_run(&mut writer);
    assert!(disk.committed().is_empty());
    assert_eq!(writer.ask(line("SET k v")), "+OK\r\n");
    assert_eq!(waiting.reply(), "$1\r\nv\r\n");
}

#[test]
fn a_future_that_has_read_needs_no_commit() {
    let (served, disk) = serve(Options::default());
    let [mut client] = clients(&served);
    client.send(lines("READLATER a \n READLATER b \n SAY c"));
    assert_eq!(client.replies(3), "$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n");
    assert!(disk.committed().is_empty());
}

#[test]
fn who_waits_hears_of_a_failure() {
    let (served, disk) = serve(Options::default());
    let [mut waiting, mut writer] = clients(&served);
    waiting.send(line("AWAIT k"));
    let_store_run(&mut writer);
    disk.set_full(true);
    assert_eq!(writer.ask(line("SET k v")), FULL);
    assert_eq!(waiting.reply(), FULL);
}

/// An operator ends the waiting; what is answered then may come when it is committed.
#[test]
fn an_operator_ends_the_waiting() {
    let (served, _) = serve(Options::default());
    let [mut waiting, mut other] = clients(&served);
    let id = waiting.id();
    waiting.send(line("AWAITWRITE k"));
    let_store_run(&mut other);
    assert_eq!(other.ask(line(&format!("CLIENT UNBLOCK {id} ERROR"))), ":1\r\n");
    assert_eq!(waiting.reply(), "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n");
    assert_eq!(waiting.ask(line("GET k")), "$-1\r\n");
}
