//! `jobs top`, in a terminal.

use std::{
    io::{Read, Write},
    process::{Command, Stdio},
};

use super::{add, connected, start};
use crate::support::{Folder, Process, binary, line};

/// What is on the screen when `text` is, and how the program ends when `q` is pressed then.
fn top(address: &str, text: &str) -> (String, bool) {
    let command = format!("stty cols 120 rows 20; exec {} top {address}", binary("jobs").display());
    let mut terminal = Command::new("script")
        .args(["--quiet", "--return", "--flush", "--command", &command, "/dev/null"])
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script, of bsdutils, can be started");
    let (mut keys, mut screen) =
        (terminal.stdin.take().expect("a pipe"), terminal.stdout.take().expect("a pipe"));
    let mut shown = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&shown).contains(text) {
        let read = screen.read(&mut buffer).expect("it can be read");
        assert!(read > 0, "the end came after {}", String::from_utf8_lossy(&shown));
        shown.extend_from_slice(&buffer[..read]);
    }
    keys.write_all(b"q").expect("it reads its keys");
    let mut rest = Vec::new();
    screen.read_to_end(&mut rest).expect("it ends");
    let ended = terminal.wait().expect("it has ended").success();
    (String::from_utf8_lossy(&shown).into_owned(), ended)
}

#[test]
fn it_shows_the_queues_until_q_is_pressed() {
    let server = start();
    let (mut client, mut worker) = (connected(&server), connected(&server));
    for _ in 0..7 {
        add(&mut client, "squares a");
    }
    worker.ask(line("GETJOB COUNT 2 FROM squares"));
    let (shown, ended) = top(server.address(), "squares");
    assert!(shown.contains("1 queues, 5 ready, 2 out"), "{shown:?}");
    assert!(ended);
}

#[test]
fn it_has_a_password_for_the_server() {
    let folder = Folder::new();
    let file = folder.path().join("secret");
    std::fs::write(&file, "secret").expect("the folder can be written to");
    let options = ["--password-file", file.to_str().expect("text")];
    let server = Process::program_with("jobs", &options);
    let address = server.address();
    let (_, ended) = top(&format!("{address} {}", options.join(" ")), "0 queues");
    assert!(ended);
    let output = Command::new(binary("jobs")).args(["top", address]).output().expect("it can be started");
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("NOAUTH"), "{error}");
}

#[test]
fn without_a_server_it_says_so() {
    let output =
        Command::new(binary("jobs")).args(["top", "127.0.0.1:1"]).output().expect("it can be started");
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.starts_with("jobs: 127.0.0.1:1: "), "{error}");
    let output = Command::new(binary("jobs")).arg("top").output().expect("it can be started");
    assert_eq!(output.status.code(), Some(2));
}
