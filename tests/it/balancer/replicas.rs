//! Replicas that cannot serve reads.

use std::time::Instant;

use super::fake::Fake;
use crate::support::{Process, RawClient, eventually, line, lines};

const MASTERDOWN: &str = "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.";
const LOADING: &str = "-LOADING Redis is loading the dataset in memory";
const BLOCKING: &str = "XREAD STREAMS foo 0";

/// A master and its replicas behind the balancer. Each replies with its name to reads.
struct Group {
    master: Fake,
    replicas: Vec<Fake>,
    _balancer: Process,
    client: RawClient,
}

impl Group {
    fn start(names: &[&str]) -> Self {
        let fake = |name: &str| Fake::start("127.0.0.1", [("GET foo", name), (BLOCKING, name)]);
        let (master, replicas) = (fake("+master"), names.iter().copied().map(fake).collect::<Vec<_>>());
        let all = [&master].into_iter().chain(&replicas).map(Fake::address);
        let balancer = Process::program_with("balancer", &[&all.collect::<Vec<_>>().join(",")]);
        let client = RawClient::connect(balancer.address());
        Group { master, replicas, _balancer: balancer, client }
    }

    fn read(&mut self) -> String {
        String::from_utf8_lossy(&self.client.ask(line("GET foo"))).trim_end().to_owned()
    }
}

#[test]
fn a_read_that_a_replica_cannot_serve_goes_to_another_one() {
    for error in [MASTERDOWN, LOADING] {
        let mut group = Group::start(&["+first", "+second"]);
        group.replicas[0].reply("GET foo", error);
        group.replicas[0].reply(BLOCKING, error);
        group.client.send(lines(BLOCKING).repeat(4));
        assert_eq!(group.client.replies(4), "+second\r\n".repeat(4));
        // The replica may be tried once in each second.
        let (begin, before) = (Instant::now(), group.replicas[0].requests().len());
        for _ in 0..50 {
            group.client.send(lines("GET foo").repeat(4));
            assert_eq!(group.client.replies(4), "+second\r\n".repeat(4));
        }
        let tried = group.replicas[0].requests().len() - before;
        let seconds = begin.elapsed().as_secs() as usize;
        // A pipeline that has been sent before the error came has two requests for the replica.
        assert!(tried <= 2 * (seconds + 1), "{tried} in {seconds} s");
        assert_eq!(group.master.requests(), [""; 0]);
        group.replicas[0].reply("GET foo", "+first");
        eventually(|| (group.read() == "+first").then_some(()));
        assert_eq!(group.read(), "+second");
    }
}

#[test]
fn the_master_serves_the_reads_that_no_replica_can_serve() {
    let mut group = Group::start(&[MASTERDOWN, LOADING]);
    group.client.send(lines("GET foo").repeat(20));
    assert_eq!(group.client.replies(20), "+master\r\n".repeat(20));
    // The error of the master itself reaches the client.
    group.master.reply("GET foo", LOADING);
    assert_eq!(group.read(), LOADING);
    group.master.reply("SET foo 1", LOADING);
    assert_eq!(group.client.ask(line("SET foo 1")), format!("{LOADING}\r\n"));
    assert_eq!(group.replicas.iter().map(|replica| replica.count("SET foo 1")).sum::<usize>(), 0);
}

#[test]
fn clients_may_allow_reads_from_replicas() {
    let mut group = Group::start(&["+first"]);
    group.client.send(lines("READONLY \n GET foo \n READWRITE \n GET foo \n readonly x"));
    let replies =
        "+OK\r\n+first\r\n+OK\r\n+first\r\n-ERR wrong number of arguments for 'readonly' command\r\n";
    assert_eq!(group.client.replies(5), replies);
    // A transaction of the servers would have the reply `QUEUED`.
    assert_eq!(group.client.ask(line("MULTI")), "+OK\r\n");
    assert_eq!(group.client.ask(line("READONLY")), "-ERR READONLY cannot be sent on to an upstream\r\n");
    assert_eq!([&group.master, &group.replicas[0]].map(|fake| fake.count("READONLY")), [0; 2]);
}
