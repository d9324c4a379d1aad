//! Other programs that read the database, and a damaged database.

use std::{
    fs::{self, OpenOptions},
    io::Read,
    os::unix::fs::FileExt,
    path::Path,
    process::{Child, Command, Stdio},
};

use super::start;
use crate::support::{Folder, binary, eventually, info, line, request};

fn python(script: &str, folder: &Path) -> Child {
    let mut python = Command::new("python3");
    python.args(["-c", script]).arg(folder.join("events.db"));
    python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python3")
}

/// Reads in one transaction until its input ends.
const READ: &str = "
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute('BEGIN')
print(database.execute('SELECT count(*) FROM entries').fetchone()[0], flush=True)
sys.stdin.read()
";

/// Moves the write-ahead log to the database.
const CHECKPOINT: &str = "
import sqlite3, sys
database = sqlite3.connect(sys.argv[1])
database.execute('PRAGMA wal_checkpoint(TRUNCATE)').fetchone()
";

#[test]
fn a_reader_that_keeps_the_write_ahead_log_is_shown() {
    let folder = Folder::new();
    let (_process, mut client) = start(folder.path(), &[]);
    client.ask(line("XADD s 1-1 a b"));
    let mut reader = python(READ, folder.path());
    let mut printed = [0; 2];
    reader.stdout.as_mut().expect("it is piped").read_exact(&mut printed).expect("it counts");
    assert_eq!(&printed, b"1\n");
    let value = vec![b'x'; 1 << 20];
    for _ in 0..20 {
        assert!(client.ask(request([&b"XADD"[..], b"s", b"*", b"value", &value])).starts_with(b"$"));
    }
    eventually(|| {
        let fields = info(&mut client, "collector");
        (fields.number("wal_blocked_seconds") > 0 && fields.number("wal_bytes") > 20 << 20).then_some(())
    });
    drop(reader.stdin.take());
    reader.wait().expect("it ends");
    eventually(|| {
        let fields = info(&mut client, "collector");
        (fields.number("wal_blocked_seconds") == 0 && fields.number("wal_bytes") < 1 << 20).then_some(())
    });
    assert_eq!(client.ask(line("XLEN s")), ":21\r\n");
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
    let dir = folder.path().to_str().expect("text");
    let options = ["--dir", dir, "--bind", "127.0.0.1:0", "--verify"];
    let output = Command::new(binary("collector")).args(options).output().expect("it can be started");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.starts_with(&format!("collector: {dir}: the database is damaged: ")), "{error}");
    assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{error}");
}
