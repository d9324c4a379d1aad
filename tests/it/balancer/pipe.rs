//! `redis-cli --pipe` loads data through the balancer.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use super::Three;
use crate::support::{Cluster, Process, RawClient, line, request};

const COMMANDS: usize = 10_000;
/// A command whose number is a multiple of this lacks an argument.
const WRONG_EVERY: usize = 1000;

/// Loads keys, and checks the numbers of replies and errors that redis-cli reports.
fn load_through(balancer: &Process) {
    let mut requests = Vec::new();
    for number in 0..COMMANDS {
        let command = if number % WRONG_EVERY == 0 { "HSET" } else { "SET" };
        requests.extend(request([command, &format!("key:{number}"), &format!("value:{number}")]));
    }
    let (host, port) = balancer.address().split_once(':').expect("a port");
    let mut cli = Command::new("redis-cli")
        .args(["-h", host, "-p", port, "--pipe", "--pipe-timeout", "120"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("redis-cli can be run");
    let mut input = cli.stdin.take().expect("it is piped");
    input.write_all(&requests).expect("redis-cli reads its input");
    drop(input);
    let output = cli.wait_with_output().expect("redis-cli ends");
    let report = String::from_utf8_lossy(&output.stdout);
    let expected = format!("errors: {}, replies: {COMMANDS}", COMMANDS / WRONG_EVERY);
    assert!(report.contains(&expected), "{report}");
    let mut client = RawClient::connect(balancer.address());
    assert_eq!(client.ask(line("DBSIZE")), format!(":{}\r\n", COMMANDS - COMMANDS / WRONG_EVERY));
    assert_eq!(client.ask(line("MGET key:1 key:9999")), "*2\r\n$7\r\nvalue:1\r\n$10\r\nvalue:9999\r\n");
}

#[test]
fn redis_cli_loads_one_server() {
    let redis = Process::redis(&[]);
    load_through(&Process::program_with("balancer", &[redis.address()]));
}

#[test]
fn redis_cli_loads_three_servers() {
    load_through(&Three::start(&[]).balancer);
}

#[test]
fn redis_cli_loads_a_cluster() {
    let cluster = Cluster::start();
    load_through(&Process::program_with("balancer", &["--cluster", cluster.addresses()[0]]));
}
