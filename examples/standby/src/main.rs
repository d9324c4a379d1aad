//! Run with `cargo run -p standby 127.0.0.1:7001 127.0.0.1:7001 127.0.0.1:7002`, and in another terminal with
//! `cargo run -p standby 127.0.0.1:7002 127.0.0.1:7001 127.0.0.1:7002`. The first address is the own one. The others are all servers; the first of
//! these is the master. Then try `redis-cli -p 7002 SENTINEL GET-MASTER-ADDR-BY-NAME counters`.
//!
//! This example shows servers that take over from each other. One is the master, and the others refuse commands. Clients that know Redis
//! Sentinel ask any of them for the master, and follow it; some of them ask at the port that is greater by 1000. An operator says who is the master, with `FOLLOW 127.0.0.1 7002` at
//! each server: first at the master, which ends its work, and last at the new one. A real service has a lease for that.
//!
//! The counters are not copied. A service that must not lose them keeps them in a database that all its servers use.

use std::{
    collections::HashMap,
    env, io,
    sync::{Arc, OnceLock},
};

use thegiant::{
    Role, ServerHandle, actix,
    prelude::*,
    sentinel::{Master, Sentinel},
};

/// A host and a port.
type Endpoint = (String, u16);

/// Follows a change of the master.
struct Takeover {
    own: Endpoint,
    all: Vec<Endpoint>,
    sentinel: Sentinel,
    server: OnceLock<ServerHandle>,
}

impl Takeover {
    /// Becomes the master or a replica, and tells the clients.
    fn follow(&self, master: Endpoint) {
        let is_replica = master != self.own;
        let (host, port) = master.clone();
        if let Some(server) = self.server.get() {
            server.set_role(if is_replica { Role::replica_of(&host, port) } else { Role::Master });
        }
        let replicas = self.all.iter().filter(|server| **server != master).cloned();
        let master = Master::new("counters", host, port).replicas(replicas).sentinels(self.all.clone());
        self.sentinel.update(master);
        if let Some(server) = self.server.get()
            && is_replica
        {
            // Some clients look for the master only when they connect.
            server.close_clients();
        }
    }
}

/// Named counters.
struct Counters {
    values: HashMap<String, i64>,
    takeover: Arc<Takeover>,
}

impl Actor for Counters {
    type Context = Context<Self>;
}

#[commands]
impl Counters {
    /// Adds one to a counter, and returns its value.
    #[command("INCR", write, fast)]
    fn incr(&mut self, name: Key<String>) -> i64 {
        let value = self.values.entry(name.into_inner()).or_default();
        *value += 1;
        *value
    }

    /// Returns the value of a counter.
    #[command("GET", readonly, fast)]
    fn get(&self, name: Key<&str>) -> Option<i64> {
        self.values.get(*name).copied()
    }

    /// Makes another server the master. A replica takes this command, too: it has the flag `stale`.
    #[command("FOLLOW", admin, stale)]
    fn follow(&self, host: String, port: u16) {
        self.takeover.follow((host, port));
    }
}

/// Splits an address.
fn endpoint(address: &str) -> io::Result<Endpoint> {
    let parts = address.rsplit_once(':').and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
    parts.ok_or_else(|| io::Error::other(format!("{address} is no address: write HOST:PORT")))
}

#[thegiant::main]
async fn main() -> io::Result<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    let [address, all @ ..] = &words[..] else { panic!("write: standby OWN-ADDRESS MASTER OTHER...") };
    let (own, all) =
        (endpoint(address)?, all.iter().map(|address| endpoint(address)).collect::<io::Result<Vec<_>>>()?);
    let sentinel = Sentinel::new(&own.0, own.1);
    let takeover = Takeover { own, all, sentinel: sentinel.clone(), server: OnceLock::new() };
    let takeover = Arc::new(takeover);
    let counters = Counters { values: HashMap::new(), takeover: Arc::clone(&takeover) };
    let app = sentinel.mount(App::new()).mount(counters.start());
    let server = Server::new(app).bind(address)?;
    // The first of all servers is the master until somebody says otherwise.
    let master = takeover.all.first().unwrap_or(&takeover.own).clone();
    let _ = takeover.server.set(server.handle());
    takeover.follow(master);
    // Some clients want a Sentinel on a port of its own.
    let (host, port) = &takeover.own;
    let facade = Server::new(move || sentinel.app()).bind(format!("{host}:{}", port + 1000))?;
    actix::spawn(facade.run());
    server.run().await
}
