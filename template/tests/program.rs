//! The program, as an operator starts it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
};

#[test]
fn the_password_comes_from_the_environment() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_{{project-name}}"))
        .args(["--bind", "127.0.0.1:0", "--threads", "2"])
        .env("PASSWORD", "secret")
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program can be started");

    let output = BufReader::new(program.stdout.take().expect("its output"));
    let address = output
        .lines()
        .map_while(Result::ok)
        .find_map(|line| Some(line.split_once("listening on ")?.1.to_owned()))
        .expect("an address");
    let mut client = TcpStream::connect(address).expect("a connection");
    client
        .write_all(b"COUNT visits\r\nAUTH secret\r\nCOUNT visits\r\nQUIT\r\n")
        .expect("requests");
    let mut replies = String::new();
    client.read_to_string(&mut replies).expect("replies");

    program.kill().expect("the program can be stopped");
    program.wait().expect("the program ends");
    assert_eq!(
        replies,
        "-NOAUTH Authentication required.\r\n+OK\r\n:1\r\n+OK\r\n"
    );
}
