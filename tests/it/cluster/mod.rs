//! Instances of an application that answer as a Redis Cluster.

mod alike;
mod alone;
mod clients;
mod messages;
mod moves;
mod on_disk;
mod redirects;
mod topology;

use std::collections::HashMap;

use thegiant::{
    Responder, SLOTS,
    cluster::{Cluster, Topology},
    prelude::*,
    slot,
};

use crate::support::{ANY_PORT, RawClient, Served};

/// The names of the instances.
const NAMES: [&str; 3] = ["a", "b", "c"];

/// The slots of each instance at first. The last third begins like that of the helper for real clusters.
const THIRDS: [&str; 3] = ["0-5460", "5461-10921", "10922-16383"];

/// Counters, and clients that wait for them.
#[derive(Default)]
struct Counters {
    counts: HashMap<Bytes, i64>,
    waiting: Vec<Responder<i64>>,
    pubsub: PubSub,
}

impl Actor for Counters {
    type Context = Context<Self>;
}

#[commands]
impl Counters {
    /// Adds one to a counter.
    #[command("COUNT", write, fast)]
    fn count(&mut self, key: Key) -> i64 {
        let count = self.counts.entry(key.into()).or_default();
        *count += 1;
        *count
    }

    /// Returns the values of several counters.
    #[command("COUNTS", readonly, split)]
    fn counts(&self, keys: Vec<Key<&[u8]>>) -> Vec<i64> {
        keys.into_iter().map(|key| self.counts.get(*key).copied().unwrap_or_default()).collect()
    }

    /// Waits for a value that nobody gives.
    #[command("LINGER", readonly, blocking)]
    fn linger(&mut self, _key: Key, responder: Responder<i64>) {
        self.waiting.push(responder);
    }

    /// Begins something that takes its time.
    #[command("BEGIN", write)]
    fn begin(&mut self, _key: Key, responder: Responder<i64>) {
        self.waiting.push(responder);
    }

    /// Answers all that have begun.
    #[command("FINISH", write, all = "agg_sum")]
    fn finish(&mut self) -> usize {
        self.waiting.drain(..).filter_map(|responder| responder.send(1).ok()).count()
    }

    /// Publishes a message from an actor.
    #[command("ANNOUNCE", write)]
    fn announce(&self, channel: &str, message: &str) -> usize {
        self.pubsub.publish(channel, message)
    }

    /// Returns the sum of all counters.
    #[command("TOTAL", readonly, all = "agg_sum")]
    fn total(&self) -> i64 {
        self.counts.values().sum()
    }
}

fn app(threads: u16) -> App {
    let app = App::new();
    let pubsub = app.pubsub();
    app.mount_shards(threads, move |_| Counters { pubsub: pubsub.clone(), ..Counters::default() }).atomic()
}

/// Three instances of an application.
struct Instances {
    served: [Served; 3],
}

impl Instances {
    /// Starts instances with one thread and one actor each.
    fn start() -> Self {
        Self::with_threads(1)
    }

    /// Starts instances with this number of workers, and as many shards.
    fn with_threads(threads: u16) -> Self {
        let served = NAMES.map(|name| {
            let app = move || app(threads);
            Served::with(app, move |server| {
                let cluster = Cluster::new(topology(0, THIRDS, ["h:1", "h:2", "h:3"]), name);
                server.workers(threads).cluster(cluster)?.bind(ANY_PORT)
            })
        });
        let instances = Instances { served };
        instances.set(1, THIRDS);
        instances
    }

    /// Gives all instances a topology of this version with these slots.
    fn set(&self, version: u64, slots: [&str; 3]) {
        let topology = self.topology(version, slots);
        for served in &self.served {
            served.handle().set_topology(topology.clone()).expect("a new version");
        }
    }

    fn topology(&self, version: u64, slots: [&str; 3]) -> Topology {
        topology(version, slots, [0, 1, 2].map(|index| self.address(index)))
    }

    fn address(&self, index: usize) -> &str {
        self.served[index].address()
    }

    fn client(&self, index: usize) -> RawClient {
        RawClient::connect(self.address(index))
    }
}

/// Returns the topology of the instances with these slots and addresses.
fn topology(version: u64, slots: [&str; 3], addresses: [&str; 3]) -> Topology {
    let lines = (0..3).map(|index| format!("{} {} {}\n", NAMES[index], addresses[index], slots[index]));
    let text = format!("version {version}\n{}", lines.collect::<String>());
    Topology::parse(&text).expect("a valid topology")
}

/// Returns a key whose slot is in this third of the slots.
fn key_in(third: u16, name: &str) -> String {
    let keys = (0..).map(|number| format!("{name}-{number}"));
    let is_there = |key: &String| u32::from(slot(key.as_bytes())) * 3 / u32::from(SLOTS) == u32::from(third);
    keys.into_iter().find(is_there).expect("each third has keys")
}

/// Returns the error for a key of another instance.
fn moved(key: &str, address: &str) -> String {
    format!("-MOVED {} {address}\r\n", slot(key.as_bytes()))
}

const CROSS_SLOT: &str = "-CROSSSLOT Keys in request don't hash to the same slot\r\n";
const NOT_SERVED: &str = "-CLUSTERDOWN Hash slot not served\r\n";
