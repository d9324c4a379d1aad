//! A command that blocks does not run when its user may no longer run it: `ACL DRYRUN` says so.

use std::cell::{Cell, RefCell};

use proptest::{collection::vec, prelude::*, sample::select};

use super::modes::{RULES, await_upstream, check};
use crate::support::{Process, RawClient, eventually, info, line};

/// A command that waits for an element, the request that adds one, and those that count the elements. `#` stands for the case.
type Wait = (&'static str, &'static str, [&'static str; 2]);

const JOBS: [Wait; 3] = [
    ("GETJOB FROM a#", "ADDJOB a# x", ["QLEN a#", "QLEN b#"]),
    ("GETJOB TIMEOUT 60000 FROM b# a#", "ADDJOB a# x", ["QLEN a#", "QLEN b#"]),
    ("GETJOB COUNT 2 FROM a# b#", "ADDJOB b# x", ["QLEN a#", "QLEN b#"]),
];

const LISTS: [Wait; 3] = [
    ("BLPOP a# 0", "RPUSH a# x", ["LLEN a#", "LLEN b#"]),
    ("BRPOP b# a# 0", "RPUSH a# x", ["LLEN a#", "LLEN b#"]),
    ("BLMPOP 0 2 a# b# LEFT", "RPUSH b# x", ["LLEN a#", "LLEN b#"]),
];

/// A server, seen by its operator.
struct Tested {
    address: String,
    operator: RawClient,
    /// A client of the server where commands block: the upstream of a proxy.
    observer: RawClient,
    waits: [Wait; 3],
}

impl Tested {
    fn new(server: &Process, blocks_on: &Process, waits: [Wait; 3]) -> Self {
        let [operator, observer] = [server, blocks_on].map(|process| RawClient::connect(process.address()));
        Tested { address: server.address().to_owned(), operator, observer, waits }
    }

    fn await_blocked(&mut self, clients: u64) {
        eventually(|| {
            (info(&mut self.observer, "clients").number("blocked_clients") == clients).then_some(())
        });
    }

    /// Applies rules to the user, one after another. Returns whether one of them has denied the command.
    fn deny(&mut self, rules: &[&str], command: &str) -> bool {
        let mut is_denied = false;
        for rule in rules {
            self.operator.ask(line(&format!("ACL SETUSER u {rule}")));
            is_denied |= self.operator.ask(line(&format!("ACL DRYRUN u {command}"))) != "+OK\r\n";
        }
        is_denied
    }
}

#[test]
fn a_command_that_blocks_does_not_run_what_a_dry_run_denies() {
    let jobs = Process::program("jobs");
    let shards = Process::program_with("jobs", &["--threads", "2"]);
    let redis = Process::redis(&[]);
    let balancer = Process::program_with("balancer", &[redis.address()]);
    await_upstream(balancer.address());
    let tested = RefCell::new([
        Tested::new(&jobs, &jobs, JOBS),
        Tested::new(&shards, &shards, JOBS),
        Tested::new(&balancer, &redis, LISTS),
    ]);
    let case_number = Cell::new(0);
    check(60, &(vec(select(&RULES[..]), 0..5), 0..3_usize), |(rules, wait)| {
        let number = case_number.replace(case_number.get() + 1);
        // Keys of this case. They have one hash tag, so that one shard has both.
        let named = |request: &str| request.replace('#', &format!("{{{number}}}"));
        for tested in &mut *tested.borrow_mut() {
            let (command, push, counts) = tested.waits[wait];
            let command = &named(command);
            tested.operator.ask(line("ACL SETUSER u reset on nopass +@all allkeys"));
            let mut client = RawClient::connect(&tested.address);
            prop_assert_eq!(&client.ask(line("AUTH u x"))[..], b"+OK\r\n");
            client.send(line(command));
            tested.await_blocked(1);

            let is_denied = tested.deny(&rules, command);
            if is_denied {
                prop_assert!(client.reply().starts_with(b"-NOPERM"));
                tested.await_blocked(0);
            }
            tested.operator.ask(line(&named(push)));
            if !is_denied {
                let reply = client.reply();
                prop_assert!(
                    reply.ends_with(b"$1\r\nx\r\n") || reply.starts_with(b"*1\r\n*4\r\n"),
                    "{:?}",
                    reply
                );
            }
            let left = counts.map(|count| tested.operator.ask(line(&named(count))) == ":1\r\n");
            prop_assert_eq!(left.contains(&true), is_denied, "{}", command);
        }
        Ok(())
    });
}
