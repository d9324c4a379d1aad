//! Instances that divide the keys between them, and take over from each other.
//!
//! Start etcd, and then several instances, each with its own name and address:
//!
//! ```sh
//! cargo run -p leases http://127.0.0.1:2379 a 127.0.0.1:7001
//! cargo run -p leases http://127.0.0.1:2379 b 127.0.0.1:7002
//! redis-cli -c -p 7001 VIEW home
//! etcdctl get --prefix /views/
//! ```
//!
//! With `postgres://…` instead of the address of etcd, they agree in PostgreSQL. `LEASE_MS` sets the lease in milliseconds.

use std::{
    collections::{BTreeMap, HashMap},
    env, io,
    time::Duration,
};

use thegiant::{actix::Message, cluster::Cluster, prelude::*};
use thegiant_cluster::{Etcd, Member, Partitions, Postgres};

const PARTITIONS: u16 = 12;

/// The page views in each partition that this instance owns.
#[derive(Default)]
struct Views(BTreeMap<u16, HashMap<String, u64>>);

impl Actor for Views {
    type Context = Context<Self>;
}

#[commands]
impl Views {
    /// Counts a view of a page.
    #[command("VIEW", write, fast)]
    fn view(&mut self, page: Key<String>) -> u64 {
        let partition = thegiant::shard(page.as_bytes(), PARTITIONS);
        let views = self.0.entry(partition).or_default().entry(page.into_inner()).or_default();
        *views += 1;
        *views
    }

    /// Returns the partitions of this instance.
    #[command("PARTITIONS", readonly)]
    fn partitions(&self) -> Vec<u16> {
        self.0.keys().copied().collect()
    }
}

/// Makes the actor begin with a partition, or forget it.
enum Change {
    Open(u16),
    Close(u16),
}

impl Message for Change {
    type Result = ();
}

impl Handler<Change> for Views {
    type Result = ();

    fn handle(&mut self, change: Change, _: &mut Self::Context) {
        match change {
            Change::Open(partition) => drop(self.0.insert(partition, HashMap::new())),
            Change::Close(partition) => drop(self.0.remove(&partition)),
        }
    }
}

struct State(Addr<Views>);

/// The views of a partition are lost when it gets another owner. So nothing has to be loaded, and no earlier owner to be fenced.
impl Partitions for State {
    async fn open(&self, partition: u16, _epoch: u64) -> io::Result<()> {
        self.0.send(Change::Open(partition)).await.map_err(io::Error::other)
    }

    async fn close(&self, partition: u16) {
        // If the actor has ended, its state is gone.
        let _ = self.0.send(Change::Close(partition)).await;
    }
}

fn member(store: &str, name: &str, address: &str) -> io::Result<Member> {
    let member = if store.starts_with("postgres") {
        Member::new(Postgres::new(store, "views")?, name, address)
    } else {
        Member::new(Etcd::new(store.split(','), "/views/")?, name, address)
    };
    let lease = env::var("LEASE_MS").ok().and_then(|millis| millis.parse().ok()).unwrap_or(5000);
    Ok(member.partitions(PARTITIONS).lease(Duration::from_millis(lease)))
}

#[thegiant::main]
async fn main() -> io::Result<()> {
    tracing_subscriber::fmt::init();
    let words: Vec<String> = env::args().collect();
    let [_, store, name, address] = &words[..] else { panic!("write: leases STORE NAME ADDRESS") };
    let views = Views::default().start();
    let state = State(views.clone());
    let server = Server::new(|| App::new().mount(views)).cluster(Cluster::member(name))?.bind(address)?;
    member(store, name, address)?.run(server, state).await
}
