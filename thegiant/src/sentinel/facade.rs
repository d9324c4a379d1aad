//! The actor that answers the questions of clients, as a Sentinel does.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use actix::{Actor, Context};

use super::{
    listing::{EndpointReply, Listing, address, id},
    master::{Endpoint, Master},
};
use crate::{Error, PubSub, Simple, commands};

/// Answers the commands of Redis Sentinel, and tells subscribers when the master changes. It is cheap to clone.
///
/// It is an actor to [mount](crate::App::mount), and each clone is a handle to the same facade, for any thread. The [module](super)
/// shows both.
#[derive(Clone)]
pub struct Sentinel(Arc<Facade>);

struct Facade {
    own: Endpoint,
    pubsub: PubSub,
    masters: Mutex<BTreeMap<String, Master>>,
}

impl Actor for Sentinel {
    type Context = Context<Self>;
}

impl Sentinel {
    /// Creates a facade that knows no master. Clients reach it at this host and port.
    ///
    /// `pubsub` belongs to the [application](crate::App::pubsub) that it is mounted on.
    pub fn new(pubsub: PubSub, host: impl Into<String>, port: u16) -> Self {
        Sentinel(Arc::new(Facade { own: (host.into(), port), pubsub, masters: Mutex::default() }))
    }

    /// Sets the addresses that clients get for the name of this master.
    ///
    /// If its address has changed, subscribers of `+switch-master` get `NAME OLD-HOST OLD-PORT HOST PORT`. Subscribers of `+slave` get each new
    /// replica. A master with a smaller [epoch](Master::epoch) than before changes nothing.
    ///
    /// ```
    /// use thegiant::sentinel::{Master, Sentinel};
    ///
    /// fn took_over(sentinel: &Sentinel, host: &str, epoch: u64) {
    ///     sentinel.update(Master::new("orders", host, 6380).epoch(epoch));
    /// }
    /// ```
    pub fn update(&self, master: Master) {
        // Held to the end, so that subscribers see the changes in their order.
        let mut masters = self.masters();
        let before = masters.get(&master.name);
        if before.is_some_and(|before| before.epoch > master.epoch || *before == master) {
            return;
        }
        let Master { name, endpoint: (host, port), .. } = &master;
        if let Some(Master { endpoint: (old_host, old_port), .. }) =
            before.filter(|before| before.endpoint != master.endpoint)
        {
            tracing::info!(name, host, port, "the master has changed");
            self.publish("+switch-master", &format!("{name} {old_host} {old_port} {host} {port}"));
        }
        let is_new = |replica: &&Endpoint| before.is_none_or(|before| !before.replicas.contains(replica));
        for replica in master.replicas.iter().filter(is_new) {
            let address = address(replica);
            let (replica_host, replica_port) = replica;
            let text = format!("slave {address} {replica_host} {replica_port} @ {name} {host} {port}");
            self.publish("+slave", &text);
        }
        masters.insert(master.name.clone(), master);
    }

    /// Publishes a message here: in a cluster, each instance has a facade.
    fn publish(&self, channel: &str, message: &str) {
        self.0.pubsub.publish_here(channel.as_bytes(), message.as_bytes());
    }

    fn masters(&self) -> MutexGuard<'_, BTreeMap<String, Master>> {
        // A panic leaves the map as it is.
        self.0.masters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls a function with the master of this name.
    fn describe<T>(&self, name: &str, describe: impl FnOnce(&Master) -> T) -> Result<T, Error> {
        self.masters().get(name).map(describe).ok_or(NO_MASTER)
    }

    /// Returns the other servers that clients can ask about a master.
    fn others<'a>(&'a self, master: &'a Master) -> impl Iterator<Item = &'a Endpoint> {
        master.sentinels.iter().filter(|sentinel| **sentinel != self.0.own)
    }

    fn list(&self, master: &Master) -> Listing {
        Listing::of_master(master, self.others(master).count())
    }

    fn list_replicas(&self, name: &str) -> Result<Vec<Listing>, Error> {
        self.describe(name, |master| {
            master.replicas.iter().map(|replica| Listing::of_replica(replica, master)).collect()
        })
    }
}

impl fmt::Debug for Sentinel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sentinel").field("masters", &*self.masters()).finish_non_exhaustive()
    }
}

#[commands(group = "sentinel")]
impl Sentinel {
    /// Returns the address of a master.
    #[command("SENTINEL GET-MASTER-ADDR-BY-NAME", admin, stale)]
    fn address_of(&self, master_name: &str) -> EndpointReply {
        EndpointReply(self.masters().get(master_name).map(|master| master.endpoint.clone()))
    }

    /// Describes a master.
    #[command("SENTINEL MASTER", admin, stale)]
    fn master(&self, master_name: &str) -> Result<Listing, Error> {
        self.describe(master_name, |master| self.list(master))
    }

    /// Describes all masters.
    #[command("SENTINEL MASTERS", admin, stale)]
    fn all_masters(&self) -> Vec<Listing> {
        self.masters().values().map(|master| self.list(master)).collect()
    }

    /// Describes the replicas of a master.
    #[command("SENTINEL REPLICAS", admin, stale)]
    fn replicas(&self, master_name: &str) -> Result<Vec<Listing>, Error> {
        self.list_replicas(master_name)
    }

    /// Describes the replicas of a master.
    #[command("SENTINEL SLAVES", admin, stale)]
    fn slaves(&self, master_name: &str) -> Result<Vec<Listing>, Error> {
        self.list_replicas(master_name)
    }

    /// Describes the other facades that know a master.
    #[command("SENTINEL SENTINELS", admin, stale)]
    fn sentinels(&self, master_name: &str) -> Result<Vec<Listing>, Error> {
        self.describe(master_name, |master| self.others(master).map(Listing::of_sentinel).collect())
    }

    /// Says that the master can be replaced.
    #[command("SENTINEL CKQUORUM", admin, stale)]
    fn ckquorum(&self, master_name: &str) -> Result<Simple<String>, Error> {
        self.describe(master_name, |master| {
            let usable = self.others(master).count() + 1;
            Simple(format!("OK {usable} usable Sentinels. Quorum and failover authorization can be reached"))
        })
    }

    /// Returns the ID of this server.
    #[command("SENTINEL MYID", admin, stale)]
    fn myid(&self) -> String {
        id(&self.0.own)
    }

    /// Returns whether a master is down. It votes for nobody.
    #[command("SENTINEL IS-MASTER-DOWN-BY-ADDR", admin, stale)]
    fn is_master_down(
        &self,
        ip: &str,
        port: i64,
        current_epoch: i64,
        runid: &[u8],
    ) -> (i64, &'static str, i64) {
        // Real Sentinels use these to elect a leader.
        let _ = (current_epoch, runid);
        let is_it = |master: &&Master| master.endpoint.0 == ip && i64::from(master.endpoint.1) == port;
        let is_down = self.masters().values().find(is_it).is_some_and(|master| master.is_down);
        (is_down.into(), "*", 0)
    }
}

const NO_MASTER: Error = Error::from_static("ERR No such master with that name");
