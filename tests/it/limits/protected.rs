use std::process::Command;

use super::set;
use crate::support::{Process, RawClient, Served, app, line};

/// An address that is not a loopback address, in a network namespace that only this test uses.
const REMOTE: &str = "192.0.2.1";
const DENIED: &str = "-DENIED Redis is running in protected mode because protected mode is enabled and no password is \
                      set for the default user.";

#[test]
fn local_clients_are_served() {
    let served = Served::with(app, |server| server.bind("127.0.0.1:0")?.bind("[::1]:0"));
    for address in served.addresses() {
        assert_eq!(RawClient::connect(address).ask(line("PING")), "+PONG\r\n", "{address}");
    }
    set(&mut RawClient::connect(served.address()), "protected-mode", "no");
    assert_eq!(RawClient::connect(served.address()).ask(line("PING")), "+PONG\r\n");
}

/// Runs in a network namespace with one address that is not a loopback address. Where the system forbids
/// that, only the unit test covers protected mode.
#[test]
fn remote_clients_are_refused() {
    let network = format!("ip link set lo up && ip addr add {REMOTE}/32 dev lo");
    let probe = Command::new("unshare").args(["-rn", "sh", "-c", &network]).output();
    if !probe.is_ok_and(|probe| probe.status.success()) {
        eprintln!("not tested: this system does not allow network namespaces");
        return;
    }
    let starter = ["unshare", "-rn", "sh", "-c", &format!("{network} && exec \"$0\" \"$@\"")];
    let kv = Process::program_started_by(&starter, "kv", "0.0.0.0:0");
    let replies = |host: &str, request: &str| kv.reply_within_namespace(host, request);
    assert_eq!(replies("127.0.0.1", "PING"), "+PONG\r\n+OK\r\n");
    assert!(replies(REMOTE, "").starts_with(DENIED));
    assert!(replies("127.0.0.1", "INFO stats").contains("rejected_connections:1\r\n"));
    assert_eq!(replies("127.0.0.1", "CONFIG SET protected-mode no"), "+OK\r\n+OK\r\n");
    assert_eq!(replies(REMOTE, "PING"), "+PONG\r\n+OK\r\n");
    assert_eq!(replies("127.0.0.1", "CONFIG SET protected-mode yes"), "+OK\r\n+OK\r\n");
    assert!(replies(REMOTE, "").starts_with(DENIED));
}
