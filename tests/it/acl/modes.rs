//! No mode of a connection runs a command that `ACL DRYRUN` denies.

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use proptest::{
    collection::vec,
    prelude::*,
    sample::select,
    test_runner::{Config, RngAlgorithm, TestCaseResult, TestRng, TestRunner},
};

use crate::support::{Process, RawClient, Reply, line};

/// Requests that leave the connection as it is.
const REQUESTS: [&str; 25] = [
    "GET a1",
    "GET b1",
    "SET a1 x",
    "SET b1 x",
    "SET a1 x GET",
    "MGET a1 a2",
    "MGET a1 b1",
    "MSET a1 x b1 x",
    "MSET a1 x a2 x",
    "DEL a1",
    "DEL b1 a1",
    "APPEND b1 x",
    "EXISTS a1 b1",
    "COPY a1 b1 REPLACE",
    "STRLEN a1",
    "EXPIRE b1 100",
    "PUBLISH a1 x",
    "PUBLISH b1 x",
    "SPUBLISH b1 x",
    "PING",
    "ECHO x",
    "CONFIG GET save",
    "CLIENT ID",
    "ACL WHOAMI",
    "DBSIZE",
];

pub(super) const RULES: [&str; 30] = [
    "+@all",
    "-@all",
    "+@read",
    "-@read",
    "+@write",
    "-@write",
    "-@dangerous",
    "+@dangerous",
    "-@fast",
    "+@keyspace",
    "-get",
    "+get",
    "+set",
    "-set",
    "+mget",
    "-mset",
    "+config|get",
    "-client|id",
    "+client",
    "-ping",
    "allkeys",
    "resetkeys",
    "~a*",
    "%R~b*",
    "%W~b*",
    "~a1",
    "allchannels",
    "resetchannels",
    "&a*",
    "(+@all ~b*)",
];

/// How a client sends its requests.
#[derive(Clone, Copy, Debug)]
enum Mode {
    OneByOne,
    Pipeline,
    Transaction,
    /// All requests of the transaction in one write.
    PipelinedTransaction,
}

const MODES: [Mode; 4] = [Mode::OneByOne, Mode::Pipeline, Mode::Transaction, Mode::PipelinedTransaction];

#[test]
fn no_mode_runs_what_a_dry_run_denies() {
    let kv = Process::program("kv");
    let shards = Process::program_with("kv", &["--threads", "2"]);
    let redis = Process::redis(&[]);
    let balancer = Process::program_with("balancer", &[redis.address()]);
    let servers = [&kv, &shards, &balancer].map(|process| process.address().to_owned());
    await_upstream(&servers[2]);
    let admins = RefCell::new(servers.clone().map(|address| RawClient::connect(&address)));
    let case = (
        vec(select(&RULES[..]), 0..10),
        vec(select(&REQUESTS[..]), 1..12),
        select(&MODES[..]),
        any::<bool>(),
    );
    check(300, &case, |(rules, requests, mode, is_resp3)| {
        for (admin, address) in admins.borrow_mut().iter_mut().zip(&servers) {
            admin.ask(line("ACL SETUSER u reset on nopass"));
            for rule in &rules {
                // Some rules are refused after others, such as `~a*` after `allkeys`.
                admin.ask(line(&format!("ACL SETUSER u {rule}")));
            }
            let denied: Vec<bool> = requests
                .iter()
                .map(|request| admin.ask(line(&format!("ACL DRYRUN u {request}"))) != "+OK\r\n")
                .collect();
            let mut client = RawClient::connect(address);
            if is_resp3 {
                client.ask(line("HELLO 3"));
            }
            prop_assert_eq!(&client.ask(line("AUTH u x"))[..], b"+OK\r\n");
            let refused = send(&mut client, mode, &requests, admin);
            prop_assert_eq!(refused, denied, "{:?}", mode);
        }
        Ok(())
    });
}

/// Upstreams do not say where all keys of `SORT` and `MIGRATE` are. The categories count all the same.
#[test]
fn a_command_of_an_upstream_has_its_categories() {
    let redis = Process::redis(&[]);
    let balancer = Process::program_with("balancer", &[redis.address()]);
    await_upstream(balancer.address());
    let mut clients = [redis.address(), balancer.address()].map(RawClient::connect);
    for category in ["read", "write", "dangerous", "slow", "fast", "keyspace", "list", "geo", "stream"] {
        for rules in [format!("+@all -@{category}"), format!("-@all +@{category}")] {
            for request in [
                "GET a",
                "SORT a STORE b",
                "SORT_RO a",
                "MIGRATE h 1 a 0 1",
                "GEORADIUS a 1 2 3 m",
                "XREAD STREAMS a 0",
                "FLUSHALL",
                "SCRIPT EXISTS a",
            ] {
                let [in_redis, in_balancer] =
                    clients.each_mut().map(|client| dry_run(client, &format!("~* {rules}"), request));
                assert_eq!(in_balancer == b"+OK\r\n", in_redis == b"+OK\r\n", "{rules} {request}");
            }
        }
    }
}

/// `SET` reads its key with `GET` only, and `BITFIELD` writes it with `SET` or `INCRBY` only.
#[test]
fn options_decide_about_the_use_of_a_key_of_an_upstream() {
    let redis = Process::redis(&[]);
    let balancer = Process::program_with("balancer", &[redis.address()]);
    await_upstream(balancer.address());
    let mut clients = [redis.address(), balancer.address()].map(RawClient::connect);
    for rule in ["%R~a", "%W~a"] {
        for request in [
            "SET a GET",
            "set a b get",
            "SET a b PX 100000 GET",
            "SET a b PX 100000",
            "GETEX a",
            "BITFIELD a GET u8 0",
            "bitfield a get u8 0 set u8 0 1",
            "BITFIELD a OVERFLOW SAT INCRBY u8 0 1",
            "BITFIELD_RO a GET u8 0",
        ] {
            let [in_redis, in_balancer] =
                clients.each_mut().map(|client| dry_run(client, &format!("+@all {rule}"), request));
            assert_eq!(in_balancer, in_redis, "{rule} {request}");
        }
    }
}

#[test]
fn a_refusal_names_the_subcommand_of_an_upstream() {
    let redis = Process::redis(&[]);
    let balancer = Process::program_with("balancer", &[redis.address()]);
    await_upstream(balancer.address());
    let rules = "ACL SETUSER u reset on nopass ~* +@all -@scripting -object|help -xinfo";
    let replies = [redis.address(), balancer.address()].map(|address| {
        let [mut admin, mut client] = [(); 2].map(|()| RawClient::connect(address));
        assert_eq!(admin.ask(line(rules)), "+OK\r\n");
        assert_eq!(client.ask(line("AUTH u x")), "+OK\r\n");
        ["SCRIPT EXISTS a", "OBJECT HELP", "xinfo stream k", "EVAL x 0", "OBJECT ENCODING k"]
            .map(|request| [client.ask(line(request)), admin.ask(line(&format!("ACL DRYRUN u {request}")))])
    });
    assert_eq!(replies[1], replies[0]);
    assert!(replies[0][0][0].ends_with(b"'script|exists' command\r\n"));
}

/// Returns what `ACL DRYRUN` says about a request of a user with these rules.
fn dry_run(client: &mut RawClient, rules: &str, request: &str) -> Vec<u8> {
    assert_eq!(client.ask(line(&format!("ACL SETUSER u reset on nopass {rules}"))), "+OK\r\n");
    client.ask(line(&format!("ACL DRYRUN u {request}"))).to_vec()
}

/// Runs the same cases each time.
pub(super) fn check<S: Strategy>(cases: u32, case: &S, test: impl Fn(S::Value) -> TestCaseResult) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    runner.run(case, test).unwrap_or_else(|error| panic!("{error}"));
}

/// Returns whether each request got `NOPERM`.
fn send(client: &mut RawClient, mode: Mode, requests: &[&str], admin: &mut RawClient) -> Vec<bool> {
    let mut sent: Vec<&str> = requests.to_vec();
    let is_transaction = matches!(mode, Mode::Transaction | Mode::PipelinedTransaction);
    if is_transaction {
        // These three are needed for a transaction, and change nothing else that is tested.
        assert_eq!(admin.ask(line("ACL SETUSER u +multi +exec +discard")), "+OK\r\n");
        sent.insert(0, "MULTI");
        sent.push("EXEC");
    }
    let replies: Vec<Vec<u8>> = match mode {
        Mode::OneByOne | Mode::Transaction => {
            sent.iter().map(|request| client.ask(line(request)).to_vec()).collect()
        }
        Mode::Pipeline | Mode::PipelinedTransaction => {
            client.send(sent.iter().flat_map(|request| line(request)).collect::<Vec<u8>>());
            sent.iter().map(|_| client.reply().to_vec()).collect()
        }
    };
    let refused: Vec<bool> = replies.iter().map(|reply| reply.starts_with(b"-NOPERM")).collect();
    if !is_transaction {
        return refused;
    }
    let end = Reply::only(&replies[replies.len() - 1]).expect("a reply");
    let queued = &refused[1..refused.len() - 1];
    let is_aborted = matches!(&end, Reply::Error(error) if error.starts_with(b"EXECABORT"));
    assert_eq!(is_aborted, queued.contains(&true), "{end:?}");
    queued.to_vec()
}

/// Waits until the balancer knows the commands of the upstream.
pub(super) fn await_upstream(address: &str) {
    let mut admin = RawClient::connect(address);
    admin.ask(line("ACL SETUSER u reset on nopass +@all ~a*"));
    let start = Instant::now();
    while admin.ask(line("ACL DRYRUN u set a b")) != "+OK\r\n" {
        assert!(start.elapsed() < Duration::from_secs(10));
    }
}
