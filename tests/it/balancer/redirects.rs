//! Redirects of a cluster: the balancer only follows those that known nodes confirm.

use std::{io::ErrorKind, net::TcpListener};

use crate::support::{Cluster, Process, RawClient, eventually, info, line, lines, report, request};

/// A script that fails with an error of the client's choice.
fn fail_with(error: &str) -> Vec<u8> {
    request(["EVAL", "return redis.error_reply(ARGV[1])", "1", "foo", error])
}

#[test]
fn a_script_cannot_redirect_clients_to_an_unknown_address() {
    let cluster = Cluster::of_one();
    let address = cluster.addresses()[0];
    let mut node = RawClient::connect(address);
    assert_eq!(node.ask(line("CONFIG SET requirepass secret")), "+OK\r\n");
    let balancer = Process::program_with("balancer", &["--cluster", "--server-password", "secret", address]);
    let attacker = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let unknown = attacker.local_addr().expect("it is bound");
    let mut client = RawClient::connect(balancer.address());
    for error in [format!("MOVED 12182 {unknown}"), format!("ASK 12182 {unknown}")] {
        assert_eq!(client.ask(fail_with(&error)), format!("-{error}\r\n"));
        // In a transaction that comes as a whole, and by a connection that the client has for itself.
        client.send([&lines("MULTI")[..], &fail_with(&error), &lines("EXEC \n WATCH foo")].concat());
        let queued = "+OK\r\n+QUEUED\r\n";
        assert_eq!(client.replies(4), format!("{queued}*1\r\n-{error}\r\n+OK\r\n"));
        assert!(client.ask(fail_with(&error)).starts_with(b"-"));
        assert_eq!(client.ask(line("UNWATCH")), "+OK\r\n");
    }
    let mut victim = RawClient::connect(balancer.address());
    victim.send(lines("SET foo 1 \n GET foo"));
    assert_eq!(victim.replies(2), "+OK\r\n$1\r\n1\r\n");
    attacker.set_nonblocking(true).expect("a listener can be non-blocking");
    let accepted = attacker.accept().map_err(|error| error.kind());
    assert!(matches!(accepted, Err(ErrorKind::WouldBlock)), "{accepted:?}");
}

#[test]
fn false_redirects_leave_no_server_behind() {
    let cluster = Cluster::of_one();
    let balancer = Process::program_with("balancer", &["--cluster", cluster.addresses()[0]]);
    let mut client = RawClient::connect(balancer.address());
    let errors: Vec<_> = (0..1500)
        .map(|number| format!("{} 12182 127.0.0.1:{}", ["MOVED", "ASK"][number % 2], number + 1))
        .collect();
    let requests: Vec<_> = errors.iter().flat_map(|error| fail_with(error)).collect();
    client.while_sending(&[&requests], |client| {
        for error in &errors {
            assert_eq!(client.reply(), format!("-{error}\r\n"));
        }
    });
    // INFO only says so if there is one server.
    assert_eq!(info(&mut client, "upstream").text("upstream_address"), cluster.addresses()[0]);
}

#[test]
fn a_node_that_has_just_joined_gets_slots_and_one_that_leaves_is_forgotten() {
    let mut cluster = Cluster::start();
    let balancer = Process::program_with("balancer", &["--cluster", cluster.addresses()[0]]);
    let mut client = RawClient::connect(balancer.address());
    let slot = cluster.slot_of("{moving}");
    let keys: Vec<_> = (0..20).map(|number| format!("{{moving}}:{number}")).collect();
    for key in &keys {
        assert_eq!(client.ask(request(["SET", key, "value"])), "+OK\r\n");
    }
    let first = cluster.master_of(slot);
    let joined = cluster.join();
    let read_all = |client: &mut RawClient| {
        client.send(keys.iter().flat_map(|key| request(["GET", key])).collect::<Vec<_>>());
        assert_eq!(client.replies(keys.len()), "$5\r\nvalue\r\n".repeat(keys.len()));
    };
    // First the new node has half of the keys (ASK), then all of them (MOVED).
    let half = cluster.begin_to_move(slot, &joined);
    assert!(half.step(keys.len() / 2));
    read_all(&mut client);
    half.finish();
    read_all(&mut client);
    let is_listed = |client: &mut RawClient| report(client, "INFO upstream").contains(&joined);
    assert!(is_listed(&mut client));

    cluster.begin_to_move(slot, &first).finish();
    cluster.forget(&joined);
    eventually(|| (!is_listed(&mut client)).then_some(()));
    let mut left = RawClient::connect(&joined);
    eventually(|| (info(&mut left, "clients").number("connected_clients") == 1).then_some(()));
    read_all(&mut client);
}
