//! A damaged database, and damaged events.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt,
    path::Path,
    process::Command,
};

use super::{python, start};
use crate::support::{Folder, binary, info, line, lines};

/// Moves the write-ahead log to the database.
const CHECKPOINT: &str = "
import sqlite3, sys
database = sqlite3.connect(sys.argv[1])
database.execute('PRAGMA wal_checkpoint(TRUNCATE)').fetchone()
";

/// Changes the fields of the second event.
const CHANGE: &str = "
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as database:
    changed = database.execute('UPDATE entries SET fields = replace(fields, \"b\", \"c\") WHERE ms = 2').rowcount
assert changed == 1, changed
";

const DAMAGED: &str =
    "-ERR event 2-0 of the stream s is damaged: remove it with XDEL, or read the events after it\r\n";

fn event(id: &str) -> String {
    format!("*2\r\n$3\r\n{id}\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n")
}

/// Returns the error with which `--verify` refuses to start.
fn verify(folder: &Path) -> String {
    let dir = folder.to_str().expect("text");
    let options = ["--dir", dir, "--bind", "127.0.0.1:0", "--verify"];
    let output = Command::new(binary("collector")).args(options).output().expect("it can be started");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{error}");
    error.strip_prefix(&format!("collector: {dir}: the database is damaged: ")).expect("damage").to_owned()
}

#[test]
fn a_damaged_database_is_found() {
    const PAGE: usize = 4096;
    let folder = Folder::new();
    let (process, mut client) = start(folder.path(), &[]);
    client.send(line(&format!("XADD s * value {}", "x".repeat(1000))).repeat(1000));
    client.replies(1000);
    drop(process);
    let (process, _) = start(folder.path(), &["--verify"]);
    drop(process);
    python(CHECKPOINT, folder.path()).wait().expect("it ends");
    let path = folder.path().join("events.db");
    let pages = fs::read(&path).expect("it is there").len() / PAGE;
    let file = OpenOptions::new().write(true).open(&path).expect("it is there");
    file.write_all_at(&[0xff; PAGE], (pages / 2 * PAGE) as u64).expect("it can be written");
    assert!(!verify(folder.path()).starts_with("event "), "SQLite finds it");
}

#[test]
fn a_damaged_event_is_an_error_for_its_readers() {
    let folder = Folder::new();
    let (process, mut client) = start(folder.path(), &[]);
    client.send(lines("XADD s 1-0 a b \n XADD s 2-0 a b \n XADD s 3-0 a b \n XGROUP CREATE s g 0"));
    client.replies(4);
    assert!(python(CHANGE, folder.path()).wait().expect("it ends").success());
    assert_eq!(client.ask(line("XRANGE s - +")), DAMAGED);
    for command in
        ["XREVRANGE s + -", "XREAD STREAMS s 1", "XREADGROUP GROUP g c STREAMS s >", "XINFO STREAM s FULL"]
    {
        assert_eq!(client.ask(line(command)), DAMAGED, "{command}");
    }
    assert_eq!(info(&mut client, "collector").number("damaged_events"), 1);
    // Other events are there.
    assert_eq!(client.ask(line("XREVRANGE s + - COUNT 1")), format!("*1\r\n{}", event("3-0")));
    let first = format!("*1\r\n*2\r\n$1\r\ns\r\n*1\r\n{}", event("1-0"));
    assert_eq!(client.ask(line("XREADGROUP GROUP g c COUNT 1 STREAMS s >")), first);
    drop(process);
    assert_eq!(verify(folder.path()), "event 2-0 of the stream s\n");
    let (_process, mut client) = start(folder.path(), &[]);
    assert_eq!(client.ask(line("XDEL s 2-0")), ":1\r\n");
    assert_eq!(client.ask(line("XRANGE s - +")), format!("*2\r\n{}{}", event("1-0"), event("3-0")));
}

#[test]
fn a_damaged_byte_of_an_event_is_found() {
    let folder = Folder::new();
    let (mut process, mut client) = start(folder.path(), &[]);
    client.send(lines("XADD s 1-0 key value-of-1 \n XADD s 2-0 key value-of-2"));
    client.replies(2);
    drop(process);
    python(CHECKPOINT, folder.path()).wait().expect("it ends");
    let path = folder.path().join("events.db");
    let bytes = fs::read(&path).expect("it is there");
    let at = bytes.windows(10).position(|bytes| bytes == b"value-of-2").expect("it is there");
    let file = OpenOptions::new().write(true).open(&path).expect("it is there");
    file.write_all_at(b"V", at as u64).expect("it can be written");
    (process, client) = start(folder.path(), &[]);
    assert_eq!(client.ask(line("XRANGE s 2 +")), DAMAGED);
    drop(process);
    assert_eq!(verify(folder.path()), "event 2-0 of the stream s\n");
}
