//! Instances that are killed, paused, stopped and started again, and stores that fail.

use std::{thread, time::Duration};

use super::{Instances, NOT_SERVED, PARTITIONS, Server, page_in};
use crate::support::{Etcd, Postgres, eventually, line};

/// So long that no instance loses it on a busy machine while it could renew it.
const LEASE_MS: &str = "4000";

/// Longer than this lease.
const LONG: Duration = Duration::from_millis(4500);

#[test]
fn an_instance_that_is_killed_is_replaced_by_the_others() {
    for server in Server::each() {
        let server = server();
        let mut instances = Instances::start(server.url(), &["a", "b", "c"]);
        let address = instances.kill("b");
        instances.wait_until_even();
        // A supervisor starts it again, with the same name and address.
        let again = instances.process("b", &address).expect("the port is free");
        instances.processes.insert("b", again);
        instances.wait_until_even();
    }
}

#[test]
fn an_instance_that_is_killed_gets_its_partitions_back() {
    for server in Server::each() {
        let server = server();
        let mut instances = Instances::start(server.url(), &["a"]);
        let address = instances.kill("a");
        let again = instances.process("a", &address).expect("the port is free");
        instances.processes.insert("a", again);
        instances.wait_until_even();
    }
}

#[test]
fn an_instance_that_is_paused_for_longer_than_its_lease_serves_nothing_that_others_have() {
    for server in Server::each() {
        let server = server();
        let mut instances = Instances::start(server.url(), &["a", "b", "c"]);
        let paused = instances.processes.remove("c").expect("it runs");
        paused.signal("STOP");
        instances.wait_until_even();
        paused.signal("CONT");
        instances.processes.insert("c", paused);
        // It joins again, and no partition has two owners.
        eventually(|| instances.client("c").ask(line("PARTITIONS")).starts_with(b"*4\r\n").then_some(()));
        instances.wait_until_even();
    }
}

#[test]
fn an_instance_that_stops_gives_its_partitions_to_the_others_before_its_lease_ends() {
    for server in Server::each() {
        let server = server();
        let mut instances = Instances::start(server.url(), &["a", "b", "c"]);
        let stopped = instances.processes.remove("a").expect("it runs");
        stopped.signal("TERM");
        assert!(stopped.wait().success());
        // Its process gives the partitions away before it ends. The others have only to open them.
        instances.wait_until_even();
    }
}

#[test]
fn nothing_is_served_while_the_store_does_not_answer_and_nothing_is_lost() {
    let etcd = Etcd::start();
    let instances = Instances::with_lease(etcd.endpoint().to_owned(), &["a", "b"], LEASE_MS);
    let owners = instances.owners().expect("all are served");
    let owner = owners[0];
    let views = instances.view(owner, 0).expect("it is served");
    etcd.signal("STOP");
    let is_down = |name| instances.client(name).ask(line(&format!("VIEW {}", page_in(0)))) == NOT_SERVED;
    eventually(|| is_down(owner).then_some(()));
    thread::sleep(LONG);
    etcd.signal("CONT");
    let after = eventually(|| instances.view(owner, 0));
    assert!(after > views, "the partition was opened again: {after} views after {views}");
    eventually(|| (instances.owners()? == owners).then_some(()));
}

#[test]
fn a_standby_of_postgres_that_is_promoted_is_found() {
    let primary = Postgres::start();
    let standby = primary.standby();
    let url = format!("postgres://test@{},{}/postgres", primary.host(), standby.host());
    let mut instances = Instances::start(url, &["a", "b"]);
    primary.kill();
    standby.promote();
    instances.wait_until_even();
    instances.kill("a");
    instances.wait_until_even();
    assert_eq!(standby.answer("SELECT count(*) FROM thegiant_cluster"), "2");
}

#[test]
fn people_can_read_the_entries() {
    let etcd = Etcd::start();
    let instances = Instances::start(etcd.endpoint().to_owned(), &["a"]);
    let output = etcd.ctl().args(["get", "/views/topology", "--print-value-only"]).output().expect("etcdctl");
    let address = instances.processes["a"].address();
    let expected = format!("version 1\npartitions {PARTITIONS}\na {address} 0-11@1\n\n");
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}
