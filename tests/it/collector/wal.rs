//! Other programs that read the database.

use std::{io::Read, process::Child};

use super::{python, start};
use crate::support::{Folder, RawClient, eventually, info, line, request};

/// Reads in one transaction until its input ends.
const READ: &str = "
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute('BEGIN')
print(database.execute('SELECT count(*) FROM entries').fetchone()[0], flush=True)
sys.stdin.read()
";

/// Starts a program that reads in one transaction, and sees one event.
fn start_reader(folder: &Folder, client: &mut RawClient) -> Child {
    client.ask(line("XADD s 1-1 a b"));
    let mut reader = python(READ, folder.path());
    let mut printed = [0; 2];
    reader.stdout.as_mut().expect("it is piped").read_exact(&mut printed).expect("it counts");
    assert_eq!(&printed, b"1\n");
    reader
}

#[test]
fn a_reader_that_keeps_the_write_ahead_log_is_shown() {
    let folder = Folder::new();
    let (_process, mut client) = start(folder.path(), &[]);
    let mut reader = start_reader(&folder, &mut client);
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
fn a_large_write_ahead_log_can_be_limited() {
    let folder = Folder::new();
    let (_process, mut client) = start(folder.path(), &["--max-wal", "1M"]);
    let mut reader = start_reader(&folder, &mut client);
    let value = vec![b'x'; 100_000];
    // The server looks at the size once a second.
    let add = request([&b"XADD"[..], b"s", b"*", b"value", &value]);
    let refusal = eventually(|| Some(client.ask(&add)).filter(|reply| !reply.starts_with(b"$")));
    assert_eq!(
        refusal,
        "-MISCONF Errors writing to the disk: the write-ahead log has more than 1048576 bytes (--max-wal) until another \
         program ends its transaction in events.db\r\n"
    );
    assert_eq!(info(&mut client, "collector").text("wal_readers"), reader.id().to_string());
    let length = client.ask(line("XLEN s"));
    assert_eq!(client.ask(line("XRANGE s 1-1 1-1")), "*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n");
    drop(reader.stdin.take());
    reader.wait().expect("it ends");
    eventually(|| client.ask(&add).starts_with(b"$").then_some(()));
    let fields = info(&mut client, "collector");
    assert!(fields.number("wal_bytes") < 2 << 20, "it was emptied");
    assert_ne!(client.ask(line("XLEN s")), length);
}
