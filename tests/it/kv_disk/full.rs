//! A disk that takes no more.

use std::{fs, process::Command};

use super::{ENGINES, start};
use crate::support::{RawClient, SmallDisk, eventually, line, lines, request, until_refused};

const MISCONF: &[u8] = b"-MISCONF Errors writing to the disk: ";

fn fill(client: &mut RawClient) -> (usize, String) {
    let value = vec![b'x'; 100 * 1024];
    until_refused(client, |number| {
        request([b"SET".as_slice(), format!("filling:{number}").as_bytes(), &value])
    })
}

#[test]
fn a_full_disk() {
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

        // What was refused has not been done, and what can be read is.
        client.send(lines(&format!(
            "GET a \n EXISTS filling:{filled} \n EXISTS filling:{} \n GET a",
            filled - 1
        )));
        assert_eq!(client.replies(4), "$6\r\nbefore\r\n:0\r\n:1\r\n$6\r\nbefore\r\n", "{engine}");

        // There is space again.
        fs::remove_file(&ballast).expect("it is there");
        eventually(|| (client.ask(line("SET a after")) == "+OK\r\n").then_some(()));
        drop(process);
        let (_process, mut client) = start(engine, &disk.path().join("data"), &[]);
        let keys = (0..filled).map(|number| format!("filling:{number}"));
        let exists: Vec<String> = ["EXISTS".to_owned()].into_iter().chain(keys).collect();
        assert_eq!(
            client.ask(request(exists)),
            format!(":{filled}\r\n"),
            "{engine}: all that was acknowledged"
        );
        assert_eq!(client.ask(line("GET a")), "$5\r\nafter\r\n");
    }
}

#[test]
fn a_disk_that_can_only_be_read() {
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
            .expect("it can be started");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.starts_with("kv-disk: ") && said.contains(folder), "{said}");
        assert!(said.contains("Read-only file system"), "{said}");
        disk.remount("rw");
        let (_process, mut client) = start(engine, disk.path(), &[]);
        assert_eq!(client.ask(line("GET a")), "$6\r\nbefore\r\n");
    }
}
