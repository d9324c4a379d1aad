//! Instances that take over from each other, with an agreement in etcd or PostgreSQL.

mod api;
mod failover;
pub(crate) mod stores;

use std::collections::BTreeMap;

use crate::support::{Etcd, Postgres, Process, RawClient, Reply, eventually, line, on_free_ports};

/// The number of partitions of the example.
const PARTITIONS: u16 = 12;

/// A short lease, in milliseconds.
const SHORT: &str = "1000";

/// A store that runs, and how the example names it.
enum Server {
    Etcd(Etcd),
    Postgres(Postgres),
}

impl Server {
    fn each() -> [fn() -> Self; 2] {
        [|| Server::Etcd(Etcd::start()), || Server::Postgres(Postgres::start())]
    }

    fn url(&self) -> String {
        match self {
            Server::Etcd(etcd) => etcd.endpoint().to_owned(),
            Server::Postgres(postgres) => postgres.url(),
        }
    }
}

/// Instances of the example, by name.
struct Instances {
    store: String,
    lease: &'static str,
    processes: BTreeMap<&'static str, Process>,
}

impl Instances {
    /// Starts instances with a short lease, and waits until each has its share.
    fn start(store: String, names: &[&'static str]) -> Self {
        Self::with_lease(store, names, SHORT)
    }

    fn with_lease(store: String, names: &[&'static str], lease: &'static str) -> Self {
        let mut instances = Instances { store, lease, processes: BTreeMap::new() };
        names.iter().for_each(|name| instances.start_one(name));
        instances.wait_until_even();
        instances
    }

    fn start_one(&mut self, name: &'static str) {
        let process = on_free_ports(|[port]| self.process(name, &format!("127.0.0.1:{port}")));
        self.processes.insert(name, process);
    }

    fn process(&self, name: &str, address: &str) -> Option<Process> {
        Process::try_program_with("leases", &[&self.store, name], &[("LEASE_MS", self.lease)], address)
    }

    /// Kills an instance with `SIGKILL`. Returns its address.
    fn kill(&mut self, name: &str) -> String {
        self.processes.remove(name).expect("it runs").address().to_owned()
    }

    fn client(&self, name: &str) -> RawClient {
        RawClient::connect(self.processes[name].address())
    }

    /// Waits until each partition is served by one instance, and all have equal shares.
    fn wait_until_even(&self) {
        let share = usize::from(PARTITIONS) / self.processes.len();
        eventually(|| {
            let owners = self.owners()?;
            let shares =
                self.processes.keys().map(|name| owners.iter().filter(|owner| *owner == name).count());
            shares.into_iter().all(|count| count == share).then_some(())
        });
    }

    /// Returns the owner of each partition, if each partition has one.
    ///
    /// A partition seems to have two owners if it moves while the test asks one instance after another.
    fn owners(&self) -> Option<Vec<&'static str>> {
        let owner = |partition| {
            let serves = |name: &&&str| self.view(name, partition).is_some();
            let owners: Vec<_> = self.processes.keys().filter(serves).collect();
            (owners.len() == 1).then(|| *owners[0])
        };
        (0..PARTITIONS).map(owner).collect()
    }

    /// Counts a view of a page in a partition. Returns the number if the instance serves the partition.
    fn view(&self, name: &str, partition: u16) -> Option<i64> {
        let reply = self.client(name).ask(line(&format!("VIEW {}", page_in(partition))));
        match Reply::only(&reply) {
            Some(Reply::Integer(views)) => Some(views),
            _ if reply.starts_with(b"-MOVED ") || reply == NOT_SERVED => None,
            other => panic!("{other:?}"),
        }
    }
}

const NOT_SERVED: &str = "-CLUSTERDOWN Hash slot not served\r\n";

/// Returns a page of a partition.
fn page_in(partition: u16) -> String {
    let pages = (0..).map(|number| format!("page-{number}"));
    let is_there = |page: &String| thegiant::shard(page.as_bytes(), PARTITIONS) == partition;
    pages.into_iter().find(is_there).expect("each partition has pages")
}
