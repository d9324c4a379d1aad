//! The actors that answer the questions of clients, as a Sentinel does.

use std::sync::Arc;

use actix::{Actor, Context};

use super::{
    facade::Facade,
    listing::{EndpointReply, Listing, id},
    master::{Endpoint, Master},
};
use crate::{Error, Simple, commands};

/// Answers `SENTINEL`.
pub(super) struct FacadeActor(pub(super) Arc<Facade>);

impl Actor for FacadeActor {
    type Context = Context<Self>;
}

impl FacadeActor {
    /// Calls a function with the master of this name.
    fn describe<T>(&self, name: &str, describe: impl FnOnce(&Master) -> T) -> Result<T, Error> {
        self.0.masters().get(name).map(describe).ok_or(NO_MASTER)
    }

    /// Returns the other facades that know a master.
    fn others<'a>(&'a self, master: &'a Master) -> impl Iterator<Item = &'a Endpoint> {
        master.sentinels.iter().filter(|sentinel| *sentinel != self.0.own())
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

#[commands(group = "sentinel")]
impl FacadeActor {
    /// Returns the address of a master.
    #[command("SENTINEL GET-MASTER-ADDR-BY-NAME", admin, stale)]
    fn address_of(&self, master_name: &str) -> EndpointReply {
        EndpointReply(self.0.masters().get(master_name).map(|master| master.endpoint.clone()))
    }

    /// Describes a master.
    #[command("SENTINEL MASTER", admin, stale)]
    fn master(&self, master_name: &str) -> Result<Listing, Error> {
        self.describe(master_name, |master| self.list(master))
    }

    /// Describes all masters.
    #[command("SENTINEL MASTERS", admin, stale)]
    fn all_masters(&self) -> Vec<Listing> {
        self.0.masters().values().map(|master| self.list(master)).collect()
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
        id(self.0.own())
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
        let is_down = self.0.masters().values().find(is_it).is_some_and(|master| master.is_down);
        (is_down.into(), "*", 0)
    }
}

const NO_MASTER: Error = Error::from_static("ERR No such master with that name");

/// Answers `ROLE` as a Sentinel.
pub(super) struct RoleActor(pub(super) Arc<Facade>);

impl Actor for RoleActor {
    type Context = Context<Self>;
}

#[commands(group = "server")]
impl RoleActor {
    /// Returns the names of the masters.
    #[command("ROLE", noscript, loading, stale, fast, categories("admin", "dangerous"))]
    fn role(&self) -> (&'static str, Vec<String>) {
        ("sentinel", self.0.masters().keys().cloned().collect())
    }
}
