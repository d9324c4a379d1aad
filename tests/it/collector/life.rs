//! Events that are stored, expire, and wake up blocked clients.

use std::{fs, thread, time::Duration};

use super::{python, start};
use crate::support::{Folder, RawClient, Reply, eventually, info, line, lines};

fn ask(client: &mut RawClient, text: &str) -> Reply {
    Reply::only(&client.ask(line(text))).expect("a whole reply")
}

fn clients<const N: usize>(address: &str) -> [RawClient; N] {
    std::array::from_fn(|_| RawClient::connect(address))
}

#[test]
fn events_survive_a_kill() {
    let folder = Folder::new();
    let (process, mut client) = start(folder.path(), &[]);
    client.send(lines(
        "XADD s 1-1 a 1 \n XADD s 1-2 b 2 \n XADD s 1-3 c 3 \n XDEL s 1-2 \n XADD t 5-5 d 4 \n DEL t",
    ));
    client.replies(6);
    let before = client.ask(line("XINFO STREAM s FULL"));
    drop(process); // Kills the process.
    let (process, mut client) = start(folder.path(), &[]);
    assert_eq!(client.ask(line("XINFO STREAM s FULL")), before);
    assert_eq!(ask(&mut client, "EXISTS t"), Reply::Integer(0));
    // A new stream with the name of a deleted one starts empty.
    assert_eq!(client.ask(line("XADD t 1-1 e 5")), "$3\r\n1-1\r\n");
    assert_eq!(client.ask(line("XRANGE t - +")), "*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\ne\r\n$1\r\n5\r\n");
    process.signal("TERM");
    assert!(process.wait().success());
    let (_process, mut client) = start(folder.path(), &[]);
    assert_eq!(ask(&mut client, "XLEN t"), Reply::Integer(1));
}

#[test]
fn generated_ids_grow() {
    let folder = Folder::new();
    let (_process, mut client) = start(folder.path(), &[]);
    client.send(line("XADD s * n 1").repeat(1000));
    let mut before = (0, 0);
    for _ in 0..1000 {
        let Some(Reply::Bulk(id)) = Reply::only(&client.reply()) else { panic!("an id") };
        let text = String::from_utf8(id).expect("text");
        let (ms, seq) = text.split_once('-').expect("two parts");
        let id: (u64, u64) = (ms.parse().expect("a number"), seq.parse().expect("a number"));
        assert!(id > before, "{id:?} after {before:?}");
        before = id;
    }
}

#[test]
fn a_new_event_wakes_up_blocked_clients() {
    let folder = Folder::new();
    let (process, mut writer) = start(folder.path(), &[]);
    let [mut one, mut two, mut later, mut never] = clients(process.address());
    writer.ask(line("XADD s 1-1 a 0"));
    one.send(line("XREAD BLOCK 0 STREAMS s $"));
    two.send(lines("HELLO 3 \n XREAD COUNT 1 BLOCK 0 STREAMS other s 0 1-1"));
    two.reply();
    later.send(line("XREAD BLOCK 0 STREAMS s 5-0"));
    never.send(line("XREAD BLOCK 60000 STREAMS s 9-0"));
    eventually(|| (info(&mut writer, "clients").number("blocked_clients") == 4).then_some(()));
    writer.send(lines("MULTI \n XADD s 2-1 a 1 \n XADD s 2-2 a 2 \n EXEC"));
    assert_eq!(writer.replies(4), "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n$3\r\n2-1\r\n$3\r\n2-2\r\n");
    let event = |id: &str, value: u32| format!("*2\r\n$3\r\n{id}\r\n*2\r\n$1\r\na\r\n$1\r\n{value}\r\n");
    assert_eq!(one.reply(), format!("*1\r\n*2\r\n$1\r\ns\r\n*2\r\n{}{}", event("2-1", 1), event("2-2", 2)));
    assert_eq!(two.reply(), format!("%1\r\n$1\r\ns\r\n*1\r\n{}", event("2-1", 1)));
    assert!(later.is_silent(), "it waits for an id above 5-0");
    writer.ask(line("XADD s 5-1 a 3"));
    assert_eq!(later.reply(), format!("*1\r\n*2\r\n$1\r\ns\r\n*1\r\n{}", event("5-1", 3)));
    assert!(never.is_silent());
    // The collector forgets a disconnected client.
    drop(never);
    eventually(|| (info(&mut writer, "clients").number("blocked_clients") == 0).then_some(()));
    writer.ask(line("XADD s 9-1 a 4"));
}

#[test]
fn plus_reads_the_last_event() {
    let folder = Folder::new();
    let (process, mut client) = start(folder.path(), &[]);
    let event =
        |id: &str| format!("*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n{id}\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n");
    assert_eq!(client.ask(line("XREAD STREAMS s +")), "*-1\r\n");
    client.send(lines("XADD s 1-0 a b \n XADD s 2-0 a b \n XADD s 3-0 a b"));
    client.replies(3);
    assert_eq!(client.ask(line("XREAD COUNT 5 STREAMS none s + +")), event("3-0"));
    assert_eq!(client.ask(line("XREAD BLOCK 0 STREAMS s +")), event("3-0"));
    client.ask(line("XDEL s 3-0"));
    assert_eq!(client.ask(line("XREAD STREAMS s +")), event("2-0"));
    // In an empty stream, it waits for the next event.
    client.ask(line("XTRIM s MAXLEN 0"));
    assert_eq!(client.ask(line("XREAD STREAMS s +")), "*-1\r\n");
    let [mut waiting] = clients(process.address());
    waiting.send(line("XREAD BLOCK 0 STREAMS s +"));
    eventually(|| (info(&mut client, "clients").number("blocked_clients") == 1).then_some(()));
    client.ask(line("XADD s 4-0 a b"));
    assert_eq!(waiting.reply(), event("4-0"));
    client.ask(line("XGROUP CREATE s g 0"));
    let refusal = client.ask(line("XREADGROUP GROUP g c STREAMS s +"));
    assert!(
        refusal.starts_with(b"-ERR The + ID is meaningless in the context of XREADGROUP: "),
        "{refusal:?}"
    );
}

#[test]
fn a_blocked_read_times_out() {
    let folder = Folder::new();
    let (_process, mut client) = start(folder.path(), &[]);
    assert_eq!(client.ask(line("XREAD BLOCK 20 STREAMS s $")), "*-1\r\n");
    client.send(lines("HELLO 3 \n XREAD BLOCK 20 STREAMS s $"));
    client.reply();
    assert_eq!(client.reply(), "_\r\n");
}

#[test]
fn events_older_than_the_limit_are_removed() {
    let folder = Folder::new();
    let (_process, mut client) = start(folder.path(), &["--max-age", "2s"]);
    // An id is a time. These are of the year 1970.
    client.send((1..=3000).flat_map(|n| line(&format!("XADD old {n}-0 a b"))).collect::<Vec<_>>());
    client.replies(3000);
    client.ask(line("XADD new * a b"));
    eventually(|| (ask(&mut client, "XLEN old") == Reply::Integer(0)).then_some(()));
    eventually(|| (ask(&mut client, "XLEN new") == Reply::Integer(0)).then_some(()));
    // The stream still exists, and remembers its last id.
    assert_eq!(client.ask(line("XADD old 3000-0 a b")).first(), Some(&b'-'));
}

#[test]
fn events_beyond_the_maximum_size_are_removed() {
    let folder = Folder::new();
    let (_process, mut client) = start(folder.path(), &["--max-size", "2M"]);
    let value = "x".repeat(1000);
    client.send(
        (0..8000).flat_map(|n| line(&format!("XADD s{} * n {n} v {value}", n % 2))).collect::<Vec<_>>(),
    );
    client.replies(8000);
    let len = |client: &mut RawClient, name: &str| match ask(client, &format!("XLEN {name}")) {
        Reply::Integer(len) => len,
        other => panic!("{other:?}"),
    };
    eventually(|| (len(&mut client, "s0") < 1500).then_some(()));
    // The newest events of both streams are there.
    assert!(len(&mut client, "s0") > 300 && len(&mut client, "s1") > 300);
    let last = client.ask(line("XREVRANGE s1 + - COUNT 1"));
    assert!(String::from_utf8_lossy(&last).contains("\r\n7999\r\n"));
}

#[test]
fn deleted_streams_leave_no_rows_in_the_database() {
    let folder = Folder::new();
    let (process, mut client) = start(folder.path(), &[]);
    for _ in 0..3 {
        client.send(line("XADD s * a b").repeat(2000));
        client.replies(2000);
        assert_eq!(ask(&mut client, "DEL s"), Reply::Integer(1));
        assert_eq!(client.ask(line("XRANGE s - +")), "*0\r\n");
    }
    let rows = || {
        let path = folder.path().join("events.db");
        let output =
            std::process::Command::new("python3").args(["-c", COUNT]).arg(path).output().expect("python3");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    eventually(|| (rows() == "0 0").then_some(()));
    drop(process);
}

/// Prints the number of stored events, and the number of deleted streams whose rows are still there.
const COUNT: &str = "
import sqlite3, sys
database = sqlite3.connect(sys.argv[1])
print(*[database.execute(f'SELECT count(*) FROM {table}').fetchone()[0] for table in ('entries', 'garbage')])
";

#[test]
fn a_truncated_write_ahead_log_loses_only_its_last_event() {
    let folder = Folder::new();
    let (process, mut client) = start(folder.path(), &[]);
    for n in 1..=20 {
        client.ask(line(&format!("XADD s {n}-0 a b")));
    }
    drop(process);
    let path = folder.path().join("events.db-wal");
    let bytes = fs::read(&path).expect("the log is there");
    let end = bytes.iter().rposition(|byte| *byte != 0).expect("something was written") + 1;
    fs::write(&path, &bytes[..end - 5]).expect("the log can be truncated");
    let (_process, mut client) = start(folder.path(), &[]);
    assert_eq!(ask(&mut client, "XLEN s"), Reply::Integer(19));
    assert_eq!(client.ask(line("XADD s 20-0 a b")), "$4\r\n20-0\r\n");
}

#[test]
fn stats_prints_a_line_each_second() {
    let folder = Folder::new();
    let (mut process, mut client) = start(folder.path(), &["--stats"]);
    client.send(line("XADD s * text hello").repeat(10));
    client.replies(10);
    thread::sleep(Duration::from_millis(1500));
    let line = process.line_with(" 10 events in 1 streams");
    assert!(line.contains("events/s, ") && line.ends_with("1 clients"), "{line}");
    let fields = info(&mut client, "collector");
    assert_eq!((fields.number("events_added"), fields.number("bytes_added")), (10, 90));
}

#[test]
fn strings_survive_a_kill_and_expire() {
    let folder = Folder::new();
    let (process, mut client) = start(folder.path(), &[]);
    client.send(lines("SET kept 1 \n SET replaced 2 PX 20 \n SET replaced 3 \n SET short 4 PX 20 \n SET gone 5 \n GETDEL gone"));
    assert_eq!(client.replies(6), format!("{}$1\r\n5\r\n", "+OK\r\n".repeat(5)));
    eventually(|| (client.ask(line("GET short")) == "$-1\r\n").then_some(()));
    assert_eq!(info(&mut client, "stats").number("expired_keys"), 1);
    client.ask(line("SET later 6 PX 50"));
    drop(process);
    thread::sleep(Duration::from_millis(51));
    let (process, mut client) = start(folder.path(), &[]);
    client.send(lines("GET kept \n GET replaced \n GET later \n EXISTS short gone later \n DBSIZE"));
    assert_eq!(client.replies(5), "$1\r\n1\r\n$1\r\n3\r\n$-1\r\n:0\r\n:2\r\n");
    // The file has no expired string either.
    let sql = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('SELECT count(*) FROM strings').fetchone()[0])";
    let rows = || python(sql, folder.path()).wait_with_output().expect("it ends").stdout;
    eventually(|| (rows() == b"2\n").then_some(()));
    drop(process);
}

#[test]
fn a_blocked_read_goes_on_while_a_string_has_the_name() {
    let folder = Folder::new();
    let (process, mut client) = start(folder.path(), &[]);
    let [mut reader] = clients(process.address());
    client.ask(line("XADD s 1-1 a b"));
    reader.send(line("XREAD BLOCK 0 STREAMS s $"));
    eventually(|| (info(&mut client, "clients").number("blocked_clients") == 1).then_some(()));
    // One by one: a commit in between looks at the readers.
    for command in ["SET s v", "DEL s", "XADD s 2-1 a b"] {
        client.ask(line(command));
    }
    assert_eq!(
        reader.reply(),
        "*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n2-1\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n"
    );
}
