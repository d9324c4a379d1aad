//! `jobs top`, in a terminal.

use std::{
    io::{Read, Write},
    process::{Command, Stdio},
};

use super::{add, connected, start};
use crate::support::{Folder, Process, binary, line};

/// Runs `jobs top` until the screen shows `text`, then presses `q`.
///
/// Returns the screen, and whether the program ended with success.
fn top(address: &str, text: &str) -> (String, bool) {
    let command = format!("stty cols 120 rows 20; exec {} top {address}", binary("jobs").display());
    let mut terminal = Command::new("script")
        .args(["--quiet", "--return", "--flush", "--command", &command, "/dev/null"])
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program script (package bsdutils) can be started");
    let (mut keys, mut screen) =
        (terminal.stdin.take().expect("a pipe"), terminal.stdout.take().expect("a pipe"));
    let mut shown = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&shown).contains(text) {
        let read = screen.read(&mut buffer).expect("the terminal can be read");
        assert!(read > 0, "the program ended after {}", String::from_utf8_lossy(&shown));
        shown.extend_from_slice(&buffer[..read]);
    }
    keys.write_all(b"q").expect("the program reads its input");
    let mut rest = Vec::new();
    screen.read_to_end(&mut rest).expect("the program ends");
    let is_success = terminal.wait().expect("the program ends").success();
    (String::from_utf8_lossy(&shown).into_owned(), is_success)
}

#[test]
fn top_shows_the_queues_until_q_is_pressed() {
    let server = start();
    let (mut client, mut worker) = (connected(&server), connected(&server));
    for _ in 0..7 {
        add(&mut client, "squares a");
    }
    worker.ask(line("GETJOB COUNT 2 FROM squares"));
    let (shown, is_success) = top(server.address(), "squares");
    assert!(shown.contains("1 queues, 5 ready, 2 out"), "{shown:?}");
    assert!(is_success);
}

#[test]
fn top_authenticates_with_a_password_file() {
    let folder = Folder::new();
    let file = folder.path().join("secret");
    std::fs::write(&file, "secret").expect("the folder can be written to");
    let options = ["--password-file", file.to_str().expect("text")];
    let server = Process::program_with("jobs", &options);
    let address = server.address();
    let (_, is_success) = top(&format!("{address} {}", options.join(" ")), "0 queues");
    assert!(is_success);
    let output = Command::new(binary("jobs")).args(["top", address]).output().expect("jobs can be started");
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("NOAUTH"), "{error}");
}

#[test]
fn top_fails_without_a_server() {
    let output =
        Command::new(binary("jobs")).args(["top", "127.0.0.1:1"]).output().expect("jobs can be started");
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.starts_with("jobs: 127.0.0.1:1: "), "{error}");
    let output = Command::new(binary("jobs")).arg("top").output().expect("jobs can be started");
    assert_eq!(output.status.code(), Some(2));
}
