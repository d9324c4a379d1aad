//! Several instances with one database.

mod client;
mod failures;
mod handover;
mod kills;
mod setup;
mod standby;

use std::collections::BTreeSet;

use super::{add, bulk, connected, connected_with_resp3, id_in, job, jobs, wait_for_jobs, wait_for_workers};
use crate::support::{Postgres, Process, RawClient, eventually, line};
use client::ClusterClient;

/// The number of partitions of the queues.
const PARTITIONS: u16 = 6;

/// The lease in seconds: so long that no instance loses it on a busy machine while it could renew it.
const LEASE: u8 = 4;

/// A lease that an instance may lose on a busy machine, for clients that try again then.
const SHORT_LEASE: u8 = 1;

/// The options of an instance with this name.
fn options(url: &str, lease: u8, name: &str) -> Vec<String> {
    let options =
        format!("--database {url} --cluster-partitions {PARTITIONS} --cluster-lease {lease} --threads 2");
    let name = ["--cluster-node", name];
    options.split(' ').chain(name).map(str::to_owned).collect()
}

/// Instances that divide the queues.
struct Instances {
    url: String,
    lease: u8,
    /// Further options of all instances.
    options: Vec<String>,
    processes: Vec<(&'static str, Process)>,
}

impl Instances {
    /// Starts instances with these names. Waits until each has its share of the queues.
    fn start(url: String, names: &[&'static str]) -> Self {
        Self::start_with(url, LEASE, Vec::new(), names)
    }

    /// Starts instances with this lease and further options.
    fn start_with(url: String, lease: u8, options: Vec<String>, names: &[&'static str]) -> Self {
        let mut instances = Instances { url, lease, options, processes: Vec::new() };
        names.iter().for_each(|name| instances.add(name));
        instances.settle();
        instances
    }

    /// Starts another instance.
    fn add(&mut self, name: &'static str) {
        self.put_back(name, self.process_of(name));
    }

    fn process_of(&self, name: &str) -> Process {
        let options = [options(&self.url, self.lease, name), self.options.clone()].concat();
        Process::program_with("jobs", &options.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn put_back(&mut self, name: &'static str, process: Process) {
        self.processes.push((name, process));
    }

    /// Removes an instance. The caller decides how it ends.
    fn remove(&mut self, name: &str) -> Process {
        let index = self.processes.iter().position(|(known, _)| *known == name);
        self.processes.remove(index.expect("an instance with this name")).1
    }

    fn process(&self, name: &str) -> &Process {
        let found = self.processes.iter().find(|(known, _)| *known == name);
        found.map(|(_, process)| process).expect("an instance with this name")
    }

    fn addresses(&self) -> Vec<String> {
        self.processes.iter().map(|(_, process)| process.address().to_owned()).collect()
    }

    fn client(&self) -> ClusterClient {
        ClusterClient::new(self.addresses())
    }

    /// Waits until these instances serve all queues, and each has its share. Starts those again that have ended with an error.
    fn settle(&mut self) {
        let share = usize::from(PARTITIONS) / self.processes.len();
        eventually(|| {
            self.restart_failed();
            let owned = |(name, _): &(&str, Process)| self.queues_of(name).len();
            let owned: Vec<usize> = self.processes.iter().map(owned).collect();
            let is_settled = owned.iter().sum::<usize>() == usize::from(PARTITIONS)
                && owned.iter().all(|owned| *owned >= share);
            is_settled.then_some(())
        });
    }

    /// An instance ends with code 1 if it had begun a commit when it was paused.
    fn restart_failed(&mut self) {
        for index in 0..self.processes.len() {
            let name = self.processes[index].0;
            if let Some(status) = self.processes[index].1.try_wait() {
                assert_eq!(status.code(), Some(1));
                self.processes[index].1 = self.process_of(name);
            }
        }
    }

    /// Returns the queues that an instance serves, of those with one in each partition.
    fn queues_of(&self, name: &str) -> Vec<String> {
        let process = self.process(name);
        queues().into_iter().filter(|queue| serves(process, queue)).collect()
    }
}

/// Returns whether an instance serves a queue. It may have ended.
fn serves(process: &Process, queue: &str) -> bool {
    let reply = RawClient::try_connect(process.address()).and_then(|mut client| {
        client.try_send(line(&format!("QLEN {queue}")))?;
        client.try_reply()
    });
    reply.is_ok_and(|reply| reply.starts_with(b":"))
}

/// Returns the name of a queue in each partition, in their order.
fn queues() -> Vec<String> {
    let in_partition = |partition: u16| {
        let mut names = (0..).map(|number| format!("q{number}"));
        names.find(|name| thegiant::shard(name.as_bytes(), PARTITIONS) == partition).expect("one of many")
    };
    (0..PARTITIONS).map(in_partition).collect()
}

/// Returns the bodies of all jobs in the database, when the tables have what the logs had.
fn stored(server: &Postgres) -> BTreeSet<String> {
    let entries = |partition| format!("(SELECT count(*) FROM jobs_{partition}.log)");
    let entries = format!("SELECT {}", (0..PARTITIONS).map(entries).collect::<Vec<_>>().join(" + "));
    eventually(|| (server.answer(&entries) == "0").then_some(()));
    let select = |partition| format!("SELECT convert_from(body, 'UTF8') FROM jobs_{partition}.jobs");
    let all = (0..PARTITIONS).map(select).collect::<Vec<_>>().join(" UNION ALL ");
    server.answer(&all).lines().map(str::to_owned).collect()
}
