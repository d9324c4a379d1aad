//! Cluster clients, while slots move.

use std::{
    collections::HashMap,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
};

use thegiant::slot;

use super::{Instances, THIRDS, key_in};
use crate::support::{RawClient, Reply, eventually, line};

const CLIENTS: usize = 4;
const COUNTS_OF_EACH: usize = 5_000;
const KEYS: usize = 200;

/// A client that knows the owner of each slot, and learns of another one from a redirect.
struct ClusterClient<'i> {
    instances: &'i Instances,
    connections: [RawClient; 3],
    owners: HashMap<u16, usize>,
    /// The number of redirects for each slot.
    redirects: HashMap<u16, usize>,
}

impl<'i> ClusterClient<'i> {
    /// Connects to the instances, of which each has a third of the slots.
    fn connect(instances: &'i Instances, keys: &[String]) -> Self {
        let topology = instances.topology(1, THIRDS);
        let owner = |key: &String| {
            let slot = slot(key.as_bytes());
            let address = topology.owner(slot).address();
            (slot, (0..3).find(|index| instances.address(*index) == address).expect("one of the three"))
        };
        ClusterClient {
            instances,
            connections: [0, 1, 2].map(|index| instances.client(index)),
            owners: keys.iter().map(owner).collect(),
            redirects: HashMap::new(),
        }
    }

    fn count(&mut self, key: &str) {
        let slot = slot(key.as_bytes());
        loop {
            let owner = self.owners[&slot];
            let reply = self.connections[owner].ask(line(&format!("COUNT {key}")));
            match Reply::only(&reply) {
                Some(Reply::Integer(_)) => return,
                Some(Reply::Error(error)) => {
                    let error = String::from_utf8(error).expect("text");
                    let address = error.strip_prefix(&format!("MOVED {slot} ")).expect("a redirect");
                    let owner = (0..3).find(|index| self.instances.address(*index) == address);
                    self.owners.insert(slot, owner.expect("one of the three"));
                    *self.redirects.entry(slot).or_default() += 1;
                }
                _ => panic!("{reply:?}"),
            }
        }
    }
}

/// Sets the topology, at first where it adds slots. So no client is sent to an instance that would send it back.
fn set_in_order(instances: &Instances, version: u64, slots: [&str; 3], order: [usize; 3]) {
    let topology = instances.topology(version, slots);
    for index in order {
        instances.served[index].handle().set_topology(topology.clone()).expect("a new version");
    }
}

#[test]
fn every_count_is_run_once_while_slots_move() {
    for threads in [1, 2] {
        let instances = &Instances::with_threads(threads);
        let keys: &Vec<String> = &(0..KEYS).map(|number| format!("key-{number}")).collect();
        let (done, changes) = (&AtomicUsize::new(0), &AtomicUsize::new(0));
        let redirects: Vec<_> = thread::scope(|scope| {
            let counting: Vec<_> = (0..CLIENTS)
                .map(|number| {
                    scope.spawn(move || {
                        let mut client = ClusterClient::connect(instances, keys);
                        for count in 0..COUNTS_OF_EACH {
                            // A fast client would have counted everything before a change.
                            let needed_changes = (4 * count / COUNTS_OF_EACH).saturating_sub(1);
                            eventually(|| (changes.load(Relaxed) >= needed_changes).then_some(()));
                            client.count(&keys[(count * 7 + number * 13) % KEYS]);
                            done.fetch_add(1, Relaxed);
                        }
                        client.redirects
                    })
                })
                .collect();
            let all = CLIENTS * COUNTS_OF_EACH;
            eventually(|| (done.load(Relaxed) > all / 4).then_some(()));
            set_in_order(instances, 2, ["0-100", "101-10921", "10922-16383"], [1, 0, 2]);
            changes.store(1, Relaxed);
            // All but one of the clients may be at three quarters. So the other one has counted since the first change, too.
            eventually(|| (done.load(Relaxed) > all * 23 / 32).then_some(()));
            set_in_order(instances, 3, THIRDS, [0, 1, 2]);
            changes.store(2, Relaxed);
            counting.into_iter().map(|client| client.join().expect("no client fails")).collect()
        });
        let total = |index: usize| match Reply::only(&instances.client(index).ask(line("TOTAL"))) {
            Some(Reply::Integer(total)) => total as usize,
            reply => panic!("{reply:?}"),
        };
        assert_eq!((0..3).map(total).sum::<usize>(), CLIENTS * COUNTS_OF_EACH);
        for redirects in redirects {
            // One for each of the two changes.
            assert!(redirects.values().all(|count| *count <= 2), "{redirects:?}");
            assert!(redirects.keys().all(|slot| (101..=5460).contains(slot)), "{redirects:?}");
            assert!(redirects.len() > 10, "{redirects:?}");
        }
    }
}

#[test]
fn redis_cli_follows_redirects() {
    let instances = Instances::start();
    let (_, port) = instances.address(0).rsplit_once(':').expect("a port");
    for third in 0..3 {
        for count in 1..3 {
            let command = ["-c", "-p", port, "COUNT", &key_in(third, "key")].map(str::to_owned);
            let output = Command::new("redis-cli").args(command).output().expect("redis-cli can be run");
            assert_eq!(String::from_utf8(output.stdout).expect("text"), format!("{count}\n"));
        }
    }
    let check = Command::new("redis-cli").args(["--cluster", "check", instances.address(0)]).output();
    let check = String::from_utf8(check.expect("redis-cli can be run").stdout).expect("text");
    assert!(check.contains("[OK] All 16384 slots covered."), "{check}");
}
