//! One instance at a time has all queues, and clients find it by the commands of Sentinel.

use super::{connected, line};
use crate::support::{Postgres, Process, RawClient, eventually, on_free_ports};

const NAMED: &str = "SENTINEL GET-MASTER-ADDR-BY-NAME work";

fn instance(url: &str, name: &str, port: &str) -> Option<Process> {
    let address = format!("127.0.0.1:{port}");
    let options = format!(
        "--database {url} --cluster-lease 1 --cluster-node {name} --cluster-address {address} --cluster-sentinel work --bind"
    );
    Process::try_program_with("jobs", &options.split(' ').collect::<Vec<_>>(), &[], &address)
}

/// Waits until an instance names the instance at this port as the master.
fn wait_for_master(asked: &Process, port: &str) {
    let named = format!("*2\r\n$9\r\n127.0.0.1\r\n${}\r\n{port}\r\n", port.len());
    eventually(|| (connected(asked).ask(line(NAMED)) == named.as_str()).then_some(()));
}

#[test]
fn another_instance_becomes_the_master() {
    let server = Postgres::start();
    let url = server.url();
    let (first, port) = on_free_ports(|[port]| Some((instance(&url, "a", &port)?, port)));
    wait_for_master(&first, &port);
    let (second, next_port) = on_free_ports(|[port]| Some((instance(&url, "b", &port)?, port)));
    wait_for_master(&second, &port);
    let mut waiting = connected(&second);
    let refused = waiting.ask(line("ADDJOB q body"));
    assert_eq!(refused, "-READONLY You can't write against a read only replica.\r\n");
    let refused = waiting.ask(line("QLEN q"));
    assert_eq!(
        refused,
        "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n"
    );
    waiting.ask(line("SUBSCRIBE +switch-master"));

    let sentinels = format!("work@{},{}", first.address(), second.address());
    let balancer = Process::program_with("balancer", &["--sentinel", &sentinels]);
    let mut client = RawClient::connect(balancer.address());
    let add = |client: &mut RawClient, body: &str| {
        eventually(|| client.ask(line(&format!("ADDJOB q {body}"))).starts_with(b"$").then_some(()));
    };
    ["a", "b", "c"].iter().for_each(|body| add(&mut client, body));

    drop(first);
    wait_for_master(&second, &next_port);
    let text = format!("work 127.0.0.1 {port} 127.0.0.1 {next_port}");
    let message = format!("*3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n${}\r\n{text}\r\n", text.len());
    assert_eq!(waiting.reply(), message.as_str());
    add(&mut client, "d");
    eventually(|| (connected(&second).ask(line("QLEN q")) == ":4\r\n").then_some(()));

    // The former master waits now.
    let first = eventually(|| instance(&url, "a", &port));
    wait_for_master(&first, &next_port);
    assert!(connected(&first).ask(line("ROLE")).starts_with(b"*5\r\n$5\r\nslave\r\n"));
}
