//! A full disk and a read-only disk.

use std::{fs, process::Command};

use super::start;
use crate::support::{RawClient, SmallDisk, binary, eventually, line, lines, request, until_refused};

/// Adds events until the disk is full. Returns their number, and the error.
fn fill(client: &mut RawClient) -> (usize, String) {
    let value = vec![b'x'; 100 * 1024];
    until_refused(client, |_| request([b"XADD".as_slice(), b"s", b"*", b"value", &value]))
}

#[test]
fn a_full_disk_refuses_events_and_loses_none() {
    let disk = SmallDisk::mount(20);
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![1; 10 << 20]).expect("there is room");
    let folder = disk.path().join("data");
    let (process, mut client) = start(&folder, &[]);
    client.send(lines("XADD t 1-1 a b \n XGROUP CREATE t g 0"));
    client.replies(2);
    let (filled, refusal) = fill(&mut client);
    assert_eq!(refusal, "-MISCONF Errors writing to the disk: database or disk is full\r\n");
    assert!(filled > 0);
    // The refused event is not there. The other events are readable.
    client.send(lines("XLEN s \n XLEN t"));
    assert_eq!(client.replies(2), format!(":{filled}\r\n:1\r\n"));

    fs::remove_file(&ballast).expect("it is there");
    eventually(|| (client.ask(line("XADD t 2-1 a b")) == "$3\r\n2-1\r\n").then_some(()));
    assert_eq!(client.ask(line("XREADGROUP GROUP g c COUNT 1 STREAMS t >")).first(), Some(&b'*'));
    drop(process);
    let (_process, mut client) = start(&folder, &[]);
    client.send(lines("XLEN s \n XLEN t"));
    assert_eq!(client.replies(2), format!(":{filled}\r\n:2\r\n"), "all acknowledged events are there");
    assert!(client.ask(line("XPENDING t g")).starts_with(b"*4\r\n:1\r\n"));
}

#[test]
fn the_collector_does_not_start_on_a_read_only_disk() {
    let disk = SmallDisk::mount(20);
    let (process, mut client) = start(disk.path(), &[]);
    client.ask(line("XADD s 1-1 a b"));
    drop(process);
    disk.remount("ro");
    let folder = disk.path().to_str().expect("text");
    let output = Command::new(binary("collector")).args(["--dir", folder, "--bind", "127.0.0.1:0"]).output();
    let output = output.expect("the collector can be started");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.starts_with(&format!("collector: {folder}: Read-only file system")), "{error}");
    disk.remount("rw");
    let (_process, mut client) = start(disk.path(), &[]);
    assert_eq!(client.ask(line("XLEN s")), ":1\r\n");
}
