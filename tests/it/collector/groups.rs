//! Consumer groups.

use super::start;
use crate::support::{Folder, RawClient, Reply, eventually, info, line, lines};

const OK: &str = "+OK\r\n";

fn wait_for_blocked(client: &mut RawClient, count: u64) {
    eventually(|| (info(client, "clients").number("blocked_clients") == count).then_some(()));
}

fn event(id: &str) -> String {
    format!("*2\r\n${}\r\n{id}\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n", id.len())
}

/// The reply to `XREAD` with these events of the stream `s`.
fn events_of_s(events: &[&str]) -> String {
    let events: Vec<String> = events.iter().map(|id| event(id)).collect();
    format!("*1\r\n*2\r\n$1\r\ns\r\n*{}\r\n{}", events.len(), events.concat())
}

#[test]
fn pending_entries_survive_a_kill() {
    let folder = Folder::new();
    let (process, mut client) = start(folder.path(), &[]);
    client.send(lines(
        "XADD s 1-1 a b \n XADD s 1-2 a b \n XADD s 1-3 a b \n XGROUP CREATE s g 0 \n XGROUP CREATE s h $",
    ));
    client.send(lines(
        "XREADGROUP GROUP g c COUNT 2 STREAMS s > \n XACK s g 1-1 \n XGROUP CREATECONSUMER s h d",
    ));
    client.replies(8);
    let [groups, summary] = ["XINFO GROUPS s", "XPENDING s g"].map(|request| client.ask(line(request)));
    drop(process); // Kills the process.
    let (_process, mut client) = start(folder.path(), &[]);
    assert_eq!(client.ask(line("XINFO GROUPS s")), groups);
    assert_eq!(client.ask(line("XPENDING s g")), summary);
    assert_eq!(client.ask(line("XREADGROUP GROUP g c STREAMS s 0")), events_of_s(&["1-2"]));
    assert_eq!(client.ask(line("XREADGROUP GROUP g d STREAMS s >")), events_of_s(&["1-3"]));
}

/// Each event goes to one blocked consumer. The consumer that has waited longest comes first.
#[test]
fn blocked_consumers_take_turns() {
    let folder = Folder::new();
    let (process, mut writer) = start(folder.path(), &[]);
    writer.ask(line("XGROUP CREATE s g $ MKSTREAM"));
    let mut consumers: Vec<RawClient> = (1..=3)
        .map(|number| {
            let mut client = RawClient::connect(process.address());
            client.send(line(&format!("XREADGROUP GROUP g c{number} COUNT 1 BLOCK 0 STREAMS s >")));
            wait_for_blocked(&mut writer, number);
            client
        })
        .collect();
    writer.send(lines("MULTI \n XADD s 1-1 a b \n XADD s 1-2 a b \n EXEC"));
    writer.replies(4);
    assert_eq!(consumers[0].reply(), events_of_s(&["1-1"]));
    assert_eq!(consumers[1].reply(), events_of_s(&["1-2"]));
    assert!(consumers[2].is_silent());
    wait_for_blocked(&mut writer, 1);
    // A disconnected consumer gets nothing.
    drop(consumers.remove(2));
    wait_for_blocked(&mut writer, 0);
    writer.ask(line("XADD s 1-3 a b"));
    assert_eq!(writer.ask(line("XPENDING s g - + 10 c3")), "*0\r\n");
    consumers[0].send(line("XREADGROUP GROUP g c1 BLOCK 0 STREAMS s >"));
    assert_eq!(consumers[0].reply(), events_of_s(&["1-3"]));
}

#[test]
fn removing_a_group_unblocks_its_consumers_with_an_error() {
    let folder = Folder::new();
    let (process, mut writer) = start(folder.path(), &[]);
    let mut client = RawClient::connect(process.address());
    let gone = "-NOGROUP the consumer group this client was blocked on no longer exists\r\n";
    for end in ["XGROUP DESTROY s g", "DEL s"] {
        assert_eq!(writer.ask(line("XGROUP CREATE s g $ MKSTREAM")), OK);
        client.send(line("XREADGROUP GROUP g c BLOCK 0 STREAMS s >"));
        wait_for_blocked(&mut writer, 1);
        writer.ask(line(end));
        assert_eq!(client.reply(), gone, "{end}");
    }
}

/// Polling creates a consumer, and shows that it is alive. Only an event makes it active.
#[test]
fn the_activity_of_consumers_is_known() {
    let folder = Folder::new();
    let (process, mut client) = start(folder.path(), &[]);
    client.send(lines(
        "XGROUP CREATE s g $ MKSTREAM \n XREADGROUP GROUP g c STREAMS s > \n XAUTOCLAIM s g d 0 0",
    ));
    client.replies(3);
    let consumers = |client: &mut RawClient| {
        let Some(Reply::Array(all)) = Reply::only(&client.ask(line("XINFO CONSUMERS s g"))) else { panic!() };
        let fields = all.into_iter().map(|consumer| {
            let Reply::Array(fields) = consumer else { panic!("{consumer:?}") };
            let [
                _,
                Reply::Bulk(name),
                _,
                _,
                idle,
                Reply::Integer(idle_ms),
                inactive,
                Reply::Integer(inactive_ms),
            ] = &fields[..]
            else {
                panic!("{fields:?}")
            };
            assert_eq!([idle, inactive], [&Reply::Bulk("idle".into()), &Reply::Bulk("inactive".into())]);
            assert!(*idle_ms >= 0 && *inactive_ms >= -1);
            (String::from_utf8_lossy(name).into_owned(), *inactive_ms >= 0)
        });
        fields.collect::<Vec<_>>()
    };
    let both = |c, d| vec![("c".to_owned(), c), ("d".to_owned(), d)];
    assert_eq!(consumers(&mut client), both(false, false));
    client.send(lines("XADD s 1-1 a b \n XREADGROUP GROUP g c STREAMS s >"));
    client.replies(2);
    assert_eq!(consumers(&mut client), both(true, false));
    let full = String::from_utf8_lossy(&client.ask(line("XINFO STREAM s FULL"))).into_owned();
    assert!(
        full.contains("$11\r\nactive-time\r\n:-1\r\n") && full.contains("$11\r\nactive-time\r\n:1"),
        "{full}"
    );
    client.ask(line("XCLAIM s g d 0 1-1"));
    assert_eq!(consumers(&mut client), both(true, true));
    drop(process);
    let (_process, mut client) = start(folder.path(), &[]);
    assert_eq!(consumers(&mut client), both(true, true));
}

#[test]
fn another_consumer_takes_over_the_entries_of_a_lost_one() {
    let folder = Folder::new();
    let (process, mut writer) = start(folder.path(), &[]);
    writer.send(lines("XADD s 1-1 a b \n XADD s 1-2 a b \n XGROUP CREATE s g 0"));
    writer.send(lines("XREADGROUP GROUP g lost STREAMS s >"));
    writer.replies(4);
    drop(process);
    let (_process, mut client) = start(folder.path(), &[]);
    let taken = client.ask(line("XAUTOCLAIM s g other 0 0"));
    assert_eq!(taken, format!("*3\r\n$3\r\n0-0\r\n*2\r\n{}{}*0\r\n", event("1-1"), event("1-2")));
    assert_eq!(client.ask(line("XACK s g 1-1 1-2")), ":2\r\n");
    assert_eq!(client.ask(line("XPENDING s g")), "*4\r\n:0\r\n$-1\r\n$-1\r\n*-1\r\n");
}
