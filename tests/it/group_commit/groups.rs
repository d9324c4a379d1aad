//! When it is committed, and for whom.

use std::time::Duration;

use super::app::{Options, clients, counts, is_held, later, let_store_run, serve};
use crate::support::{RawClient, line, lines};

#[test]
fn no_reply_leaves_before_it_is_committed() {
    let (served, disk) = serve(later());
    let [mut writer, mut reader, mut other] = clients(&served);
    writer.send(line("SET k v"));
    assert!(is_held(&mut writer, &mut other));
    // A read may have seen what does not hold yet, and what comes behind a held reply has to wait as well.
    reader.send(lines("GET k \n SAY behind"));
    assert!(is_held(&mut reader, &mut other));
    assert_eq!(other.ask(line("SAY meanwhile")), "$9\r\nmeanwhile\r\n");
    disk.let_one_end();
    assert_eq!(writer.reply(), "+OK\r\n");
    assert_eq!(reader.replies(2), "$1\r\nv\r\n$6\r\nbehind\r\n");
    assert_eq!(disk.committed(), [1], "what has been read needs no commit of its own");
    assert_eq!(reader.ask(line("GET k")), "$1\r\nv\r\n", "nothing is held where nothing has been written");
}

#[test]
fn many_share_one_commit() {
    let (served, disk) = serve(later());
    let mut first = RawClient::connect(served.address());
    let mut others: [RawClient; 50] = clients(&served);
    first.send(line("SET first v"));
    assert!(is_held(&mut first, &mut others[0]));
    for (number, client) in others.iter_mut().enumerate() {
        client.send(line(&format!("SET k{number} v")).repeat(3));
    }
    let mut other = RawClient::connect(served.address());
    let_store_run(&mut other);
    disk.let_one_end();
    assert_eq!(first.reply(), "+OK\r\n");
    assert!(others.iter_mut().all(|client| is_held(client, &mut other)));
    disk.let_one_end();
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
fn a_commit_at_once_is_one_for_a_pipeline() {
    let (served, disk) = serve(Options::default());
    let [mut client] = clients(&served);
    client.send(lines("SET a 1 \n GET a \n SAY between \n SET b 2 \n SET c 3 \n GET nothing"));
    assert_eq!(client.replies(6), "+OK\r\n$1\r\n1\r\n$7\r\nbetween\r\n+OK\r\n+OK\r\n$-1\r\n");
    assert_eq!(disk.committed(), [1, 2], "the connection goes to another actor in between");
    client.send(line("GET a").repeat(10));
    client.replies(10);
    assert_eq!(disk.committed(), [1, 2]);
}

#[test]
fn others_are_waited_for_a_while() {
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
    assert_eq!(first.ask(line("SET a 2")), "+OK\r\n", "and again");
    assert_eq!(disk.committed(), [2, 1]);
}

#[test]
fn a_full_group_waits_for_nobody() {
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
fn what_exceeds_a_group_waits_in_front_of_the_actor() {
    let (served, disk) = serve(Options { max_group_size: Some(4), ..later() });
    let mut clients: [RawClient; 10] = clients(&served);
    let mut other = RawClient::connect(served.address());
    for client in &mut clients {
        client.send(lines("SET k v \n GET k"));
        let_store_run(&mut other);
    }
    for _ in 0..10 {
        disk.let_one_end();
    }
    for client in &mut clients {
        assert_eq!(client.replies(2), "+OK\r\n$1\r\nv\r\n");
    }
    // The first is committed at once; the others come by twos, four commands a group.
    assert_eq!(disk.committed(), [1, 2, 2, 2, 2, 1]);
}

#[test]
fn a_client_that_leaves_takes_nothing_with_it() {
    let (served, disk) = serve(later());
    let [mut leaving, mut staying, mut other] = clients(&served);
    leaving.send(line("SET k v"));
    assert!(is_held(&mut leaving, &mut other));
    staying.send(line("SET l v"));
    assert!(is_held(&mut staying, &mut other));
    leaving.reset();
    disk.let_one_end();
    disk.let_one_end();
    assert_eq!(staying.reply(), "+OK\r\n");
    assert_eq!(other.ask(line("GET k")), "$1\r\nv\r\n");
}

#[test]
fn a_transaction_is_committed_as_a_whole() {
    let (served, disk) = serve(Options::default());
    let [mut client, mut listener] = clients(&served);
    listener.send(line("SUBSCRIBE news"));
    listener.reply();
    client.send(lines("MULTI \n SET a 1 \n SET b 2 \n EXEC"));
    assert_eq!(client.replies(4), "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n+OK\r\n");
    assert_eq!(disk.committed(), [2]);
    // The connection has to publish in between.
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
fn a_server_that_stops_commits_first() {
    let (served, disk) = serve(later());
    let [mut client, mut other] = clients(&served);
    client.send(line("SET k v"));
    assert!(is_held(&mut client, &mut other));
    served.handle().stop();
    assert_eq!(other.rest(), "");
    disk.let_one_end();
    assert_eq!(client.rest(), "+OK\r\n");
}
