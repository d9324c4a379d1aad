//! The folder has one owner, and the owner notices its loss.

use std::{fs, process::Command};

use super::{ENGINES, start};
use crate::support::{Folder, binary, line};

#[test]
fn a_second_process_refuses_the_folder() {
    for engine in ENGINES {
        let folder = Folder::new();
        let (process, mut client) = start(engine, folder.path(), &[]);
        let dir = folder.path().to_str().expect("text");
        let options = ["--engine", engine, "--dir", dir, "--bind", "127.0.0.1:0"];
        let output = Command::new(binary("kv-disk")).args(options).output().expect("it can be started");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(error, format!("kv-disk: {dir}: another process uses this folder\n"));
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(client.ask(line("SET a 1")), "+OK\r\n");
        // A kill releases the folder.
        drop(process);
        let (_process, mut client) = start(engine, folder.path(), &[]);
        assert_eq!(client.ask(line("GET a")), "$1\r\n1\r\n");
    }
}

#[test]
fn a_process_whose_folder_was_removed_refuses_writes() {
    for engine in ENGINES {
        let folder = Folder::new();
        let data = folder.path().join("data");
        let (_process, mut client) = start(engine, &data, &[]);
        client.ask(line("SET a 1"));
        fs::remove_dir_all(&data).expect("it can be removed");
        let refusal = format!(
            "-MISCONF Errors writing to the disk: {}: the folder was removed or replaced\r\n",
            data.display()
        );
        assert_eq!(client.ask(line("SET a 2")), refusal);
        let (_other, mut other) = start(engine, &data, &[]);
        assert_eq!(other.ask(line("SET a 3")), "+OK\r\n");
        assert_eq!(client.ask(line("SET a 2")), refusal);
        assert_eq!(other.ask(line("GET a")), "$1\r\n3\r\n");
    }
}

#[test]
fn a_process_whose_files_were_replaced_refuses_writes() {
    for (engine, name) in
        [("lsm", "lsm"), ("sqlite", "sqlite"), ("sqlite", "sqlite/kv.db"), ("sqlite", "sqlite/kv.db-wal")]
    {
        let folder = Folder::new();
        let (process, mut client) = start(engine, folder.path(), &[]);
        client.ask(line("SET a 1"));
        let [path, moved] = [name, "moved"].map(|name| folder.path().join(name));
        fs::rename(&path, &moved).expect("it can be moved");
        let refusal = client.ask(line("SET a 2"));
        assert!(refusal.ends_with(b": the file was removed or replaced\r\n"), "{refusal:?}");
        assert_eq!(client.ask(line("GET a")), "$1\r\n1\r\n");
        fs::rename(&moved, &path).expect("it can be moved");
        assert_eq!(client.ask(line("SET a 3")), "+OK\r\n");
        drop(process);
        let (_process, mut client) = start(engine, folder.path(), &[]);
        assert_eq!(client.ask(line("GET a")), "$1\r\n3\r\n");
    }
}
