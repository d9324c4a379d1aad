//! When the actor commits, and which commands share a commit.

use std::time::Duration;

use super::app::{Options, asynchronous, clients, counts, is_held, let_store_run, serve};
use crate::support::{RawClient, line, lines};

#[test]
fn replies_wait_for_the_commit() {
    let (served, disk) = serve(asynchronous());
    let [mut writer, mut reader, mut other] = clients(&served);
    writer.send(line("SET k v"));
    assert!(is_held(&mut writer, &mut other));
    // A read may see uncommitted values, so it waits too. So does each later reply of the same client.
    reader.send(lines("GET k \n SAY after"));
    assert!(is_held(&mut reader, &mut other));
    assert_eq!(other.ask(line("SAY meanwhile")), "$9\r\nmeanwhile\r\n");
    disk.complete_one();
    assert_eq!(writer.reply(), "+OK\r\n");
    assert_eq!(reader.replies(2), "$1\r\nv\r\n$5\r\nafter\r\n");
    assert_eq!(disk.committed(), [1], "reads need no commit");
    assert_eq!(reader.ask(line("GET k")), "$1\r\nv\r\n", "a reply does not wait without a pending write");
}

#[test]
fn the_actor_hears_of_each_successful_commit() {
    let (served, disk) = serve(Options::default());
    let [mut client] = clients(&served);
    client.ask(line("SET a 1"));
    client.ask(line("GET a"));
    client.ask(line("SET b 1"));
    disk.set_full(true);
    client.ask(line("SET c 1"));
    disk.set_full(false);
    // The panic of the store costs no reply.
    assert_eq!(client.ask(line("SET panic 1")), "+OK\r\n");
    assert_eq!(client.ask(line("SET d 1")), "+OK\r\n");
    assert_eq!(client.ask(line("GET d")), "$1\r\n1\r\n");
    let_store_run(&mut client);
    assert_eq!(*disk.successes.lock().expect("no thread panics with the lock"), [1, 2, 3, 4]);
}

#[test]
fn many_clients_share_one_commit() {
    let (served, disk) = serve(asynchronous());
    let mut first = RawClient::connect(served.address());
    let mut others: [RawClient; 50] = clients(&served);
    first.send(line("SET first v"));
    assert!(is_held(&mut first, &mut others[0]));
    for (number, client) in others.iter_mut().enumerate() {
        client.send(line(&format!("SET k{number} v")).repeat(3));
    }
    let mut other = RawClient::connect(served.address());
    let_store_run(&mut other);
    disk.complete_one();
    assert_eq!(first.reply(), "+OK\r\n");
    assert!(others.iter_mut().all(|client| is_held(client, &mut other)));
    disk.complete_one();
    for client in &mut others {
        assert_eq!(client.replies(3), "+OK\r\n".repeat(3));
    }
    assert_eq!(disk.committed(), [1, 150]);
    assert_eq!(
        counts(&mut other),
        [
            "committed_groups:2",
            "committed_commands:151",
            "committed_commands_per_group:75.50",
            "commit_failures:0",
            "last_commit_status:ok"
        ]
    );
    other.ask(line("CONFIG RESETSTAT"));
    assert_eq!(counts(&mut other)[..2], ["committed_groups:0", "committed_commands:0"]);
}

#[test]
fn a_synchronous_commit_covers_the_rest_of_a_pipeline() {
    let (served, disk) = serve(Options::default());
    let [mut client] = clients(&served);
    client.send(lines("SET a 1 \n GET a \n SAY between \n SET b 2 \n SET c 3 \n GET nothing"));
    assert_eq!(client.replies(6), "+OK\r\n$1\r\n1\r\n$7\r\nbetween\r\n+OK\r\n+OK\r\n$-1\r\n");
    assert_eq!(disk.committed(), [1, 2], "the batch moves to another actor in between");
    client.send(line("GET a").repeat(10));
    client.replies(10);
    assert_eq!(disk.committed(), [1, 2]);
}

#[test]
fn a_commit_waits_for_more_commands() {
    let (served, disk) = serve(Options { commit_delay: Duration::from_millis(300), ..Options::default() });
    let [mut first, mut second, mut reader] = clients(&served);
    first.send(line("SET a 1"));
    assert!(is_held(&mut first, &mut reader));
    second.send(line("SET b 2"));
    reader.send(line("GET a"));
    assert_eq!((first.reply(), second.reply()), ("+OK\r\n".into(), "+OK\r\n".into()));
    assert_eq!(reader.reply(), "$1\r\n1\r\n");
    assert_eq!(disk.committed(), [2]);
    assert_eq!(reader.ask(line("GET a")), "$1\r\n1\r\n");
    assert_eq!(first.ask(line("SET a 2")), "+OK\r\n", "the next commit works too");
    assert_eq!(disk.committed(), [2, 1]);
}

#[test]
fn a_full_group_commits_without_delay() {
    let hours = Duration::from_secs(36_000);
    let (served, disk) =
        serve(Options { commit_delay: hours, max_group_size: Some(3), ..Options::default() });
    let [mut first, mut second, mut other] = clients(&served);
    first.send(line("SET a 1"));
    assert!(is_held(&mut first, &mut other));
    second.send(lines("SET b 1 \n SET c 1"));
    assert_eq!((first.reply(), second.replies(2)), ("+OK\r\n".into(), "+OK\r\n+OK\r\n".into()));
    assert_eq!(disk.committed(), [3]);
}

#[test]
fn commands_beyond_a_full_group_wait_in_the_queue() {
    let (served, disk) = serve(Options { max_group_size: Some(4), ..asynchronous() });
    let mut clients: [RawClient; 10] = clients(&served);
    let mut other = RawClient::connect(served.address());
    for client in &mut clients {
        client.send(lines("SET k v \n GET k"));
        let_store_run(&mut other);
    }
    for _ in 0..10 {
        disk.complete_one();
    }
    for client in &mut clients {
        assert_eq!(client.replies(2), "+OK\r\n$1\r\nv\r\n");
    }
    // The first batch commits at once. The others share commits in pairs, with four commands in each group.
    assert_eq!(disk.committed(), [1, 2, 2, 2, 2, 1]);
}

#[test]
fn writes_of_a_disconnected_client_are_still_committed() {
    let (served, disk) = serve(asynchronous());
    let [mut leaving, mut staying, mut other] = clients(&served);
    leaving.send(line("SET k v"));
    assert!(is_held(&mut leaving, &mut other));
    staying.send(line("SET l v"));
    assert!(is_held(&mut staying, &mut other));
    leaving.reset();
    disk.complete_one();
    disk.complete_one();
    assert_eq!(staying.reply(), "+OK\r\n");
    assert_eq!(other.ask(line("GET k")), "$1\r\nv\r\n");
}

#[test]
fn a_transaction_is_one_commit() {
    let (served, disk) = serve(Options::default());
    let [mut client, mut listener] = clients(&served);
    listener.send(line("SUBSCRIBE news"));
    listener.reply();
    client.send(lines("MULTI \n SET a 1 \n SET b 2 \n EXEC"));
    assert_eq!(client.replies(4), "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n+OK\r\n");
    assert_eq!(disk.committed(), [2]);
    // The connection runs `PUBLISH` in the middle of the transaction.
    client.send(lines("MULTI \n SET a 3 \n PUBLISH news b \n SET b 4 \n GET a \n EXEC"));
    client.replies(5);
    assert_eq!(client.reply(), "*4\r\n+OK\r\n:1\r\n+OK\r\n$1\r\n3\r\n");
    assert_eq!(disk.committed(), [2, 2]);
    client.send(lines("MULTI \n SET a 5 \n PUBLISH news b \n EXEC"));
    client.replies(3);
    assert_eq!(client.reply(), "*2\r\n+OK\r\n:1\r\n");
    assert_eq!(disk.committed(), [2, 2, 1]);
}

#[test]
fn a_stopping_server_waits_for_the_commit() {
    let (served, disk) = serve(asynchronous());
    let [mut client, mut other] = clients(&served);
    client.send(line("SET k v"));
    assert!(is_held(&mut client, &mut other));
    served.handle().stop();
    assert_eq!(other.rest(), "");
    disk.complete_one();
    assert_eq!(client.rest(), "+OK\r\n");
}
