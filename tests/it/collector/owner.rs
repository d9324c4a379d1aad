//! The folder has one owner, and the owner notices its loss.

use std::{fs, process::Command};

use super::start;
use crate::support::{Folder, binary, line};

#[test]
fn a_second_collector_refuses_the_folder() {
    let folder = Folder::new();
    let (process, mut client) = start(folder.path(), &[]);
    client.ask(line("XADD s 1-1 a b"));
    let dir = folder.path().to_str().expect("text");
    let output = Command::new(binary("collector")).args(["--dir", dir, "--bind", "127.0.0.1:0"]).output();
    let output = output.expect("it can be started");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(error, format!("collector: {dir}: another process uses this folder\n"));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(client.ask(line("XADD s 1-2 a b")), "$3\r\n1-2\r\n");
    // A kill releases the folder.
    drop(process);
    let (_process, mut client) = start(folder.path(), &[]);
    assert_eq!(client.ask(line("XLEN s")), ":2\r\n");
}

#[test]
fn a_collector_whose_folder_was_replaced_refuses_writes() {
    let folder = Folder::new();
    let [data, moved] = ["data", "moved"].map(|name| folder.path().join(name));
    let (_process, mut client) = start(&data, &[]);
    client.ask(line("XADD s 1-1 a b"));
    fs::rename(&data, &moved).expect("it can be moved");
    let refusal = format!(
        "-MISCONF Errors writing to the disk: {}: the folder was removed or replaced\r\n",
        data.display()
    );
    assert_eq!(client.ask(line("XADD s 1-2 a b")), refusal);
    let (other, mut other_client) = start(&data, &[]);
    assert_eq!(other_client.ask(line("XADD s 1-2 a b")), "$3\r\n1-2\r\n");
    assert_eq!(client.ask(line("XADD s 1-2 a b")), refusal);
    assert_eq!(client.ask(line("XLEN s")), ":1\r\n");
    drop(other);
    fs::remove_dir_all(&data).expect("it can be removed");
    assert_eq!(client.ask(line("XADD s 1-2 a b")), refusal);
    fs::rename(&moved, &data).expect("it can be moved");
    assert_eq!(client.ask(line("XADD s 1-2 a b")), "$3\r\n1-2\r\n");
}

#[test]
fn a_collector_whose_database_was_replaced_refuses_writes() {
    for file in ["events.db", "events.db-wal"] {
        let folder = Folder::new();
        let (process, mut client) = start(folder.path(), &[]);
        client.ask(line("XADD s 1-1 a b"));
        let [path, moved] = [file, "moved"].map(|name| folder.path().join(name));
        fs::rename(&path, &moved).expect("it can be moved");
        let refusal = format!(
            "-MISCONF Errors writing to the disk: {}: the file was removed or replaced\r\n",
            path.display()
        );
        assert_eq!(client.ask(line("XADD s 1-2 a b")), refusal);
        fs::copy(&moved, &path).expect("it can be copied");
        assert_eq!(client.ask(line("XADD s 1-2 a b")), refusal);
        fs::rename(&moved, &path).expect("it can be moved");
        assert_eq!(client.ask(line("XADD s 1-2 a b")), "$3\r\n1-2\r\n");
        drop(process);
        let (_process, mut client) = start(folder.path(), &[]);
        assert_eq!(client.ask(line("XLEN s")), ":2\r\n");
    }
}
