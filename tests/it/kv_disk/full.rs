//! A full disk and a read-only disk.

use std::{fs, process::Command};

use super::{ENGINES, start};
use crate::support::{RawClient, SmallDisk, eventually, line, lines, request, until_refused};

const MISCONF: &[u8] = b"-MISCONF Errors writing to the disk: ";

/// Sets keys until the disk is full. Returns their number, and the error.
fn fill(client: &mut RawClient) -> (usize, String) {
    // The log-structured engine compresses its tables, so it needs bytes without a pattern.
    let mut state = 1_u32;
    let mut byte = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    let value: Vec<u8> = (0..100 * 1024).map(|_| byte()).collect();
    until_refused(client, |number| {
        request([b"SET".as_slice(), format!("filling:{number}").as_bytes(), &value])
    })
}

#[test]
fn a_full_disk_refuses_writes_and_loses_none() {
    for engine in ENGINES {
        let disk = SmallDisk::mount(160);
        let ballast = disk.path().join("ballast");
        fs::write(&ballast, vec![1; 60 << 20]).expect("there is room");
        let (process, mut client) = start(engine, &disk.path().join("data"), &[]);
        assert_eq!(client.ask(line("SET a before")), "+OK\r\n");
        let (filled, refusal) = fill(&mut client);
        assert!(refusal.as_bytes().starts_with(MISCONF), "{engine}: {refusal}");
        assert!(
            ["No space left", "disk is full"].iter().any(|text| refusal.contains(text)),
            "{engine}: {refusal}"
        );
        assert!(filled > 0);

        // The refused key is not there. The other keys are readable.
        client.send(lines(&format!(
            "GET a \n EXISTS filling:{filled} \n EXISTS filling:{} \n GET a",
            filled - 1
        )));
        assert_eq!(client.replies(4), "$6\r\nbefore\r\n:0\r\n:1\r\n$6\r\nbefore\r\n", "{engine}");

        // Free some space.
        fs::remove_file(&ballast).expect("it is there");
        eventually(|| (client.ask(line("SET a after")) == "+OK\r\n").then_some(()));
        drop(process);
        let (_process, mut client) = start(engine, &disk.path().join("data"), &[]);
        let keys = (0..filled).map(|number| format!("filling:{number}"));
        let exists: Vec<String> = ["EXISTS".to_owned()].into_iter().chain(keys).collect();
        assert_eq!(
            client.ask(request(exists)),
            format!(":{filled}\r\n"),
            "{engine}: all acknowledged keys are there"
        );
        assert_eq!(client.ask(line("GET a")), "$5\r\nafter\r\n");
    }
}

#[test]
fn kv_disk_does_not_start_on_a_read_only_disk() {
    for engine in ENGINES {
        let disk = SmallDisk::mount(200);
        let (process, mut client) = start(engine, disk.path(), &[]);
        assert_eq!(client.ask(line("SET a before")), "+OK\r\n");
        drop(process);
        disk.remount("ro");
        let folder = disk.path().to_str().expect("text");
        let output = Command::new(crate::support::binary("kv-disk"))
            .args(["--engine", engine, "--dir", folder, "--bind", "127.0.0.1:0"])
            .output()
            .expect("kv-disk can be started");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.starts_with("kv-disk: ") && error.contains(folder), "{error}");
        assert!(error.contains("Read-only file system"), "{error}");
        disk.remount("rw");
        let (_process, mut client) = start(engine, disk.path(), &[]);
        assert_eq!(client.ask(line("GET a")), "$6\r\nbefore\r\n");
    }
}
