//! A server that is given by a name whose address changes.

use std::{fs, net::TcpListener, process::Command};

use super::fake::Fake;
use crate::support::{Folder, Process, RawClient, eventually, line};

const NAME: &str = "moving.test";

/// Runs the balancer with its own file of host names. Where the system forbids that, the test does nothing.
#[test]
fn a_name_is_resolved_for_each_connection() {
    let [first, second] = two();
    let folder = Folder::new();
    let hosts = folder.path().join("hosts");
    let point_to =
        |host: &str| fs::write(&hosts, format!("{host} {NAME}\n")).expect("the file can be written");
    point_to("127.0.0.1");
    let mount = format!("mount --bind '{}' /etc/hosts", hosts.display());
    let probe = Command::new("unshare").args(["-rm", "sh", "-c", &mount]).output();
    if !probe.is_ok_and(|probe| probe.status.success()) {
        eprintln!("not tested: this system does not allow mount namespaces");
        return;
    }
    let exec = format!("{mount} && exec \"$0\" {NAME}:{} \"$@\"", first.port());
    let balancer =
        Process::program_started_by(&["unshare", "-rm", "sh", "-c", &exec], "balancer", "127.0.0.1:0");
    let mut client = RawClient::connect(balancer.address());
    assert_eq!(client.ask(line("GET foo")), "+first\r\n");
    point_to("127.0.0.2");
    // An open connection stays where it is.
    assert_eq!(client.ask(line("GET foo")), "+first\r\n");
    drop(first);
    eventually(|| (client.ask(line("GET foo")) == "+second\r\n").then_some(()));
    drop(second);
}

/// Starts two servers at different addresses with the same port.
fn two() -> [Fake; 2] {
    const ATTEMPTS: usize = 20;
    let pair = (0..ATTEMPTS).find_map(|_| {
        let first = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = first.local_addr().expect("it is bound").port();
        Some([first, TcpListener::bind(("127.0.0.2", port)).ok()?])
    });
    let [first, second] = pair.expect("a port that is free at both addresses");
    [Fake::on(first, [("GET foo", "+first")]), Fake::on(second, [("GET foo", "+second")])]
}
