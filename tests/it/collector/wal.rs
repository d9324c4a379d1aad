//! Other programs that read the database.

use std::io::Read;

use super::{python, start};
use crate::support::{Folder, eventually, info, line, request};

/// Reads in one transaction until its input ends.
const READ: &str = "
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute('BEGIN')
print(database.execute('SELECT count(*) FROM entries').fetchone()[0], flush=True)
sys.stdin.read()
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
